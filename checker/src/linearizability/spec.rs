//! What the search needs to know of an object, and the register.
//!
//! stateright has such a trait, `SequentialSpec`, and brings a web server and 50 crates with it; a
//! judge of histories should not. Objects written for it are adapted in a few lines, as
//! `tests/agreement.rs` does.

use std::hash::Hash;

use hashbrown::HashMap;

use crate::history::{Action, Operation, Rank, Seen, Value};

/// A state, by a number that the object gives it. Equal states have equal numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct State(pub u32);

/// A deterministic object, in the form in which histories of it are searched.
///
/// Only [`initial`](Spec::initial) and [`step`](Spec::step) are needed. The rest tells the search
/// what it need not try; an object that promises more than is true gets wrong verdicts.
pub trait Spec {
    /// What is done to the object, together with the answer that was given.
    type Action: Clone + Eq + Hash;

    /// The state at the beginning.
    fn initial(&mut self) -> State;

    /// The state after `action` in `state`, or `None` if it would have been answered otherwise.
    /// That of an indeterminate operation has no answer, and is `None` if it would do nothing.
    fn step(&mut self, state: State, action: &Self::Action) -> Option<State>;

    /// Whether this never changes a state in which it is possible.
    fn is_observer(&self, action: &Self::Action) -> bool {
        let _ = action;
        false
    }

    /// Whether this is possible in any state.
    fn is_blind(&self, action: &Self::Action) -> bool {
        let _ = action;
        false
    }

    /// Whether this is possible in any state, and always leaves the same state behind.
    fn is_overwrite(&self, action: &Self::Action) -> bool {
        let _ = action;
        false
    }

    /// Shows the object what it will be asked about, before the search. Returns for each of
    /// `operations` the last moment at which it can matter that it took effect: after it, only
    /// blind ones and such as do not depend on it are completed. [`Rank::NEVER`] is always safe.
    /// Only the answers for indeterminate ones are used.
    fn prepare(&mut self, operations: &[Operation<Self::Action>]) -> Vec<Rank> {
        vec![Rank::NEVER; operations.len()]
    }

    /// One state for all those between which nothing can distinguish that completes at `now` or
    /// later, or that is indeterminate and can still matter. The state itself is always safe.
    fn canonical(&self, state: State, now: Rank) -> State {
        let _ = now;
        state
    }

    /// Whether `state` can be told from another one, before it is overwritten, by anything that
    /// completes at `now` or later or that is indeterminate and can still matter.
    fn is_noticeable(&self, state: State, now: Rank) -> bool {
        let _ = (state, now);
        true
    }
}

/// A register: reads, writes and compare-and-sets.
///
/// States are the numbers of values, and one for all values that are not observed any more.
pub struct Register {
    initial: Value,
    /// When each value was last observed. What is missing here never was.
    observed: HashMap<Value, Rank>,
    /// When something that only must not be there was last looked for.
    not_old: Rank,
}

/// Any state that differs from all that are still observed.
const FORGOTTEN: State = State(u32::MAX);

impl Register {
    /// One that holds `initial` at first.
    pub fn new(initial: Value) -> Register {
        Register { initial, observed: HashMap::new(), not_old: Rank(0) }
    }

    fn observe(&mut self, value: Value, until: Rank) {
        let latest = self.observed.entry(value).or_insert(until);
        *latest = until.max(*latest);
    }

    /// Notes what the indeterminate compare-and-sets among `operations` observe: as long as what they
    /// make matters, so does what they need. `not_old`: until then any change can matter.
    fn observe_indeterminate(&mut self, operations: &[Operation], not_old: Rank) {
        let mut needs: Vec<(Value, Value)> = Vec::new();
        for operation in operations.iter().filter(|operation| operation.is_indeterminate()) {
            if let Action::Cas { old, new, .. } = operation.action {
                needs.push((new, old));
                self.observe(old, not_old);
            }
        }
        needs.sort_unstable();
        needs.dedup();
        // From the latest observation on, or a value would be visited again with a later one.
        let mut sources: Vec<_> = self.observed.iter().map(|(&value, &at)| (at, value)).collect();
        sources.sort_unstable_by(|a, b| b.cmp(a));
        let mut visited: HashMap<Value, ()> = HashMap::new();
        for (until, source) in sources {
            let mut stack = vec![source];
            while let Some(value) = stack.pop() {
                if visited.insert(value, ()).is_some() {
                    continue;
                }
                self.observe(value, until);
                let from = needs.partition_point(|&(new, _)| new < value);
                let olds = needs[from..].iter().take_while(|&&(new, _)| new == value);
                stack.extend(olds.map(|&(_, old)| old));
            }
        }
    }
}

/// The state that `action` requires, if it is one that it names.
pub(crate) fn observed(action: &Action) -> Option<Value> {
    match *action {
        Action::Read(value) | Action::Cas { seen: Seen::Current(value), .. } => Some(value),
        Action::Cas { old, seen: Seen::Matched, .. } => Some(old),
        Action::Write(_) | Action::Append(_) | Action::Cas { seen: Seen::NotOld, .. } => None,
    }
}

/// The state that `action` leaves behind, if it is not the one it found.
pub(super) fn written(action: &Action) -> Option<Value> {
    match *action {
        Action::Write(value) => Some(value),
        Action::Cas { old, new, seen: Seen::Matched } => (old != new).then_some(new),
        Action::Read(_) | Action::Append(_) | Action::Cas { .. } => None,
    }
}

/// Whether `action` never changes anything.
pub(super) fn is_observer(action: &Action) -> bool {
    match *action {
        Action::Read(_) => true,
        Action::Write(_) | Action::Append(_) => false,
        Action::Cas { old, new, seen } => seen != Seen::Matched || old == new,
    }
}

impl Spec for Register {
    type Action = Action;

    fn initial(&mut self) -> State {
        State(self.initial.0)
    }

    fn step(&mut self, state: State, action: &Action) -> Option<State> {
        match *action {
            Action::Read(value) => (state.0 == value.0).then_some(state),
            Action::Write(value) => Some(State(value.0)),
            Action::Cas { old, new, seen } => match seen {
                Seen::Matched => (state.0 == old.0).then_some(State(new.0)),
                Seen::Current(value) => (state.0 == value.0 && value != old).then_some(state),
                Seen::NotOld => (state.0 != old.0).then_some(state),
            },
            Action::Append(_) => None,
        }
    }

    fn is_observer(&self, action: &Action) -> bool {
        is_observer(action)
    }

    fn is_blind(&self, action: &Action) -> bool {
        matches!(action, Action::Write(_))
    }

    fn is_overwrite(&self, action: &Action) -> bool {
        matches!(action, Action::Write(_))
    }

    fn prepare(&mut self, operations: &[Operation]) -> Vec<Rank> {
        // Whatever is not `old` satisfies one that only says so.
        let mut not_old = Rank(0);
        for operation in operations.iter().filter(|operation| !operation.is_indeterminate()) {
            if let Action::Cas { old, seen: Seen::NotOld, .. } = operation.action {
                self.observe(old, operation.complete);
                not_old = not_old.max(operation.complete);
            }
            if let Some(value) = observed(&operation.action) {
                self.observe(value, operation.complete);
            }
        }
        self.observe_indeterminate(operations, not_old);
        self.not_old = not_old;
        let until = |operation: &Operation| match written(&operation.action) {
            Some(value) => not_old.max(self.observed.get(&value).copied().unwrap_or(Rank(0))),
            None => Rank(0),
        };
        operations.iter().map(until).collect()
    }

    fn canonical(&self, state: State, now: Rank) -> State {
        match self.observed.get(&Value(state.0)) {
            Some(&until) if until >= now => state,
            _ => FORGOTTEN,
        }
    }

    fn is_noticeable(&self, state: State, now: Rank) -> bool {
        state != FORGOTTEN || self.not_old >= now
    }
}
