//! The smallest replicated state that tells logs apart.

use crate::hash::WordHasher;
use node::protocol::{Index, Malformed, StateMachine};
use std::fmt::Write;
use std::hash::{Hash, Hasher};

/// A replicated state that a model can put into words.
pub trait Told: StateMachine {
    /// An entry of the log, for the reader of a story.
    fn entry(entry: &[u8]) -> String;
}

/// A hash over all entries applied, in order: equal only if the entries are.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Chain(u64);

impl StateMachine for Chain {
    type Reply = ();

    fn apply(&mut self, index: Index, entry: &[u8]) {
        let mut hasher = WordHasher::default();
        (self.0, index, entry).hash(&mut hasher);
        self.0 = hasher.finish();
    }

    fn query(&self, _query: &[u8]) {}

    fn digest(&self) -> u64 {
        self.0
    }

    fn encode(&self, image: &mut Vec<u8>) {
        image.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(image: &[u8], _index: Index) -> Result<Chain, Malformed> {
        let bytes = image.try_into().map_err(|_| Malformed)?;
        Ok(Chain(u64::from_le_bytes(bytes)))
    }
}

impl Told for Chain {
    fn entry(entry: &[u8]) -> String {
        entry.escape_ascii().to_string()
    }
}

impl Told for node::kv::Store {
    fn entry(entry: &[u8]) -> String {
        match node::kv::Command::decode(entry) {
            Ok(command) => command.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

/// Entries in words, one behind the other.
pub fn tell<'a, M: Told>(entries: impl Iterator<Item = &'a [u8]>) -> String {
    entries.fold(String::new(), |mut text, entry| {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{}", M::entry(entry));
        text
    })
}
