//! A short `checker bench` of real nodes, and what it says.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use node::client::{Client, Cluster, Outcome};
use node::wire::NodeId;
use serde_json::Value as Json;

mod runs;

use runs::{node, text};

fn bench(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
    command.arg("bench").args(flags);
    command
}

/// Of nodes of its own, for half a second.
fn own(flags: &[&str]) -> Command {
    let mut command = bench(&["--duration", "0.5", "--warm-up", "0.2", "--keys", "100"]);
    command.arg("--node-bin").arg(node()).args(flags);
    command
}

/// The result of a bench that ends well.
fn result(mut command: Command) -> Json {
    let output = command.arg("--json").output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(output.stderr.is_empty(), "quiet in a pipe: {}", text(&output));
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn number(json: &Json, path: &str) -> u64 {
    let value = json.pointer(path).unwrap_or_else(|| panic!("{path} is missing in {json}"));
    value.as_u64().unwrap_or_else(|| panic!("{path} is {value}"))
}

#[test]
fn what_clients_count_agrees_with_what_nodes_count() {
    let result = result(own(&["--clients", "2", "--in-flight", "4", "--reads", "25"]));
    let [puts, gets] =
        ["put", "get"].map(|kind| number(&result, &format!("/operations/{kind}/ok")));
    assert_eq!(number(&result, "/ok"), puts + gets);
    assert_eq!(number(&result, "/sent"), puts + gets, "on a calm machine: {result}");
    assert!(puts > gets && gets > 0, "three puts for each get");
    for field in ["/failed", "/indeterminate"] {
        assert_eq!(result.pointer(field), Some(&serde_json::json!({})), "{field}");
    }
    for percentile in ["p50_us", "p90_us", "p99_us", "p99_9_us", "max_us", "mean_us", "per_second"]
    {
        let value = result["operations"]["put"][percentile].as_f64();
        assert!(value > Some(0.0), "{percentile} is {value:?}");
    }

    let nodes = result["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), 3);
    let leaders: Vec<&Json> = nodes.iter().filter(|node| node["leads"] == 1).collect();
    let [leader] = leaders[..] else { panic!("one leads: {nodes:?}") };
    // An entry for each put, or some more if any was sent twice; none for a read or of the warm-up.
    let entries = number(leader, "/entries");
    assert!((puts..=puts + puts / 4 + 10).contains(&entries), "{entries} of {puts} puts");
    for node in nodes {
        assert!(number(node, "/syncs") > 0 && number(node, "/packets_in") > 0, "{node}");
        assert!(number(node, "/bytes_out") >= 50 * number(node, "/packets_out"), "{node}");
        assert!(node["cpu"]["user_s"].is_number() && node["cpu"]["system_s"].is_number());
    }
    // All that clients send is for nodes, and what nodes get is from there or from each other.
    let from_clients = number(&result, "/clients/packets_out");
    let total = |field: &str| nodes.iter().map(|node| number(node, field)).sum::<u64>();
    assert!(from_clients > 0 && from_clients < total("/packets_in"), "{result}");
}

#[test]
fn an_open_loop_sends_what_is_due() {
    let result = result(own(&["--rate", "200", "--clients", "2", "--sync", "os"]));
    let (sent, overdue) = (number(&result, "/sent"), number(&result, "/overdue"));
    // Half a second's, and however much longer it took to notice that it was over.
    let due = 200.0 * result["time_s"].as_f64().expect("a number");
    assert!((sent + overdue) as f64 <= due + 4.0, "{sent} and {overdue} of {due}");
    assert!(sent + overdue >= 90, "{sent} and {overdue} of 100");
    assert!(result["sent_late_us"]["p99"].is_number());
    assert!(result["nodes"].as_array().expect("a list").iter().all(|node| node["syncs"].is_null()));
}

#[test]
fn a_table_names_all_there_is_and_the_folder_is_kept_if_one_is_given() {
    let store = tempfile::tempdir().expect("a folder");
    let flags = ["--baseline", "--store", store.path().to_str().expect("a plain path")];
    let output = own(&flags).output().expect("it runs");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let rows = ["put ", "get ", "both ", "0 failed, 0 indeterminate", "node 3", "clients "];
    for row in rows.into_iter().chain(["echo by a quorum", "one append and fdatasync", "results"]) {
        assert!(text.lines().any(|line| line.starts_with(row)), "no {row:?} in\n{text}");
    }
    assert!(text.contains(", leads"), "{text}");
    let results = fs::read(store.path().join("latest/results.json")).expect("it was kept");
    let results: Json = serde_json::from_slice(&results).expect("JSON");
    assert!(results["baseline"]["sync_us"].as_f64() > Some(0.0));
    assert!(store.path().join("latest/nodes/3/node.log").is_file());
}

/// A cluster of one node, which is killed at the end.
struct Running(std::process::Child, tempfile::TempDir);

impl Running {
    fn start() -> Running {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("cluster.json");
        let mut init = Command::new(node());
        let init = init.args(["init", "--nodes", "1", "--dir"]).arg(dir.path());
        assert!(init.stdout(Stdio::null()).status().expect("it runs").success());
        // A port of our own, on a loopback address that nobody else asks for.
        let text = fs::read_to_string(&file).expect("it was made");
        let mut cluster: Json = serde_json::from_str(&text).expect("JSON");
        let free = checker::cluster::free_addresses(1).expect("there is one");
        cluster["nodes"][0]["address"] = free[0].to_string().into();
        fs::write(&file, cluster.to_string()).expect("it can be written");
        let mut command = Command::new(node());
        command.args(["--id", "1", "--cluster"]).arg(&file);
        command.arg("--data").arg(dir.path().join("data")).stderr(Stdio::null());
        Running(command.spawn().expect("it runs"), dir)
    }

    fn file(&self) -> String {
        self.1.path().join("cluster.json").to_str().expect("a plain path").to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }
}

#[test]
fn a_running_cluster_is_measured_and_left_running() {
    let mut running = Running::start();
    let flags = ["--cluster", &running.file(), "--duration", "0.5", "--keys", "10"];
    let result = result(bench(&flags));
    assert!(number(&result, "/ok") > 0);
    assert!(result["nodes"][0]["cpu"].is_null(), "its process may be anywhere");
    assert!(number(&result["nodes"][0], "/entries") > 0);
    assert!(running.0.try_wait().expect("it is our child").is_none());
}

/// Entries that the first node of a cluster has applied.
fn applied(cluster: &Path) -> Option<u64> {
    let (cluster, secret) = Cluster::load(cluster).ok()?;
    let mut client = Client::connect(&cluster, secret.as_ref(), Duration::from_secs(1)).ok()?;
    let Outcome::Ok(status) = client.status(NodeId(1)) else { return None };
    serde_json::from_str::<Json>(&status).ok()?["groups"][0]["applied"].as_u64()
}

#[test]
fn an_interrupted_bench_tells_what_there_is() {
    let store = tempfile::tempdir().expect("a folder");
    let mut long = bench(&["--duration", "600", "--warm-up", "0", "--keys", "10", "--json"]);
    long.arg("--node-bin").arg(node()).arg("--store").arg(store.path());
    let bench = long.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let deadline = Instant::now() + Duration::from_secs(60);
    // Far beyond the first values: it is being measured.
    while applied(&store.path().join("latest/nodes/cluster.json")) < Some(500) {
        assert!(Instant::now() < deadline, "nothing is written");
        thread::sleep(Duration::from_millis(10));
    }
    let interrupt = Command::new("kill").args(["-INT", &bench.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = bench.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let result: Json = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(result["ended_early"], true);
    assert!(number(&result, "/ok") > 0);
}

#[test]
fn what_cannot_be_measured_is_said_in_one_line() {
    let store = tempfile::tempdir().expect("a folder");
    let missing = store.path().join("none.json");
    let refused = |flags: &[&str]| {
        let output = bench(flags).output().expect("it runs");
        assert!(output.stdout.is_empty(), "{}", text(&output));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = refused(&["--cluster", missing.to_str().expect("a plain path")]);
    assert_eq!((code, error.lines().count()), (Some(254), 1), "{error}");
    assert!(error.contains("none.json"), "{error}");
    let (code, error) = refused(&["--node-bin", "no/such/program"]);
    assert_eq!((code, error.lines().count()), (Some(254), 1), "{error}");
    // Nobody answers there.
    let text = r#"{"cluster": "c", "nodes": [{"id": 1, "address": "127.0.0.1:1"}]}"#;
    let silent = store.path().join("silent.json");
    fs::write(&silent, text).expect("it can be written");
    let (code, error) = refused(&["--cluster", silent.to_str().expect("a plain path")]);
    assert_eq!((code, error.lines().count()), (Some(255), 1), "{error}");
    assert!(error.contains("does a quorum run?"), "{error}");
}
