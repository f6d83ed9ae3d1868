//! Verdicts for people: one line a file, and why if it is not valid.

use std::io::{self, Write};
use std::time::Duration;

use super::{Finding, Judged, Plan};
use crate::explain::Teller;
use crate::linearizability::{Limit, Undecided, Verdict, Violation};

/// The explanations of more violations would bury the first.
const VIOLATIONS_MAX: usize = 3;

/// If nobody knows how wide the terminal is.
const COLUMNS: usize = 100;

pub(super) fn write(out: &mut impl Write, plan: &Plan, judged: &Judged<'_>) -> io::Result<()> {
    writeln!(out, "{}", verdict_line(plan, judged))?;
    match judged.finding {
        Finding::Valid => {}
        Finding::Vacuous => {
            writeln!(
                out,
                "  nothing is proven: no operation was answered, so any system did this"
            )?;
        }
        Finding::Invalid | Finding::Unknown | Finding::Unproven | Finding::Unreadable => {
            writeln!(out, "  again: {}", command(plan, judged.name))?;
            explain(out, judged)?;
        }
    }
    Ok(())
}

/// `12 files: 11 valid, 1 invalid · 84 ms`.
pub(super) fn write_summary(
    out: &mut impl Write,
    findings: &[Finding],
    took: Duration,
) -> io::Result<()> {
    let all = [
        Finding::Valid,
        Finding::Invalid,
        Finding::Unknown,
        Finding::Vacuous,
        Finding::Unreadable,
        Finding::Unproven,
    ];
    let count = |kind: Finding| findings.iter().filter(|&&finding| finding == kind).count();
    let counts = all.map(|kind| (count(kind), kind.name()));
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    let files = findings.len();
    writeln!(out, "{files} files: {} · {} ms", counts.join(", "), took.as_millis())
}

fn verdict_line(plan: &Plan, judged: &Judged<'_>) -> String {
    let counts = &judged.history.counts;
    let mut parts = vec![
        format!("{}: {}", judged.name, judged.finding.name()),
        counted(counts.operations, "op"),
        counted(judged.history.keys.len() as u64, "key"),
    ];
    if counts.indeterminate > 0 {
        parts.push(format!("{} indeterminate", counts.indeterminate));
    }
    if counts.failed > 0 {
        parts.push(format!("{} failed", counts.failed));
    }
    if counts.times_going_back > 0 {
        let events = counted(counts.times_going_back, "time");
        parts.push(format!("the clock went back {events}, which changes nothing"));
    }
    parts.push(format!("{} ms", judged.took.as_millis()));
    parts.extend(plan.switches.iter().cloned());
    parts.join(" · ")
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The command that judges this file again.
fn command(plan: &Plan, name: &str) -> String {
    let mut words = vec![String::from("checker"), String::from("verify")];
    words.extend(plan.switches.iter().cloned());
    words.push(quoted(name));
    words.join(" ")
}

/// A word that a shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+=@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Why a history is not valid: its violations, or what is not known.
pub(crate) fn explain(out: &mut impl Write, judged: &Judged<'_>) -> io::Result<()> {
    let mut told = 0;
    let mut omitted = 0;
    let mut more_keys = 0;
    for (key, verdict) in judged.history.keys.iter().zip(&judged.verdicts) {
        let teller = Teller { history: &judged.history, key };
        match verdict {
            Ok(Verdict::Valid { .. }) => {}
            Err(error) => writeln!(out, "  {}{error}", teller.name())?,
            Ok(Verdict::Unknown(undecided)) => match judged.finding {
                // It could have been invalid too, but that is not the news.
                Finding::Invalid => {}
                _ if told < VIOLATIONS_MAX => {
                    told += 1;
                    writeln!(out, "  {}", unknown(&teller, undecided))?;
                }
                _ => more_keys += 1,
            },
            Ok(Verdict::Invalid { violations, omitted: unlisted }) => {
                let room = VIOLATIONS_MAX - told.min(VIOLATIONS_MAX);
                let shown = violations.len().min(room);
                for violation in &violations[..shown] {
                    write_violation(out, &teller, violation)?;
                }
                told += shown;
                omitted += (violations.len() - shown) as u64 + unlisted;
            }
        }
    }
    if omitted > 0 {
        writeln!(out, "\n  and {omitted} more, which `checker verify --proof FILE` has")?;
    }
    if more_keys > 0 {
        writeln!(out, "  and {more_keys} more keys")?;
    }
    Ok(())
}

fn write_violation(
    out: &mut impl Write,
    teller: &Teller<'_>,
    violation: &Violation,
) -> io::Result<()> {
    writeln!(out, "  {}{}\n", teller.name(), teller.sentence(violation))?;
    for row in teller.timeline(violation, columns() - 4).lines() {
        writeln!(out, "    {row}")?;
    }
    let faults = teller.faults_around(violation);
    if !faults.is_empty() {
        writeln!(out, "    around it, the nemesis did:")?;
    }
    for fault in faults.iter().take(FAULTS_MAX) {
        let time = fault.time.map_or(String::new(), |ns| format!("{:.6}  ", ns as f64 / 1e9));
        let what: String = fault.what.chars().take(columns() - 24).collect();
        writeln!(out, "      {time}{what}")?;
    }
    if faults.len() > FAULTS_MAX {
        writeln!(out, "      and {} more", faults.len() - FAULTS_MAX)?;
    }
    Ok(())
}

/// More are no longer *around* anything.
const FAULTS_MAX: usize = 6;

fn unknown(teller: &Teller<'_>, undecided: &Undecided) -> String {
    let events = &teller.history.events;
    let reached = events.line(undecided.reached);
    let reached = reached.map_or(String::new(), |line| format!("; no violation up to line {line}"));
    let bound = match undecided.limit {
        Limit::Configurations => "--max-configurations",
        Limit::Memory => "--max-memory-mib",
        Limit::Time => "--max-time-s",
    };
    format!("{}{undecided}{reached}; see {bound}", teller.name())
}

fn columns() -> usize {
    let width = terminal_size::terminal_size_of(io::stdout());
    width.map_or(COLUMNS, |(width, _)| usize::from(width.0).max(60))
}
