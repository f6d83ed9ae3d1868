//! What became of operations: how long they took, or why they did not succeed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use node::client::{Completion, Outcome};

/// What operations there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Put,
    Get,
}

/// What became of the operations of one client, or of several.
pub(super) struct Tally {
    /// In nanoseconds, of those that succeeded.
    pub latencies: [Histogram<u64>; 2],
    /// In nanoseconds: how long after it was due each operation was sent.
    pub late: Histogram<u64>,
    /// By kind and reason.
    pub failed: BTreeMap<String, u64>,
    /// By kind and reason.
    pub indeterminate: BTreeMap<String, u64>,
    /// All that were sent.
    pub submitted: u64,
    /// Those that were due before the end, and never sent.
    pub overdue: u64,
    /// When each had its outcome.
    pub over: Instant,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Put, Kind::Get];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Put => "put",
            Kind::Get => "get",
        }
    }
}

/// All there is to know of an operation when it ends, besides its outcome.
pub(super) fn tag(kind: Kind, late: Duration) -> u64 {
    (late.as_nanos() as u64) << 1 | kind as u64
}

impl Tally {
    pub fn new(begun: Instant) -> Tally {
        Tally {
            latencies: [times_ns(), times_ns()],
            late: times_ns(),
            failed: BTreeMap::new(),
            indeterminate: BTreeMap::new(),
            submitted: 0,
            overdue: 0,
            over: begun,
        }
    }

    /// Adds what another client saw.
    pub fn add(&mut self, other: &Tally) {
        let ours = self.latencies.iter_mut().chain([&mut self.late]);
        for (ours, theirs) in ours.zip(other.latencies.iter().chain([&other.late])) {
            ours.add(theirs).expect("they have the same bounds");
        }
        for (reason, count) in &other.failed {
            *self.failed.entry(reason.clone()).or_default() += count;
        }
        for (reason, count) in &other.indeterminate {
            *self.indeterminate.entry(reason.clone()).or_default() += count;
        }
        self.submitted += other.submitted;
        self.overdue += other.overdue;
        self.over = self.over.max(other.over);
    }

    /// How many succeeded.
    pub fn ok(&self) -> u64 {
        self.latencies.iter().map(Histogram::len).sum()
    }

    /// Counts an operation that has ended.
    pub fn take(&mut self, Completion { tag, outcome, latency }: Completion) {
        let (kind, late_ns) = (Kind::ALL[(tag & 1) as usize], tag >> 1);
        self.late.saturating_record(late_ns);
        let (reasons, why) = match outcome {
            Outcome::Ok(_) => {
                let latency_ns = late_ns + latency.as_nanos() as u64;
                return self.latencies[kind as usize].saturating_record(latency_ns);
            }
            Outcome::Fail(failure) => (&mut self.failed, failure.to_string()),
            Outcome::Indeterminate(why) => (&mut self.indeterminate, why.to_string()),
        };
        *reasons.entry(format!("{}: {why}", kind.name())).or_default() += 1;
    }
}

/// For times up to an hour, to a thousandth of each, but no finer than a tenth of a microsecond.
pub(super) fn times_ns() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 3_600_000_000_000, 3).expect("the bounds are in order")
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::client::Why;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_did_not_succeed_is_told_by_kind_and_reason() {
        let mut tally = Tally::new(Instant::now());
        let outcome = Outcome::Indeterminate(Why::NoAnswer);
        let tag = tag(Kind::Get, MS);
        tally.take(Completion { tag, outcome, latency: MS });
        let mut both = Tally::new(Instant::now());
        (0..2).for_each(|_| both.add(&tally));
        assert_eq!((both.ok(), both.failed.len()), (0, 0));
        assert_eq!(both.indeterminate["get: no answer in time"], 2);
    }
}
