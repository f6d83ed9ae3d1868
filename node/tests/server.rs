//! The program `node` as a process: how it starts, refuses to start, and stops.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A cluster of one node in a folder of its own.
fn cluster() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let init = ["init", "--nodes", "1", "--dir"];
    let made = Command::new(env!("CARGO_BIN_EXE_node")).args(init).arg(folder.path()).output();
    assert!(made.expect("it runs").status.success());
    folder
}

fn node(folder: &Path, data: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.args(["--id", "1"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.arg("--cluster").arg(folder.join("cluster.json"));
    command.arg("--data").arg(folder.join(data));
    command
}

/// Starts a node that must come up.
fn running(folder: &Path) -> Child {
    let mut child = node(folder, "data").spawn().expect("it runs");
    let lines = BufReader::new(child.stderr.as_mut().expect("it is piped")).lines();
    let started = lines.map_while(Result::ok).find(|line| line.contains("started"));
    assert!(started.is_some(), "it ended at once");
    child
}

fn stop(mut child: Child, signal: &str) -> Option<i32> {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    child.wait().expect("it is our child").code()
}

/// Starts a node that must end by itself. Returns its exit code and its last words.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stderr).expect("it writes text");
    (output.status.code(), text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn it_stops_when_asked_and_starts_again_however_it_ended() {
    let folder = cluster();
    assert_eq!(stop(running(folder.path()), "-TERM"), Some(0));
    assert_eq!(stop(running(folder.path()), "-INT"), Some(0));
    assert_eq!(stop(running(folder.path()), "-KILL"), None);
    assert_eq!(stop(running(folder.path()), "-TERM"), Some(0));
}

#[test]
fn nobody_takes_its_address_or_its_folder() {
    let folder = cluster();
    let first = running(folder.path());
    let (code, words) = refused(&mut node(folder.path(), "other"));
    assert_eq!(code, Some(1));
    assert!(words.contains("in use"), "{words}");
    assert!(!folder.path().join("other").exists(), "nothing was changed");

    let elsewhere = cluster();
    let file = fs::read(elsewhere.path().join("cluster.json")).expect("it is there");
    fs::write(folder.path().join("cluster.json"), file).expect("it is ours");
    let (code, words) = refused(&mut node(folder.path(), "data"));
    assert_eq!(code, Some(1));
    assert!(words.contains("another process uses this data folder"), "{words}");
    assert_eq!(stop(first, "-TERM"), Some(0));
}

#[test]
fn a_node_that_lost_its_memory_does_not_start() {
    let folder = cluster();
    assert_eq!(stop(running(folder.path()), "-TERM"), Some(0));
    for entry in fs::read_dir(folder.path().join("data")).expect("it is there") {
        let entry = entry.expect("it can be listed");
        if entry.file_name().to_string_lossy().starts_with("wal") {
            fs::remove_file(entry.path()).expect("it is ours");
        }
    }
    let (code, words) = refused(&mut node(folder.path(), "data"));
    assert_eq!(code, Some(1));
    assert!(words.contains("must not vote"), "{words}");
}

#[test]
fn a_bad_cluster_file_is_a_usage_error() {
    let folder = cluster();
    fs::write(folder.path().join("cluster.json"), "{").expect("it is ours");
    let (code, words) = refused(&mut node(folder.path(), "data"));
    assert_eq!(code, Some(254));
    assert!(words.contains("cluster.json"), "{words}");
}
