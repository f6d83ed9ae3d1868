//! Is there one legal order of all operations of a key that respects real time?
//!
//! A history is linearizable if each operation can be given one moment between its invocation and
//! its completion such that, carried out in the order of these moments, every operation sees what
//! its client saw. Keys are independent (Herlihy and Wing 1990, locality), so each is judged alone.
//!
//! Every verdict carries its proof: valid a witness, invalid a few operations that are impossible
//! by themselves. Both are checked again before they are returned.

use std::time::Duration;

use crate::check;
use crate::history::{Action, History, KeyHistory, Operation, Rank, Seen, Value, Values};

mod verdict;

pub use verdict::{Cause, Evidence, Limit, Undecided, Unproven, Verdict, Violation};

/// What the operations of a history do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// Reads, writes and compare-and-sets of whole values.
    CasRegister,
    /// The same, and appends.
    KvAppend,
}

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the operations do.
    pub model: Model,
    /// What a key holds before its first operation.
    pub initial: Value,
    /// When to give up.
    pub bounds: Bounds,
}

/// How much may be spent on one key before its verdict is *unknown*.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How many configurations the search may look at.
    pub configurations: u64,
    /// How much memory the search may take, in bytes.
    pub memory_bytes: u64,
    /// How long the search may take; `None` is as long as it likes, and the same on any machine.
    pub time: Option<Duration>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            configurations: 200_000_000,
            memory_bytes: 4 << 30,
            time: Some(Duration::from_secs(60)),
        }
    }
}

/// Judges all keys, on all processors. One verdict for each of `history.keys`, in that order.
pub fn judge_all(history: &History, options: &Options) -> Vec<Result<Verdict, Unproven>> {
    history.keys.iter().map(|key| judge(key, &history.values, options)).collect()
}

/// Judges one key.
/// Fails if the verdict did not stand when its proof was checked, which is a bug of the checker.
/// Panics if the operations are not ordered by invocation.
pub fn judge(key: &KeyHistory, _values: &Values, options: &Options) -> Result<Verdict, Unproven> {
    // The general search stands in for the engines.
    let Some(operations) = key.operations.iter().map(|op| stated(op, options)).collect() else {
        return Ok(unknown(0));
    };
    let operations: Vec<_> = operations;
    let verdict = check::check(operations, options.bounds.configurations);
    Ok(match verdict {
        check::Verdict::Valid => Verdict::Valid { witness: Vec::new() },
        check::Verdict::Invalid { operations, .. } => {
            let of = |one: &check::Operation<u32>| {
                let is_it = |op: &&Operation| u64::from(op.invoke.0) == one.invoked;
                let operation = *key.operations.iter().find(is_it).expect("it came from there");
                Evidence { operation, counts_as: operation, shown_by: None }
            };
            let core: Vec<_> = operations.iter().map(of).collect();
            let accused = core.len() - 1;
            let violation = Violation { cause: Cause::NoOrder, core, accused, against: None };
            Verdict::Invalid { violations: vec![violation], omitted: 0 }
        }
        check::Verdict::Unknown { steps, .. } => unknown(steps),
    })
}

fn unknown(configurations: u64) -> Verdict {
    Verdict::Unknown(Undecided { limit: Limit::Configurations, configurations, reached: Rank(0) })
}

fn stated(op: &Operation, options: &Options) -> Option<((), check::Operation<u32>)> {
    let state = |value: Value| (value != options.initial).then_some(value.0);
    let action = match op.action {
        Action::Read(value) => check::Action::Read(state(value)),
        Action::Write(value) if value == options.initial => check::Action::Delete,
        Action::Write(value) => check::Action::Write(value.0),
        Action::Cas { old, new, seen } => {
            let seen = match seen {
                Seen::Matched if op.is_indeterminate() => check::Seen::Unknown,
                Seen::Matched => check::Seen::Matched,
                Seen::Current(value) if value == options.initial => check::Seen::Missing,
                Seen::Current(value) => check::Seen::Mismatch(value.0),
                Seen::NotOld => return None,
            };
            check::Action::Cas { old: state(old), new: state(new)?, seen }
        }
        Action::Append(_) => return None,
    };
    let completed = (!op.is_indeterminate()).then_some(u64::from(op.complete.0));
    let invoked = u64::from(op.invoke.0);
    Some(((), check::Operation { process: op.process, invoked, completed, action }))
}
