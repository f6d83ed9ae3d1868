//! `checker run` as a user would start it, for tests each of which uses a part.
#![allow(dead_code, reason = "each user has its own needs")]

use std::fs;
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
