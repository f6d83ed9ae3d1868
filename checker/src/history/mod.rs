//! Histories: what clients did and saw, in the order in which it was recorded.
//!
//! ```text
//!   file ──► events, one a line ──► operations, key by key ──► judged
//! ```
//! Values are numbers here, the same for equal values, so that a million operations are compared
//! and sorted without looking at a byte. [`Values`] knows what they stand for.

use std::fmt;
use std::sync::Arc;

mod values;

pub use values::Values;

/// What was recorded, key by key.
#[derive(Clone, Debug)]
pub struct History {
    /// In the order in which they were first named.
    pub keys: Vec<KeyHistory>,
    /// What the values of all keys stand for.
    pub values: Values,
    /// What every key holds before its first operation.
    pub initial: Value,
}

/// What was done to one key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyHistory {
    /// Its name; `None` if the history is of one register without a name.
    pub key: Option<Arc<[u8]>>,
    /// Those that happened or may have happened, by invocation.
    pub operations: Vec<Operation>,
    /// What operations were to write of which their client knows that they did not happen. They are
    /// no operations of this history, but whoever sees such a value saw an aborted write.
    pub aborted: Vec<Value>,
}

/// A position in the recorded order of events. An operation that completes before another is
/// invoked has the lower rank; no two events share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rank(pub u32);

impl Rank {
    /// After every event: the completion of what is indeterminate.
    pub const NEVER: Rank = Rank(u32::MAX);
}

/// A value, or the absence of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Value(pub u32);

impl Value {
    /// The key has no value.
    pub const MISSING: Value = Value(0);
}

/// One operation on one key, as its client saw it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Operation {
    /// The sequential client. For the reader only: judged are the ranks.
    pub process: u64,
    /// When it was invoked.
    pub invoke: Rank,
    /// When it completed. [`Rank::NEVER`] is indeterminate: it may take effect at any time from its
    /// invocation on, or never.
    pub complete: Rank,
    /// What it did and saw.
    pub action: Action,
}

/// What an operation did to its key, and what it saw there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Saw this. An indeterminate read says nothing, and is left out of histories.
    Read(Value),
    /// Set the key, whatever was there. A deletion writes [`Value::MISSING`].
    Write(Value),
    /// Set the key to `new` if it was `old`.
    Cas {
        /// The state in which it takes effect.
        old: Value,
        /// The state it then leaves behind.
        new: Value,
        /// The answer.
        seen: Seen,
    },
    /// Put these bytes behind those of the key, in the model `kv-append`.
    Append(Value),
}

/// How a compare-and-set was answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Seen {
    /// It took effect. If it is indeterminate: it did so if it did anything.
    Matched,
    /// Nothing changed, and this was there, perhaps [`Value::MISSING`]; legal if it is not `old`.
    Current(Value),
    /// Nothing changed, and something other than `old` was there.
    NotOld,
}

impl Operation {
    /// Whether it has no completion.
    pub fn is_indeterminate(&self) -> bool {
        self.complete == Rank::NEVER
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Rank::NEVER => write!(f, "never"),
            Rank(rank) => write!(f, "{rank}"),
        }
    }
}
