//! `checker run` as a user would start it, for tests each of which uses a part.
#![allow(dead_code, reason = "each user has its own needs")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// The node, which cargo builds beside us; built now if only this crate's tests were asked for.
pub fn node() -> PathBuf {
    let checker = Path::new(env!("CARGO_BIN_EXE_checker"));
    let release = checker.parent().is_some_and(|folder| folder.ends_with("release"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "node", "--bin", "node"]);
    build.args(release.then_some("--release"));
    assert!(build.status().expect("cargo runs").success(), "the node is built");
    checker.with_file_name("node")
}

pub fn run(store: &Path) -> Command {
    run_with(store, &node())
}

/// With this program as the node.
pub fn run_with(store: &Path, program: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
    command.arg("run").arg("--store").arg(store).arg("--node-bin").arg(program);
    command
}

/// A run in which all nodes restart, each having lost what it kept: what was written is gone.
pub fn run_forgetting(store: &Path) -> Command {
    let program = store.join("forgets");
    let node = node();
    let node = node.to_str().expect("a plain path");
    // The folder for data comes last.
    let script =
        format!("#!/bin/sh\nfor data; do :; done\nrm -rf \"$data\"\nexec '{node}' \"$@\"\n");
    fs::write(&program, script).expect("a file");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("ours");
    let mut command = run_with(store, &program);
    // As fast as it goes: there always is somebody who waits for an answer.
    let flags = ["--rate", "0", "--nemesis", "restart-all", "--nemesis-interval", "2"];
    command.args(flags).args(["--seed", "1"]);
    command
}

pub fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

pub fn json(file: &Path) -> Json {
    let text = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).expect("JSON")
}

/// Processes that have this path among their arguments.
pub fn processes_of(store: &Path) -> Vec<String> {
    let name = store.to_str().expect("a plain path").as_bytes();
    let entries = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let ours = lines.filter(|line| line.windows(name.len()).any(|part| part == name));
    ours.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Ctrl-C.
pub fn interrupt(checker: &Child) {
    let interrupt = Command::new("kill").args(["-INT", &checker.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
}

pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in a minute: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
