//! Why a history is impossible, for a tired reader: one sentence, then the operations in time.
//!
//! ```text
//! key k7: stale read: process 4's `read k7` returned a, although it was invoked 210 ms after
//! process 2's `write k7 b` had completed
//! ```

use std::fmt;

use crate::history::{Action, Fault, History, KeyHistory, Operation, Rank, Seen, Shown, Value};
use crate::linearizability::spec::observed;
use crate::linearizability::{Cause, Evidence, Violation};

mod timeline;

pub(crate) use timeline::{ranks, shown};

/// Speaks of the operations of one key.
#[derive(Clone, Copy)]
pub struct Teller<'a> {
    /// Knows values, lines and times.
    pub history: &'a History,
    /// Whose operations are spoken of.
    pub key: &'a KeyHistory,
}

impl<'a> Teller<'a> {
    /// The name of the key, in front of what is said of it: `key k7: `. Empty if it has none.
    pub fn name(&self) -> String {
        let key = self.key.key.as_deref();
        key.map_or(String::new(), |key| format!("key {}: ", Shown(Some(key))))
    }

    /// The violation in one sentence, behind the name of its cause.
    pub fn sentence(&self, violation: &Violation) -> String {
        let cause = violation.cause.name().replace('-', " ");
        format!("{cause}: {}", self.reason(violation))
    }

    /// The operations of the core, one a line, drawn in time in no more than `columns`.
    pub fn timeline(&self, violation: &Violation, columns: usize) -> String {
        timeline::draw(self, violation, columns)
    }

    /// An operation of the core in words: its process, what it does, what came of it, and when it was
    /// invoked and completed, in seconds if times were recorded.
    /// `core`: all of it, as some refer to others.
    pub fn row(&self, evidence: &Evidence, core: &[Evidence]) -> [String; 5] {
        timeline::row(self, evidence, core)
    }

    /// What the nemesis did from shortly before the first operation of the core to its last answer.
    pub fn faults_around(&self, violation: &Violation) -> &'a [Fault] {
        let operations = violation.core.iter().map(|evidence| &evidence.operation);
        let ends = |op: &Operation| if op.is_indeterminate() { op.invoke } else { op.complete };
        let start = operations.clone().map(|op| op.invoke).min().unwrap_or(Rank(0));
        let end = operations.map(ends).max().unwrap_or(start);
        let faults = &self.history.faults;
        let first = faults.partition_point(|fault| fault.before <= start);
        let last = faults.partition_point(|fault| fault.before <= end);
        // The one before may still be in force.
        &faults[first.saturating_sub(1)..last]
    }

    /// What an operation does: `cas k7 a b`.
    pub fn call(&self, operation: &Operation) -> String {
        let value = |value| self.value(value);
        let key = self.key.key.as_deref();
        let key = key.map_or(String::new(), |key| format!(" {}", Shown(Some(key))));
        match operation.action {
            Action::Read(_) => format!("read{key}"),
            Action::Write(Value::MISSING) => format!("delete{key}"),
            Action::Write(new) => format!("write{key} {}", value(new)),
            Action::Cas { old, new, .. } => format!("cas{key} {} {}", value(old), value(new)),
            Action::Append(tail) => format!("append{key} {}", value(tail)),
        }
    }

    /// What came of an operation.
    pub fn answer(&self, operation: &Operation) -> String {
        match operation.action {
            _ if operation.is_indeterminate() => String::from("?"),
            Action::Read(value) => self.value(value).to_string(),
            Action::Write(_) | Action::Append(_) => String::from("ok"),
            Action::Cas { seen: Seen::Matched, .. } => String::from("ok"),
            Action::Cas { seen: Seen::Current(value), .. } => {
                format!("no, it is {}", self.value(value))
            }
            Action::Cas { old, seen: Seen::NotOld, .. } => {
                format!("no, it is not {}", self.value(old))
            }
        }
    }

    fn reason(&self, violation: &Violation) -> String {
        let accused = &violation.core[violation.accused].operation;
        let saw = format!("{} {}", self.whose(accused), self.saw(accused));
        let against = violation.against.map(|index| &violation.core[index].operation);
        match (violation.cause, against) {
            (Cause::Phantom, _) => format!("{saw}, which nobody wrote"),
            (Cause::Aborted, _) => {
                format!("{saw}, but whoever was to write that was told that it did not happen")
            }
            (Cause::FromTheFuture, Some(other)) => format!(
                "{saw}, {}before {}, {}, was invoked",
                self.duration(accused.complete, other.invoke),
                self.whose(other),
                if observed(&accused.action) == set(other) {
                    "which wrote it"
                } else {
                    "which led to it"
                }
            ),
            (Cause::WentBack | Cause::Stale, Some(other)) => {
                format!("{saw}, although {}", self.before(accused, other))
            }
            (Cause::LostWrite, Some(other)) => format!(
                "{} {}, and everybody went on as if it had not happened: {}{saw}",
                self.whose(other),
                self.did(other),
                self.duration(other.complete, accused.invoke)
                    .strip_suffix(' ')
                    .map_or(String::new(), |duration| format!("{duration} later, ")),
            ),
            (Cause::DoubleCas, Some(other)) => format!(
                "{} and {} both succeeded, so both replaced the same value: one update is lost",
                self.whose(other),
                self.whose(accused)
            ),
            (Cause::Contradiction, _) => format!("{saw}, which is just what it expected"),
            (Cause::CasCycle, _) => String::from(
                "each of these compare-and-sets found what another of them wrote, round in a \
                 circle: none of them can have been the first",
            ),
            (Cause::Interleaved, Some(other)) => {
                format!(
                    "{saw}, although {}; neither value was written twice",
                    self.before(accused, other)
                )
            }
            _ => format!("{saw}, and no order of these operations explains that"),
        }
    }

    /// `it was invoked 210 ms after process 2's `write b` had completed`.
    fn before(&self, accused: &Operation, other: &Operation) -> String {
        let had = format!("{} had {}", self.whose(other), self.did(other));
        if other.complete < accused.invoke {
            let duration = self.duration(other.complete, accused.invoke);
            format!("it was invoked {duration}after {had}")
        } else {
            had
        }
    }

    fn whose(&self, operation: &Operation) -> String {
        format!("process {}'s `{}`", operation.process, self.call(operation))
    }

    /// What an operation did to others, in words that follow its name, or a `had` behind its name.
    fn did(&self, operation: &Operation) -> String {
        match operation.action {
            _ if operation.is_indeterminate() => String::from("left its mark"),
            Action::Cas { seen: Seen::Matched, .. } => String::from("succeeded"),
            _ => self.saw(operation),
        }
    }

    /// What an operation saw, in words as those of [`Self::did`].
    fn saw(&self, operation: &Operation) -> String {
        match operation.action {
            Action::Read(value) => format!("returned {}", self.value(value)),
            Action::Write(_) | Action::Append(_) => String::from("completed"),
            Action::Cas { old, seen: Seen::Matched, .. } => format!("found {}", self.value(old)),
            Action::Cas { seen: Seen::Current(value), .. } => {
                format!("found {}", self.value(value))
            }
            Action::Cas { seen: Seen::NotOld, .. } => String::from("found another value"),
        }
    }

    fn value(&self, value: Value) -> Shown<'a> {
        self.history.values.shown(value)
    }

    /// The time between two events with a space behind it; nothing if it was not recorded.
    fn duration(&self, from: Rank, to: Rank) -> String {
        let time = |rank| self.history.events.time(rank);
        match (time(from), time(to)) {
            (Some(from), Some(to)) if to >= from => format!("{} ", Duration(to - from)),
            _ => String::new(),
        }
    }
}

/// The value that an operation leaves behind.
fn set(operation: &Operation) -> Option<Value> {
    match operation.action {
        Action::Write(value) | Action::Cas { new: value, .. } => Some(value),
        Action::Read(_) | Action::Append(_) => None,
    }
}

/// Nanoseconds in the unit that suits them.
pub struct Duration(pub i64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        match ns.unsigned_abs() {
            0..1_000 => write!(f, "{ns} ns"),
            1_000..1_000_000 => write!(f, "{} µs", ns / 1_000),
            1_000_000..10_000_000 => write!(f, "{:.1} ms", ns as f64 / 1e6),
            10_000_000..10_000_000_000 => write!(f, "{} ms", ns / 1_000_000),
            _ => write!(f, "{} s", ns / 1_000_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{self, Pairing};

    /// A history with keys, each event a millisecond and a half after the one before.
    fn history(events: &[&str]) -> History {
        let lines = events.iter().enumerate().map(|(index, event)| {
            let [process, kind, f, value] = event.splitn(4, ' ').collect::<Vec<_>>()[..] else {
                panic!("{event}: expected process, type, f and value");
            };
            let time = index * 1_500_000;
            format!("{{:process {process} :type :{kind} :f :{f} :value {value} :time {time}}}\n")
        });
        let text: String = lines.collect();
        history::read(text.as_bytes(), None, &Pairing::default()).expect("it is a history")
    }

    /// The sentence if all operations are the core; `accused` and `against` are places in it.
    fn sentence(events: &[&str], cause: Cause, accused: usize, against: Option<usize>) -> String {
        let history = history(events);
        let key = &history.keys[0];
        let plain = |&operation| Evidence { operation, counts_as: operation, shown_by: None };
        let core = key.operations.iter().map(plain).collect();
        Teller { history: &history, key }.sentence(&Violation { cause, core, accused, against })
    }

    const WRITE_A: [&str; 2] = ["0 invoke write [\"k\" \"a\"]", "0 ok write [\"k\" \"a\"]"];
    const WRITE_B: [&str; 2] = ["2 invoke write [\"k\" \"b\"]", "2 ok write [\"k\" \"b\"]"];
    const READ_A: [&str; 2] = ["4 invoke read [\"k\" nil]", "4 ok read [\"k\" \"a\"]"];
    const READ_B: [&str; 2] = ["5 invoke read [\"k\" nil]", "5 ok read [\"k\" \"b\"]"];
    const A_TO_B: [&str; 2] =
        ["6 invoke cas [\"k\" [\"a\" \"b\"]]", "6 ok cas [\"k\" [\"a\" \"b\"]]"];
    const A_TO_C: [&str; 2] =
        ["7 invoke cas [\"k\" [\"a\" \"c\"]]", "7 ok cas [\"k\" [\"a\" \"c\"]]"];

    #[test]
    fn every_cause_has_its_sentence() {
        assert_eq!(
            sentence(&READ_A, Cause::Phantom, 0, None),
            "phantom: process 4's `read k` returned a, which nobody wrote"
        );
        assert_eq!(
            sentence(&READ_A, Cause::Aborted, 0, None),
            "aborted read: process 4's `read k` returned a, but whoever was to write that was told \
             that it did not happen"
        );
        assert_eq!(
            sentence(&[READ_A, WRITE_A].concat(), Cause::FromTheFuture, 0, Some(1)),
            "read from the future: process 4's `read k` returned a, 1.5 ms before process 0's \
             `write k a`, which wrote it, was invoked"
        );
        assert_eq!(
            sentence(&[A_TO_B, READ_B, READ_A].concat(), Cause::WentBack, 2, Some(1)),
            "went back: process 4's `read k` returned a, although it was invoked 1.5 ms after \
             process 5's `read k` had returned b"
        );
        assert_eq!(
            sentence(&[READ_B, WRITE_A, A_TO_B].concat(), Cause::FromTheFuture, 0, Some(1)),
            "read from the future: process 5's `read k` returned b, 1.5 ms before process 0's \
             `write k a`, which led to it, was invoked"
        );
        assert_eq!(
            sentence(&[A_TO_B, READ_A].concat(), Cause::WentBack, 1, Some(0)),
            "went back: process 4's `read k` returned a, although it was invoked 1.5 ms after \
             process 6's `cas k a b` had succeeded"
        );
        assert_eq!(
            sentence(&[WRITE_A, WRITE_B, READ_A].concat(), Cause::Stale, 2, Some(1)),
            "stale read: process 4's `read k` returned a, although it was invoked 1.5 ms after \
             process 2's `write k b` had completed"
        );
        assert_eq!(
            sentence(&[WRITE_A, WRITE_B, A_TO_C].concat(), Cause::LostWrite, 2, Some(1)),
            "lost write: process 2's `write k b` completed, and everybody went on as if it had not \
             happened: 1.5 ms later, process 7's `cas k a c` found a"
        );
        assert_eq!(
            sentence(&[WRITE_A, A_TO_B, A_TO_C].concat(), Cause::DoubleCas, 2, Some(1)),
            "double cas: process 6's `cas k a b` and process 7's `cas k a c` both succeeded, so \
             both replaced the same value: one update is lost"
        );
        assert_eq!(
            sentence(&[READ_A, READ_B, READ_A].concat(), Cause::Interleaved, 2, Some(1)),
            "interleaved: process 4's `read k` returned a, although it was invoked 1.5 ms after \
             process 5's `read k` had returned b; neither value was written twice"
        );
        assert_eq!(
            sentence(&[READ_A, READ_B].concat(), Cause::NoOrder, 1, None),
            "no order: process 5's `read k` returned b, and no order of these operations explains \
             that"
        );
    }

    #[test]
    fn an_answer_that_never_came_is_said_to_have_left_its_mark() {
        let told = sentence(&[&WRITE_A[..1], &READ_A].concat(), Cause::Stale, 1, Some(0));
        assert!(told.ends_with("although process 0's `write k a` had left its mark"), "{told}");
    }

    #[test]
    fn only_faults_around_the_core_are_told() {
        let fault = |what: &'static str| [what];
        let events = [
            &fault(":nemesis info kill 1")[..],
            &fault(":nemesis info cut 1"),
            &WRITE_A,
            &fault(":nemesis info heal nil"),
            &READ_B,
            &fault(":nemesis info later nil"),
        ];
        let history = history(&events.concat());
        let key = &history.keys[0];
        let plain = |&operation| Evidence { operation, counts_as: operation, shown_by: None };
        let core = key.operations.iter().map(plain).collect();
        let violation = Violation { cause: Cause::Phantom, core, accused: 1, against: None };
        let faults = Teller { history: &history, key }.faults_around(&violation);
        let faults: Vec<&str> = faults.iter().map(|fault| &*fault.what).collect();
        assert_eq!(faults, ["cut 1", "heal"]);
    }

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        let told = |ns| Duration(ns).to_string();
        assert_eq!(told(999), "999 ns");
        assert_eq!(told(1_500_000), "1.5 ms");
        assert_eq!(told(210_000_000), "210 ms");
        assert_eq!(told(12_345_000), "12 ms");
        assert_eq!(told(61_000_000_000), "61 s");
    }
}
