//! Histories of your own types, judged in one call.
//!
//! ```
//! use checker::check::{Action, Operation, Verdict, check};
//! use checker::linearizability::Bounds;
//!
//! let write = Operation { process: 1, invoked: 10, completed: Some(20), action: Action::Write("a") };
//! let read = Operation { process: 2, invoked: 30, completed: Some(40), action: Action::Read("") };
//!
//! // The key held nothing at first. Then "a" was written, and after that nothing was read.
//! let history = [("key", write), ("key", read.clone())];
//! let Ok(Verdict::Invalid { operations, .. }) = check(history, "", &Bounds::default()) else {
//!     panic!("that is not linearizable");
//! };
//! assert_eq!(operations.last(), Some(&read));
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;

use crate::history::{self, KeyHistory, Rank, Value, Values};
use crate::linearizability::{self, Bounds, Cause, Model, Options, Undecided, Unproven, judge};

pub use crate::history::{Action, Seen};

/// One operation on one key, as its client saw it. `V` is whatever a key holds, such as
/// `Option<String>` if it can be missing.
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
    /// `invoked` on, or never; a compare-and-set is [`Seen::Matched`] then, as it is if it happens.
    pub completed: Option<u64>,
    /// What it did and saw. The result of a read that did not complete says nothing; it is ignored.
    pub action: Action<V>,
}

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<K, V> {
    /// Every key is linearizable.
    Valid,
    /// This key is not.
    Invalid {
        /// The first such key.
        key: K,
        /// What is wrong with it.
        cause: Cause,
        /// Few operations that prove it, by invocation: they are impossible whatever else happened.
        operations: Vec<Operation<V>>,
    },
    /// No key was found to be invalid, but this one was too hard to decide.
    Unknown {
        /// The first such key.
        key: K,
        /// Why it was.
        undecided: Undecided,
    },
}

/// Judges `history`, key by key: the first invalid key decides, else the first undecided one.
/// `history`: in any order, without operations that surely did not happen, and without appends.
/// `initial`: what every key holds at first. `bounds`: how much to spend on each key.
/// Fails if a verdict did not stand when its proof was checked, which is a bug of the checker.
/// Panics if an operation completes before its invocation, if a compare-and-set has an answer and
/// no completion, or if something is appended (bugs of whoever recorded it).
pub fn check<K: Ord, V: Clone + Eq + Hash>(
    history: impl IntoIterator<Item = (K, Operation<V>)>,
    initial: V,
    bounds: &Bounds,
) -> Result<Verdict<K, V>, Unproven> {
    let mut keys: BTreeMap<K, Vec<Operation<V>>> = BTreeMap::new();
    for (key, operation) in history {
        operation.assert_well_formed();
        if operation.completed.is_some() || !matches!(operation.action, Action::Read(_)) {
            keys.entry(key).or_default().push(operation);
        }
    }
    let options = Options { model: Model::CasRegister, initial: Value::MISSING, bounds: *bounds };
    let mut undecided = None;
    for (key, mut operations) in keys {
        operations.sort_by_key(|operation| operation.invoked);
        match judge(&ranked(&operations, &initial), &Values::new(), &options)? {
            linearizability::Verdict::Valid { .. } => {}
            linearizability::Verdict::Invalid { violations, .. } => {
                let violation = violations.into_iter().next().expect("there is at least one");
                // Ranked operations are named by their position.
                let name = |one: &linearizability::Evidence| one.operation.process as usize;
                let core = violation.core.iter().map(|one| operations[name(one)].clone());
                let (cause, operations) = (violation.cause, core.collect());
                return Ok(Verdict::Invalid { key, cause, operations });
            }
            linearizability::Verdict::Unknown(why) => undecided = undecided.or(Some((key, why))),
        }
    }
    Ok(match undecided {
        Some((key, undecided)) => Verdict::Unknown { key, undecided },
        None => Verdict::Valid,
    })
}

/// `operations`, which are sorted by invocation, with ranks for times and numbers for values, that
/// of `initial` being 0; and their positions for processes.
fn ranked<V: Eq + Hash>(operations: &[Operation<V>], initial: &V) -> KeyHistory {
    // At equal times, invocations come first: so they are concurrent with what completes then.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * operations.len());
    for (index, operation) in operations.iter().enumerate() {
        events.push((operation.invoked, false, index));
        events.extend(operation.completed.map(|completed| (completed, true, index)));
    }
    events.sort_unstable();
    let mut numbers: HashMap<&V, Value> = HashMap::from([(initial, Value::MISSING)]);
    let mut ranked: Vec<history::Operation> = Vec::with_capacity(operations.len());
    for ((_, is_completion, index), rank) in events.into_iter().zip(0..) {
        if is_completion {
            ranked[index].complete = Rank(rank);
            continue;
        }
        let action = operations[index].action.each(|value| {
            let next = Value(numbers.len() as u32);
            *numbers.entry(value).or_insert(next)
        });
        let (process, invoke, complete) = (index as u64, Rank(rank), Rank::NEVER);
        ranked.push(history::Operation { process, invoke, complete, action });
    }
    KeyHistory { operations: ranked, ..KeyHistory::default() }
}

impl<V> Action<V> {
    /// The same with other values.
    fn each<'a, W>(&'a self, mut value: impl FnMut(&'a V) -> W) -> Action<W> {
        match self {
            Action::Read(seen) => Action::Read(value(seen)),
            Action::Write(new) => Action::Write(value(new)),
            Action::Append(more) => Action::Append(value(more)),
            Action::Cas { old, new, seen } => Action::Cas {
                old: value(old),
                new: value(new),
                seen: match seen {
                    Seen::Matched => Seen::Matched,
                    Seen::Current(current) => Seen::Current(value(current)),
                    Seen::NotOld => Seen::NotOld,
                },
            },
        }
    }
}

impl<V> Operation<V> {
    fn assert_well_formed(&self) {
        if let Some(completed) = self.completed {
            assert!(self.invoked <= completed, "completed at {completed}, before its invocation");
        }
        let is_answered = |seen: &Seen<V>| !matches!(seen, Seen::Matched);
        match &self.action {
            Action::Cas { seen, .. } if self.completed.is_none() => {
                assert!(!is_answered(seen), "an answer is a completion");
            }
            Action::Append(_) => panic!("values of any type cannot be appended to"),
            _ => {}
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Display for Verdict<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Valid => write!(f, "valid"),
            Verdict::Invalid { key, cause, operations } => {
                write!(f, "invalid: key {key:?}: {}: ", cause.name())?;
                write!(f, "no order of these operations explains their answers")?;
                for operation in operations {
                    write!(f, "\n  {operation}")?;
                }
                Ok(())
            }
            Verdict::Unknown { key, undecided } => write!(f, "unknown: key {key:?}: {undecided}"),
        }
    }
}

impl<V: fmt::Debug> fmt::Display for Operation<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let completed = self.completed.map_or(String::new(), |completed| completed.to_string());
        write!(f, "{:>8}..{:<8} process {:<4} ", self.invoked, completed, self.process)?;
        match &self.action {
            Action::Read(value) => write!(f, "read -> {value:?}"),
            Action::Write(value) => write!(f, "write {value:?}"),
            Action::Append(value) => write!(f, "append {value:?}"),
            Action::Cas { old, new, seen } => {
                write!(f, "cas {old:?} to {new:?}")?;
                match seen {
                    Seen::Matched if self.completed.is_none() => Ok(()),
                    Seen::Matched => write!(f, " -> ok"),
                    Seen::Current(current) => write!(f, " -> mismatch, found {current:?}"),
                    Seen::NotOld => write!(f, " -> mismatch"),
                }
            }
        }
    }
}
