//! Which operations a report shows one by one, if there are too many for a page.
//!
//! All of those near the violation come first: they are what the reader came for. Of the others, the
//! slowest of every stretch of time are kept, among them those that were never answered, and every
//! so many of the rest.

use super::operations::{Outcome, Span};

/// More make the page too large to mail and too slow to zoom: about 2.5 MB.
pub(super) const OPERATIONS_MAX: usize = 40_000;

/// Into so many stretches a run is cut to look for the slowest of each.
const STRETCHES: usize = 1_000;

/// What is shown, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Choice {
    /// Positions, ascending.
    pub shown: Vec<usize>,
    /// All are shown that are no farther than so many nanoseconds from an operation of a violation.
    pub around_ns: Option<u64>,
    /// Of the rest, besides the slowest, each such is shown.
    pub every: usize,
}

impl Choice {
    /// Where an operation is among those shown, if it is.
    pub fn place(&self, index: usize) -> Option<usize> {
        self.shown.binary_search(&index).ok()
    }
}

/// Chooses at most `max` of `spans`, which are ordered by invocation.
/// `core`: positions of those that prove a violation, far fewer than half of `max`.
pub(super) fn choose(spans: &[Span], core: &[usize], max: usize) -> Choice {
    if spans.len() <= max {
        return Choice { shown: (0..spans.len()).collect(), around_ns: None, every: 1 };
    }
    let mut is_shown = vec![false; spans.len()];
    let mut room = max;
    let around_ns = (!core.is_empty()).then(|| {
        let near = max / 2;
        room -= near;
        nearest(spans, core, near - core.len().min(near), &mut is_shown)
    });
    room -= slowest(spans, room / 4 / STRETCHES, &mut is_shown);
    let rest: Vec<usize> = (0..spans.len()).filter(|&index| !is_shown[index]).collect();
    let every = rest.len().div_ceil(room.max(1)).max(1);
    rest.iter().step_by(every).for_each(|&index| is_shown[index] = true);
    let shown = (0..spans.len()).filter(|&index| is_shown[index]).collect();
    Choice { shown, around_ns, every }
}

/// Shows the core, and the `count` operations nearest to one of it. Returns up to which distance all are shown.
fn nearest(spans: &[Span], core: &[usize], count: usize, is_shown: &mut [bool]) -> u64 {
    let when = |&index: &usize| match spans[index].outcome {
        // It has no end that means anything.
        Outcome::Indeterminate => (spans[index].begun, spans[index].begun),
        _ => (spans[index].begun, spans[index].ended),
    };
    let evidence = disjoint(core.iter().map(when).collect());
    let distance = |span: &Span| {
        let after = evidence.partition_point(|&(_, to)| to < span.begun);
        let before = after.checked_sub(1).map(|index| span.begun - evidence[index].1);
        let later = evidence.get(after).map(|&(from, _)| from.saturating_sub(span.ended));
        before.into_iter().chain(later).min().unwrap_or(u64::MAX)
    };
    let mut order: Vec<(u64, usize)> = spans.iter().map(distance).zip(0..).collect();
    let (near, &mut (first_far, _), _) = order.select_nth_unstable(count);
    near.iter().for_each(|&(_, index)| is_shown[index] = true);
    core.iter().for_each(|&index| is_shown[index] = true);
    first_far.saturating_sub(1)
}

/// The same moments by time, those that overlap as one.
fn disjoint(mut intervals: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    intervals.sort_unstable();
    let mut disjoint: Vec<(u64, u64)> = Vec::new();
    for (from, to) in intervals {
        match disjoint.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => disjoint.push((from, to)),
        }
    }
    disjoint
}

/// Shows the slowest so many of each stretch of time. Returns how many that were in all.
fn slowest(spans: &[Span], of_each: usize, is_shown: &mut [bool]) -> usize {
    let end = spans.iter().map(|span| span.begun).max().unwrap_or(0);
    let stretch = |span: &Span| (span.begun as u128 * STRETCHES as u128 / (end as u128 + 1)) as u64;
    let mut count = 0;
    let mut rest = spans;
    while let Some(first) = rest.first() {
        let offset = spans.len() - rest.len();
        let length = rest.partition_point(|span| stretch(span) == stretch(first));
        let hidden = (0..length).filter(|&index| !is_shown[offset + index]);
        let mut slow: Vec<(u64, usize)> =
            hidden.map(|index| (rest[index].ended - rest[index].begun, index)).collect();
        // The earlier one of two that are equally slow, so that a report is always the same.
        slow.sort_unstable_by_key(|&(took, index)| (std::cmp::Reverse(took), index));
        for &(_, index) in slow.iter().take(of_each) {
            is_shown[offset + index] = true;
            count += 1;
        }
        rest = &rest[length..];
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::operations::Kind;
    use super::*;

    /// One a microsecond, each of which takes ten, but every 997th takes a second.
    fn spans(count: u64) -> Vec<Span> {
        let took = |index| if index % 997 == 0 { 1_000_000_000 } else { 10_000 };
        let span = |index| {
            let begun = index * 1_000;
            Span::made(index % 8, Kind::Read, Outcome::Ok, begun, begun + took(index))
        };
        (0..count).map(span).collect()
    }

    #[test]
    fn few_are_all_shown() {
        let choice = choose(&spans(100), &[], 100);
        assert_eq!((choice.shown.len(), choice.every), (100, 1));
    }

    #[test]
    fn of_a_million_those_near_the_violation_and_the_slow_ones_are_shown() {
        let spans = spans(1_000_000);
        let core = [100, 500_001];
        let evidence = core.map(|index| (spans[index].begun, spans[index].ended));
        let choice = choose(&spans, &core, OPERATIONS_MAX);
        assert!(choice.shown.len() <= OPERATIONS_MAX);
        assert!(choice.shown.len() > OPERATIONS_MAX * 9 / 10, "{}", choice.shown.len());
        assert!(choice.shown.is_sorted());
        let around = choice.around_ns.expect("there is a violation");
        assert!(around > 2_000_000, "milliseconds of it: {around}");
        let is_near = |span: &Span| {
            let reaches =
                |&(from, to): &(u64, u64)| span.ended + around >= from && span.begun <= to + around;
            evidence.iter().any(reaches)
        };
        let is_shown = |index: usize| choice.shown.binary_search(&index).is_ok();
        let near = || (0..spans.len()).filter(|&index| is_near(&spans[index]));
        assert!(near().all(is_shown));
        assert!((0..spans.len()).step_by(997).all(is_shown), "a slow one is missing");
        assert_eq!(choose(&spans, &core, OPERATIONS_MAX), choice);
    }

    #[test]
    fn all_that_happens_in_one_moment_is_thinned_too() {
        let span = Span::made(0, Kind::Cas, Outcome::Indeterminate, 7, 7);
        let choice = choose(&[span; 1_000], &[999], 100);
        assert!(choice.shown.len() <= 100, "{}", choice.shown.len());
        assert_eq!(choice.shown.last(), Some(&999), "the core is shown, whatever else");
    }
}
