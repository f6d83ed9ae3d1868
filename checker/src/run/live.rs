//! A run judged while it lasts, and nodes held still at the first violation.
//!
//! Whatever is found here, the verdict is that over the recorded history. Both must agree, key by
//! key: if they do not, one of our judges is wrong, and that is said instead of a verdict.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Interrupts;
use crate::cluster::Nodes;
use crate::history::Shown;
use crate::linearizability::Verdict;
use crate::linearizability::live::{self, Call, Follower, Impossible, Standing};
use crate::process::Answer;
use crate::verify::Judged;
use crate::workload::{Action, Operation};

/// Follows all keys. Values are unique, so none of them gets lost.
#[derive(Default)]
pub struct Live {
    /// By key.
    keys: Vec<Follower<Option<String>>>,
    sightings: Vec<Sighting>,
}

/// An answer that made its key impossible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Whose answer it was.
    pub process: u64,
    /// What it had asked for.
    pub operation: Operation,
    /// What it was told.
    pub answer: Answer,
    /// Why that cannot be.
    pub why: Impossible,
    /// When, in nanoseconds since the run began.
    pub time: u64,
}

impl Live {
    /// A process is about to ask for this.
    pub fn invoked(&mut self, process: u64, operation: &Operation) {
        if operation.key >= self.keys.len() {
            self.keys.resize_with(operation.key + 1, || Follower::new(None));
        }
        let call = match &operation.action {
            Action::Read => Call::Read,
            Action::Write(new) => Call::Write(Some(new.clone())),
            Action::Cas { old, new } => Call::Cas { old: old.clone(), new: Some(new.clone()) },
        };
        self.keys[operation.key].invoke(process, call);
    }

    /// A process had this answer then. Returns whether it made its key impossible.
    pub fn completed(
        &mut self,
        process: u64,
        operation: &Operation,
        answer: &Answer,
        time: u64,
    ) -> bool {
        let key = &mut self.keys[operation.key];
        if key.standing() != Standing::Possible {
            return false;
        }
        let told = match answer {
            Answer::Ok(found) if operation.action == Action::Read => {
                live::Answer::Found(found.clone())
            }
            Answer::Ok(_) => live::Answer::Done,
            Answer::Mismatch(found) => live::Answer::Found(Some(found.clone())),
            Answer::Missing => live::Answer::Found(None),
            Answer::NotExecuted(_) => live::Answer::NotExecuted,
            Answer::Indeterminate(_) => live::Answer::Indeterminate,
        };
        let Standing::Impossible(why) = key.complete(process, told) else { return false };
        let (operation, answer) = (operation.clone(), answer.clone());
        self.sightings.push(Sighting { process, operation, answer, why, time });
        true
    }

    /// All violations so far, the first of each key, in the order in which they showed.
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// How many operations, values and blocks are kept.
    fn size(&self) -> usize {
        self.keys.iter().map(Follower::size).sum()
    }

    /// What was seen, for machines.
    pub(super) fn json(&self) -> Json {
        let told = |seen: &Sighting| json!({ "time_ns": seen.time, "what": seen.to_string() });
        let impossible: Vec<Json> = self.sightings.iter().map(told).collect();
        json!({ "impossible": impossible, "kept": self.size() })
    }

    fn standing(&self, key: &[u8]) -> Option<Standing> {
        let number = str::from_utf8(key).ok()?.strip_prefix('k')?.parse::<usize>().ok()?;
        self.keys.get(number).map(Follower::standing)
    }

    /// Where this judge and that of the recorded history contradict each other; each in a sentence.
    pub(super) fn quarrels(&self, judged: &Judged<'_>) -> Vec<String> {
        let mut quarrels = Vec::new();
        for (key, verdict) in judged.history.keys.iter().zip(&judged.verdicts) {
            let key = key.key.as_deref().unwrap_or_default();
            let final_word = match (self.standing(key), verdict) {
                (Some(Standing::Impossible(_)), Ok(Verdict::Valid { .. })) => "valid",
                (Some(Standing::Possible), Ok(Verdict::Invalid { .. })) => "invalid",
                _ => continue,
            };
            let seen = self.sightings.iter().find(|seen| seen.operation.name().as_bytes() == key);
            let seen = seen.map_or(String::from("nothing wrong"), Sighting::to_string);
            quarrels.push(format!(
                "the judges contradict each other, please report this folder: of {} the history is \
                 {final_word}, but during the run was seen: {seen}",
                Shown(Some(key))
            ));
        }
        quarrels
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sighting { process, operation, answer, why, .. } = self;
        let shown = |value: &Option<String>| match value {
            None => Shown(None).to_string(),
            Some(value) => Shown(Some(value.as_bytes())).to_string(),
        };
        let key = operation.name();
        let call = match &operation.action {
            Action::Read => format!("read {key}"),
            Action::Write(new) => format!("write {key} {}", shown(&Some(new.clone()))),
            Action::Cas { old, new } => {
                format!("cas {key} {} {}", shown(old), shown(&Some(new.clone())))
            }
        };
        let told = match answer {
            Answer::Ok(found) if operation.action == Action::Read => shown(found),
            Answer::Ok(_) => String::from("ok"),
            Answer::Mismatch(found) => format!("no, it is {}", shown(&Some(found.clone()))),
            Answer::Missing => format!("no, it is {}", shown(&None)),
            Answer::NotExecuted(_) => String::from("not executed"),
            Answer::Indeterminate(_) => String::from("?"),
        };
        write!(f, "process {process}'s `{call}` was answered {told}: {why}")
    }
}

/// Tells how to look at nodes that stand still, and on a terminal waits until somebody has.
pub(super) fn hold(nodes: &Nodes, interrupts: &Interrupts) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "nodes stand still since the violation was seen:")?;
    for place in nodes.places() {
        let (id, data, log) = (place.id.0, place.data.display(), place.log.display());
        match place.pid {
            Some(pid) => writeln!(out, "  n{id}: pid {pid}, data {data}, log {log}")?,
            None => writeln!(out, "  n{id}: does not run, data {data}, log {log}")?,
        }
    }
    writeln!(out, "  look inside: gdb -p PID")?;
    writeln!(
        out,
        "  let one go on: kill -CONT PID; ask it: kv --cluster {} status",
        nodes.cluster_file().display()
    )?;
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return writeln!(out, "no terminal, so nobody is waited for: the nodes are ended now");
    }
    if interrupts.came() {
        return writeln!(out, "interrupted, so nobody is waited for: the nodes are ended now");
    }
    writeln!(out, "Enter or Ctrl-C ends the nodes")?;
    drop(out);
    let (enter, entered) = mpsc::channel();
    // Never joined: it ends with the program if nobody presses Enter.
    thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        let _ = enter.send(());
    });
    let look = Duration::from_millis(50);
    while !interrupts.came() && entered.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Recorder;
    use crate::verify;

    const WRITER: u64 = 1;
    const READER: u64 = 2;

    fn write(new: &str) -> Operation {
        Operation { key: 3, action: Action::Write(new.to_string()) }
    }

    fn done(live: &mut Live, process: u64, operation: &Operation, answer: Answer) -> bool {
        live.invoked(process, operation);
        live.completed(process, operation, &answer, 0)
    }

    #[test]
    fn the_first_impossible_answer_of_a_key_is_seen_and_told() {
        let mut live = Live::default();
        assert!(!done(&mut live, WRITER, &write("1.1"), Answer::Ok(None)));
        let swap = Action::Cas { old: Some("1.1".to_string()), new: "1.2".to_string() };
        let swap = Operation { key: 3, action: swap };
        assert!(!done(&mut live, WRITER, &swap, Answer::Indeterminate("no answer".to_string())));
        let read = |value: Option<&str>| Answer::Ok(value.map(str::to_string));
        assert!(!done(&mut live, READER, &Operation::read(3), read(Some("1.1"))));
        assert!(!done(&mut live, READER, &Operation::read(3), read(Some("1.2"))), "it took effect");
        assert!(done(&mut live, READER, &Operation::read(3), read(Some("1.1"))));
        assert!(!done(&mut live, READER, &Operation::read(3), read(None)), "seen already");
        assert!(done(&mut live, READER, &Operation::read(0), read(Some("7.7"))), "another key");
        let told: Vec<String> = live.sightings().iter().map(Sighting::to_string).collect();
        assert_eq!(
            told,
            [
                "process 2's `read k3` was answered \"1.1\": what that depends on was never \
                 written, or had been replaced before",
                "process 2's `read k0` was answered \"7.7\": what that depends on was never \
                 written, or had been replaced before",
            ]
        );
    }

    #[test]
    fn answers_of_a_compare_and_set_are_understood() {
        let swap = |old: Option<&str>| Operation {
            key: 0,
            action: Action::Cas { old: old.map(str::to_string), new: "9".to_string() },
        };
        for (old, answer, is_possible) in [
            (Some("1"), Answer::Ok(None), true),
            (None, Answer::Ok(None), false),
            (Some("1"), Answer::Mismatch("1".to_string()), false),
            (None, Answer::Mismatch("1".to_string()), true),
            (None, Answer::Missing, false),
            (Some("1"), Answer::Missing, false),
            (Some("0"), Answer::NotExecuted("no session".to_string()), true),
        ] {
            let mut live = Live::default();
            let first = Operation { key: 0, action: Action::Write("1".to_string()) };
            assert!(!done(&mut live, WRITER, &first, Answer::Ok(None)));
            let seen = done(&mut live, WRITER, &swap(old), answer.clone());
            assert_eq!(seen, !is_possible, "{old:?} {answer:?}");
        }
    }

    #[test]
    fn judges_that_differ_about_a_key_are_told_from_those_that_agree() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("history.jsonl");
        let recorder = Recorder::create(&file).expect("a file");
        let read = |key: usize, value: Option<&str>| {
            recorder.invoked(READER, &Operation::read(key));
            let answer = Answer::Ok(value.map(str::to_string));
            recorder.completed(READER, &Operation::read(key), &answer);
        };
        read(0, None);
        read(1, Some("7.7"));
        recorder.finish().expect("it is written");
        let judged = verify::judge(&verify::Plan::of_own(), &file, "ours").expect("a history");
        assert_eq!(recorder.with_live(|live| live.quarrels(&judged)), Vec::<String>::new());

        let mut other = Live::default();
        done(&mut other, READER, &Operation::read(0), Answer::Ok(Some("7.7".to_string())));
        done(&mut other, READER, &Operation::read(1), Answer::Ok(None));
        let quarrels = other.quarrels(&judged);
        assert_eq!(quarrels.len(), 2, "{quarrels:?}");
        assert!(quarrels[0].contains("of k0 the history is valid"), "{quarrels:?}");
        assert!(quarrels[0].contains("process 2's `read k0`"), "{quarrels:?}");
        assert!(quarrels[1].contains("of k1 the history is invalid"), "{quarrels:?}");
        assert!(quarrels[1].contains("nothing wrong"), "{quarrels:?}");
    }
}
