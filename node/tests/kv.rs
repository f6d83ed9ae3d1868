//! The program `kv` against a real node: what it prints, and its exit codes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A cluster file for so many nodes, in a folder of its own.
fn cluster(nodes: u16) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut init = Command::new(env!("CARGO_BIN_EXE_node"));
    init.args(["init", "--nodes", &nodes.to_string(), "--dir"]).arg(dir.path());
    assert!(init.output().expect("it runs").status.success());
    dir
}

/// A process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts node 1. Nobody reads what it logs from then on, which must not trouble it.
fn node(dir: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.args(["--id", "1", "--cluster"]).arg(dir.join("cluster.json"));
    command.arg("--data").arg(dir.join("data")).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut node = Process(command.spawn().expect("it runs"));
    let lines = BufReader::new(node.0.stderr.take().expect("it is piped")).lines();
    let started = lines.map_while(Result::ok).find(|line| line.contains("started"));
    assert!(started.is_some(), "it ended at once");
    node
}

fn kv(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.arg("--cluster").arg(dir.join("cluster.json")).args(words).stdin(Stdio::null());
    command
}

/// The exit code, and what was printed where.
fn ran(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (status.code(), text(stdout), text(stderr))
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_fields_of_a_status_are_those_that_are_documented() {
    let dir = cluster(1);
    let _node = node(dir.path());
    assert_eq!(ran(kv(dir.path(), &["put", "k", "v"])), (Some(0), "ok\n".into(), String::new()));
    let (code, text, _) = ran(kv(dir.path(), &["status", "--json"]));
    assert_eq!(code, Some(0));
    let status: Value = serde_json::from_str(&text).expect("one object");
    let expected = "boot bytes_in bytes_out clients drops groups groups_left_out log node \
                    packets_in packets_out packets_unsent sync uptime_ms";
    assert_eq!(names(&status).join(" "), expected);
    let expected = "accepted accepted_ballot applied ballot connected decided digest first group \
                    keys leader phase promised sessions snapshot snapshot_bytes suspects";
    assert_eq!(names(&status["groups"][0]).join(" "), expected);
    assert_eq!(names(&status["log"]), ["bytes", "segments"]);
    assert_eq!(names(&status["sync"]), ["count", "max_us", "p50_us", "p99_us"]);
    assert!(names(&status["drops"]).contains(&"kernel"));

    // The session and the put are durable, each by a sync, unless one sync did for both.
    assert_eq!(
        (&status["groups"][0]["keys"], &status["groups"][0]["sessions"]),
        (&1.into(), &1.into())
    );
    let number = |name: &str| status["sync"][name].as_u64().expect("a number");
    assert!(number("count") >= 1);
    assert!(number("p50_us") <= number("p99_us") && number("p99_us") <= number("max_us"));
    assert!(status["log"]["bytes"].as_u64() > Some(0) && status["log"]["segments"] == 1);
    assert!(status["packets_in"].as_u64() >= Some(4), "two clients, each challenged first");
    for direction in ["in", "out"] {
        let total = |what: &str| status[format!("{what}_{direction}")].as_u64().expect("a number");
        // A header and a tag at least, and no more than a datagram may have.
        let bytes = total("packets") * 50..=total("packets") * 1_200;
        assert!(bytes.contains(&total("bytes")), "{direction}");
    }
    assert!(status["clients"].as_u64() >= Some(1));
}

#[test]
fn a_silent_node_is_told_and_has_an_exit_code() {
    let dir = cluster(2);
    let _node = node(dir.path());
    let (code, text, _) = ran(kv(dir.path(), &["status"]));
    assert_eq!(code, Some(2));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("n1    ") && lines[2] == "n2    no answer in time", "{text}");
    let (code, text, _) = ran(kv(dir.path(), &["status", "2", "--json", "--timeout-ms", "200"]));
    assert_eq!(code, Some(2));
    assert_eq!(text, "{\"node\":2,\"outcome\":\"indeterminate\",\"why\":\"no answer in time\"}\n");
    assert_eq!(ran(kv(dir.path(), &["status", "n1"])).0, Some(0));
    let (code, text, error) = ran(kv(dir.path(), &["status", "9"]));
    assert_eq!((code, text.as_str()), (Some(254), ""));
    assert!(error.contains("no node has the id 9; the ids are 1, 2"), "{error}");
}

#[test]
fn a_console_answers_line_by_line_and_goes_on_after_a_mistake() {
    let dir = cluster(1);
    let _node = node(dir.path());
    let mut command = kv(dir.path(), &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut console = command.spawn().expect("it runs");
    let lines = "get k --cluster other.json\nput 'a key' \"a value\"\nget 'a key'\nget\nfetch k\nget 'open\ncas 'a key' x y\nstatus\nexit\n";
    console.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it listens");
    let Output { status, stdout, stderr } = console.wait_with_output().expect("it ends");
    let (text, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{errors}");
    assert!(text.starts_with("ok\na value\nnode  up "), "{text}");
    for error in [
        "when you start the console",
        "a quote is open",
        "unrecognized",
        "the key has the value a value",
    ] {
        assert!(errors.contains(error), "{error}: {errors}");
    }
}
