//! How long the syncs of the log took.

use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest time told apart; what took longer counts as this long.
const LONGEST_US: u64 = 60_000_000;
/// Times are exact to one in a hundred, which makes the histogram 30 KiB large.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Every sync so far, by its time.
pub(super) struct Syncs(Histogram<u64>);

/// How long syncs took, in microseconds. All zero if there were none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncTimes {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// All but one in a hundred took no longer.
    pub p99_us: u64,
    /// None took longer.
    pub max_us: u64,
}

impl Default for Syncs {
    fn default() -> Syncs {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS);
        Syncs(histogram.expect("the bounds are in order, and the digits few"))
    }
}

impl Syncs {
    /// Counts one. Allocates nothing.
    pub fn record(&mut self, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(LONGEST_US);
        self.0.saturating_record(time_us);
    }

    pub fn times(&self) -> SyncTimes {
        let Syncs(histogram) = self;
        SyncTimes {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_one_in_a_hundred() {
        let mut syncs = Syncs::default();
        assert_eq!(syncs.times(), SyncTimes::default());
        (1..=1_000).for_each(|time_us| syncs.record(Duration::from_micros(time_us)));
        let SyncTimes { count, p50_us, p99_us, max_us } = syncs.times();
        assert_eq!(count, 1_000);
        for (told, exact) in [(p50_us, 500), (p99_us, 990), (max_us, 1_000)] {
            assert!(told.abs_diff(exact) * 100 <= exact, "{told} for {exact}");
        }
        syncs.record(Duration::MAX);
        assert!(syncs.times().max_us >= LONGEST_US);
    }
}
