//! What happened in a run: in one number, always, and in words when somebody wants to read them.

use crate::hash::WordHasher;
use node::kv::Command;
use node::protocol::{Body, Input, Request};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// The last steps of a run, and a hash of all of them.
#[derive(Default)]
pub struct Trace {
    hasher: WordHasher,
    lines: VecDeque<String>,
    /// Lines are kept until then; zero if nobody is to read them.
    until_us: u64,
}

/// Lines kept for the reader.
const LINES_MAX: usize = 60;

impl Trace {
    /// A trace that keeps, for a reader, the last lines before `until_us`.
    pub fn new(until_us: u64) -> Trace {
        Trace { until_us, ..Trace::default() }
    }

    /// An input is fed to the replica of a node.
    pub fn input(&mut self, now_us: u64, node: usize, input: &Input<'_>) {
        (now_us, node).hash(&mut self.hasher);
        input.hash(&mut self.hasher);
        self.note(now_us, || describe(node, input));
    }

    /// Something happened that is worth a line.
    pub fn note(&mut self, now_us: u64, line: impl FnOnce() -> String) {
        if now_us >= self.until_us {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>10.3} ms  {}", now_us as f64 / 1000.0, line()));
    }

    /// Everything fed to every replica, in one number: the same for the same run, in every build.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The last steps in words.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

fn describe(at: usize, input: &Input<'_>) -> String {
    let node = at + 1;
    match input {
        Input::Message(envelope) => envelope.to_string(),
        Input::Timeout(timer) => format!("n{node} {timer:?}"),
        Input::Synced(_) => format!("n{node} synced"),
        Input::SnapshotSaved { index, .. } => format!("n{node} saved snapshot {index}"),
        Input::Request(Request { client, number, body, .. }) => {
            let wish = match body {
                Body::Read(key) => format!("get {}", key.escape_ascii()),
                Body::Write(entry) => match Command::decode(entry) {
                    Ok(command) => command.to_string(),
                    Err(error) => error.to_string(),
                },
            };
            format!("c{client} -> n{node} #{number} {wish}")
        }
    }
}
