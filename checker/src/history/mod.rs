//! Histories: what clients did and saw, in the order in which it was recorded.
//!
//! ```text
//!   file ──► events, one a line ──► operations, key by key ──► judged
//! ```
//! Values are numbers here, the same for equal values, so that a million operations are compared
//! and sorted without looking at a byte. [`Values`] knows what they stand for.

use std::fmt;
use std::sync::Arc;

mod edn;
mod event;
mod jsonl;
mod pairing;
mod read;
mod text;
mod values;
mod window;

pub use pairing::{FailedCas, Keyed, Nil, Pairing};
pub use read::{Format, ReadError, read, value};
pub use values::{Shown, Values};

/// What was recorded, key by key.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order in which they were first named.
    pub keys: Vec<KeyHistory>,
    /// What the values of all keys stand for.
    pub values: Values,
    /// What every key holds before its first operation.
    pub initial: Value,
    /// Where and when each event was recorded, by its rank. Only a [`read()`] history has them.
    pub events: Events,
    /// What the nemesis did, in recorded order.
    pub faults: Vec<Fault>,
    /// What became of what was recorded.
    pub counts: Counts,
}

/// Where and when events were recorded, by rank.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Nanoseconds; [`Events::UNTIMED`] where there was none, and shorter if none follows.
    times: Vec<i64>,
    lines: Vec<u32>,
}

/// A fault, or its end, or whatever else was recorded of something that is no client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The first event of a client after it has this rank.
    pub before: Rank,
    /// When, in nanoseconds on the clock of the events.
    pub time: Option<i64>,
    /// What, as it was recorded.
    pub what: String,
}

/// How much was recorded, and what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Operations that clients invoked.
    pub operations: u64,
    /// Those of which nobody knows whether they took effect, reads included.
    pub indeterminate: u64,
    /// Those that surely did not happen, and are left out for that.
    pub failed: u64,
    /// Events, or lines of a log, that tell of no operation.
    pub others: u64,
    /// The line of the first append, if there is one.
    pub first_append: Option<u64>,
    /// Events that claim to be older than the one before them; the recorded order counts.
    pub times_going_back: u64,
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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Value(pub u32);

impl Value {
    /// The key has no value.
    pub const MISSING: Value = Value(0);
}

/// One operation on one key, as its client saw it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Operation<A = Action> {
    /// The sequential client. For the reader only: judged are the ranks.
    pub process: u64,
    /// When it was invoked.
    pub invoke: Rank,
    /// When it completed. [`Rank::NEVER`] is indeterminate: it may take effect at any time from its
    /// invocation on, or never.
    pub complete: Rank,
    /// What it did and saw.
    pub action: A,
}

/// What an operation did to its key, and what it saw there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action<V = Value> {
    /// Saw this. An indeterminate read says nothing, and is left out of histories.
    Read(V),
    /// Set the key, whatever was there. A deletion writes [`Value::MISSING`].
    Write(V),
    /// Set the key to `new` if it was `old`.
    Cas {
        /// The state in which it takes effect.
        old: V,
        /// The state it then leaves behind.
        new: V,
        /// The answer.
        seen: Seen<V>,
    },
    /// Put these bytes behind those of the key, in the model `kv-append`.
    Append(V),
}

/// How a compare-and-set was answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Seen<V = Value> {
    /// It took effect. If it is indeterminate: it did so if it did anything.
    Matched,
    /// Nothing changed, and this was there, perhaps [`Value::MISSING`]; legal if it is not `old`.
    Current(V),
    /// Nothing changed, and something other than `old` was there.
    NotOld,
}

impl Events {
    /// The line of the event of this rank, from 1; `None` if it was not read from a file.
    pub fn line(&self, rank: Rank) -> Option<u32> {
        self.lines.get(rank.0 as usize).copied()
    }

    /// When the event of this rank was recorded, in nanoseconds since some moment.
    pub fn time(&self, rank: Rank) -> Option<i64> {
        self.times.get(rank.0 as usize).copied().filter(|&time| time != Events::UNTIMED)
    }

    const UNTIMED: i64 = i64::MIN;

    /// The next event was recorded here and then. Returns its rank; `None` if there is none left.
    fn push(&mut self, line: u64, time: Option<i64>) -> Option<Rank> {
        let rank = Rank(u32::try_from(self.lines.len()).ok()?);
        self.lines.push(u32::try_from(line).ok()?);
        if let Some(time) = time {
            self.times.resize(rank.0 as usize, Events::UNTIMED);
            self.times.push(time);
        }
        (rank < Rank::NEVER).then_some(rank)
    }
}

impl<A> Operation<A> {
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
