//! Few operations that prove a history impossible: found in it, made fewer, and checked.
//!
//! Every step from a history to its core says less than the history does. If the history were
//! linearizable, so would be what is left: the linearization says how.

use super::search::{Outcome, search};
use super::spec::{Register, is_observer, observed, written};
use super::{Bounds, Cause, Evidence, Options, Unproven, Violation, appended, zones};
use crate::history::{Action, Operation, Rank, Seen, Value, Values};

/// How many configurations may be looked at to make a core smaller.
const EFFORT_MAX: u64 = 2_000_000;

/// Judges cores of one key.
pub(super) struct Cores<'a> {
    values: &'a Values,
    options: &'a Options,
    has_appends: bool,
    effort: u64,
}

/// The search engine, with the object that suits `operations`.
pub(super) fn search_any(
    operations: &[Operation],
    values: &Values,
    initial: Value,
    has_appends: bool,
    bounds: &Bounds,
) -> Outcome {
    match has_appends {
        true => search(&mut appended::Appended::new(values, initial), operations, bounds),
        false => search(&mut Register::new(initial), operations, bounds),
    }
}

impl<'a> Cores<'a> {
    pub(super) fn new(values: &'a Values, options: &'a Options, has_appends: bool) -> Cores<'a> {
        Cores { values, options, has_appends, effort: EFFORT_MAX }
    }

    /// Whether the operations of `core` have no legal order; false too if that is too hard to say.
    fn is_impossible(&mut self, core: &[Evidence]) -> bool {
        let configurations = self.effort.min(EFFORT_MAX / 10);
        let bounds = Bounds { configurations, ..self.options.bounds };
        let counted: Vec<Operation> = core.iter().map(|evidence| evidence.counts_as).collect();
        let initial = self.options.initial;
        // What it cost, about; the search tells only if it gives up.
        self.effort = self.effort.saturating_sub(4 * core.len() as u64);
        match search_any(&counted, self.values, initial, self.has_appends, &bounds) {
            Outcome::Impossible(_) => true,
            Outcome::Linearizable(_) => false,
            Outcome::Undecided(_) => {
                self.effort = self.effort.saturating_sub(configurations);
                false
            }
        }
    }

    /// Makes a violation as small as it gets, and checks it with the search.
    pub(super) fn finish(&mut self, violation: Violation) -> Result<Violation, Unproven> {
        self.finish_behind(violation, None)
    }

    /// The same, for a core that must keep its `anchor`.
    fn finish_behind(
        &mut self,
        violation: Violation,
        anchor: Option<Rank>,
    ) -> Result<Violation, Unproven> {
        let Violation { cause, core, accused, against } = violation;
        let name = |at: usize| core[at].operation.invoke;
        let (accused, against) = (name(accused), against.map(name));
        let is_kept = |one: &Evidence| {
            let rank = Some(one.operation.invoke);
            rank == Some(accused) || rank == against || rank == anchor
        };
        let mut core = core.clone();
        self.shrink(&mut core, is_kept);
        // Checked once more, and whatever it costs: a proof is not to be believed.
        let counted: Vec<Operation> = core.iter().map(|evidence| evidence.counts_as).collect();
        let Options { initial, bounds, .. } = *self.options;
        // What decided the history may have come close to the bounds, and a core that could not be
        // made smaller is as hard as that.
        let bounds = Bounds {
            configurations: bounds.configurations.saturating_mul(4),
            memory_bytes: bounds.memory_bytes.saturating_mul(4),
            time: bounds.time.map(|time| time.saturating_mul(4)),
        };
        let outcome = search_any(&counted, self.values, initial, self.has_appends, &bounds);
        if !matches!(outcome, Outcome::Impossible(_)) {
            let claim = format!("{}, but of its core: {outcome:?}: {core:?}", cause.name());
            return Err(Unproven { claim });
        }
        for index in 0..core.len() {
            core[index].shown_by = shown_by(&core, index);
        }
        let place = |rank: Rank| core.iter().position(|one| one.operation.invoke == rank);
        let (accused, against) = (place(accused), against.and_then(place));
        Ok(Violation { cause, accused: accused.expect("it was kept"), against, core })
    }

    /// Explains why the search found `operations` impossible when the one at `stuck` completed.
    pub(super) fn explain(
        &mut self,
        operations: &[Operation],
        stuck: u32,
    ) -> Result<Violation, Unproven> {
        let accused = operations[stuck as usize];
        let whole = prefix(operations, accused.complete);
        let (mut core, anchor) = match self.end(&whole) {
            Some((end, anchor)) => (end, Some(anchor)),
            None => (whole, None),
        };
        // Without its anchor an end would be one of another history, in which nobody ever wrote
        // what was written before.
        self.shrink(&mut core, |one| Some(one.operation.invoke) == anchor);
        let named = match anchor {
            Some(anchor) => self.name_behind(operations, &core, anchor),
            None => self.name(&core).and_then(|named| match named.cause {
                Cause::Phantom => self.unwritten(operations, named.core[named.accused]),
                _ => Some(named),
            }),
        };
        let violation = named.unwrap_or_else(|| {
            // Which operation is the last to complete, may have changed with the others.
            let place = |rank| core.iter().position(|one| one.operation.invoke == rank);
            let accused = place(accused.invoke).unwrap_or(core.len() - 1);
            let against = anchor.and_then(place).filter(|&against| against != accused);
            Violation { cause: Cause::NoOrder, core, accused, against }
        });
        self.finish_behind(violation, anchor)
    }

    /// A better name for what is wrong with `core`, if its values are unique.
    fn name(&mut self, core: &[Evidence]) -> Option<Violation> {
        if self.has_appends {
            return None;
        }
        let counted: Vec<Operation> = core.iter().map(|evidence| evidence.counts_as).collect();
        let mut numbering = zones::Numbering::default();
        let initial = self.options.initial;
        let outcome = zones::judge(&counted, &[], initial, &mut numbering);
        let zones::Outcome::Impossible { violations, .. } = outcome else { return None };
        let mut violation = violations.into_iter().next()?;
        for evidence in &mut violation.core {
            let is_it = |one: &&Evidence| one.operation.invoke == evidence.operation.invoke;
            evidence.operation = core.iter().find(is_it)?.operation;
        }
        Some(violation)
    }

    /// A better name for what is wrong with a `core` that begins with what `anchor` showed. That
    /// nobody wrote a value behind it does not mean that nobody did before.
    fn name_behind(
        &mut self,
        operations: &[Operation],
        core: &[Evidence],
        anchor: Rank,
    ) -> Option<Violation> {
        let [one, _] = core else {
            let named = self.name(core)?;
            let is_kept = named.core.iter().any(|one| one.operation.invoke == anchor);
            let is_of_end = matches!(named.cause, Cause::Phantom | Cause::Aborted);
            return (is_kept && !is_of_end).then_some(named);
        };
        let accused = usize::from(one.operation.invoke == anchor);
        if self.has_appends {
            return None;
        }
        observed(&core[accused].counts_as.action)?;
        if let Some(unwritten) = self.unwritten(operations, core[accused]) {
            return Some(unwritten);
        }
        let core = core.to_vec();
        Some(Violation { cause: Cause::Stale, core, accused, against: Some(1 - accused) })
    }

    /// What is wrong if in the whole history nobody wrote what `accused` saw, or not before it
    /// completed.
    fn unwritten(&self, operations: &[Operation], accused: Evidence) -> Option<Violation> {
        let seen = observed(&accused.counts_as.action)?;
        let is_writer = |op: &&Operation| {
            // What replaces a value by itself wrote nothing new.
            written(&op.action) == Some(seen) && observed(&op.action) != Some(seen)
        };
        if seen == self.options.initial || accused.counts_as.is_indeterminate() {
            return None;
        }
        match operations.iter().find(is_writer) {
            None => {
                let core = vec![accused];
                Some(Violation { cause: Cause::Phantom, core, accused: 0, against: None })
            }
            Some(&writer) if accused.operation.complete < writer.invoke => {
                let core = vec![accused, Evidence::plain(writer)];
                Some(Violation { cause: Cause::FromTheFuture, core, accused: 0, against: Some(1) })
            }
            Some(_) => None,
        }
    }

    /// The end of an impossible history, if that is impossible by itself: from an operation on that
    /// shows what the state was, the anchor, which comes second.
    fn end(&mut self, whole: &[Evidence]) -> Option<(Vec<Evidence>, Rank)> {
        let mut completed: Vec<usize> =
            (0..whole.len()).filter(|&index| !whole[index].counts_as.is_indeterminate()).collect();
        completed.sort_unstable_by_key(|&index| whole[index].counts_as.complete);
        let mut behind = 2;
        while behind < completed.len() {
            let mut candidates = completed[..completed.len() - behind].iter().rev();
            let anchor =
                candidates.find(|&&index| state_after(&whole[index].counts_as.action).is_some())?;
            let end = from(whole, *anchor);
            if self.is_impossible(&end) {
                return Some((end, whole[*anchor].operation.invoke));
            }
            if self.effort == 0 {
                return None;
            }
            behind *= 2;
        }
        None
    }

    /// Drops what the impossible `core` can do without, in halves, quarters, and so on, as far as
    /// the effort allows.
    fn shrink(&mut self, core: &mut Vec<Evidence>, is_kept: impl Fn(&Evidence) -> bool) {
        let mut size = core.len().div_ceil(2);
        while size > 0 && self.effort > 0 {
            let before = core.len();
            let mut end = before;
            while end > 0 && self.effort > 0 {
                let start = end.saturating_sub(size);
                let rest = self.without(core, start..end, &is_kept);
                if rest.len() < core.len() && self.is_impossible(&rest) {
                    *core = rest;
                }
                end = start;
            }
            if core.len() == before {
                size /= 2;
            }
            size = size.min(core.len());
        }
    }

    /// `core` without those of `range` that set nothing that a remaining one observes.
    ///
    /// Only such operations may go: a read without its write is impossible, and proves nothing. And
    /// all such may go: take a linearization, and in it an observer that stays. The last operation
    /// before it that set the state set what it observes, so that one stays as well, and is still
    /// the last.
    fn without(
        &self,
        core: &[Evidence],
        range: std::ops::Range<usize>,
        is_kept: &impl Fn(&Evidence) -> bool,
    ) -> Vec<Evidence> {
        let mut rest = core.to_vec();
        // Backwards, because a write can go once the reads of its value, which follow it, are gone.
        for index in range.rev() {
            if is_kept(&rest[index]) {
                continue;
            }
            let candidate = rest.remove(index);
            let action = &candidate.counts_as.action;
            let is_seen = |other: &Evidence| self.may_see(&other.counts_as.action, action);
            if rest.iter().any(is_seen) {
                rest.insert(index, candidate);
            }
        }
        rest
    }

    /// Whether `observer` can depend on what `other` does.
    fn may_see(&self, observer: &Action, other: &Action) -> bool {
        let bytes = |value| self.values.bytes(value).unwrap_or_default();
        let seen = match observed(observer) {
            Some(seen) => seen,
            None => {
                let is_constraint = matches!(observer, Action::Cas { seen: Seen::NotOld, .. });
                return is_constraint && !is_observer(other);
            }
        };
        match *other {
            Action::Append(value) => {
                let (seen, value) = (bytes(seen), bytes(value));
                value.is_empty() || seen.windows(value.len()).any(|window| window == value)
            }
            _ => written(other).is_some_and(|set| {
                set == seen || (self.has_appends && bytes(seen).starts_with(bytes(set)))
            }),
        }
    }
}

fn shown_by(core: &[Evidence], index: usize) -> Option<usize> {
    let counts_as = &core[index].counts_as;
    let made = written(&counts_as.action).filter(|_| counts_as.is_indeterminate())?;
    core.iter().position(|other| observed(&other.counts_as.action) == Some(made))
}

/// The state after `action`, whatever it was before, if that is known.
fn state_after(action: &Action) -> Option<Value> {
    written(action).or_else(|| observed(action))
}

/// What was known at `end`: of what completes later, only that it may have taken effect.
/// A prefix of a linearizable history is linearizable.
fn prefix(operations: &[Operation], end: Rank) -> Vec<Evidence> {
    let known = operations.iter().take_while(|operation| operation.invoke < end);
    let known = known.map(|&operation| Evidence::plain(operation));
    known.filter_map(|evidence| evidence.as_optional_if(|op| op.complete > end)).collect()
}

/// What is left of an impossible history if it begins with what operation `anchor` showed to be the
/// state: what completed before it is gone, and what was open at the same time may have come before
/// it or after it.
fn from(whole: &[Evidence], anchor: usize) -> Vec<Evidence> {
    let begin = whole[anchor].counts_as;
    let later = whole.iter().enumerate().filter(|(_, one)| one.counts_as.complete > begin.invoke);
    let later = later.filter_map(|(index, &one)| {
        if index != anchor {
            return one.as_optional_if(|op| op.invoke < begin.complete);
        }
        let mut one = one;
        one.counts_as.action = Action::Write(state_after(&begin.action)?);
        Some(one)
    });
    later.collect()
}

impl Evidence {
    /// If `is_optional`, it counts as indeterminate, which says nothing of a mere observer.
    fn as_optional_if(mut self, is_optional: impl Fn(&Operation) -> bool) -> Option<Evidence> {
        if is_optional(&self.counts_as) {
            if is_observer(&self.counts_as.action) {
                return None;
            }
            self.counts_as.complete = Rank::NEVER;
        }
        Some(self)
    }
}
