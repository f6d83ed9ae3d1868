//! Runs that repeat what a folder of the store has, or refuse to in one line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

mod runs;

use runs::{json, run, run_forgetting, run_with, text};

/// A short run with a fault or two, and its folder.
fn recorded(store: &Path, flags: &[&str]) -> PathBuf {
    let mut command = run(store);
    command.args(["--seed", "1", "--nemesis-interval", "1"]).args(flags);
    let output = command.output().expect("it runs");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", text(&output));
    fs::canonicalize(store.join("latest")).expect("there is a newest run")
}

/// What was asked for at each of six places: the key, the kind and the value to be written.
fn asked(folder: &Path) -> BTreeMap<u64, Vec<(String, Json, Json)>> {
    let history = fs::read_to_string(folder.join("history.jsonl")).expect("a history");
    let events = history.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
    let mut places: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for event in events.filter(|event| event["type"] == "invoke") {
        let process = event["process"].as_u64().expect("a client");
        if process >= 1_000_000_000 {
            continue;
        }
        let kind = event["f"].as_str().expect("a name").to_string();
        let value = &event["value"];
        let written = if kind == "cas" { &value[1][1] } else { &value[1] };
        places.entry(process % 6).or_default().push((kind, value[0].clone(), written.clone()));
    }
    places
}

#[test]
fn a_replay_asks_for_the_same_and_has_the_same_faults() {
    let store = tempfile::tempdir().expect("a folder");
    let first = recorded(store.path(), &["--nemesis", "kill,pause", "--time-limit", "3"]);
    let mut command = run(store.path());
    let output = command.arg("--replay").arg(&first).output().expect("it runs");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", text(&output));
    let second = fs::canonicalize(store.path().join("latest")).expect("there is a newest run");
    assert_ne!(first, second);
    let (test, again) = (json(&first.join("test.json")), json(&second.join("test.json")));
    assert_eq!(again["schedule"], test["schedule"]);
    assert!(!test["schedule"]["steps"].as_array().expect("a list").is_empty());
    assert_eq!(again["seed"], test["seed"]);
    let (asked, again) = (asked(&first), asked(&second));
    assert_eq!(again.len(), 6);
    for (place, operations) in asked {
        let both = operations.iter().zip(&again[&place]);
        assert!(both.clone().count() > 5, "something was asked for at {place}");
        both.for_each(|(one, other)| assert_eq!(one, other));
    }
}

#[test]
fn a_run_that_is_not_invalid_is_not_shrunk() {
    let store = tempfile::tempdir().expect("a folder");
    let folder = recorded(store.path(), &["--nemesis", "none", "--time-limit", "1"]);
    let mut command = run(store.path());
    command.args(["--shrink", "--tries", "2", "--replay"]).arg(&folder);
    let output = command.output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("not invalid in 2 tries"), "{said}");
    let runs = fs::read_dir(store.path().join("calm")).expect("a folder").count();
    assert_eq!(runs, 1, "what was tried is gone, and what was recorded is there");
    let latest = fs::canonicalize(store.path().join("latest")).expect("it points somewhere");
    assert_eq!(latest, folder);
}

#[test]
fn one_of_the_faults_is_enough_when_nodes_forget() {
    let store = tempfile::tempdir().expect("a folder");
    let output = run_forgetting(store.path()).args(["--time-limit", "6"]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let recorded = fs::canonicalize(store.path().join("latest")).expect("there is a newest run");
    let steps = |folder: &Path| json(&folder.join("test.json"))["schedule"]["steps"].clone();
    let all = steps(&recorded).as_array().expect("a list").len();
    assert!(all > 1, "there is something to drop");

    let mut command = run_with(store.path(), &store.path().join("forgets"));
    command.args(["--shrink", "--tries", "2", "--replay"]).arg(&recorded);
    let output = command.output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("invalid · 1 of {all} faults needed · shows in ")), "{said}");
    let smallest = store.path().join("latest");
    assert_eq!(steps(&smallest).as_array().map(Vec::len), Some(1), "it can itself be replayed");
    assert_eq!(json(&smallest.join("results.json"))["verdict"], "invalid");
    assert!(recorded.join("history.jsonl").exists(), "what was recorded is there");
    let runs = fs::read_dir(store.path().join("restart-all")).expect("a folder").count();
    assert_eq!(runs, 2, "what was tried on the way is gone");
}

/// A folder that could be replayed, without a run: nobody has asked for anything.
fn folder(store: &Path, test: &Json) -> PathBuf {
    let folder = store.join("run");
    fs::create_dir_all(&folder).expect("ours");
    fs::write(folder.join("test.json"), test.to_string()).expect("ours");
    fs::write(folder.join("history.jsonl"), "").expect("ours");
    folder
}

fn good() -> Json {
    let kill = json!({"at_ms": 10, "heal_ms": 20, "fault": {"kill": "one"}, "order": [3, 1, 2]});
    json!({
        "version": env!("CARGO_PKG_VERSION"), "seed": 7, "nodes": 3, "time_limit_ms": 1000,
        "concurrency": 6, "rate": 200, "keys": 10, "nemesis": ["kill"], "nemesis_interval_ms": 1000,
        "partitions": 1, "schedule": {"steps": [kill]},
    })
}

/// Refused with 254 in one line that has these words.
fn refused(mut command: Command, words: &[&str]) {
    let output = command.output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(254), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("seed ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not all in: {said}");
}

#[test]
fn what_cannot_be_replayed_is_said_in_one_line() {
    let store = tempfile::tempdir().expect("a folder");
    let replay = |test: &Json, words: &[&str]| {
        let mut command = run(store.path());
        command.arg("--replay").arg(folder(store.path(), test));
        refused(command, words);
    };
    let changed = |pointer: &str, value: Json| {
        let mut test = good();
        *test.pointer_mut(pointer).expect("a known place") = value;
        test
    };
    let step = "/schedule/steps/0";
    replay(&changed("/version", json!("0.0.1")), &["test.json", "version 0.0.1"]);
    replay(&json!({}), &["test.json", "no version"]);
    replay(&changed("/seed", json!(null)), &["test.json", "null"]);
    replay(&changed("/nodes", json!(4)), &["schedule.steps[0]", "each node from 1 to 4"]);
    replay(&changed("/nodes", json!(0)), &["nodes is 0"]);
    replay(&changed("/concurrency", json!(0)), &["concurrency is 0"]);
    replay(&changed(&format!("{step}/heal_ms"), json!(10)), &["steps[0]", "after it begins"]);
    replay(&changed(&format!("{step}/fault"), json!({"kil": "one"})), &["kil"]);
    let clock = json!({"clock": {"target": "one", "percent": 50, "jump_ms": 0}});
    replay(&changed(&format!("{step}/fault"), clock), &["steps[0]", "nemesis has no clock"]);

    let folder = folder(store.path(), &good());
    let of_another =
        r#"{"index":0,"time":1,"process":0,"type":"invoke","f":"read","value":["x",null]}"#;
    fs::write(folder.join("history.jsonl"), format!("{of_another}\n")).expect("ours");
    let mut command = run(store.path());
    command.arg("--replay").arg(&folder);
    refused(command, &["history.jsonl", "line 1 is not what seed 7 asks for"]);
    let mut command = run(store.path());
    command.args(["--seed", "1", "--replay"]).arg(&folder);
    refused(command, &["--replay", "--seed"]);
    let mut command = run(store.path());
    command.arg("--replay").arg(store.path().join("none"));
    refused(command, &["none/test.json", "name a folder of a run"]);
}
