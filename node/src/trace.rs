//! A trace: what the replicas of a node were made of and every step they took, so that the core can
//! be asked again, on another machine, whether it would do the same (`models replay`).
//!
//! One JSON object a line, of four kinds, each line for itself:
//! ```text
//!   {"quorate-trace":1,"node":2}                        the node starts; again after each restart
//!   {"start":{..},"durable":{..},"image":"2f..","group":0}     a replica starts, from this
//!   {"write":["promise b1.2"],"digest":"8c..","group":0}       its records go to the disk
//!   {"in":{..},"out":["n2 -> n1 promise .."],"digest":"5e..","group":0}   it takes a step
//! ```
//! Bytes are hexadecimal, messages as on the wire, with words beside them for people. What came out
//! is told in words and proven by a digest: of the messages, answers, timers and snapshots that came
//! out of the step, of the replica's [`Status`], and of its state machine's digest. Digests compare
//! builds of one compiler for one kind of machine. A node that is killed loses at most the lines of
//! one turn, and may leave half a line; what it starts from next is in the trace again.

mod line;
mod recorder;

pub use line::{Image, Line, Traced};
pub use recorder::Trace;

use crate::kv::Store;
use crate::protocol::{
    Answer, Envelope, Input, Output, Record, Replica, Save, StateMachine, Status, Timer,
};
use std::hash::{Hash, Hasher};

/// The format described here.
pub const VERSION: u64 = 1;

/// What came out of a step or a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// For people: long ones are cut.
    pub words: Vec<String>,
    /// For comparison.
    pub digest: u64,
}

/// Takes one step, and says what came of it alone: `output` may hold more.
pub fn step(replica: &mut Replica<Store>, input: Input<'_>, output: &mut Output<Store>) -> Outcome {
    let before = replica.status();
    let [messages, answers, saves, timers] =
        [output.messages.len(), output.answers.len(), output.saves.len(), output.timers.len()];
    replica.step(input, output);
    let status = replica.status();
    let messages: &[Envelope] = &output.messages[messages..];
    let answers: &[Answer<_>] = &output.answers[answers..];
    let saves: &[Save<Store>] = &output.saves[saves..];
    let timers: &[Timer] = &output.timers[timers..];

    let mut hasher = Blake::default();
    (messages, answers, timers, &status, replica.machine().digest()).hash(&mut hasher);
    saves.iter().for_each(|save| save.index.hash(&mut hasher));
    let mut words: Vec<String> = messages.iter().map(Envelope::to_string).collect();
    words.extend(answers.iter().map(|Answer { client, number, outcome }| {
        cut(format!("answer {client}/{number}: {outcome:?}"))
    }));
    words.extend(saves.iter().map(|save| format!("save snapshot {}", save.index)));
    words.extend(timers.iter().map(|timer| format!("start {timer:?}")));
    if status != before {
        words.push(told(&status));
    }
    Outcome { words, digest: hasher.finish() }
}

/// What is written.
pub fn written(records: &[Record]) -> Outcome {
    Outcome { words: records.iter().map(Record::to_string).collect(), digest: digest(records) }
}

/// Tells apart what has different hashes.
pub fn digest(of: impl Hash) -> u64 {
    let mut hasher = Blake::default();
    of.hash(&mut hasher);
    hasher.finish()
}

fn told(status: &Status) -> String {
    let Status { phase, leader, promised, accepted_ballot, .. } = status;
    let Status { accepted, decided, applied, connected, .. } = status;
    let alone = if *connected { "" } else { ", no quorum answers" };
    format!(
        "is {phase}{alone}, knows leader {leader}, promised {promised}, accepted {accepted} under \
         {accepted_ballot}, decided {decided}, applied {applied}"
    )
}

/// A value may be large; the digest sees all of it.
fn cut(mut words: String) -> String {
    const LETTERS_MAX: usize = 120;
    if let Some((end, _)) = words.char_indices().nth(LETTERS_MAX) {
        words.replace_range(end.., "..");
    }
    words
}

/// The standard library's hasher may change with any release; and this one is fast on large entries.
#[derive(Default)]
struct Blake(blake3::Hasher);

impl Hasher for Blake {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
