//! Is there one legal order of all operations of a key that respects real time?
//!
//! A history is linearizable if each operation can be given one moment between its invocation and
//! its completion such that, carried out in the order of these moments, every operation sees what
//! its client saw. Keys are independent (Herlihy and Wing 1990, locality), so each is judged alone.
//!
//! Every verdict carries its proof: valid a witness, invalid a few operations that are impossible
//! by themselves. Both are checked again before they are returned. [`live`] says while a history
//! grows that it became impossible; it has no proof, and leaves the verdict to these.
//!
//! ```
//! use checker::history::{self, Pairing};
//! use checker::linearizability::{Bounds, Cause, Model, Options, Verdict, judge_all};
//!
//! let text = r#"{"process": 0, "type": "invoke", "f": "write", "value": ["door", "open"]}
//! {"process": 0, "type": "ok", "f": "write", "value": ["door", "open"]}
//! {"process": 1, "type": "invoke", "f": "read", "value": ["door", null]}
//! {"process": 1, "type": "ok", "f": "read", "value": ["door", null]}
//! "#;
//! let history = history::read(text.as_bytes(), None, &Pairing::default())?;
//! let (model, initial, bounds) = (Model::CasRegister, history.initial, Bounds::default());
//! match &judge_all(&history, &Options { model, initial, bounds })[..] {
//!     [Ok(Verdict::Invalid { violations, .. })] => {
//!         assert_eq!(violations[0].cause, Cause::Stale);
//!         assert_eq!(violations[0].core.len(), 2, "the write, and the read after it");
//!     }
//!     other => panic!("the door was opened before it was looked at: {other:?}"),
//! }
//! # Ok::<(), history::ReadError>(())
//! ```
//! For histories of your own types, see [`crate::check`].

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::history::{Action, History, KeyHistory, Operation, Value, Values};

mod appended;
mod core;
pub mod live;
mod replay;
pub mod search;
pub mod spec;
mod verdict;
mod zones;

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
#[derive(Clone, Copy, Debug)]
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
/// Fails and panics as [`judge`] does.
pub fn judge_all(history: &History, options: &Options) -> Vec<Result<Verdict, Unproven>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut numbering = zones::Numbering::default();
        let mut verdicts = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(key) = history.keys.get(index) else { return verdicts };
            let verdict = judge_numbered(key, &history.values, options, &mut numbering);
            verdicts.push((index, verdict));
        }
    };
    let mut verdicts: Vec<_> = std::thread::scope(|scope| {
        let workers = threads.min(history.keys.len());
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    verdicts.sort_unstable_by_key(|&(index, _)| index);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Judges one key.
/// Fails if the verdict did not stand when its proof was checked, which is a bug of the checker.
/// Panics if the operations are not ordered by invocation, if one completes before its invocation,
/// or if one appends in a model without appends.
pub fn judge(key: &KeyHistory, values: &Values, options: &Options) -> Result<Verdict, Unproven> {
    judge_numbered(key, values, options, &mut zones::Numbering::default())
}

fn judge_numbered(
    key: &KeyHistory,
    values: &Values,
    options: &Options,
    numbering: &mut zones::Numbering,
) -> Result<Verdict, Unproven> {
    let operations = &key.operations[..];
    assert!(operations.is_sorted_by(|a, b| a.invoke < b.invoke), "by invocation");
    assert!(operations.iter().all(|op| op.invoke < op.complete), "completed before it was invoked");
    let has_appends = operations.iter().any(|op| matches!(op.action, Action::Append(_)));
    assert!(!has_appends || options.model == Model::KvAppend, "an append to a register");
    let mut cores = core::Cores::new(values, options, has_appends);
    if !has_appends {
        match zones::judge(operations, &key.aborted, options.initial, numbering) {
            zones::Outcome::Linearizable(witness) => {
                return valid(operations, values, options, witness);
            }
            zones::Outcome::Impossible { violations, omitted } => {
                let checked = violations.into_iter().map(|violation| cores.finish(violation));
                return Ok(Verdict::Invalid {
                    violations: checked.collect::<Result<_, _>>()?,
                    omitted,
                });
            }
            zones::Outcome::Ambiguous => {}
        }
    }
    let (initial, bounds) = (options.initial, &options.bounds);
    match core::search_any(operations, values, initial, has_appends, bounds) {
        search::Outcome::Linearizable(witness) => valid(operations, values, options, witness),
        search::Outcome::Impossible(stuck) => {
            let violations = vec![cores.explain(operations, stuck)?];
            Ok(Verdict::Invalid { violations, omitted: 0 })
        }
        search::Outcome::Undecided(undecided) => Ok(Verdict::Unknown(undecided)),
    }
}

fn valid(
    operations: &[Operation],
    values: &Values,
    options: &Options,
    witness: Vec<u32>,
) -> Result<Verdict, Unproven> {
    match replay::check_witness(operations, values, options.initial, &witness) {
        Ok(()) => Ok(Verdict::Valid { witness }),
        Err(wrong) => Err(Unproven { claim: format!("valid, but in the witness {wrong}") }),
    }
}
