//! Events into operations, key by key.
//!
//! An invocation and its completion are one operation; a process has one at a time. What an `ok`
//! says replaces what the invocation said. A `fail` did not happen: it is no operation, but
//! remembered as aborted; unless its error says what was there, `["mismatch", CURRENT]` or
//! `["missing"]`, for that is an observation. An `info`, or nothing at all, is indeterminate, and
//! the process must not go on.
//!
//! Events are ranked as they were recorded. Their times decide nothing: a clock may be coarse or go
//! back, the order of recording does neither.

use std::sync::Arc;

use clap::ValueEnum;
use hashbrown::HashMap;

use super::event::{Datum, Event, Kind, Process};
use super::read::ReadError;
use super::{Action, Fault, History, KeyHistory, Operation, Rank, Seen, Value, Values};

/// What decides how events are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pairing {
    /// Whether there are keys.
    pub keyed: Keyed,
    /// What a read says that returned nothing.
    pub nil: Nil,
    /// What a compare-and-set says that failed and does not tell what was there.
    pub failed_cas: FailedCas,
}

/// Whether there are keys. By itself the first operation of a client decides: there are, if it has
/// a field `key`, or a value that is a pair; for a compare-and-set a pair whose second part is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Keyed {
    /// As the first operation of a client has it
    #[default]
    Auto,
    /// Values are pairs of key and value, unless there is a field `key`
    Yes,
    /// There is one register without a name
    No,
}

/// What a read says that returned nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Nil {
    /// The key had no value
    #[default]
    Missing,
    /// Nothing: the read is left out
    Any,
}

/// What a compare-and-set says that failed and does not tell what was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum FailedCas {
    /// Nothing: it did not happen
    #[default]
    Dropped,
    /// That the key had another value than it expected, unless it failed with some error
    Constraint,
}

/// The operations so far.
pub(super) struct Pairs<'o> {
    options: &'o Pairing,
    /// Where keys are; known from the first operation on.
    keys_are: Option<KeysAre>,
    /// Keys have numbers as values do; the place of a key in `history` is one less.
    names: Values,
    processes: HashMap<u64, Client>,
    history: History,
    latest: Option<i64>,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeysAre {
    Nowhere,
    InValues,
    InFields,
}

/// What a process is doing.
enum Client {
    Idle,
    /// It waits for an answer.
    Busy(Invoked),
    /// It does not know what became of its last operation, completed in this line.
    Retired(u64),
}

/// An operation that waits for its completion.
#[derive(Clone, Copy)]
struct Invoked {
    /// The place of its key.
    key: usize,
    rank: Rank,
    function: Function,
    /// What it does, if it does anything; `None` for a read, which does not know yet.
    action: Option<Action>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Read,
    Write,
    Cas,
    Delete,
    Append,
}

impl Pairs<'_> {
    pub fn new(options: &Pairing) -> Pairs<'_> {
        Pairs {
            options,
            keys_are: None,
            names: Values::new(),
            processes: HashMap::new(),
            history: History::default(),
            latest: None,
            scratch: Vec::new(),
        }
    }

    /// Takes the next event, recorded in this line.
    pub fn take(&mut self, line: u64, event: Event<'_>) -> Result<(), ReadError> {
        if event.time.is_some() {
            self.history.counts.times_going_back += u64::from(event.time < self.latest);
            self.latest = event.time;
        }
        let process = match event.process {
            Process::Client(process) => process,
            Process::Other(_) => {
                self.take_fault(event);
                return Ok(());
            }
        };
        let malformed = |why| ReadError::malformed(line, why);
        let rank = self.history.events.push(line, event.time);
        let rank = rank.ok_or_else(|| malformed(String::from("more than 2^32 events")))?;
        match event.kind {
            Kind::Invoke => self.invoke(process, rank, line, event).map_err(malformed),
            _ => self.complete(process, rank, line, event).map_err(malformed),
        }
    }

    /// So many lines were no events.
    pub fn add_others(&mut self, count: u64) {
        self.history.counts.others += count;
    }

    /// All operations, those still open as indeterminate.
    pub fn into_history(mut self) -> History {
        let processes = std::mem::take(&mut self.processes);
        for (process, client) in processes {
            if let Client::Busy(invoked) = client {
                self.keep_indeterminate(process, &invoked);
            }
        }
        for key in &mut self.history.keys {
            key.operations.sort_unstable_by_key(|operation| operation.invoke);
            key.operations.shrink_to_fit();
        }
        self.history
    }

    fn invoke(
        &mut self,
        process: u64,
        rank: Rank,
        line: u64,
        event: Event<'_>,
    ) -> Result<(), String> {
        let function = function_named(&event.function)?;
        let (key, value) = self.key_and_value(function, event.key, event.value)?;
        let action = self.action(function, value)?;
        let invoked = Invoked { key, rank, function, action };
        let client = self.processes.entry(process).or_insert(Client::Idle);
        match *client {
            Client::Idle => *client = Client::Busy(invoked),
            Client::Busy(before) => {
                return Err(format!(
                    "process {process} invokes again, but what it invoked in line {} has no \
                     completion",
                    self.line_of(before.rank)
                ));
            }
            Client::Retired(line) => {
                return Err(format!(
                    "process {process} goes on, but nobody knows what became of its operation \
                     completed in line {line}; a new process must take over"
                ));
            }
        }
        self.history.counts.operations += 1;
        if function == Function::Append {
            self.history.counts.first_append.get_or_insert(line);
        }
        Ok(())
    }

    fn complete(
        &mut self,
        process: u64,
        rank: Rank,
        line: u64,
        event: Event<'_>,
    ) -> Result<(), String> {
        let Some(client) = self.processes.get_mut(&process) else {
            return Err(format!("process {process} completes what it did not invoke"));
        };
        let invoked = match std::mem::replace(client, Client::Idle) {
            Client::Busy(invoked) => invoked,
            Client::Idle | Client::Retired(_) => {
                return Err(format!("process {process} completes what it did not invoke"));
            }
        };
        if function_named(&event.function)? != invoked.function {
            return Err(format!(
                "process {process} completes {:?}, but in line {} it invoked something else",
                event.function,
                self.line_of(invoked.rank)
            ));
        }
        match event.kind {
            Kind::Ok => self.complete_ok(process, rank, &invoked, event),
            Kind::Fail => {
                self.complete_fail(process, rank, &invoked, event);
                Ok(())
            }
            Kind::Info => {
                self.processes.insert(process, Client::Retired(line));
                self.keep_indeterminate(process, &invoked);
                Ok(())
            }
            Kind::Invoke => unreachable!("an invocation completes nothing"),
        }
    }

    fn complete_ok(
        &mut self,
        process: u64,
        rank: Rank,
        invoked: &Invoked,
        event: Event<'_>,
    ) -> Result<(), String> {
        let is_silent = invoked.function != Function::Read && event.value == Datum::Nil;
        let value = if is_silent && self.keys_are == Some(KeysAre::InValues) {
            Datum::Nil
        } else {
            let (key, value) = self.key_and_value(invoked.function, event.key, event.value)?;
            if key != invoked.key {
                let line = self.line_of(invoked.rank);
                return Err(format!("another key than in line {line}, where it was invoked"));
            }
            value
        };
        let action = match (invoked.action, value) {
            (None, Datum::Nil) if self.options.nil == Nil::Any => return Ok(()),
            (None, value) => Action::Read(self.value(&value)),
            (Some(action), Datum::Nil) => action,
            // Nearly always the same again, and then near at hand.
            (Some(action @ Action::Write(new)), value) if self.is(&value, new) => action,
            (Some(action), value) => self.action(invoked.function, value)?.unwrap_or(action),
        };
        self.keep(process, invoked, rank, action);
        Ok(())
    }

    fn complete_fail(&mut self, process: u64, rank: Rank, invoked: &Invoked, event: Event<'_>) {
        let aborted = match invoked.action {
            Some(Action::Write(value) | Action::Append(value)) => value,
            Some(Action::Cas { new, .. }) => new,
            Some(Action::Read(_)) | None => Value::MISSING,
        };
        if aborted != Value::MISSING {
            self.history.keys[invoked.key].aborted.push(aborted);
        }
        match (invoked.action, self.observed(event)) {
            (Some(Action::Cas { old, new, .. }), Some(seen)) => {
                self.keep(process, invoked, rank, Action::Cas { old, new, seen });
            }
            _ => self.history.counts.failed += 1,
        }
    }

    /// What a compare-and-set that failed saw.
    fn observed(&mut self, event: Event<'_>) -> Option<Seen> {
        match event.error {
            Datum::Nil => {
                // An operation that timed out says so in place of its value.
                let is_timeout = matches!(event.value, Datum::Symbol(_));
                let is_constraint = self.options.failed_cas == FailedCas::Constraint;
                (is_constraint && !is_timeout).then_some(Seen::NotOld)
            }
            Datum::List(parts) => match (parts.first()?.name()?, &parts[1..]) {
                ("mismatch", [current]) => Some(Seen::Current(self.value(current))),
                ("missing", []) => Some(Seen::Current(Value::MISSING)),
                _ => None,
            },
            _ => None,
        }
    }

    fn keep_indeterminate(&mut self, process: u64, invoked: &Invoked) {
        self.history.counts.indeterminate += 1;
        // A read without an answer says nothing.
        if let Some(action) = invoked.action {
            self.keep(process, invoked, Rank::NEVER, action);
        }
    }

    fn keep(&mut self, process: u64, invoked: &Invoked, complete: Rank, action: Action) {
        let operation = Operation { process, invoke: invoked.rank, complete, action };
        self.history.keys[invoked.key].operations.push(operation);
    }

    fn take_fault(&mut self, event: Event<'_>) {
        self.history.counts.others += 1;
        let before = Rank(self.history.events.lines.len() as u32);
        let what = match event.value {
            Datum::Nil => event.function.to_string(),
            // As our own runs have it: `pause minority: n1`, `healed: pause minority: n1`.
            Datum::String(text) if text.split(' ').any(|word| word == event.function) => {
                text.to_string()
            }
            Datum::String(text) | Datum::Symbol(text) => format!("{} {text}", event.function),
            value => format!("{} {value}", event.function),
        };
        self.history.faults.push(Fault { before, time: event.time, what });
    }

    /// Where the history of its key is, and the value without the key.
    fn key_and_value<'a>(
        &mut self,
        function: Function,
        key: Datum<'a>,
        value: Datum<'a>,
    ) -> Result<(usize, Datum<'a>), String> {
        let keys_are = match self.keys_are {
            Some(keys_are) => keys_are,
            None => *self.keys_are.insert(self.options.keyed.keys_are(function, &key, &value)),
        };
        match keys_are {
            KeysAre::Nowhere if key != Datum::Nil => {
                Err(format!("a key, {key}, in a history without keys; see --keyed"))
            }
            KeysAre::Nowhere => {
                if self.history.keys.is_empty() {
                    self.history.keys.push(KeyHistory::default());
                }
                Ok((0, value))
            }
            KeysAre::InFields if key == Datum::Nil => {
                Err(String::from("no field `key` in a history with keys; see --keyed"))
            }
            KeysAre::InFields => Ok((self.place(&key)?, value)),
            KeysAre::InValues => match value.pair() {
                Ok([key, value]) => Ok((self.place(&key)?, value)),
                Err(value) => {
                    Err(format!("expected a pair of key and value, found {value}; see --keyed"))
                }
            },
        }
    }

    /// Where the history of a key is.
    fn place(&mut self, key: &Datum<'_>) -> Result<usize, String> {
        let name = key.bytes(&mut self.scratch).ok_or("the key is nil")?;
        let place = self.names.intern(name).0 as usize - 1;
        if place == self.history.keys.len() {
            let key = Some(Arc::from(name));
            self.history.keys.push(KeyHistory { key, ..KeyHistory::default() });
        }
        Ok(place)
    }

    /// What is done by a function with this argument; `None` for a read.
    fn action(&mut self, function: Function, value: Datum<'_>) -> Result<Option<Action>, String> {
        Ok(Some(match function {
            Function::Read => return Ok(None),
            Function::Write => Action::Write(self.value(&value)),
            Function::Delete => Action::Write(Value::MISSING),
            Function::Append => match &value {
                Datum::String(_) => Action::Append(self.value(&value)),
                other => return Err(format!("expected a string to append, found {other}")),
            },
            Function::Cas => match value.pair() {
                Ok([old, new]) => {
                    let (old, new) = (self.value(&old), self.value(&new));
                    Action::Cas { old, new, seen: Seen::Matched }
                }
                Err(other) => return Err(format!("expected [old new] for cas, found {other}")),
            },
        }))
    }

    fn value(&mut self, value: &Datum<'_>) -> Value {
        let bytes = value.bytes(&mut self.scratch);
        bytes.map_or(Value::MISSING, |bytes| self.history.values.intern(bytes))
    }

    fn is(&mut self, datum: &Datum<'_>, value: Value) -> bool {
        self.history.values.bytes(value) == datum.bytes(&mut self.scratch)
    }

    fn line_of(&self, rank: Rank) -> u32 {
        self.history.events.line(rank).expect("every event has a line")
    }
}

impl Keyed {
    fn keys_are(self, function: Function, key: &Datum<'_>, value: &Datum<'_>) -> KeysAre {
        let is_pair = |datum: &Datum<'_>| matches!(datum, Datum::List(parts) if parts.len() == 2);
        let is_keyed = match (function, value) {
            (Function::Cas, Datum::List(parts)) => is_pair(value) && is_pair(&parts[1]),
            _ => is_pair(value),
        };
        match self {
            Keyed::No => KeysAre::Nowhere,
            _ if *key != Datum::Nil => KeysAre::InFields,
            Keyed::Yes => KeysAre::InValues,
            Keyed::Auto if is_keyed => KeysAre::InValues,
            Keyed::Auto => KeysAre::Nowhere,
        }
    }
}

fn function_named(name: &str) -> Result<Function, String> {
    Ok(match name {
        "read" | "get" => Function::Read,
        "write" | "put" => Function::Write,
        "cas" => Function::Cas,
        "delete" => Function::Delete,
        "append" => Function::Append,
        "" => return Err(String::from("no f; expected read, write, cas, delete or append")),
        other => {
            return Err(format!("f is {other}; expected read, write, cas, delete or append"));
        }
    })
}
