//! The operations of a run as they were recorded, also those of which the judge needs to know
//! nothing: reads without an answer, and commands that were refused.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use hashbrown::HashMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::Error;
use crate::history::Shown;

/// What an operation was. The order is that of [`Kind::NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Read,
    Write,
    Cas,
    Delete,
}

impl Kind {
    pub const NAMES: [&'static str; 4] = ["read", "write", "cas", "delete"];
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Ok,
    /// It did not happen: refused, or found something else.
    Fail,
    /// Nobody knows.
    Indeterminate,
}

/// One operation in time. Small, because there may be millions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub process: u64,
    pub kind: Kind,
    pub outcome: Outcome,
    /// Nanoseconds since the run began.
    pub begun: u64,
    /// When its client knew, or gave up. Of one without a completion, the end of the history.
    pub ended: u64,
    /// The line of its invocation, from 1.
    pub line: u32,
    /// Where in the file it was invoked.
    invoked_at: u64,
    /// Where in the file it was completed.
    completed_at: Option<u64>,
}

impl Span {
    /// One that stands in no file, for tests.
    #[cfg(test)]
    pub fn made(process: u64, kind: Kind, outcome: Outcome, begun: u64, ended: u64) -> Span {
        let (line, invoked_at, completed_at) = (1, 0, None);
        Span { process, kind, outcome, begun, ended, line, invoked_at, completed_at }
    }
}

/// An event of our own history, in so far as it matters here.
#[derive(Deserialize)]
struct Event {
    time: u64,
    process: Process,
    r#type: Type,
    /// Of a client: what the nemesis does is its own affair.
    #[serde(default)]
    f: Option<Function>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Process {
    Client(u64),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Function {
    OfClient(Kind),
    Other(IgnoredAny),
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// Reads the operations of a history that was judged, by invocation.
pub(super) fn read(file: &Path) -> Result<Vec<Span>, Error> {
    let input = File::open(file).map_err(|error| Error::io(file, error))?;
    let mut input = BufReader::with_capacity(1 << 18, input);
    let (mut spans, mut open, mut latest) = (Vec::<Span>::new(), HashMap::<u64, usize>::new(), 0);
    let (mut at, mut line) = (0, Vec::new());
    for number in 1.. {
        line.clear();
        let length = input.read_until(b'\n', &mut line).map_err(|error| Error::io(file, error))?;
        if length == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let event: Event = serde_json::from_slice(&line)
                .map_err(|error| Error::malformed(file, format!("line {number}: {error}")))?;
            latest = latest.max(event.time);
            take(event, number, at, &mut spans, &mut open);
        }
        at += length as u64;
    }
    for span in spans.iter_mut().filter(|span| span.completed_at.is_none()) {
        span.ended = latest;
    }
    Ok(spans)
}

/// Takes the event in this line, which begins at this byte of the file.
fn take(event: Event, line: u32, at: u64, spans: &mut Vec<Span>, open: &mut HashMap<u64, usize>) {
    let (Process::Client(process), Some(Function::OfClient(kind))) = (event.process, event.f)
    else {
        return;
    };
    let begun = event.time;
    let outcome = match event.r#type {
        Type::Invoke => {
            open.insert(process, spans.len());
            spans.push(Span {
                process,
                kind,
                outcome: Outcome::Indeterminate,
                begun,
                ended: begun,
                line,
                invoked_at: at,
                completed_at: None,
            });
            return;
        }
        Type::Ok => Outcome::Ok,
        Type::Fail => Outcome::Fail,
        Type::Info => Outcome::Indeterminate,
    };
    if let Some(index) = open.remove(&process) {
        let span = &mut spans[index];
        (span.outcome, span.completed_at) = (outcome, Some(at));
        span.ended = event.time.max(span.begun);
    }
}

/// The words of operations: what was asked, and what was answered.
pub(super) struct Words {
    file: BufReader<File>,
}

impl Words {
    /// Of this history.
    pub fn of(file: &Path) -> io::Result<Words> {
        Ok(Words { file: BufReader::new(File::open(file)?) })
    }

    /// `cas k3 a b` and `no, it is c`.
    pub fn tell(&mut self, span: &Span) -> io::Result<(String, String)> {
        let invoked = self.line(span.invoked_at)?;
        let name = Kind::NAMES[span.kind as usize];
        let key = word(&invoked["value"][0]);
        let argument = &invoked["value"][1];
        let call = match span.kind {
            Kind::Read | Kind::Delete => format!("{name} {key}"),
            Kind::Write => format!("{name} {key} {}", word(argument)),
            Kind::Cas => format!("{name} {key} {} {}", word(&argument[0]), word(&argument[1])),
        };
        let Some(at) = span.completed_at else { return Ok((call, String::from("no answer"))) };
        let completed = self.line(at)?;
        let error = &completed["error"];
        let answer = match (span.outcome, error[0].as_str()) {
            (Outcome::Ok, _) if span.kind == Kind::Read => word(&completed["value"][1]),
            (Outcome::Ok, _) => String::from("ok"),
            (_, Some("mismatch")) => format!("no, it is {}", word(&error[1])),
            (_, Some("missing")) => String::from("no, it is nil"),
            (Outcome::Fail, _) => format!("not executed: {}", reason(error)),
            (Outcome::Indeterminate, _) => format!("unknown: {}", reason(error)),
        };
        Ok((call, answer))
    }

    fn line(&mut self, at: u64) -> io::Result<Json> {
        // Mostly not far away, and then the buffer has it.
        let here = self.file.stream_position()?;
        self.file.seek_relative(at as i64 - here as i64)?;
        let mut line = Vec::new();
        self.file.by_ref().read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

/// Why an operation failed, as its client said; all of it if that is not as ours say it.
fn reason(error: &Json) -> String {
    const CHARS_MAX: usize = 60;
    let whole = || error.to_string();
    error[1].as_str().map_or_else(whole, String::from).chars().take(CHARS_MAX).collect()
}

/// A key or a value, as explanations have it.
fn word(value: &Json) -> String {
    match value {
        Json::Null => Shown(None).to_string(),
        Json::String(text) => Shown(Some(text.as_bytes())).to_string(),
        other => Shown(Some(other.to_string().as_bytes())).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_time_its_words_and_its_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("history.jsonl");
        let text = r#"{"index":0,"time":10,"process":0,"type":"invoke","f":"read","value":["k",null]}
{"index":1,"time":15,"process":"nemesis","type":"info","f":"kill","value":"kill one: n1"}
{"index":2,"time":20,"process":1,"type":"invoke","f":"cas","value":["k",["a",null]]}
{"index":3,"time":30,"process":0,"type":"ok","f":"read","value":["k","x y"]}
{"index":4,"time":40,"process":1,"type":"fail","f":"cas","value":["k",["a",null]],"error":["mismatch","b"]}
{"index":5,"time":50,"process":1,"type":"invoke","f":"write","value":["k","c"]}
{"index":6,"time":60,"process":0,"type":"invoke","f":"write","value":["k","d"]}
{"index":7,"time":70,"process":0,"type":"info","f":"write","value":["k","d"],"error":["unknown","no answer"]}
"#;
        std::fs::write(&file, text).expect("it can be written");
        let spans = read(&file).expect("it is a history");
        let mut words = Words::of(&file).expect("it is there");
        // Backwards, as sorted ones may be asked for.
        let told: Vec<_> =
            spans.iter().rev().map(|span| words.tell(span).expect("words")).collect();
        let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (&a[..], &b[..])).rev().collect();
        assert_eq!(
            told,
            [
                ("read k", "\"x y\""),
                ("cas k a nil", "no, it is b"),
                ("write k c", "no answer"),
                ("write k d", "unknown: no answer"),
            ]
        );
        let times: Vec<_> = spans.iter().map(|span| (span.begun, span.ended, span.line)).collect();
        assert_eq!(times, [(10, 30, 1), (20, 40, 3), (50, 70, 6), (60, 70, 7)]);
        let outcomes = spans.iter().map(|span| span.outcome);
        let [ok, fail, open] = [Outcome::Ok, Outcome::Fail, Outcome::Indeterminate];
        assert!(outcomes.eq([ok, fail, open, open]));
    }
}
