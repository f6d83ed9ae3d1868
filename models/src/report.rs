//! What a campaign tells its reader: the verdict, what it rests on, and how to see a failure again.

use crate::simulation::{Failed, Fault, Tally};
use std::time::Duration;

/// Prints in one line how much was run.
pub fn summary(tally: &Tally, took: Duration, jobs: usize) {
    let (seconds, virtual_s) = (took.as_secs_f64(), tally.virtual_us / 1_000_000);
    let (events, rate) = (grouped(tally.events), tally.events as f64 / seconds / jobs as f64);
    let (rate, decided) = (grouped(rate as u64), grouped(tally.decided));
    println!(
        "  {virtual_s} s simulated in {seconds:.1} s: {events} events ({rate} a second and thread), \
         {decided} entries decided"
    );
}

/// Prints what all runs did: a clean verdict is worth as much as the faults that did not break it.
pub fn table(tally: &Tally, took: Duration, jobs: usize) {
    let seconds = took.as_secs_f64();
    let rate = tally.events as f64 / seconds / jobs as f64;
    let row = |name: &str, value: String| println!("  {name:<34}{value:>16}");
    println!();
    row("seeds", grouped(tally.seeds));
    row("simulated time", format!("{:.0} s", tally.virtual_us as f64 / 1e6));
    row("real time", format!("{seconds:.1} s"));
    row("events", grouped(tally.events));
    row("events per second and thread", grouped(rate as u64));
    row("operations checked", grouped(tally.operations));
    row("  of them indeterminate", grouped(tally.indeterminate));
    row("  retries", grouped(tally.retries));
    row("  answered: session expired", grouped(tally.expired));
    row("histories too hard to decide", grouped(tally.histories_undecided));
    row("entries decided", grouped(tally.decided));
    row("elections", grouped(tally.elections));
    row("changes of suspicion", grouped(tally.suspicions));
    row("crashes", grouped(tally.crashes));
    row("  unsynced records lost", grouped(tally.records_lost));
    row("  last record torn", grouped(tally.records_torn));
    row("restarts", grouped(tally.restarts));
    row("  refused (wiped, corrupt)", grouped(tally.refused));
    row("snapshots taken", grouped(tally.snapshots_taken));
    row("snapshots installed", grouped(tally.snapshots_installed));
    row("longest wait, faults lasting", format!("{} ms", tally.endured_us_max / 1000));
    row("longest recovery after all faults", format!("{} ms", tally.recovery_us_max / 1000));
    println!();
    println!("  {:<34}{:>16}{:>16}", "fault", "injected", "had an effect");
    for fault in Fault::ALL {
        let (injected, effective) = tally.faults.get(&fault).copied().unwrap_or_default();
        println!("  {:<34}{:>16}{:>16}", fault.name(), grouped(injected), grouped(effective));
    }
    println!();
    println!("  {:<34}{:>16}", "datagram", "times");
    row("sent", grouped(tally.sent));
    row("lost", grouped(tally.lost));
    row("cut by a partition", grouped(tally.cut));
    row("duplicated", grouped(tally.duplicated));
    row("overtook an earlier one", grouped(tally.reordered));
    row("replayed from the past", grouped(tally.replayed));
    println!();
}

/// Prints a failure: the verdict, the command that replays it, and the last steps.
pub fn failure(failed: &Failed, arguments: &str) {
    println!("violation: {}", failed.violation);
    println!("replay: cargo run --release -p models -- simulate{arguments} --seed {}", failed.seed);
    println!();
    println!("the last {} steps before it:", failed.trace.len());
    failed.trace.iter().for_each(|line| println!("{line}"));
}

/// Prints how the recoveries of a scenario are distributed, in election timeouts.
pub fn distribution(recoveries: &[f64], leader_changes: &[u64]) {
    const STEP: f64 = 0.25;
    let mut sorted = recoveries.to_vec();
    sorted.sort_by(f64::total_cmp);
    let buckets = (sorted.last().copied().unwrap_or_default() / STEP) as usize + 1;
    println!("  recovery in election timeouts");
    for bucket in 0..buckets {
        let low = bucket as f64 * STEP;
        let count = sorted.iter().filter(|r| (**r / STEP) as usize == bucket).count();
        println!("  {low:>5.2} .. {:<5.2} {count:>5} {}", low + STEP, "#".repeat(count.min(70)));
    }
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    println!(
        "  median {:.2}, 90% {:.2}, 99% {:.2}, max {:.2}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    let (least, most) = (leader_changes.iter().min(), leader_changes.iter().max());
    let (least, most) = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
    println!("  leader changes in a run: {least} to {most}");
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
