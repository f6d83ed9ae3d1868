//! The plain meaning of operations, and witnesses checked against it. Nothing here is shared with
//! the engines, so that a mistake of theirs cannot confirm itself.

use crate::history::{Action, Operation, Seen, Value, Values};

/// What a key holds.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Content {
    Whole(Value),
    /// The bytes of a value that operations have put together.
    Built(Vec<u8>),
}

/// One key, on which operations are carried out one after the other.
pub(super) struct Replay<'a> {
    values: &'a Values,
    content: Content,
}

impl Replay<'_> {
    pub(super) fn new(values: &Values, initial: Value) -> Replay<'_> {
        Replay { values, content: Content::Whole(initial) }
    }

    fn is(&self, value: Value) -> bool {
        match &self.content {
            Content::Whole(content) => *content == value,
            Content::Built(bytes) => self.values.bytes(value) == Some(&bytes[..]),
        }
    }

    /// Carries out `action`. Returns whether it is answered as it was recorded.
    pub(super) fn apply(&mut self, action: &Action) -> bool {
        match *action {
            Action::Read(value) => self.is(value),
            Action::Write(value) => {
                self.content = Content::Whole(value);
                true
            }
            Action::Cas { old, new, seen: Seen::Matched } => {
                let matches = self.is(old);
                if matches {
                    self.content = Content::Whole(new);
                }
                matches
            }
            Action::Cas { old, seen: Seen::Current(value), .. } => self.is(value) && !self.is(old),
            Action::Cas { old, seen: Seen::NotOld, .. } => !self.is(old),
            Action::Append(value) => {
                self.append(value);
                true
            }
        }
    }

    fn append(&mut self, value: Value) {
        let more = self.values.bytes(value).unwrap_or_default();
        match &mut self.content {
            Content::Built(bytes) => bytes.extend_from_slice(more),
            Content::Whole(content) => {
                let bytes = self.values.bytes(*content).unwrap_or_default();
                self.content = Content::Built([bytes, more].concat());
            }
        }
    }
}

/// Checks that `witness` is a linearization of `operations`: see
/// [`Verdict::Valid`](super::Verdict::Valid). Fails with what is wrong.
pub(super) fn check_witness(
    operations: &[Operation],
    values: &Values,
    initial: Value,
    witness: &[u32],
) -> Result<(), String> {
    let mut replay = Replay::new(values, initial);
    let mut is_placed = vec![false; operations.len()];
    let mut latest_invoke = None;
    for &index in witness {
        let Some(operation) = operations.get(index as usize) else {
            return Err(format!("there is no operation {index}"));
        };
        if std::mem::replace(&mut is_placed[index as usize], true) {
            return Err(format!("operation {index} takes effect twice"));
        }
        if latest_invoke.is_some_and(|invoke| operation.complete < invoke) {
            return Err(format!("operation {index} comes after one that was invoked later"));
        }
        latest_invoke = latest_invoke.max(Some(operation.invoke));
        if !replay.apply(&operation.action) {
            return Err(format!("operation {index} would have been answered otherwise"));
        }
    }
    let missing = operations
        .iter()
        .zip(is_placed)
        .position(|(op, is_placed)| !is_placed && !op.is_indeterminate());
    missing.map_or(Ok(()), |index| Err(format!("operation {index} never takes effect")))
}
