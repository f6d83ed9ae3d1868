//! Is a history of a key-value map linearizable?
//!
//! A history is linearizable if each operation can be given one moment between its invocation and
//! its completion such that, carried out in the order of these moments, every operation sees what
//! its client saw. Keys are independent (Herlihy and Wing 1990, locality), so each key is judged
//! alone: its state is one `Option<V>`, `None` when missing, and missing at the beginning.
//!
//! [`check`] is exact: it answers [`Verdict::Unknown`] rather than guess. Reading order: the types
//! here, then `search.rs`, which decides, then `proof.rs`, which tells what to blame.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

mod proof;
mod search;

use search::{Outcome, search};

/// One operation on one key, as its client saw it.
///
/// Times are ticks of one clock that all clients share. An operation that completes at the tick at
/// which another is invoked is concurrent with it: equal times never order two operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation<V> {
    /// The sequential client that invoked it. For the reader only: judged are the times.
    pub process: u64,
    /// When the client sent it.
    pub invoked: u64,
    /// When the client had its answer. `None` is indeterminate: it may take effect at any time from
    /// `invoked` on, or never.
    pub completed: Option<u64>,
    /// What it did and saw. The result of a read that did not complete says nothing; it is ignored.
    pub action: Action<V>,
}

/// What an operation did to its key, and what it saw there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action<V> {
    /// Saw this state, `None` if the key was missing.
    Read(Option<V>),
    /// Set the key, whatever was there.
    Write(V),
    /// Made the key missing, whatever was there.
    Delete,
    /// Set the key to `new` if its state was `old`, where `None` expects a missing key.
    Cas {
        /// The state in which it takes effect.
        old: Option<V>,
        /// The value it then sets.
        new: V,
        /// The answer.
        seen: Seen<V>,
    },
}

/// How a compare-and-set was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen<V> {
    /// The state was `old` and became `new`.
    Matched,
    /// Nothing changed, for the key had this value, which is not `old`.
    Mismatch(V),
    /// Nothing changed, for the key was missing and `old` was not.
    Missing,
    /// No answer: the operation is indeterminate. It may have taken effect or have done nothing.
    Unknown,
}

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<K, V> {
    /// Every key is linearizable.
    Valid,
    /// This key is not linearizable.
    Invalid {
        /// The first such key.
        key: K,
        /// Few operations that prove it, by invocation: they are impossible whatever else happened.
        /// A compare-and-set that succeeded, but only after they had become impossible, is shown as
        /// indeterminate: its answer does not matter.
        operations: Vec<Operation<V>>,
    },
    /// No key was found to be invalid, but this one was too hard to decide.
    Unknown {
        /// The first such key.
        key: K,
        /// How many steps the search took before it gave up.
        steps: u64,
    },
}

/// Judges `history`, key by key: the first invalid key decides, else the first undecided one.
/// `history`: in any order, without operations that surely did not happen.
/// `steps_max`: how many configurations to look at to judge one key, and again to shorten a proof; a
/// legal history rarely needs more than a few for each operation.
/// Panics if an operation completes before its invocation, or if a compare-and-set completed with
/// an unknown answer or has an answer without a completion (bugs of whoever recorded it).
pub fn check<K: Ord, V: Clone + Eq + Hash>(
    history: impl IntoIterator<Item = (K, Operation<V>)>,
    steps_max: u64,
) -> Verdict<K, V> {
    let mut keys: BTreeMap<K, Vec<Operation<V>>> = BTreeMap::new();
    for (key, operation) in history {
        operation.assert_well_formed();
        if operation.completed.is_some() || operation.action.sets().is_some() {
            keys.entry(key).or_default().push(operation);
        }
    }
    let mut undecided = None;
    for (key, operations) in keys {
        let mut steps_left = steps_max;
        match search(&operations, &mut steps_left) {
            Outcome::Linearizable => {}
            Outcome::Impossible { at } => {
                let operations = proof::shrink(proof::prefix(operations, at), steps_max);
                return Verdict::Invalid { key, operations };
            }
            Outcome::GaveUp => undecided = undecided.or(Some(key)),
        }
    }
    match undecided {
        Some(key) => Verdict::Unknown { key, steps: steps_max },
        None => Verdict::Valid,
    }
}

/// The state of a key.
type State<'a, V> = Option<&'a V>;

/// Both engine and proofs need only this of an operation: the one state it requires, if any, and
/// the one state it leaves behind, if any.
impl<V: Eq> Action<V> {
    /// The state in which it must take place; `None` for blind operations, which any state suits.
    /// An indeterminate compare-and-set that does nothing is one that never takes place.
    fn observes(&self) -> Option<State<'_, V>> {
        match self {
            Action::Read(value) => Some(value.as_ref()),
            Action::Write(_) | Action::Delete => None,
            Action::Cas { old, seen, .. } => match seen {
                Seen::Matched | Seen::Unknown => Some(old.as_ref()),
                Seen::Mismatch(current) => Some(Some(current)),
                Seen::Missing => Some(None),
            },
        }
    }

    /// The state it leaves behind; `None` for mere observers, which leave what they found.
    fn sets(&self) -> Option<State<'_, V>> {
        match self {
            Action::Write(value) => Some(Some(value)),
            Action::Delete => Some(None),
            Action::Cas { new, seen: Seen::Matched | Seen::Unknown, .. } => Some(Some(new)),
            Action::Read(_) | Action::Cas { .. } => None,
        }
    }

    /// Whether it reports as a mismatch the very state it expected.
    fn contradicts_itself(&self) -> bool {
        match self {
            Action::Cas { old, seen: Seen::Mismatch(_) | Seen::Missing, .. } => {
                self.observes() == Some(old.as_ref())
            }
            _ => false,
        }
    }
}

impl<V> Operation<V> {
    fn assert_well_formed(&self) {
        if let Some(completed) = self.completed {
            assert!(self.invoked <= completed, "completed at {completed}, before its invocation");
        }
        if let Action::Cas { seen, .. } = &self.action {
            let is_unanswered = matches!(seen, Seen::Unknown);
            assert_eq!(is_unanswered, self.completed.is_none(), "an answer is a completion");
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Display for Verdict<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Valid => write!(f, "valid"),
            Verdict::Invalid { key, operations } => {
                write!(f, "invalid: key {key:?}: no order of these operations explains their ")?;
                write!(f, "answers (`..` without an end: not completed by then)")?;
                for operation in operations {
                    write!(f, "\n  {operation}")?;
                }
                Ok(())
            }
            Verdict::Unknown { key, steps } => {
                write!(f, "unknown: key {key:?}: undecided after {steps} steps; allow more, ")?;
                write!(f, "or record fewer concurrent or indeterminate operations")
            }
        }
    }
}

impl<V: fmt::Debug> fmt::Display for Operation<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let completed = self.completed.map_or(String::new(), |completed| completed.to_string());
        write!(f, "{:>8}..{:<8} process {:<4} ", self.invoked, completed, self.process)?;
        match &self.action {
            Action::Read(_) if self.completed.is_none() => write!(f, "read"),
            Action::Read(value) => write!(f, "read -> {}", Shown(value)),
            Action::Write(value) => write!(f, "write {value:?}"),
            Action::Delete => write!(f, "delete"),
            Action::Cas { old, new, seen } => {
                write!(f, "cas {} to {new:?}", Shown(old))?;
                match seen {
                    Seen::Matched => write!(f, " -> ok"),
                    Seen::Mismatch(current) => write!(f, " -> mismatch, found {current:?}"),
                    Seen::Missing => write!(f, " -> missing"),
                    Seen::Unknown => Ok(()),
                }
            }
        }
    }
}

/// A state, for the reader.
struct Shown<'a, V>(&'a Option<V>);

impl<V: fmt::Debug> fmt::Display for Shown<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value:?}"),
            None => write!(f, "missing"),
        }
    }
}
