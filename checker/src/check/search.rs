//! Exact search for a linearization of one key's history.
//!
//! Wing and Gong (1993): try every operation that may come next, and go back when stuck.
//! Lowe (2017): remember configurations already seen. Where we differ: porcupine keeps one bit per
//! operation of the whole history and a linked list of events; we sort by completion and keep only
//! how many operations are behind us and which of the open ones are already placed, so that a
//! configuration is as small as the history is concurrent, and there is nothing to undo.
//!
//! Indeterminate operations are the exponential part. The search is for a linearization that *uses
//! as few of them as possible*, which lets it skip most of them; the four reductions are numbered
//! where they are made. Together they are exact: if a configuration can be finished, using `n`
//! indeterminate operations and no fewer, then what they keep can be finished using no more than `n`.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Operation, State};

/// How a search ended.
pub(super) enum Outcome {
    /// There is a linearization.
    Linearizable,
    /// There is none, and none of the prefix that ends at this time; of every shorter one there is.
    Impossible {
        /// When the operation completed that fits nowhere.
        at: u64,
    },
    /// It took more steps than were left.
    GaveUp,
}

/// Searches for a linearization of `operations`, of one key and in any order.
/// Takes from `steps_left` one for each configuration it looks at.
pub(super) fn search<V: Eq + Hash>(operations: &[Operation<V>], steps_left: &mut u64) -> Outcome {
    let history = History::new(operations);
    let mut visited = Visited { used: HashMap::new() };
    let mut stack = vec![Configuration::initial()];
    let mut furthest = 0;
    while let Some(configuration) = stack.pop() {
        if *steps_left == 0 {
            return Outcome::GaveUp;
        }
        *steps_left -= 1;
        if configuration.passed == history.completed.len() {
            return Outcome::Linearizable;
        }
        furthest = furthest.max(configuration.passed);
        for next in history.successors(&configuration) {
            if visited.admits(&next) {
                stack.push(next);
            }
        }
    }
    Outcome::Impossible { at: history.completions[furthest] }
}

/// The operations of one key, arranged for the search. Those completed are known by their place in
/// the order of completion, those indeterminate by their place in the order of invocation.
struct History<'a, V> {
    completed: Vec<&'a Operation<V>>,
    /// When each of `completed` completed; ascending.
    completions: Vec<u64>,
    /// For each of `completed`: itself and those after it that were invoked before it completed.
    /// While it is the first not linearized, only these may be next.
    open: Vec<Vec<usize>>,
    indeterminate: Vec<&'a Operation<V>>,
    /// For each of `indeterminate`: the one before it that does the same, if any.
    twin: Vec<Option<usize>>,
}

/// What the past means for the future, after some operations have been linearized.
struct Configuration<'a, V> {
    /// So many have been linearized in the order of completion, without a gap.
    passed: usize,
    /// Those linearized beyond the first gap, ascending. Invariant: all greater than `passed`.
    ahead: Vec<usize>,
    /// The indeterminate ones that took effect, ascending.
    used: Vec<usize>,
    state: State<'a, V>,
}

impl<'a, V: Eq + Hash> History<'a, V> {
    fn new(operations: &'a [Operation<V>]) -> Self {
        let (mut completed, mut indeterminate): (Vec<_>, Vec<_>) =
            operations.iter().partition(|operation| operation.completed.is_some());
        completed.sort_by_key(|operation| operation.completed);
        indeterminate.sort_by_key(|operation| operation.invoked);

        let completions: Vec<u64> = completed.iter().filter_map(|op| op.completed).collect();
        let mut open = vec![Vec::new(); completed.len()];
        for (index, operation) in completed.iter().enumerate() {
            let first = completions.partition_point(|&time| time < operation.invoked);
            open[first..=index].iter_mut().for_each(|open| open.push(index));
        }

        let mut latest = HashMap::new();
        let twin = indeterminate
            .iter()
            .enumerate()
            .map(|(index, op)| latest.insert((op.action.observes(), op.action.sets()), index))
            .collect();
        History { completed, completions, open, indeterminate, twin }
    }

    /// Where one more operation leads to, the most promising last: for a stack.
    fn successors(&self, from: &Configuration<'a, V>) -> Vec<Configuration<'a, V>> {
        let open: Vec<usize> =
            self.open[from.passed].iter().copied().filter(|i| !from.ahead.contains(i)).collect();

        // Reduction 1. A mere observer that fits is taken at once, and nothing else is tried: in
        // any linearization from here it can be moved to the front, for it is open already and no
        // other operation notices it.
        let fits = |index: usize| fits(self.completed[index], from.state);
        let is_observer = |index: usize| self.completed[index].action.sets().is_none();
        if let Some(&observer) = open.iter().find(|&&i| is_observer(i) && fits(i)) {
            return vec![from.after_completed(observer, self.completed[observer])];
        }

        let indeterminate = self.useful_indeterminate(from, &open);
        let indeterminate = indeterminate
            .into_iter()
            .map(|index| from.after_indeterminate(index, self.indeterminate[index]));
        // The one that completes first is the most urgent, and in most histories it was the first.
        let completed = open.iter().rev().copied().filter(|&index| fits(index));
        let completed = completed.map(|index| from.after_completed(index, self.completed[index]));
        indeterminate.chain(completed).collect()
    }

    /// The indeterminate operations that are worth taking next. `open`: completed ones that could
    /// be next.
    fn useful_indeterminate(&self, from: &Configuration<'a, V>, open: &[usize]) -> Vec<usize> {
        let now = self.completions[from.passed];
        let invoked = self.indeterminate.partition_point(|operation| operation.invoked <= now);
        let unused: Vec<usize> = (0..invoked).filter(|i| !from.used.contains(i)).collect();
        let is_observed = |state| {
            let completed = open.iter().map(|&i| self.completed[i]);
            let indeterminate = unused.iter().map(|&i| self.indeterminate[i]);
            completed.chain(indeterminate).any(|other| other.action.observes() == state)
        };
        let is_useful = |&index: &usize| {
            let operation = self.indeterminate[index];
            let set = operation.action.sets();
            // Reduction 2. Of several that do the same, the first invoked is used first: all of
            // them are open from now on, so they can trade places.
            let is_first = self.twin[index].is_none_or(|twin| from.used.contains(&twin));
            // Reduction 3. It must change the state, and the operation after it must observe the
            // change. If instead it were the last one, or followed by a blind one, then it could be
            // left out: a blind operation fits any state and leaves the same one behind.
            // So a write or delete that nobody saw costs nothing, however many there are.
            is_first && fits(operation, from.state) && set != Some(from.state) && is_observed(set)
        };
        unused.iter().copied().filter(is_useful).collect()
    }
}

/// Whether `operation` can take place in `state`.
fn fits<V: Eq>(operation: &Operation<V>, state: State<'_, V>) -> bool {
    let action = &operation.action;
    action.observes().is_none_or(|observed| observed == state) && !action.contradicts_itself()
}

impl<'a, V: Eq> Configuration<'a, V> {
    fn initial() -> Self {
        Configuration { passed: 0, ahead: Vec::new(), used: Vec::new(), state: None }
    }

    fn after_completed(&self, index: usize, operation: &'a Operation<V>) -> Self {
        let mut next = self.after(operation);
        insert(&mut next.ahead, index);
        let closed = next.ahead.iter().zip(next.passed..).take_while(|&(&a, b)| a == b).count();
        next.ahead.drain(..closed);
        next.passed += closed;
        next
    }

    fn after_indeterminate(&self, index: usize, operation: &'a Operation<V>) -> Self {
        let mut next = self.after(operation);
        insert(&mut next.used, index);
        next
    }

    fn after(&self, operation: &'a Operation<V>) -> Self {
        let state = operation.action.sets().unwrap_or(self.state);
        Configuration { ahead: self.ahead.clone(), used: self.used.clone(), state, ..*self }
    }
}

fn insert(ascending: &mut Vec<usize>, index: usize) {
    let position = ascending.partition_point(|&other| other < index);
    ascending.insert(position, index);
}

/// A configuration but for `used`: `passed`, `ahead` and `state`.
type Place<'a, V> = (usize, Vec<usize>, State<'a, V>);

/// The configurations seen so far: for each place, the `used` with which it was reached.
struct Visited<'a, V> {
    used: HashMap<Place<'a, V>, Vec<Vec<usize>>>,
}

impl<'a, V: Eq + Hash> Visited<'a, V> {
    /// Notes `configuration` and returns true, unless it can do nothing new.
    ///
    /// Reduction 4. It can do nothing new if one was seen that differs only in having used fewer
    /// indeterminate operations: that one can do all the same, and still has the others.
    fn admits(&mut self, configuration: &Configuration<'a, V>) -> bool {
        let Configuration { passed, ahead, used, state } = configuration;
        let seen = self.used.entry((*passed, ahead.clone(), *state)).or_default();
        if seen.iter().any(|fewer| is_subset(fewer, used)) {
            return false;
        }
        seen.retain(|more| !is_subset(used, more));
        seen.push(used.clone());
        true
    }
}

/// Whether all of `part` are in `whole`; both ascending.
fn is_subset(part: &[usize], whole: &[usize]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|index| whole.any(|other| other == index))
}
