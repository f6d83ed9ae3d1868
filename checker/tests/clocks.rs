//! Clocks of real nodes, where there is libfaketime; and what is said where there is none.

use std::path::Path;
use std::process::Command;

mod runs;

use runs::{json, run, run_with, text};

#[test]
fn without_the_library_the_package_is_named() {
    let store = tempfile::tempdir().expect("a folder");
    let mut command = run_with(store.path(), Path::new("any"));
    let output = command.args(["--nemesis", "kill,clock"]).env("PATH", "").output();
    let output = output.expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(254), "{said}");
    assert!(said.contains("--nemesis clock") && said.contains("package faketime"), "{said}");
    assert!(!store.path().join("latest").exists(), "{said}");
}

#[test]
fn clocks_that_are_set_are_seen_to_change() {
    if Command::new("faketime").arg("--version").output().is_err() {
        println!("there is no libfaketime here: not tested");
        return;
    }
    let store = tempfile::tempdir().expect("a folder");
    let mut command = run(store.path());
    command.args(["--nemesis", "clock", "--seed", "1", "--time-limit", "6"]);
    let output = command.args(["--nemesis-interval", "1.5"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let results = json(&store.path().join("latest/results.json"));
    let faults = results["faults"].as_array().expect("a list");
    assert!(faults.len() > 1, "{faults:?}");
    assert!(faults.iter().all(|fault| fault["touched"].as_u64() > Some(0)), "{faults:?}");
}
