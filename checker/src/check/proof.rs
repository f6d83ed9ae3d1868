//! Few operations that show why a history is impossible.

use std::hash::Hash;
use std::ops::Range;

use super::search::{Outcome, search};
use super::{Action, Operation, Seen};

/// What was known of `operations` at time `end`, by invocation.
/// A prefix of a linearizable history is linearizable, so an impossible one is proof enough.
pub(super) fn prefix<V>(mut operations: Vec<Operation<V>>, end: u64) -> Vec<Operation<V>> {
    operations.sort_by_key(|operation| operation.invoked);
    operations.retain_mut(|operation| {
        let is_open = operation.completed.is_some_and(|completed| completed > end);
        match &mut operation.action {
            _ if !is_open => {}
            // That it completes later says nothing: a blind operation can always be the last.
            Action::Write(_) | Action::Delete => {}
            Action::Cas { seen: seen @ Seen::Matched, .. } => {
                *seen = Seen::Unknown;
                operation.completed = None;
            }
            Action::Read(_) | Action::Cas { .. } => return false,
        }
        operation.invoked <= end
    });
    operations
}

/// Drops what the impossible `operations` can do without, in halves, quarters, ... of the history.
/// Looks at no more than `steps_left` configurations in all; when they run out, the rest stays.
pub(super) fn shrink<V: Clone + Eq + Hash>(
    mut operations: Vec<Operation<V>>,
    mut steps_left: u64,
) -> Vec<Operation<V>> {
    let mut size = operations.len();
    while size > 0 {
        let before = operations.len();
        let mut end = before;
        while end > 0 {
            let start = end.saturating_sub(size);
            let rest = without(&operations, start..end);
            let is_smaller = rest.len() < operations.len();
            if is_smaller && let Outcome::Impossible { .. } = search(&rest, &mut steps_left) {
                operations = rest;
            }
            end = start;
        }
        if operations.len() == before {
            size /= 2;
        }
    }
    operations
}

/// `operations` without those of `range` that set nothing that a remaining one observes.
///
/// Only such operations may go: a read without its write is impossible, and proves nothing. And all
/// such may go: take a linearization, and in it an observer that stays. The last operation before it
/// that set the state set what it observes, so that one stays as well, and still is the last.
/// Hence what is left of a linearizable history is linearizable, and if it is not, none of it was.
fn without<V: Clone + Eq>(operations: &[Operation<V>], range: Range<usize>) -> Vec<Operation<V>> {
    let mut rest = operations.to_vec();
    // Backwards, because a write can go once the reads of its value, which follow it, are gone.
    for index in range.rev() {
        let candidate = rest.remove(index);
        let set = candidate.action.sets();
        if set.is_some() && rest.iter().any(|other| other.action.observes() == set) {
            rest.insert(index, candidate);
        }
    }
    rest
}
