//! What a load costs: processor time of each process, and datagrams, bytes and syncs of each node.

use std::fs;
use std::ops::Sub;
use std::time::{Duration, Instant};

use node::client::{Client, Outcome};
use node::wire::NodeId;
use rustix::param::clock_ticks_per_second;
use serde_json::Value as Json;

use super::{Error, Opened};

/// How long a node may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks nodes and the system.
pub(super) struct Meter {
    asking: Client,
    nodes: Vec<(NodeId, Option<u32>)>,
}

/// How it stands at a moment.
pub(super) struct Reading {
    pub at: Instant,
    /// Of this process.
    pub own: Option<Cpu>,
    pub nodes: Vec<OfNode>,
}

/// How a node stands, or what it used between two moments.
#[derive(Clone, Copy)]
pub(super) struct OfNode {
    pub id: NodeId,
    /// None if its process is unknown.
    pub cpu: Option<Cpu>,
    /// None if it did not answer.
    pub counters: Option<Counters>,
}

/// Processor time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Cpu {
    pub user_s: f64,
    pub system_s: f64,
}

/// What a node counts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Counters {
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// None where nothing is synced.
    pub syncs: Option<u64>,
    /// Applied, of all its groups.
    pub entries: u64,
    /// Groups that it leads.
    pub leads: u64,
}

impl Meter {
    pub fn new(opened: &Opened) -> Result<Meter, Error> {
        let Opened { cluster, secret, .. } = opened;
        let asking = Client::connect(cluster, secret.as_ref(), STATUS_TIMEOUT);
        let nodes = cluster.nodes.iter().map(|node| (node.id, opened.process(node.id)));
        Ok(Meter { asking: asking.map_err(Error::io("a socket"))?, nodes: nodes.collect() })
    }

    pub fn read(&mut self) -> Reading {
        let Meter { asking, nodes } = self;
        let nodes = nodes.iter().map(|&(id, process)| {
            let status = match asking.status(id) {
                Outcome::Ok(status) => serde_json::from_str(&status).ok(),
                Outcome::Fail(_) | Outcome::Indeterminate(_) => None,
            };
            let counters = status.as_ref().and_then(Counters::of);
            OfNode { id, cpu: process.and_then(Cpu::of), counters }
        });
        let nodes = nodes.collect();
        Reading { at: Instant::now(), own: Cpu::of(std::process::id()), nodes }
    }
}

impl Reading {
    /// What was used since an earlier reading.
    pub fn since(&self, earlier: &Reading) -> Reading {
        let pairs = self.nodes.iter().zip(&earlier.nodes);
        let nodes = pairs.map(|(later, earlier)| OfNode {
            id: later.id,
            cpu: later.cpu.zip(earlier.cpu).map(|(later, earlier)| later - earlier),
            counters: later.counters.zip(earlier.counters).map(|(later, earlier)| later - earlier),
        });
        let own = self.own.zip(earlier.own).map(|(later, earlier)| later - earlier);
        Reading { at: self.at, own, nodes: nodes.collect() }
    }
}

impl Cpu {
    /// Of a process, all its threads included; None if there is none, or no such file.
    fn of(process: u32) -> Option<Cpu> {
        Cpu::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// From fields 14 and 15 of proc_pid_stat(5), in ticks. The second field is a name in
    /// parentheses, which may have any others, and spaces, in it.
    fn parse(stat: &str) -> Option<Cpu> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut seconds = || {
            let ticks: u64 = fields.next()?.parse().ok()?;
            Some(ticks as f64 / clock_ticks_per_second() as f64)
        };
        Some(Cpu { user_s: seconds()?, system_s: seconds()? })
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, earlier: Cpu) -> Cpu {
        let Cpu { user_s, system_s } = earlier;
        Cpu { user_s: self.user_s - user_s, system_s: self.system_s - system_s }
    }
}

impl Counters {
    fn of(status: &Json) -> Option<Counters> {
        let count = |field: &str| status[field].as_u64();
        let groups = status["groups"].as_array()?;
        let applied = groups.iter().filter_map(|group| group["applied"].as_u64());
        Some(Counters {
            packets_in: count("packets_in")?,
            packets_out: count("packets_out")?,
            bytes_in: count("bytes_in")?,
            bytes_out: count("bytes_out")?,
            syncs: status["sync"]["count"].as_u64(),
            entries: applied.sum(),
            leads: groups.iter().filter(|group| group["phase"] == "leader").count() as u64,
        })
    }
}

impl Sub for Counters {
    type Output = Counters;

    /// A node that has started anew counts from zero: then nothing is known, and not less than that.
    /// What it leads is as it is now.
    fn sub(self, earlier: Counters) -> Counters {
        Counters {
            packets_in: self.packets_in.saturating_sub(earlier.packets_in),
            packets_out: self.packets_out.saturating_sub(earlier.packets_out),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            syncs: self.syncs.zip(earlier.syncs).map(|(now, then)| now.saturating_sub(then)),
            entries: self.entries.saturating_sub(earlier.entries),
            leads: self.leads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_behind_whatever_name() {
        let stat = "7 (a ) b (c) S 1 7 7 0 -1 4194560 1012 0 0 0 250 50 0 0 20 0 3 0 1 2 3";
        let ticks = clock_ticks_per_second() as f64;
        let expected = Cpu { user_s: 250.0 / ticks, system_s: 50.0 / ticks };
        assert_eq!(Cpu::parse(stat), Some(expected));
        assert_eq!(Cpu::parse("7 (a) S 1"), None);
        assert!(Cpu::of(std::process::id()).is_some());
    }

    #[test]
    fn a_status_without_the_counters_is_none() {
        let status = |text: &str| Counters::of(&serde_json::from_str(text).expect("JSON"));
        assert_eq!(status(r#"{"groups": []}"#), None);
        let whole = r#"{
            "packets_in": 1, "packets_out": 2, "bytes_in": 3, "bytes_out": 4, "sync": null,
            "groups": [{"applied": 5, "phase": "leader"}, {"applied": 6, "phase": "follower"}]
        }"#;
        let counters = status(whole).expect("all is there");
        assert_eq!((counters.entries, counters.leads, counters.syncs), (11, 1, None));
        let difference = counters - Counters { bytes_out: 1, packets_in: 9, ..counters };
        assert_eq!((difference.bytes_out, difference.packets_in, difference.leads), (3, 0, 1));
    }
}
