//! Ctrl-C, at any time: the first ends what goes on, the second ends all, and nothing is left running.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

mod runs;

use runs::{eventually, interrupt, json, processes_of, run, run_with, text};

fn started(store: &tempfile::TempDir, flags: &[&str]) -> Child {
    let mut command = run(store.path());
    command.args(["--nemesis", "none"]).args(flags);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
}

/// Ends with this code, having said this, and nothing is left running.
fn ends(checker: Child, store: &tempfile::TempDir, code: i32, words: &str) {
    let output = checker.wait_with_output().expect("it ends");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
    eventually("nothing runs", || processes_of(store.path()).is_empty());
}

fn history_has(store: &tempfile::TempDir, words: &str) -> bool {
    let history = fs::read_to_string(store.path().join("latest/history.jsonl"));
    history.is_ok_and(|history| history.contains(words))
}

#[test]
fn the_second_ends_all_at_once() {
    let store = tempfile::tempdir().expect("a folder");
    // So many keys that the final reads go on, and on.
    let checker = started(&store, &["--time-limit", "600", "--keys", "100000", "--rate", "0"]);
    eventually("there is load", || history_has(&store, "invoke"));
    interrupt(&checker);
    eventually("there are final reads", || history_has(&store, "all is healed"));
    interrupt(&checker);
    ends(checker, &store, 255, "");
    assert!(!store.path().join("latest/results.json").exists(), "there was no time for a verdict");
}

#[test]
fn final_reads_end_when_nobody_wants_them() {
    let store = tempfile::tempdir().expect("a folder");
    let checker = started(&store, &["--time-limit", "1", "--keys", "100000"]);
    eventually("there are final reads", || history_has(&store, "all is healed"));
    interrupt(&checker);
    ends(checker, &store, 3, "ended before all was read and compared, as asked");
    assert_eq!(json(&store.path().join("latest/results.json"))["verdict"], "vacuous");
}

#[test]
fn nodes_that_do_not_come_up_are_not_waited_for() {
    let store = tempfile::tempdir().expect("a folder");
    let mute = store.path().join("mute");
    fs::write(&mute, "#!/bin/sh\nwhile :; do sleep 1; done\n").expect("ours");
    fs::set_permissions(&mute, fs::Permissions::from_mode(0o755)).expect("ours");
    let mut command = run_with(store.path(), &mute);
    let checker = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    eventually("three run", || {
        processes_of(store.path()).iter().filter(|line| line.contains("--data")).count() == 3
    });
    interrupt(&checker);
    ends(checker, &store, 255, "ended before all nodes answered, as asked");
}
