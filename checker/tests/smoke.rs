//! Five seconds against real nodes: the whole of `checker run`, from boot to verdict.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

mod runs;

use runs::{eventually, interrupt, json, node, processes_of, run, run_forgetting, text};

/// The nodes of this store that are stopped by a signal.
fn stopped(store: &Path) -> usize {
    let nodes = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok).filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(store.to_str().expect("a plain path")) && line.contains("--data")
    });
    let status = nodes.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    status.filter(|status| status.contains("State:\tT")).count()
}

#[test]
fn a_broken_and_healed_cluster_is_valid() {
    let store = tempfile::tempdir().expect("a folder");
    // One plan, unless another is asked for: some have little to show in five seconds.
    let seed = env::var("SEED").unwrap_or_else(|_| "1".to_string());
    println!("SEED={seed}");
    let flags = ["--time-limit", "5", "--nemesis-interval", "2", "--nemesis", "kill,pause"];
    let output = run(store.path()).args(flags).args(["--seed", &seed]).output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stdout.starts_with(b"valid \xc2\xb7 "), "the verdict comes first: {said}");

    let folder = store.path().join("latest");
    let (results, test) = (json(&folder.join("results.json")), json(&folder.join("test.json")));
    assert_eq!(test["seed"].to_string(), seed);
    assert_eq!(results["verdict"], "valid");
    assert_eq!(results["replicas_compared"], true);
    assert_eq!(results["final_reads"], 30, "each key through each of three nodes");
    let faults = results["faults"].as_array().expect("a list");
    assert_eq!(faults.len(), test["schedule"]["steps"].as_array().expect("a list").len());
    assert!(faults.iter().all(|fault| fault["touched"].as_u64() > Some(0)), "{faults:?}");
    for node in 1..=3 {
        let log = folder.join(format!("nodes/{node}/node.log"));
        assert!(fs::metadata(&log).is_ok_and(|log| log.len() > 0), "{}", log.display());
    }

    // Judged again from what was written down, it is the same.
    let mut verify = Command::new(env!("CARGO_BIN_EXE_checker"));
    verify.args(["verify", "--json"]).arg(folder.join("history.jsonl"));
    let verified = verify.output().expect("it runs");
    let verified: Json = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(verified["verdict"], "valid");
    assert_eq!(verified["operations"], results["operations"]);
    assert_eq!(processes_of(store.path()), Vec::<String>::new(), "nothing is left running");
}

#[test]
fn nodes_die_with_a_checker_that_is_killed() {
    let store = tempfile::tempdir().expect("a folder");
    let mut quiet = run(store.path());
    quiet.args(["--time-limit", "600", "--nemesis", "none"]);
    let mut checker = quiet.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    // The checker, and three nodes that have become what they are.
    let nodes = || processes_of(store.path()).iter().filter(|line| line.contains("--data")).count();
    eventually("three nodes run", || nodes() == 3);
    checker.kill().expect("it is our child");
    checker.wait().expect("it is our child");
    eventually("the nodes are gone", || processes_of(store.path()).is_empty());
}

#[test]
fn an_interrupted_run_is_judged() {
    let store = tempfile::tempdir().expect("a folder");
    let mut quiet = run(store.path());
    quiet.args(["--time-limit", "600", "--nemesis", "none"]);
    let checker = quiet.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let history = store.path().join("latest/history.jsonl");
    eventually("there is a history", || {
        fs::metadata(&history).is_ok_and(|history| history.len() > 20_000)
    });
    interrupt(&checker);
    let output = checker.wait_with_output().expect("it ends");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("ended early, as asked"), "{said}");
    assert_eq!(processes_of(store.path()), Vec::<String>::new(), "nothing is left running");
}

#[test]
fn the_first_violation_ends_the_load_and_freezes_the_nodes() {
    let store = tempfile::tempdir().expect("a folder");
    let mut command = run_forgetting(store.path());
    command.args(["--time-limit", "600", "--stop-at-first"]);
    let checker = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    eventually("three nodes are stopped", || stopped(store.path()) == 3);
    let output = checker.wait_with_output().expect("it ends");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.starts_with(b"invalid \xc2\xb7 "), "the verdict comes first: {said}");
    assert!(said.contains("ended at the first violation, as asked"), "{said}");
    assert!(said.contains("* does not fit"), "the core is drawn: {said}");
    assert!(said.contains("n3: pid ") && said.contains("kill -CONT PID"), "{said}");
    assert!(said.contains("no terminal, so nobody is waited for"), "{said}");
    let results = json(&store.path().join("latest/results.json"));
    assert_eq!(results["stopped_at_first"], true);
    assert_eq!(results["live"]["impossible"].as_array().map(Vec::is_empty), Some(false));
    assert_eq!(processes_of(store.path()), Vec::<String>::new(), "nothing is left running");
}

#[test]
fn a_violation_is_told_at_once_even_if_the_run_goes_on() {
    let store = tempfile::tempdir().expect("a folder");
    let output = run_forgetting(store.path()).args(["--time-limit", "5"]).output();
    let output = output.expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(
        said.matches("checker: invalid, and the run goes on: process ").count(),
        1,
        "{said}"
    );
    let results = json(&store.path().join("latest/results.json"));
    assert_eq!(results["stopped_at_first"], false);
    let first = results["live"]["impossible"][0]["time_ns"].as_u64().expect("it was seen");
    assert!(first < 5_000_000_000, "{first}");
}

#[test]
fn what_cannot_be_run_is_said_in_one_line() {
    let store = tempfile::tempdir().expect("a folder");
    let said = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
        command.args(["run", "--seed", "1", "--store"]).arg(store.path()).args(flags);
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = said(&["--node-bin", "no/such/program"]);
    assert_eq!(code, Some(254), "{error}");
    assert!(error.contains("no/such/program: no such program"), "{error}");
    let node = node();
    let node = node.to_str().expect("a plain path");
    let (code, error) = said(&["--nodes", "1", "--nemesis", "partition", "--node-bin", node]);
    assert_eq!((code, error.lines().count()), (Some(254), 2), "the seed, and why: {error}");
    // A program that ends at once is told with its last words.
    let (code, error) = said(&["--node-bin", env!("CARGO_BIN_EXE_checker")]);
    assert_eq!(code, Some(255), "{error}");
    assert!(error.contains("ended by itself") && error.contains("--id"), "{error}");
}
