//! How long the engines take, and how much memory beyond the history: `cargo bench -p checker`.
//!
//! `cargo bench -p checker -- WORD` runs the rows whose name contains the word. Each row has a
//! process of its own, so that its peak is not hidden by memory that another one has left behind.

use std::process::{Command, ExitCode};
use std::time::Instant;

use checker::history::{Action, Counts, Events, History, KeyHistory, Seen, Value, Values};
use checker::linearizability::{Bounds, Model, Options, Verdict, judge_all};
use fastrand::Rng;
use random::Shape;

#[path = "../tests/random/mod.rs"]
mod random;

/// One line of the table.
struct Row {
    name: String,
    model: Model,
    keys: usize,
    shape: Shape,
    /// Whether the last read says something wrong.
    lies: bool,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: String, shape: Shape| {
        rows.push(Row { name, model: Model::CasRegister, keys: 1, shape, lies: false });
    };
    for operations in [10_000, 100_000, 1_000_000] {
        add(format!("unique, 10 clients, {operations}"), Shape::register(operations, 10));
    }
    for percent in [0, 1, 10] {
        for operations in [10_000, 100_000, 1_000_000] {
            let shape =
                Shape { indeterminate_permille: percent * 10, ..Shape::register(operations, 50) };
            add(format!("unique, 50 clients, {percent} % lost, {operations}"), shape);
        }
    }
    for operations in [10_000, 100_000, 1_000_000] {
        let shape = Shape { deletes_percent: 2, ..Shape::register(operations, 10) };
        add(format!("unique with deletes, 10 clients, {operations}"), shape);
    }
    for (clients, permille, operations) in
        [(10, 0, 100_000), (20, 10, 10_000), (20, 10, 100_000), (20, 100, 10_000), (50, 10, 10_000)]
    {
        let shape = Shape {
            values: 5,
            indeterminate_permille: permille,
            ..Shape::register(operations, clients)
        };
        let name = format!("values 0..4, {clients} clients, {permille} ‰ lost, {operations}");
        add(name, shape);
    }
    for lies in [1, 2] {
        let shape = match lies {
            1 => Shape::register(1_000_000, 10),
            _ => Shape { values: 1_000, ..Shape::register(100_000, 10) },
        };
        let name = format!("one wrong read, {} values", if lies == 1 { "unique" } else { "1000" });
        rows.push(Row { name, model: Model::CasRegister, keys: 1, shape, lies: true });
    }
    let shape = Shape::register(1_000, 10);
    let name = "unique, 1000 keys, 10 clients, 1000000".to_string();
    rows.push(Row { name, model: Model::CasRegister, keys: 1_000, shape, lies: false });
    for (clients, permille, operations) in
        [(10, 0, 1_000), (50, 0, 1_000), (50, 10, 1_000), (50, 10, 5_000)]
    {
        let shape = Shape {
            indeterminate_permille: permille,
            cas_percent: 0,
            appends_percent: 45,
            ..Shape::register(operations, clients)
        };
        let name = format!("append, {clients} clients, {permille} ‰ lost, {operations}");
        rows.push(Row { name, model: Model::KvAppend, keys: 1, shape, lies: false });
    }
    rows
}

fn history(row: &Row) -> History {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("SEED: a number"));
    let mut random = Rng::with_seed(seed);
    let mut values = Values::new();
    let initial = Value::MISSING;
    let mut keys: Vec<KeyHistory> = (0..row.keys)
        .map(|_| random::legal(&row.shape, initial, &mut values, &mut random))
        .collect();
    if row.lies {
        let operations = &mut keys[0].operations;
        let middle = operations.len() / 2;
        let is_read = |index: &usize| matches!(operations[*index].action, Action::Read(_));
        let liar = (middle..operations.len()).find(is_read).expect("there are many");
        // What was overwritten long before.
        let stale = operations[..middle - 200].iter().rev().find_map(|op| match op.action {
            Action::Cas { new, seen: Seen::Matched, .. } => Some(new),
            Action::Write(value) => Some(value),
            _ => None,
        });
        operations[liar].action = Action::Read(stale.expect("there are many"));
    }
    History {
        keys,
        values,
        initial,
        events: Events::default(),
        faults: Vec::new(),
        counts: Counts::default(),
    }
}

/// One row, in the process that was started for it.
fn run(row: &Row) {
    let history = history(row);
    let options = Options { model: row.model, initial: history.initial, bounds: Bounds::default() };
    let before = memory_mb("VmRSS");
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let begun = Instant::now();
    let verdicts = judge_all(&history, &options);
    let seconds = begun.elapsed().as_secs_f64();
    let more = memory_mb("VmHWM") - before;
    let verdict = match verdicts.into_iter().find(|v| !matches!(v, Ok(Verdict::Valid { .. }))) {
        None => "valid".to_string(),
        Some(Ok(Verdict::Invalid { violations, .. })) => {
            let first = &violations[0];
            format!("{}, core of {}", first.cause.name(), first.core.len())
        }
        Some(Ok(Verdict::Unknown(why))) => why.to_string(),
        Some(Ok(Verdict::Valid { .. })) => unreachable!("these were left out"),
        Some(Err(unproven)) => unproven.to_string(),
    };
    println!("{:<44} {seconds:>9.3} {more:>8.1}  {verdict}", row.name);
}

/// A line of `/proc/self/status`.
fn memory_mb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it has this line");
    let kb: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kb / 1024.0
}

fn main() -> ExitCode {
    if let Ok(name) = std::env::var("ROW") {
        rows().iter().filter(|row| row.name == name).for_each(run);
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    println!("{:<44} {:>9} {:>8}  verdict", "history", "seconds", "peak MB");
    let this = std::env::current_exe().expect("it runs");
    for row in rows() {
        if words.is_empty() || words.iter().any(|word| row.name.contains(word)) {
            let status = Command::new(&this).env("ROW", &row.name).status();
            if !status.is_ok_and(|status| status.success()) {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
