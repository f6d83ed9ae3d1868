//! Runs the stories in `scenarios/*.txt`: hand-written runs whose printed trace is the expectation.
//! `REWRITE=1 cargo test -p node --test scenarios` writes the traces anew; `ONLY=NAME` runs one.
//!
//! A line of `#` tells the story. A command stands at the margin, its trace indented below. `given`
//! before a command hides its trace; `;` joins commands.
//!
//! ```text
//! cluster 3 [OPTION=VALUE]..   new nodes on new disks; options: snapshot-every, keep, message-bytes,
//!                              sessions (most of them), priority=n1:5, heartbeats=shown
//! tick n1, tick all            the heartbeat timer; heartbeats arrive at once and are not shown
//! retransmit n1, .. all        the retransmission timer, if it runs
//! wait 5                       so often: everyone ticks and retransmits, and everything arrives
//! until n2 leads [within 16]   waits for it; it is a failure if it takes longer
//! until agreed                 waits until one leads and all who are up have the same state
//! settle [until promise]       delivers until nothing is in flight; until one of that kind is
//! deliver                      delivers what is in flight now, and not what it causes
//! deliver n1->n2 [accept [2]]  delivers only that, the second of its kind; `*` is any node
//! drop, duplicate, hold ..     likewise loses, repeats, or keeps back until named or `release`d
//! cut n1 n2, cut n1->n2        no link in either direction; in one. isolate n1: none at all
//! heal                         mends all links
//! disk n1 slow, disk n1 fast   whether a write waits for a sync
//! sync n1 [2]                  all that waits is durable now, or so many writes
//! crash n1 [keep 1]            loses what was not synced, but for so many records
//! restart n1, wipe n1          starts from what is on the disk; puts in a blank one
//! open c1 n1                   client 1 asks node 1 for a session, and then:
//! put c1 n1 k v, delete c1 n1 k, get c1 n1 k, cas c1 n1 k old new (`-` is absent)
//! retry c1 n2                  its latest command again, under the same number
//! state [n1], log n1, network  shows nodes, entries, messages in flight
//! ```
//! After every step the invariants of the core are checked against replicas, disks and messages.
//! After the last command all faults end, and the nodes must agree, decide one more write, and be
//! silent.

#[path = "scenarios/clients.rs"]
mod clients;
#[path = "scenarios/cluster.rs"]
mod cluster;
#[path = "scenarios/commands.rs"]
mod commands;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use commands::Play;

/// A trace is indented by this.
const INDENT: &str = "    ";

#[test]
fn every_scenario_goes_as_written() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let mut failures = Vec::new();
    let files = files();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a scenario is a text file");
        match play(&text) {
            Ok(played) if rewrite => std::fs::write(file, played).expect("the file is ours"),
            Ok(played) => failures.extend(difference(file, &text, &played)),
            Err((line, why)) => failures.push(format!("{}:{line}: {why}", file.display())),
        }
    }
    assert!(!files.is_empty(), "no scenarios found");
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
    println!("{} scenarios", files.len());
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let only = std::env::var("ONLY").ok();
    let entries = std::fs::read_dir(folder).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| only.as_ref().is_none_or(|name| path.ends_with(format!("{name}.txt"))))
        .collect();
    files.sort();
    files
}

/// Plays a scenario. Returns its text with the traces that came; or the line that failed and why.
fn play(text: &str) -> Result<String, (usize, String)> {
    let line = Cell::new(0);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let (mut play, mut played) = (Play::default(), String::new());
        for (number, text) in (1..).zip(text.lines()) {
            line.set(number);
            if text.starts_with(INDENT) {
                continue;
            }
            played += &format!("{text}\n");
            if !text.is_empty() && !text.starts_with('#') {
                for shown in play.run(text)? {
                    played += &format!("{INDENT}{shown}\n");
                }
            }
        }
        play.end().map_err(|why| format!("{why}\n\nit does not end well after\n{played}"))?;
        Ok(played)
    }));
    let played = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    played.map_err(|why| (line.get(), why))
}

/// The first place where a trace differs, with the command above it.
fn difference(file: &Path, text: &str, played: &str) -> Option<String> {
    let (expected, actual): (Vec<&str>, Vec<&str>) =
        (text.lines().collect(), played.lines().collect());
    if expected == actual {
        return None;
    }
    let same = expected.iter().zip(&actual).take_while(|(one, other)| one == other).count();
    let is_trace = |line: &&&str| line.starts_with(INDENT);
    let command = expected[..same].iter().rposition(|line| !line.starts_with(INDENT));
    let mut shown = format!("{}:{}: another trace\n", file.display(), same + 1);
    for line in &expected[command.unwrap_or(0)..same] {
        shown += &format!("  {line}\n");
    }
    for line in expected[same..].iter().take_while(is_trace) {
        shown += &format!("- {line}\n");
    }
    for line in actual[same..].iter().take_while(is_trace) {
        shown += &format!("+ {line}\n");
    }
    Some(shown + "REWRITE=1 accepts it, once you can explain it")
}
