//! The program `kv`: one request from a shell, or a console.

mod status;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use node::cli::{self, BAD_ARGUMENTS, KvOptions, Request};
use node::client::{
    Ask, Client, Cluster, Completion, Done, Failure, Outcome, Pipeline, Secret, Table,
};
use node::wire::{GroupId, NodeId};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::{Value, json};

/// Exit codes of requests, as the help says.
const OK: u8 = 0;
const FAILED: u8 = 1;
const INDETERMINATE: u8 = 2;

/// Enough for a node that is there: who asks for all of them wants to see those that are.
const STATUS_TIMEOUT_MAX: Duration = Duration::from_secs(1);

const CONSOLE_HELP: &str = "\
get KEY               the value of a key
put KEY VALUE         give a key a value
cas KEY OLD NEW       give a key the value NEW if it has the value OLD
cas --absent KEY NEW  give a key the value NEW if it is missing
delete KEY            take a key out
status [NODE]         the state of a node, or of all
route [KEY]           which group holds a key and who leads it, or the whole table
exit                  or Ctrl-D
Words with spaces go in quotes; \\ takes the next character as it is.
--json behind a command has it answered with one JSON object a line.";

fn main() -> ExitCode {
    let plan = match cli::kv(std::env::args_os()) {
        Ok(plan) => plan,
        Err(stop) => return stop.report(),
    };
    let opened = Kv::open(&plan.options);
    let code = opened.and_then(|mut kv| match &plan.request {
        Some(request) => kv.answer(request, plan.options.json).map_err(Stop::from),
        None => kv.console(&plan.options),
    });
    match code {
        Ok(code) => ExitCode::from(code),
        // Who reads our output has seen enough, as `head` does.
        Err(stop) if stop.is_broken_pipe => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("kv: {}", stop.why);
            ExitCode::from(BAD_ARGUMENTS)
        }
    }
}

/// Why it cannot go on.
struct Stop {
    why: String,
    is_broken_pipe: bool,
}

impl<E: fmt::Display + 'static> From<E> for Stop {
    fn from(error: E) -> Stop {
        let io = (&error as &dyn std::any::Any).downcast_ref::<io::Error>();
        let is_broken_pipe = io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        Stop { why: error.to_string(), is_broken_pipe }
    }
}

struct Kv {
    cluster: Cluster,
    secret: Option<Secret>,
    client: Client,
    timeout: Duration,
}

impl Kv {
    fn open(options: &KvOptions) -> Result<Kv, Stop> {
        let (cluster, secret) = Cluster::load(&options.cluster)?;
        let timeout = Duration::from_millis(options.timeout_ms);
        let client = Client::connect(&cluster, secret.as_ref(), timeout)?;
        Ok(Kv { cluster, secret, client, timeout })
    }

    /// Does what is asked and prints what comes of it; returns the exit code.
    fn answer(&mut self, request: &Request, json: bool) -> io::Result<u8> {
        let client = &mut self.client;
        match request {
            Request::Get { key } => {
                told(client.get(key), json, |value| Told::Value(value.to_vec()))
            }
            Request::Put { key, value } => told(client.put(key, value), json, |()| Told::Done),
            Request::Cas { key, old, new } => {
                told(client.cas(key, old.as_deref(), new), json, |_| Told::Done)
            }
            Request::Delete { key } => told(client.delete(key), json, |()| Told::Done),
            Request::Status { node: Some(node) } => match self.cluster.node(*node) {
                Ok(_) => self.status(&[*node], self.timeout, json),
                Err(error) => {
                    eprintln!("kv: {error}");
                    Ok(BAD_ARGUMENTS)
                }
            },
            Request::Status { node: None } => {
                let nodes: Vec<NodeId> = self.cluster.nodes.iter().map(|node| node.id).collect();
                self.status(&nodes, self.timeout.min(STATUS_TIMEOUT_MAX), json)
            }
            Request::Route { key: Some(key) } => {
                let route = client.route(key);
                told(route, json, |route| Told::Route(route.group, route.leader))
            }
            Request::Route { key: None } => table(client.table(), json),
        }
    }

    /// Tells of these nodes, all asked at the same time.
    fn status(&self, nodes: &[NodeId], timeout: Duration, json: bool) -> io::Result<u8> {
        let mut pipeline = Pipeline::connect(&self.cluster, self.secret.as_ref(), timeout)?;
        nodes.iter().for_each(|node| pipeline.submit(node.0.into(), Ask::Status { node: *node }));
        let mut answers = BTreeMap::new();
        while pipeline.in_flight() > 0 {
            let Some(Completion { tag, outcome, .. }) = pipeline.poll(timeout) else { continue };
            let answer = match outcome {
                Outcome::Ok(Done::Status(json)) => {
                    serde_json::from_str(&json).map_err(|error| error.to_string())
                }
                Outcome::Ok(_) => unreachable!("only states were asked for"),
                Outcome::Fail(failure) => Err(failure.to_string()),
                Outcome::Indeterminate(why) => Err(why.to_string()),
            };
            answers.insert(NodeId(tag as u16), answer);
        }
        let text = if json { status::lines(&answers) } else { status::table(&answers) };
        write!(io::stdout(), "{text}")?;
        Ok(if answers.values().all(Result::is_ok) { OK } else { INDETERMINATE })
    }

    fn console(&mut self, options: &KvOptions) -> Result<u8, Stop> {
        let is_terminal = io::stdin().is_terminal();
        if is_terminal {
            println!("cluster {}: help, or exit", self.cluster.name);
        }
        // History stays in memory: values may be nobody's business.
        let mut editor = DefaultEditor::new()?;
        loop {
            let line = match editor.readline(if is_terminal { "kv> " } else { "" }) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(OK),
                Err(error) => return Err(error.into()),
            };
            match line.trim() {
                "" => continue,
                "exit" | "quit" => return Ok(OK),
                "help" | "?" => println!("{CONSOLE_HELP}"),
                line => self.console_line(line, options)?,
            }
            editor.add_history_entry(line)?;
        }
    }

    /// A line has the grammar of the command line.
    fn console_line(&mut self, line: &str, options: &KvOptions) -> io::Result<()> {
        let Some(words) = words(line) else {
            eprintln!("kv: a quote is open");
            return Ok(());
        };
        let words = ["kv".into()].into_iter().chain(words.into_iter().map(OsString::from));
        match cli::kv(words) {
            Ok(plan) if plan.options.is_of_a_console() => {
                if let Some(request) = plan.request {
                    self.answer(&request, options.json || plan.options.json)?;
                }
            }
            Ok(_) => eprintln!("kv: give --cluster and --timeout-ms when you start the console"),
            Err(stop) => drop(stop.report()),
        }
        Ok(())
    }
}

/// What is told of a request that is ok.
enum Told {
    Done,
    Value(Vec<u8>),
    Route(GroupId, Option<NodeId>),
}

/// Prints an outcome; returns its exit code. Values go to standard output as they are.
fn told<T>(outcome: Outcome<T>, json: bool, ok: impl FnOnce(T) -> Told) -> io::Result<u8> {
    let (code, outcome) = judged(outcome, ok);
    match outcome {
        _ if json => writeln!(io::stdout(), "{}", in_json(&outcome))?,
        Outcome::Ok(told) => in_text(&told, &mut io::stdout().lock())?,
        Outcome::Fail(failure) => eprintln!("kv: {failure}"),
        Outcome::Indeterminate(why) => eprintln!("kv: nobody knows: {why}"),
    }
    Ok(code)
}

/// The exit code of an outcome, and what is to be told.
fn judged<T>(outcome: Outcome<T>, ok: impl FnOnce(T) -> Told) -> (u8, Outcome<Told>) {
    match outcome {
        Outcome::Ok(value) => (OK, Outcome::Ok(ok(value))),
        Outcome::Fail(failure) => (FAILED, Outcome::Fail(failure)),
        Outcome::Indeterminate(why) => (INDETERMINATE, Outcome::Indeterminate(why)),
    }
}

fn in_text(told: &Told, out: &mut impl Write) -> io::Result<()> {
    match told {
        Told::Done => writeln!(out, "ok"),
        Told::Value(value) => out.write_all(value).and_then(|()| writeln!(out)),
        Told::Route(group, leader) => {
            let leader = leader.map_or("unknown".to_owned(), |leader| leader.to_string());
            writeln!(out, "group {}, leader {leader}", group.0)
        }
    }
}

fn in_json(outcome: &Outcome<Told>) -> Value {
    match outcome {
        Outcome::Ok(Told::Done) => json!({"outcome": "ok"}),
        Outcome::Ok(Told::Value(value)) => with_value(json!({"outcome": "ok"}), value),
        Outcome::Ok(Told::Route(group, leader)) => {
            json!({"outcome": "ok", "group": group.0, "leader": leader.map(|node| node.0)})
        }
        Outcome::Fail(Failure::Missing) => json!({"outcome": "fail", "why": "missing"}),
        Outcome::Fail(Failure::Mismatch(value)) => {
            with_value(json!({"outcome": "fail", "why": "mismatch"}), value)
        }
        Outcome::Fail(Failure::TooLarge { size_bytes_max }) => {
            json!({"outcome": "fail", "why": "too-large", "size_bytes_max": size_bytes_max})
        }
        Outcome::Indeterminate(why) => {
            json!({"outcome": "indeterminate", "why": why.to_string()})
        }
    }
}

/// JSON has no bytes: what is no text comes in hexadecimal digits, under another name.
fn with_value(mut object: Value, value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => object["value"] = json!(text),
        Err(_) => {
            let digits = value.iter().map(|byte| format!("{byte:02x}"));
            object["value_hex"] = json!(digits.collect::<String>());
        }
    }
    object
}

fn table(table: &Table, json: bool) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    for group in table.groups() {
        let slots = table.slots_of(group);
        let nodes = table.preference(group);
        if json {
            let nodes: Vec<u16> = nodes.iter().map(|node| node.0).collect();
            let slots = [slots.start, slots.end];
            writeln!(out, "{}", json!({"group": group.0, "slots": slots, "nodes": nodes}))?;
        } else {
            let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
            let (Range { start, end }, nodes) = (slots, nodes.join(" "));
            writeln!(out, "group {}: slots {start}..{end}, on {nodes}", group.0)?;
        }
    }
    Ok(OK)
}

/// Splits a line as a shell would; none if a quote is left open.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quote != Some('\'') => word.get_or_insert_default().push(letters.next()?),
            '"' | '\'' if quote.is_none() => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            _ if quote == Some(letter) => quote = None,
            _ if letter.is_whitespace() && quote.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_in_a_shell() {
        let split = |line| words(line).map(|words| words.join("|"));
        assert_eq!(split(r#" put  k 'a b' "#).as_deref(), Some("put|k|a b"));
        assert_eq!(split(r#"put k "" x\ y '\'"#).as_deref(), Some(r"put|k||x y|\"));
        assert_eq!(split(r#"put k "a'b"c"#).as_deref(), Some("put|k|a'bc"));
        assert_eq!(split(r#"put k "a"#), None);
        assert_eq!(split(r"put k a\"), None);
    }

    #[test]
    fn values_that_are_no_text_are_told_in_digits() {
        let value = |bytes: &[u8]| in_json(&Outcome::Ok(Told::Value(bytes.to_vec()))).to_string();
        assert_eq!(value(b"a\n"), r#"{"outcome":"ok","value":"a\n"}"#);
        assert_eq!(value(b"\xff\x00"), r#"{"outcome":"ok","value_hex":"ff00"}"#);
    }
}
