//! What users get wrong: one line that names the thing and says what to do, the right exit code, and
//! everything on the disk as it was.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use node::client::Outcome;
use serde_json::{Value, json};

use crate::nodes::{Nodes, Shape, eventually};
use crate::size::is_full;

/// Every file below a folder, with its content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => files.extend(tree(&path)),
            false => drop(files.insert(path.clone(), fs::read(&path).expect("it is ours"))),
        }
    }
    files
}

/// Runs a command that must refuse, with this code, in one line that has all these words.
fn refused(mut command: Command, code: i32, words: &[&str]) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let line = String::from_utf8(output.stderr).expect("it writes text");
    assert_eq!(output.status.code(), Some(code), "{command:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{command:?}: {line}");
    assert!(words.iter().all(|word| line.contains(word)), "{words:?} are not all in: {line}");
    assert!(output.stdout.is_empty(), "{command:?}");
}

/// The same, and nothing in the folder of the cluster changes.
fn refused_without_a_trace(nodes: &Nodes, command: Command, code: i32, words: &[&str]) {
    let before = tree(nodes.folder());
    refused(command, code, words);
    assert_eq!(tree(nodes.folder()), before, "{words:?}");
}

fn kv(nodes: &Nodes, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.arg("--cluster").arg(&nodes.file).args(words);
    command
}

fn node(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.args(words);
    command
}

/// A cluster of one node, which does not run.
fn alone() -> Nodes {
    Nodes::prepare(Shape::new(1, 1))
}

#[test]
fn command_lines() {
    let nodes = alone();
    let id = nodes.ids()[0];
    let with = |flags: &[&str]| {
        let mut command = nodes.command(id);
        command.args(flags);
        command
    };
    let refused = |command, words: &[&str]| refused_without_a_trace(&nodes, command, 254, words);
    refused(with(&["--snyc", "os"]), &["--snyc", "--sync", "--help"]);
    refused(with(&["--sync", "never"]), &["--sync", "never", "always, os"]);
    refused(with(&["--id", "1"]), &["--id"]);
    refused(node(&[]), &["--id", "--cluster", "--data"]);
    refused(node(&["run"]), &["run"]);
    refused(kv(&nodes, &["fetch", "k"]), &["fetch"]);
    refused(kv(&nodes, &["get"]), &["KEY"]);
    refused(kv(&nodes, &["status", "9"]), &["no node has the id 9", "the ids are 1"]);
    let folder = nodes.folder().display().to_string();
    let init = ["init", "--nodes", "3", "--dir", &folder];
    refused(node(&init), &["cluster.json", "exists", "choose another --dir"]);
    refused(node(&["init", "--nodes", "3", "--dir", "/proc/none"]), &["/proc/none", "--dir"]);
}

#[test]
fn cluster_files() {
    let nodes = alone();
    let id = nodes.ids()[0];
    let good = fs::read_to_string(&nodes.file).expect("what init wrote");
    let refused = |text: &str, words: &[&str]| {
        fs::write(&nodes.file, text).expect("it is ours");
        for command in [nodes.command(id), kv(&nodes, &["get", "k"])] {
            let file = nodes.file.display().to_string();
            refused_without_a_trace(&nodes, command, 254, &[&[file.as_str()], words].concat());
        }
    };
    let changed = |pointer: &str, value: Value| {
        let mut text: Value = serde_json::from_str(&good).expect("JSON");
        *text.pointer_mut(pointer).expect("a known place") = value;
        text.to_string()
    };
    refused("{", &["line 1, column 1", "is no JSON"]);
    refused("", &["is no JSON"]);
    refused("[]", &["is no object"]);
    refused(&changed("/cluster", json!("a b")), &["cluster: ", "is no name", "letters"]);
    refused(&changed("/nodes", json!([])), &["nodes: ", "from 1 to 256"]);
    refused(&changed("/nodes/0/id", json!(0)), &["nodes[0].id: 0 is too small", "65534"]);
    refused(&changed("/nodes/0/address", json!("host:1")), &["nodes[0].address", "IP:PORT"]);
    refused(&changed("/partitions", json!(0)), &["partitions: 0", "1 to 1024"]);
    refused(&changed("/replication", json!(2)), &["replication: ", "write less, or add nodes"]);
    refused(&changed("/limits", json!({"keeep": 1})), &["limits.keeep", "is no field", "keep"]);
    refused(&changed("/limits", json!({"key_bytes": -1})), &["limits.key_bytes", "-1"]);
    refused(&changed("/secret_file", json!("none")), &["none: ", "copy it from the node"]);
    let exposed = good.replace("127.", "10.").replace("\"secret_file\"", "\"cluster\"");
    refused(&exposed, &["\"cluster\" stands twice"]);
    let mut exposed: Value = serde_json::from_str(&good.replace("127.", "10.")).expect("JSON");
    exposed.as_object_mut().expect("an object").remove("secret_file");
    refused(&exposed.to_string(), &["secret_file: is missing", "not on loopback", "add "]);
    fs::remove_file(&nodes.file).expect("it is ours");
    let gone = [nodes.file.to_str().expect("text"), "--cluster", "node init"];
    refused_without_a_trace(&nodes, nodes.command(id), 254, &gone);
}

#[test]
fn secrets() {
    let nodes = alone();
    let id = nodes.ids()[0];
    let file = nodes.cluster.secret_file.clone().expect("init makes one");
    let name = file.to_str().expect("text");
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode));
    mode(0o644).expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 254, &[name, "chmod 600"]);
    mode(0o600).expect("it is ours");
    fs::write(&file, "secret").expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 254, &[name, "64 hexadecimal digits"]);
    fs::remove_file(&file).expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 254, &[name, "copy it from the node"]);
}

#[test]
fn identities_and_addresses() {
    let mut nodes = Nodes::start(Shape::new(3, 1));
    let [one, two, _] = nodes.ids()[..] else { panic!("three nodes") };
    let (data, secret) = (nodes.data(one), nodes.secret.clone());
    let data = data.to_str().expect("text");
    assert!(secret.is_some());

    // While it runs, neither its address nor its folder can be had.
    let file = nodes.file.to_str().expect("text").to_owned();
    let other = nodes.folder().join("other");
    let again = node(&["--id", "1", "--cluster", &file, "--data", other.to_str().expect("text")]);
    refused(again, 1, &["in use", "does the node run already"]);
    assert!(!other.exists());
    nodes.kill(two);
    let as_two = || node(&["--id", "2", "--cluster", &file, "--data", data]);
    let moved = fs::read_to_string(&file).expect("text");
    // Node 2 is down, so its address is free.
    let (here, there) = (nodes.address(one).to_string(), nodes.address(two).to_string());
    let moved = moved.replace(&there, "127.1.2.3:1").replace(&here, &there);
    let moved_file = nodes.folder().join("moved.json");
    fs::write(&moved_file, moved).expect("it is ours");
    let moved_file = moved_file.to_str().expect("text");
    let moved = node(&["--id", "1", "--cluster", moved_file, "--data", data]);
    refused(moved, 1, &[data, "lock", "another process uses this data folder"]);

    // Nor afterwards, by another node, or a node of another cluster.
    nodes.kill_all();
    let words = [data, "found node 1 of cluster test", "expected node 2 of cluster test"];
    refused_without_a_trace(&nodes, as_two(), 1, &words);
    let renamed = fs::read_to_string(&file).expect("text").replace("\"test\"", "\"prod\"");
    let elsewhere = nodes.folder().join("renamed.json");
    fs::write(&elsewhere, renamed).expect("it is ours");
    let elsewhere = elsewhere.to_str().expect("text");
    let renamed = node(&["--id", "1", "--cluster", elsewhere, "--data", data]);
    let words = [data, "found node 1 of cluster test", "expected node 1 of cluster prod"];
    refused_without_a_trace(&nodes, renamed, 1, &words);
    // Nor with other members: a majority of four need not meet one of three.
    let mut more: Value =
        serde_json::from_str(&fs::read_to_string(&file).expect("text")).expect("JSON");
    let fourth = json!({ "id": 4, "address": "127.1.2.4:1" });
    more["nodes"].as_array_mut().expect("a list").push(fourth);
    more["replication"] = json!(4);
    let larger = nodes.folder().join("larger.json");
    fs::write(&larger, more.to_string()).expect("it is ours");
    let larger = node(&["--id", "1", "--cluster", larger.to_str().expect("text"), "--data", data]);
    let words = [data, "found nodes 1,2,3; ", "expected nodes 1,2,3,4; ", "no membership changes"];
    refused_without_a_trace(&nodes, larger, 1, &words);
    let stranger = node(&["--id", "9", "--cluster", &file, "--data", data]);
    refused_without_a_trace(&nodes, stranger, 254, &["no node has the id 9", "1, 2, 3"]);

    // A port that somebody else has.
    let taken = UdpSocket::bind(nodes.address(one)).expect("it is free");
    let address = nodes.address(one).to_string();
    refused_without_a_trace(&nodes, nodes.command(one), 1, &[&address, "in use"]);
    let mut silent = nodes.command(one);
    silent.args(["--log", "off"]);
    refused_without_a_trace(&nodes, silent, 1, &[&address, "in use"]);
    drop(taken);
    nodes.start_missing();
    nodes.ids().into_iter().for_each(|id| drop(nodes.status(id)));
}

#[test]
fn data_folders() {
    let mut nodes = alone();
    let id = nodes.ids()[0];
    let data = nodes.data(id);
    let name = data.to_str().expect("text").to_owned();

    fs::write(&data, "a file").expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 1, &[&name, "cannot be made"]);
    fs::remove_file(&data).expect("it is ours");
    fs::create_dir(&data).expect("it is ours");
    fs::write(data.join("photo"), "not ours").expect("it is ours");
    let words = [&name, "found photo but no identity file", "empty folder"];
    refused_without_a_trace(&nodes, nodes.command(id), 1, &words);
    fs::remove_file(data.join("photo")).expect("it is ours");

    // One that no file fits into, be it new or not.
    let mut full = Command::new("sh");
    let wrapped = nodes.command(id);
    full.args(["-c", "ulimit -f 0; exec \"$@\"", "sh"]);
    full.arg(wrapped.get_program()).args(wrapped.get_args());
    refused(full, 1, &[&name, "cannot be written: File too large"]);
    let mut nowhere = node(&["--id", "1", "--data", "/proc/none"]);
    nowhere.arg("--cluster").arg(&nodes.file);
    refused_without_a_trace(&nodes, nowhere, 1, &["/proc/none", "cannot be made"]);

    // After all of that it is as good as new; and then it is damaged.
    nodes.start_node(id);
    drop(nodes.status(id));
    assert!(nodes.stop(id).success());
    let identity = data.join("identity");
    let good = fs::read(&identity).expect("it is there");
    fs::write(&identity, &good[1..]).expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 1, &[&name, "identity", "damaged"]);
    fs::remove_file(&identity).expect("it is ours");
    fs::create_dir(&identity).expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 1, &[&name, "identity", "cannot be read"]);
    fs::remove_dir(&identity).expect("it is ours");
    refused_without_a_trace(&nodes, nodes.command(id), 1, &[&name, "no identity file"]);
    fs::write(&identity, good).expect("it is ours");
    nodes.start_node(id);
    drop(nodes.status(id));
    nodes.kill_all();
    if is_full() {
        // To mount is not for everybody, so not for the gate.
        let mut read_only = Command::new("unshare");
        let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
        let node = nodes.command(id);
        read_only.args(["-rm", "sh", "-c", mount, &name]).arg(node.get_program());
        read_only.args(node.get_args());
        refused_without_a_trace(&nodes, read_only, 1, &[&name, "Read-only file system"]);
    }
}

#[test]
fn damaged_logs() {
    let mut nodes = alone();
    let id = nodes.ids()[0];
    nodes.start_missing();
    let mut client = nodes.client();
    for number in 0..50_u64 {
        assert!(matches!(client.put(&number.to_le_bytes(), b"value"), Outcome::Ok(())));
    }
    assert!(nodes.stop(id).success());
    let log = nodes.data(id).join("wal-0000000000000001.log");
    let good = fs::read(&log).expect("it is there");
    for offset in [3, 20, 47, 60, 500, 1_000] {
        let mut bad = good.clone();
        bad[offset] ^= 0x10;
        fs::write(&log, bad).expect("it is ours");
        let name = log.to_str().expect("text");
        refused_without_a_trace(&nodes, nodes.command(id), 1, &[name]);
    }
    fs::remove_file(&log).expect("it is ours");
    let words = [log.to_str().expect("text"), "gone", "must not vote"];
    refused_without_a_trace(&nodes, nodes.command(id), 1, &words);
    fs::write(&log, good).expect("it is ours");
    nodes.start_missing();
    for number in 0..50_u64 {
        assert!(matches!(client.get(&number.to_le_bytes()), Outcome::Ok(_)));
    }
}

/// A log that nobody can take, on a disk that is full or into a pipe without a reader, costs nothing
/// but the log.
#[test]
fn a_node_whose_standard_error_is_gone_works_and_stops() {
    let mut nodes = alone();
    let id = nodes.ids()[0];
    for gone in ["2>/dev/full", "2>&-", "2> >(exec true)"] {
        let node = nodes.command(id);
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec \"$@\" {gone}"), "bash"]);
        command.arg(node.get_program()).args(node.get_args());
        nodes.start_as(id, command);
        assert_eq!(nodes.client().put(b"k", b"v"), Outcome::Ok(()), "{gone}");
        assert!(nodes.stop(id).success(), "{gone}");
    }
}

#[test]
fn keys_and_values_that_are_too_large_and_clusters_that_are_not_there() {
    let mut nodes = Nodes::start(Shape::new(1, 1));
    let (key, value) = ("k".repeat(1025), "v".repeat((64 << 10) + 1));
    refused(kv(&nodes, &["put", &key, "v"]), 1, &["too large", "1024 bytes"]);
    refused(kv(&nodes, &["get", &key]), 1, &["too large", "1024 bytes"]);
    refused(kv(&nodes, &["put", "k", &value]), 1, &["too large", "65535 bytes"]);
    refused(kv(&nodes, &["cas", "k", &value, "v"]), 1, &["too large", "65535 bytes"]);
    refused(kv(&nodes, &["get", "k"]), 1, &["the key is missing"]);
    nodes.kill_all();
    refused(kv(&nodes, &["--timeout-ms", "50", "get", "k"]), 2, &["nobody knows", "no answer"]);
    refused(kv(&nodes, &["--timeout-ms", "50", "put", "k", "v"]), 2, &["nobody knows"]);
}

#[test]
fn the_log_is_json_line_by_line_if_that_is_wanted() {
    let shape = Shape { flags: vec!["--log-format", "json", "--log", "trace"], ..Shape::new(3, 2) };
    let mut nodes = Nodes::start(shape);
    let [one, two, _] = nodes.ids()[..] else { panic!("three nodes") };
    assert!(matches!(nodes.client().put(b"k", b"v"), Outcome::Ok(())));
    assert!(nodes.stop(one).success());
    nodes.start_node(one);
    drop(nodes.status(one));
    nodes.kill(one);
    eventually("it is suspected", || {
        let suspects = nodes.status(two)["groups"][0]["suspects"].clone();
        suspects.as_array()?.contains(&json!(one.0)).then_some(())
    });
    // It cannot start while somebody has its port, and says so in JSON, too.
    let taken = UdpSocket::bind(nodes.address(one)).expect("it is free");
    nodes.start_node(one);
    assert_eq!(nodes.ended(one).code(), Some(1));
    drop(taken);
    assert!(nodes.stop(two).success());
    let (mut lines, mut messages, mut prepared) = (0, Vec::new(), false);
    for id in nodes.ids() {
        for line in nodes.log(id).lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
            messages.push(line["message"].as_str().expect("a text").to_owned());
            prepared |= line["what"].as_str().is_some_and(|what| what.starts_with("prepare b"));
            lines += 1;
        }
    }
    let told = ["started", "stopped", "elected", "recovered", "suspected"];
    for message in told.into_iter().chain(["changed role", "sent", "received"]) {
        assert!(messages.iter().any(|found| found == message), "{message}: not in {lines} lines");
    }
    assert!(prepared, "a message in words: not in {lines} lines");
    assert!(messages.iter().any(|found| found.contains("in use")), "not in {lines} lines");
}
