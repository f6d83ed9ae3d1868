//! Is there one legal order of all operations of a key that respects real time?
//!
//! A history is linearizable if each operation can be given one moment between its invocation and
//! its completion such that, carried out in the order of these moments, every operation sees what
//! its client saw. Keys are independent (Herlihy and Wing 1990, locality), so each is judged alone.
//!
//! Every verdict carries its proof: valid a witness, invalid a few operations that are impossible
//! by themselves. Both are checked again before they are returned.

use std::time::Duration;

use crate::history::{History, KeyHistory, Operation, Value, Values};

mod appended;
mod replay;
pub mod search;
pub mod spec;
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
pub fn judge(key: &KeyHistory, values: &Values, options: &Options) -> Result<Verdict, Unproven> {
    let operations = &key.operations[..];
    match engine(operations, values, options) {
        search::Outcome::Linearizable(witness) => {
            replay::check_witness(operations, values, options.initial, &witness)
                .map_err(|wrong| Unproven { claim: format!("valid, but {wrong}") })?;
            Ok(Verdict::Valid { witness })
        }
        search::Outcome::Impossible(at) => {
            let accused = &operations[at as usize];
            let core: Vec<_> = operations.iter().copied().map(Evidence::plain).collect();
            let accused = core.iter().position(|one| one.operation == *accused).expect("it is one");
            let violation = Violation { cause: Cause::NoOrder, core, accused, against: None };
            Ok(Verdict::Invalid { violations: vec![violation], omitted: 0 })
        }
        search::Outcome::Undecided(undecided) => Ok(Verdict::Unknown(undecided)),
    }
}

fn engine(operations: &[Operation], values: &Values, options: &Options) -> search::Outcome {
    match options.model {
        Model::CasRegister => {
            let mut register = spec::Register::new(options.initial);
            search::search(&mut register, operations, &options.bounds)
        }
        Model::KvAppend => {
            let mut appended = appended::Appended::new(values, options.initial);
            search::search(&mut appended, operations, &options.bounds)
        }
    }
}
