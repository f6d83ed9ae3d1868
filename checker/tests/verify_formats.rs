//! The same events, written down in each format, are the same history; and no bytes are a panic.
//!
//! `SEED=` repeats a run.

use std::fmt::Write;

use checker::history::{self, Action, Format, History, Pairing, Rank, Seen, Value};
use fastrand::Rng;

mod random;

const FORMATS: [Format; 4] = [Format::Edn, Format::Jsonl, Format::Log, Format::Text];

fn seeded() -> Rng {
    Rng::with_seed(random::seed(fastrand::u64(..)))
}

/// A value as all formats have it.
#[derive(Clone, PartialEq, Debug)]
enum Datum {
    Nil,
    Int(i64),
    Word(String),
    Pair(Box<[Datum; 2]>),
}

/// An event as all formats have it.
#[derive(Clone, Debug)]
struct Event {
    process: Option<u64>,
    kind: &'static str,
    function: &'static str,
    value: Datum,
    /// `mismatch` and what was there.
    mismatch: Option<Datum>,
}

fn pair(one: Datum, other: Datum) -> Datum {
    Datum::Pair(Box::new([one, other]))
}

/// A value that is not nil.
fn some(random: &mut Rng) -> Datum {
    let words = ["a", "nil", "", "two words", "q\"\\\n\t", "é", "4", "x-17"];
    match random.u8(0..2) {
        0 => Datum::Int(random.i64(-3..1000)),
        _ => Datum::Word(words[random.usize(..words.len())].to_string()),
    }
}

fn any(random: &mut Rng) -> Datum {
    if random.u8(0..4) == 0 { Datum::Nil } else { some(random) }
}

/// What some clients do, and the nemesis between; not linearizable, but each client by turns.
fn events(random: &mut Rng, is_keyed: bool) -> Vec<Event> {
    let keys = [Datum::Word("k".into()), Datum::Word("k 2".into()), Datum::Int(3)];
    // Each waits for the completion of the event beside it, or for nothing.
    let mut clients: Vec<(u64, Option<Event>)> = (0..4).map(|process| (process, None)).collect();
    let mut events = Vec::new();
    for next in 4..4 + random.u64(0..60) {
        let client = random.usize(..clients.len());
        let (process, open) = &mut clients[client];
        if random.u8(0..20) == 0 {
            let value = Datum::Word("a b".into());
            let fault =
                Event { process: None, kind: "info", function: "start", value, mismatch: None };
            events.push(fault);
        }
        let Some(invoked) = open.take() else {
            let (function, value) = match random.u8(0..4) {
                0 => ("read", Datum::Nil),
                1 => ("write", some(random)),
                2 => ("cas", pair(any(random), any(random))),
                _ => ("delete", Datum::Nil),
            };
            let value = match is_keyed {
                true => pair(keys[random.usize(..keys.len())].clone(), value),
                false => value,
            };
            let process = Some(*process);
            let event = Event { process, kind: "invoke", function, value, mismatch: None };
            *open = Some(event.clone());
            events.push(event);
            continue;
        };
        let kind = ["ok", "ok", "fail", "info"][random.usize(..4)];
        let mut event = Event { kind, ..invoked };
        if (kind, event.function) == ("ok", "read") {
            event.value = match event.value {
                Datum::Pair(keyed) => pair(keyed[0].clone(), any(random)),
                _ => any(random),
            };
        }
        if (kind, event.function) == ("fail", "cas") && random.bool() {
            event.mismatch = Some(any(random));
        }
        if kind == "info" {
            *process = next;
        }
        events.push(event);
    }
    events
}

fn json(datum: &Datum) -> String {
    match datum {
        Datum::Nil => String::from("null"),
        Datum::Int(number) => number.to_string(),
        Datum::Word(word) => serde_json::Value::from(&**word).to_string(),
        Datum::Pair(pair) => format!("[{},{}]", json(&pair[0]), json(&pair[1])),
    }
}

fn edn(datum: &Datum) -> String {
    match datum {
        Datum::Nil => String::from("nil"),
        Datum::Pair(pair) => format!("[{} {}]", edn(&pair[0]), edn(&pair[1])),
        // Of what is in our words, both have the same spelling.
        other => json(other),
    }
}

fn render(events: &[Event], format: Format, random: &mut Rng) -> String {
    let mut text = String::new();
    let is_collection = format == Format::Edn && random.bool();
    text.push_str(if is_collection { "[" } else { "" });
    for (index, event) in events.iter().enumerate() {
        match format {
            Format::Jsonl => json_line(&mut text, index, event, random),
            Format::Edn => edn_map(&mut text, event, random),
            Format::Text => text_line(&mut text, event),
            Format::Log => {
                text.push_str("INFO  jepsen.util - ");
                text_line(&mut text, event);
            }
        }
    }
    text.push_str(if is_collection { "]" } else { "" });
    text
}

fn json_line(text: &mut String, index: usize, event: &Event, random: &mut Rng) {
    let Event { kind, function, value, mismatch, .. } = event;
    let process = event.process.map_or(String::from("\"nemesis\""), |process| process.to_string());
    let mut fields = vec![
        format!("\"index\":{index}"),
        format!("\"time\":{}", index * 1000),
        format!("\"process\":{process}"),
        format!("\"type\":\"{kind}\""),
        format!("\"f\":\"{function}\""),
        format!("\"value\":{}", json(value)),
    ];
    fields.extend(mismatch.iter().map(|was| format!("\"error\":[\"mismatch\",{}]", json(was))));
    // Our own order is read another way than any other.
    let separator = if random.bool() { "," } else { " , " };
    if random.bool() {
        random.shuffle(&mut fields);
    }
    writeln!(text, "{{{}}}", fields.join(separator)).expect("a string takes anything");
}

fn edn_map(text: &mut String, event: &Event, random: &mut Rng) {
    let Event { kind, function, value, mismatch, .. } = event;
    let process = event.process.map_or(String::from(":nemesis"), |process| process.to_string());
    let mut fields = vec![
        format!(":process {process}"),
        format!(":type :{kind}"),
        format!(":f :{function}"),
        format!(":value {}", edn(value)),
    ];
    fields.extend(mismatch.iter().map(|was| format!(":error [:mismatch {}]", edn(was))));
    random.shuffle(&mut fields);
    let tag = if random.bool() { "#jepsen.history.Op" } else { "" };
    let after = ["\n", " ", ", ; }] {\n", " #_{:process 0}\n"][random.usize(..4)];
    let between = [", ", " ", "\n  "][random.usize(..3)];
    write!(text, "{tag}{{{}}}{after}", fields.join(between)).expect("a string takes anything");
}

fn text_line(text: &mut String, event: &Event) {
    let Event { kind, function, value, mismatch, .. } = event;
    let process = event.process.map_or(String::from(":nemesis"), |process| process.to_string());
    let error = mismatch.iter().map(|was| format!("\t[:mismatch {}]", edn(was)));
    let error = error.collect::<String>();
    writeln!(text, "{process}\t:{kind}\t:{function}\t{}{error}", edn(value))
        .expect("a string takes anything");
}

fn read(text: &[u8], format: Option<Format>) -> Result<History, history::ReadError> {
    history::read(text, format, &Pairing::default())
}

/// What must be the same in all formats.
fn told(history: &History) -> String {
    let value = |value: &Value| history.values.shown(*value).to_string();
    let mut told = format!("{:?}\n", history.counts);
    for key in &history.keys {
        let name = key.key.as_deref().map(|key| history::Shown(Some(key)).to_string());
        let aborted: Vec<String> = key.aborted.iter().map(value).collect();
        writeln!(told, "key {name:?}, aborted {aborted:?}").expect("a string takes anything");
        for operation in &key.operations {
            writeln!(told, "{operation:?}").expect("a string takes anything");
            if let Action::Read(seen) = &operation.action {
                writeln!(told, "saw {}", value(seen)).expect("a string takes anything");
            }
        }
    }
    told
}

#[test]
fn a_history_is_the_same_in_every_format() {
    let mut random = seeded();
    let mut operations = 0;
    for _ in 0..2_000 {
        let is_keyed = random.bool();
        let events = events(&mut random, is_keyed);
        let [first, others @ ..] = FORMATS.map(|format| {
            let text = render(&events, format, &mut random);
            let given = random.bool().then_some(format);
            match read(text.as_bytes(), given) {
                Ok(history) => (told(&history), history, text),
                Err(error) => panic!("{error}\n{text}"),
            }
        });
        for (told, _, text) in others {
            assert_eq!(first.0, told, "{}\n{text}", first.2);
        }
        assert_paired(&events, &first.1);
        operations += first.1.counts.operations;
    }
    assert!(operations > 10_000, "only {operations} operations were compared");
}

/// What was read is what was recorded: told apart from the reading, event by event.
fn assert_paired(events: &[Event], history: &History) {
    let clients = || events.iter().filter(|event| event.process.is_some());
    let count = |kind: &str| clients().filter(|event| event.kind == kind).count() as u64;
    let counts = &history.counts;
    assert_eq!(counts.operations, count("invoke"));
    assert_eq!(counts.indeterminate, count("invoke") - count("ok") - count("fail"));
    let mismatches = events.iter().filter(|event| event.mismatch.is_some()).count() as u64;
    assert_eq!(counts.failed, count("fail") - mismatches);
    assert_eq!(counts.others as usize, history.faults.len());
    let recorded: Vec<&Event> = clients().collect();
    for operation in history.keys.iter().flat_map(|key| &key.operations) {
        let invoked = recorded[operation.invoke.0 as usize];
        assert_eq!((invoked.process, invoked.kind), (Some(operation.process), "invoke"));
        let function = match operation.action {
            Action::Read(_) => "read",
            Action::Write(Value::MISSING) => "delete",
            Action::Write(_) => "write",
            Action::Cas { .. } => "cas",
            Action::Append(_) => "append",
        };
        assert_eq!(invoked.function, function);
        if operation.complete == Rank::NEVER {
            continue;
        }
        let completed = recorded[operation.complete.0 as usize];
        let is_mismatch = matches!(operation.action, Action::Cas { seen: Seen::Current(_), .. });
        assert_eq!(completed.kind, if is_mismatch { "fail" } else { "ok" });
        assert_eq!(completed.process, invoked.process);
    }
}

#[test]
fn no_bytes_are_a_panic() {
    let mut random = seeded();
    let mut refused = 0;
    for _ in 0..20_000 {
        let is_keyed = random.bool();
        let format = FORMATS[random.usize(..4)];
        let mut events = events(&mut random, is_keyed);
        events.truncate(4);
        let mut bytes = render(&events, format, &mut random).into_bytes();
        for _ in 0..random.usize(1..4) {
            damage(&mut bytes, &mut random);
        }
        let given = match random.u8(0..3) {
            0 => None,
            1 => Some(format),
            _ => Some(FORMATS[random.usize(..4)]),
        };
        refused += u32::from(read(&bytes, given).is_err());
    }
    assert!((1_000..20_000).contains(&refused), "{refused} of 20000 were refused");
}

fn damage(bytes: &mut Vec<u8>, random: &mut Rng) {
    let at = random.usize(..=bytes.len());
    match random.u8(0..4) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.u8(..)),
        2 => {
            let pieces: [&[u8]; 9] =
                [b"[[[[", b"]", b"{", b"}", b"#", b"\"", b"\\", b"99999999999999999999", b"\n"];
            bytes.splice(at..at, pieces[random.usize(..9)].iter().copied());
        }
        _ => {
            let end = (at + random.usize(..20)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

#[test]
fn depth_is_an_error_and_no_overflow() {
    let deep = |open: &str| {
        let opened = open.repeat(100_000);
        format!("{{:process 0 :type :invoke :f :write :value {opened}")
    };
    for open in ["[", "(", "{", "#{", "{0 ", "#a ", "#_ ", "[#b ("] {
        let close = open.chars().rev().filter_map(|c| match c {
            '[' => Some(']'),
            '(' => Some(')'),
            '{' => Some('}'),
            _ => None,
        });
        let close: String = close.collect();
        let closed = format!("{}0 0{}}}", deep(open), close.repeat(100_000));
        for text in [deep(open), closed] {
            for format in FORMATS {
                assert!(read(text.as_bytes(), Some(format)).is_err(), "{open}");
            }
        }
    }
}
