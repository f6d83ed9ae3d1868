//! How many operations, and how fast, all along a run: of all of them, whatever else is thinned out.

use serde::Serialize;

use super::operations::{Kind, Outcome, Span};

/// More stretches than pixels show nothing new.
const STRETCHES_MAX: u64 = 600;

/// How long a stretch may be, in milliseconds: what people can count in.
const WIDTHS_MS: [u64; 12] =
    [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000];

/// Rates and latencies in stretches of equal length. Each list has one number a stretch.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Rates {
    /// How long a stretch is.
    pub width_ms: u64,
    /// Completions that succeeded, by [`Kind`].
    pub ok: [Vec<u32>; 4],
    /// Completions of what did not happen.
    pub fail: Vec<u32>,
    /// Operations that were given up.
    pub indeterminate: Vec<u32>,
    /// The median latency of what was answered, in microseconds; none if nothing was.
    pub median_us: Vec<Option<u64>>,
    /// That of the slowest hundredth.
    pub p99_us: Vec<Option<u64>>,
}

impl Rates {
    /// Of all operations of a run that lasted so long.
    pub fn of(spans: &[Span], end_ns: u64) -> Rates {
        let end_ms = end_ns / 1_000_000 + 1;
        let fits = |width: &u64| end_ms.div_ceil(*width) <= STRETCHES_MAX;
        let width_ms = WIDTHS_MS.into_iter().find(fits).unwrap_or(end_ms.div_ceil(STRETCHES_MAX));
        let count = end_ms.div_ceil(width_ms) as usize;
        let zeros = || vec![0u32; count];
        let (mut ok, mut fail) = (std::array::from_fn(|_| zeros()), zeros());
        let mut indeterminate = zeros();
        let mut took = vec![Vec::new(); count];
        for span in spans {
            let at = ((span.ended / 1_000_000 / width_ms) as usize).min(count - 1);
            let list: &mut Vec<u32> = match span.outcome {
                Outcome::Ok => &mut ok[span.kind as usize],
                Outcome::Fail => &mut fail,
                Outcome::Indeterminate => &mut indeterminate,
            };
            list[at] += 1;
            if span.outcome != Outcome::Indeterminate {
                took[at].push((span.ended - span.begun) / 1_000);
            }
        }
        took.iter_mut().for_each(|took| took.sort_unstable());
        let median_us = took.iter().map(|took| quantile(took, 0.5)).collect();
        let p99_us = took.iter().map(|took| quantile(took, 0.99)).collect();
        Rates { width_ms, ok, fail, indeterminate, median_us, p99_us }
    }
}

/// What operations of one kind came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct OfKind {
    pub kind: &'static str,
    pub ok: usize,
    pub fail: usize,
    pub indeterminate: usize,
    /// Latencies of what was answered, in microseconds.
    pub median_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub max_us: Option<u64>,
}

/// What operations of each kind came to; only of kinds that there were.
pub(super) fn by_kind(spans: &[Span]) -> Vec<OfKind> {
    let kinds = [Kind::Read, Kind::Write, Kind::Cas, Kind::Delete];
    let of = |kind: Kind| {
        let all = || spans.iter().filter(move |span| span.kind == kind);
        let count = |outcome| all().filter(|span| span.outcome == outcome).count();
        let answered = all().filter(|span| span.outcome != Outcome::Indeterminate);
        let mut took: Vec<u64> = answered.map(|span| (span.ended - span.begun) / 1_000).collect();
        took.sort_unstable();
        OfKind {
            kind: Kind::NAMES[kind as usize],
            ok: count(Outcome::Ok),
            fail: count(Outcome::Fail),
            indeterminate: count(Outcome::Indeterminate),
            median_us: quantile(&took, 0.5),
            p99_us: quantile(&took, 0.99),
            max_us: took.last().copied(),
        }
    };
    let there = |of: &OfKind| of.ok + of.fail + of.indeterminate > 0;
    kinds.into_iter().map(of).filter(there).collect()
}

/// The smallest value that is not below this share of `sorted`; none of nothing.
fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: Kind, outcome: Outcome, begun_ms: u64, took_ms: u64) -> Span {
        let begun = begun_ms * 1_000_000;
        Span::made(0, kind, outcome, begun, begun + took_ms * 1_000_000)
    }

    #[test]
    fn every_operation_counts_where_it_ended() {
        let spans = [
            span(Kind::Read, Outcome::Ok, 0, 5),
            span(Kind::Read, Outcome::Ok, 99, 2),
            span(Kind::Cas, Outcome::Fail, 150, 4),
            span(Kind::Write, Outcome::Indeterminate, 20, 1_000),
        ];
        let rates = Rates::of(&spans, 1_020_000_000);
        assert_eq!((rates.width_ms, rates.fail.len()), (100, 11));
        assert_eq!(rates.ok[0][..2], [1, 1]);
        assert_eq!((rates.fail[1], rates.indeterminate[10]), (1, 1));
        assert_eq!(rates.median_us[..3], [Some(5_000), Some(2_000), None]);
        assert_eq!(rates.p99_us[1], Some(4_000));
        assert_eq!(rates.median_us[10], None, "nobody knows how long it took");
    }

    #[test]
    fn a_day_has_no_more_stretches_than_fit() {
        let rates = Rates::of(&[], 86_400_000_000_000);
        assert_eq!((rates.width_ms, rates.fail.len()), (300_000, 289));
        assert!(Rates::of(&[], u64::MAX).fail.len() <= 600);
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1, 2, 3, 4], 0.5), Some(2));
        assert_eq!(quantile(&[1, 2, 3, 4], 0.99), Some(4));
        let table = by_kind(&[span(Kind::Cas, Outcome::Fail, 0, 3)]);
        assert_eq!((table.len(), table[0].fail, table[0].max_us), (1, 1, Some(3_000)));
    }
}
