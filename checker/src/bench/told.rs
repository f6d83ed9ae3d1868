//! What is said of a measurement: tables for people, one object for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use node::client::Traffic;
use serde_json::{Value as Json, json};

use super::meter::{Counters, Cpu, OfNode};
use super::subject::{Opened, Own, Subject};
use super::tally::Kind;
use super::{Error, Measured, Plan};
use crate::say;

/// Shares of the operations, and what the time is called that so many took at most.
const SHARES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// Prints it, and keeps it where that is wanted.
pub(super) fn tell(plan: &Plan, measured: &Measured, opened: &Opened) -> Result<(), Error> {
    let report = Report { plan, measured };
    let json = report.json();
    let kept = opened.keep(&json).map_err(Error::io("the store"))?;
    let mut out = say::Out::lock();
    let printed = match plan.json {
        true => writeln!(out, "{json}"),
        false => write!(out, "{}", report.text(opened.is_in_memory())).and_then(|()| {
            kept.map_or(Ok(()), |dir| writeln!(out, "\nresults, logs and data: {}", dir.display()))
        }),
    };
    printed.and_then(|()| out.flush()).map_err(Error::io("standard output"))
}

struct Report<'a> {
    plan: &'a Plan,
    measured: &'a Measured,
}

impl Report<'_> {
    fn text(&self, is_in_memory: bool) -> String {
        let parts =
            [self.title(), self.latencies(), self.troubles(), self.costs(), self.baseline()];
        let mut text =
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
        if is_in_memory && self.plan.subject.own().is_some_and(|own| own.sync == "always") {
            text +=
                "\nThe data was in memory, where a sync costs nothing: give a --store on a disk.\n";
        }
        text
    }

    fn title(&self) -> String {
        let Plan { clients, in_flight, rate, keys, value_bytes, .. } = self.plan;
        let cluster = match &self.plan.subject {
            Subject::Own(Own { nodes, partitions, sync, .. }) => {
                format!(
                    "{}, {}, --sync {sync}",
                    many((*nodes).into(), "node"),
                    many((*partitions).into(), "group")
                )
            }
            Subject::Running(file) => file.display().to_string(),
        };
        let rate = rate.map_or_else(String::new, |rate| format!("{rate}/s, "));
        format!(
            "{cluster} · {}, {rate}{in_flight} in flight each · {}, values of {} · {:.1} s\n",
            many(*clients as u64, "client"),
            many(*keys, "key"),
            many(*value_bytes as u64, "byte"),
            self.measured.time.as_secs_f64(),
        )
    }

    fn latencies(&self) -> String {
        let mut titles = vec!["latency, ms".to_string(), "ok".into(), "ok/s".into()];
        titles.extend(SHARES.map(|(_, name)| name.to_string()));
        titles.push("max".into());
        let mut rows = vec![titles];
        let mut row = |name: &str, latencies: &Histogram<u64>| {
            let mut row = vec![name.to_string(), latencies.len().to_string()];
            row.push(format!("{:.0}", self.per_second(latencies.len())));
            row.extend(SHARES.map(|(share, _)| ms(latencies.value_at_quantile(share))));
            row.push(ms(latencies.max()));
            rows.push(row);
        };
        self.by_kind().for_each(|(kind, latencies)| row(kind.name(), latencies));
        if self.by_kind().count() > 1 {
            let [mut all, gets] = self.measured.tally.latencies.clone();
            all.add(gets).expect("they have the same bounds");
            row("both", &all);
        }
        aligned(&rows)
    }

    /// Nothing is hidden; where all went well, that is said too.
    fn troubles(&self) -> String {
        let Measured { tally, warm_up_bad, is_interrupted, .. } = self.measured;
        let count = |reasons: &BTreeMap<String, u64>| reasons.values().sum::<u64>();
        let [failed, indeterminate] = [&tally.failed, &tally.indeterminate].map(count);
        let mut text = format!("{failed} failed, {indeterminate} indeterminate");
        let reasons = tally.failed.iter().chain(&tally.indeterminate);
        for (reason, count) in reasons {
            let _ = write!(text, "\n  {count} times {reason}");
        }
        if tally.overdue > 0 {
            let _ = write!(text, "\n{} were due and never sent: it is too fast", tally.overdue);
        }
        if self.plan.rate.is_some() {
            let [p50, p99] = [0.5, 0.99].map(|share| ms(tally.late.value_at_quantile(share)));
            let max = ms(tally.late.max());
            let _ = write!(text, "\nsent late: p50 {p50} ms, p99 {p99} ms, max {max} ms");
        }
        if *warm_up_bad > 0 {
            let _ = write!(text, "\n{warm_up_bad} of the warm-up did not succeed");
        }
        if *is_interrupted {
            text += "\nended early, as asked";
        }
        text + "\n"
    }

    /// A line for each process.
    fn costs(&self) -> String {
        let titles = "process|user s|system s|cores|datagrams/op in|out|bytes/op in|out|syncs/s";
        let mut rows = vec![titles.split('|').map(String::from).collect()];
        let mut row = |name: String, cpu: Option<Cpu>, counts: Option<[u64; 4]>, syncs| {
            let mut row = vec![name];
            row.extend(self.of_cpu(cpu));
            row.extend(match counts {
                Some([packets_in, packets_out, bytes_in, bytes_out]) => [
                    format!("{:.3}", self.per_operation(packets_in)),
                    format!("{:.3}", self.per_operation(packets_out)),
                    format!("{:.0}", self.per_operation(bytes_in)),
                    format!("{:.0}", self.per_operation(bytes_out)),
                ],
                None => ["-"; 4].map(String::from),
            });
            row.push(Option::map_or(syncs, "-".into(), |n| format!("{:.0}", self.per_second(n))));
            rows.push(row);
        };
        for OfNode { id, cpu, counters } in &self.measured.used.nodes {
            let name = match counters {
                None => format!("node {} is silent", id.0),
                Some(Counters { leads: 0, .. }) => format!("node {}", id.0),
                Some(_) => format!("node {}, leads", id.0),
            };
            let counts = counters.map(|c| [c.packets_in, c.packets_out, c.bytes_in, c.bytes_out]);
            row(name, *cpu, counts, counters.and_then(|counters| counters.syncs));
        }
        let Traffic { received, received_bytes, sent, sent_bytes, .. } = self.measured.traffic;
        let counts = [received, sent, received_bytes, sent_bytes];
        row("clients".to_string(), self.measured.used.own, Some(counts), None);
        aligned(&rows)
    }

    fn of_cpu(&self, cpu: Option<Cpu>) -> [String; 3] {
        let Some(Cpu { user_s, system_s }) = cpu else { return ["-"; 3].map(String::from) };
        let cores = (user_s + system_s) / self.measured.time.as_secs_f64();
        [user_s, system_s, cores].map(|number| format!("{number:.2}"))
    }

    fn baseline(&self) -> String {
        let (Some(baseline), Some(own)) = (self.measured.baseline, self.plan.subject.own()) else {
            return String::new();
        };
        let mut titles = vec!["the machine itself".to_string(), "p50".into()];
        titles.extend(self.by_kind().map(|(kind, _)| format!("{} takes", kind.name())));
        let row = |name: &str, time: Duration| {
            let time_ns = time.as_nanos() as u64;
            let ratios = self.by_kind().map(|(_, latencies)| {
                format!("{:.2} times", latencies.value_at_quantile(0.5) as f64 / time_ns as f64)
            });
            [name.to_string(), ms(time_ns)].into_iter().chain(ratios).collect()
        };
        let mut rows = vec![titles, row("echo by a quorum", baseline.echo)];
        if own.sync == "always" {
            rows.push(row("one append and fdatasync", baseline.sync));
            rows.push(row("both", baseline.echo + baseline.sync));
        }
        aligned(&rows)
    }

    fn json(&self) -> Json {
        let Measured { tally, time, used, traffic, warm_up_bad, .. } = self.measured;
        let operations = self.by_kind().map(|(kind, latencies)| {
            let mut operation = json!({
                "ok": latencies.len(),
                "per_second": self.per_second(latencies.len()),
                "mean_us": latencies.mean() / 1e3,
                "max_us": latencies.max() as f64 / 1e3,
            });
            for (share, name) in SHARES {
                let us = latencies.value_at_quantile(share) as f64 / 1e3;
                operation[format!("{}_us", name.replace('.', "_"))] = us.into();
            }
            (kind.name().to_string(), operation)
        });
        let late = |share| tally.late.value_at_quantile(share) as f64 / 1e3;
        let baseline = self.measured.baseline.map(|baseline| {
            let us = |time: Duration| time.as_nanos() as f64 / 1e3;
            json!({"echo_us": us(baseline.echo), "sync_us": us(baseline.sync)})
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "plan": self.plan_json(),
            "time_s": time.as_secs_f64(),
            "ended_early": self.measured.is_interrupted,
            "sent": tally.submitted,
            "ok": tally.ok(),
            "per_second": self.per_second(tally.ok()),
            "operations": operations.collect::<serde_json::Map<_, _>>(),
            "failed": tally.failed,
            "indeterminate": tally.indeterminate,
            "overdue": tally.overdue,
            "sent_late_us": self.plan.rate.map(|_| json!({"p50": late(0.5), "p99": late(0.99)})),
            "warm_up_not_ok": warm_up_bad,
            "nodes": used.nodes.iter().map(of_node).collect::<Vec<Json>>(),
            "clients": {
                "cpu": used.own.map(of_cpu),
                "packets_in": traffic.received,
                "packets_out": traffic.sent,
                "bytes_in": traffic.received_bytes,
                "bytes_out": traffic.sent_bytes,
            },
            "baseline": baseline,
        })
    }

    fn plan_json(&self) -> Json {
        let Plan { subject, clients, in_flight, rate, keys, value_bytes, reads_percent, .. } =
            self.plan;
        let own = subject.own();
        json!({
            "nodes": own.map(|own| own.nodes),
            "partitions": own.map(|own| own.partitions),
            "sync": own.map(|own| own.sync),
            "clients": clients,
            "in_flight": in_flight,
            "rate": rate,
            "keys": keys,
            "value_bytes": value_bytes,
            "reads_percent": reads_percent,
        })
    }

    /// Those that were asked for.
    fn by_kind(&self) -> impl Iterator<Item = (Kind, &Histogram<u64>)> {
        let reads = self.plan.reads_percent;
        let is_asked = move |kind: &Kind| match kind {
            Kind::Put => reads < 100,
            Kind::Get => reads > 0,
        };
        let latencies = &self.measured.tally.latencies;
        Kind::ALL.into_iter().filter(is_asked).map(|kind| (kind, &latencies[kind as usize]))
    }

    fn per_second(&self, count: u64) -> f64 {
        // Of nothing there is nothing, however short the time.
        count as f64 / self.measured.time.as_secs_f64().max(1e-9)
    }

    fn per_operation(&self, count: u64) -> f64 {
        count as f64 / self.measured.tally.submitted.max(1) as f64
    }
}

fn of_node(node: &OfNode) -> Json {
    let mut object = json!({"node": node.id.0, "cpu": node.cpu.map(of_cpu)});
    if let Some(counters) = node.counters {
        let Counters { packets_in, packets_out, bytes_in, bytes_out, syncs, entries, leads } =
            counters;
        object["packets_in"] = packets_in.into();
        object["packets_out"] = packets_out.into();
        object["bytes_in"] = bytes_in.into();
        object["bytes_out"] = bytes_out.into();
        object["syncs"] = syncs.into();
        object["entries"] = entries.into();
        object["leads"] = leads.into();
    }
    object
}

fn of_cpu(cpu: Cpu) -> Json {
    json!({"user_s": cpu.user_s, "system_s": cpu.system_s})
}

fn ms(time_ns: u64) -> String {
    format!("{:.3}", time_ns as f64 / 1e6)
}

/// A count and what is counted.
fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A line for each row: the first column to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}
