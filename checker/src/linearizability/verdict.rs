//! What was found about one key, and why it is so.

use std::fmt;

use crate::history::{Operation, Rank};

/// What was found about one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is linearizable.
    Valid {
        /// A legal order that respects real time, as positions in the operations of the key: each
        /// completed one once, and of the indeterminate ones those that took effect.
        witness: Vec<u32>,
    },
    /// It is not.
    Invalid {
        /// Why, by the rank at which it shows; at least one. Each is reason enough.
        violations: Vec<Violation>,
        /// How many more there are, not listed.
        omitted: u64,
    },
    /// Nobody knows.
    Unknown(Undecided),
}

/// A few operations that are impossible whatever else happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What went wrong.
    pub cause: Cause,
    /// The operations that prove it, by invocation.
    pub core: Vec<Evidence>,
    /// Which of `core` cannot have seen or done what it says.
    pub accused: usize,
    /// Which of `core` it contradicts, if there is one to name; see [`Cause`].
    pub against: Option<usize>,
}

/// What went wrong. *The accused* is [`Violation::accused`], *the other* is [`Violation::against`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// The accused saw a value that nobody wrote.
    Phantom,
    /// The accused saw a value whose write, its client was told, did not happen.
    Aborted,
    /// The accused saw a value, and completed before the other, which wrote it, was invoked.
    FromTheFuture,
    /// The accused saw a value after the other had seen, and completed, what replaced it.
    WentBack,
    /// The accused saw an old value after the other had written, and completed, a newer one.
    Stale,
    /// The other completed its write, and everybody went on as if it had not happened: the accused
    /// saw the value before it.
    LostWrite,
    /// The accused and the other both replaced the same value.
    DoubleCas,
    /// The accused says that its compare-and-set found something other than it expected, and names
    /// as what it found just what it expected.
    Contradiction,
    /// Compare-and-sets that each depend on the one before, round in a circle.
    CasCycle,
    /// The accused saw a value, and the other another one that was there in the meantime; and whoever
    /// saw them first and last, saw both at two times, though neither was written twice.
    Interleaved,
    /// No order explains the core; the accused is the operation that fits nowhere.
    NoOrder,
}

/// One operation of a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The operation as it was recorded.
    pub operation: Operation,
    /// What of it the proof relies on. It says less than `operation`, or the same: a compare-and-set
    /// whose old value does not matter counts as a write, a read that shows the state from which the
    /// core begins counts as a write of it, one that completed too late to matter as indeterminate.
    pub counts_as: Operation,
    /// For an indeterminate operation: which of the core saw that it took effect, if one did.
    pub shown_by: Option<usize>,
}

impl Violation {
    /// The moment at which the core was complete.
    pub(crate) fn shows_at(&self) -> Rank {
        let completed = self.core.iter().filter(|one| !one.counts_as.is_indeterminate());
        completed.map(|one| one.counts_as.complete).max().unwrap_or(Rank(0))
    }
}

impl Evidence {
    /// An operation all of which matters.
    pub(super) fn plain(operation: Operation) -> Evidence {
        Evidence { operation, counts_as: operation, shown_by: None }
    }
}

/// Why a key was not decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undecided {
    /// What ran out.
    pub limit: Limit,
    /// How many configurations were looked at.
    pub configurations: u64,
    /// Up to here the history is linearizable.
    pub reached: Rank,
}

/// What may run out during a search.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Limit {
    /// [`Bounds::configurations`](super::Bounds::configurations).
    Configurations,
    /// [`Bounds::memory_bytes`](super::Bounds::memory_bytes).
    Memory,
    /// [`Bounds::time`](super::Bounds::time).
    Time,
}

/// A verdict whose proof did not stand when it was checked: a bug of the checker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unproven {
    /// What was claimed, and what is wrong with the proof.
    pub claim: String,
}

impl Cause {
    /// A short name, in lower case with hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Phantom => "phantom",
            Cause::Aborted => "aborted-read",
            Cause::FromTheFuture => "read-from-the-future",
            Cause::WentBack => "went-back",
            Cause::Stale => "stale-read",
            Cause::LostWrite => "lost-write",
            Cause::DoubleCas => "double-cas",
            Cause::Contradiction => "contradiction",
            Cause::CasCycle => "cas-cycle",
            Cause::Interleaved => "interleaved",
            Cause::NoOrder => "no-order",
        }
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, more) = match self.limit {
            Limit::Configurations => ("configurations", "more of them"),
            Limit::Memory => ("configurations, out of memory", "more memory"),
            Limit::Time => ("configurations, out of time", "more time"),
        };
        write!(f, "undecided after {} {what}: allow {more}, ", self.configurations)?;
        write!(f, "or record fewer concurrent or indeterminate operations, or unique values")
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the checker contradicts itself, please report this history: {}", self.claim)
    }
}

impl std::error::Error for Unproven {}
