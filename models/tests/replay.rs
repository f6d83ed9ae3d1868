//! Traces of real nodes, replayed as a user would.

use node::client::{Client, Outcome};
use node::config::{self, Cluster, Secret};
use node::wire::NodeId;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Real nodes, each of which writes a trace.
struct Nodes {
    program: PathBuf,
    dir: PathBuf,
    cluster: Cluster,
    secret: Option<Secret>,
    running: Vec<Child>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.running.iter_mut().for_each(kill);
    }
}

/// SIGKILL. That it is gone already is just as well.
fn kill(node: &mut Child) {
    let _ = node.kill();
    let _ = node.wait();
}

impl Nodes {
    /// Nodes that take a snapshot every few entries.
    fn start(test: &str, nodes: u16, partitions: u32) -> Nodes {
        let dir = folder(test);
        let init = config::Init {
            dir: dir.clone(),
            name: "traced".to_owned(),
            nodes,
            partitions,
            replication: None,
            base_port: None,
        };
        let file = config::init(&init).expect("a new cluster");
        let text = fs::read_to_string(&file).expect("what init wrote");
        let limits = "{\"limits\": {\"snapshot_every\": 20, \"keep\": 5},";
        fs::write(&file, text.replacen('{', limits, 1)).expect("it is ours");
        let (cluster, secret) = Cluster::load(&file).expect("a valid cluster");
        let (program, running) = (program(), Vec::new());
        let mut started = Nodes { program, dir, cluster, secret, running };
        for id in 1..=nodes {
            let node = started.spawn(id);
            started.running.push(node);
        }
        started
    }

    fn spawn(&self, id: u16) -> Child {
        let mut command = Command::new(&self.program);
        command.args(["--id", &id.to_string(), "--log", "error", "--cluster"]);
        command.arg(self.dir.join("cluster.json"));
        command.arg("--data").arg(self.dir.join(id.to_string())).arg("--trace").arg(self.trace(id));
        command.stdin(Stdio::null()).spawn().expect("the node starts")
    }

    fn trace(&self, id: u16) -> PathBuf {
        self.dir.join(format!("{id}.trace"))
    }

    fn client(&self) -> Client {
        Client::connect(&self.cluster, self.secret.as_ref(), TIMEOUT).expect("a socket")
    }

    fn put(&self, count: usize) {
        let mut client = self.client();
        for number in 0..count {
            let key = format!("k{}", number % 7);
            assert_eq!(client.put(key.as_bytes(), b"v"), Outcome::Ok(()), "{number}");
        }
    }
}

/// The node, which cargo builds beside us; built now if only this crate's tests were asked for.
fn program() -> PathBuf {
    let models = Path::new(env!("CARGO_BIN_EXE_models"));
    let release = models.parent().is_some_and(|folder| folder.ends_with("release"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "node", "--bin", "node"]);
    build.args(release.then_some("--release"));
    assert!(build.status().expect("cargo runs").success(), "the node is built");
    models.with_file_name("node")
}

/// An empty folder, this test's own.
fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("replay-{test}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// The exit code, and what was said where.
fn replay(trace: &Path) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_models"));
    let Output { status, stdout, stderr } =
        command.arg("replay").arg(trace).output().expect("the program was built with this test");
    let text = |bytes| String::from_utf8(bytes).expect("the program speaks UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[test]
fn what_nodes_did_the_core_does_again_kills_and_snapshots_included() {
    let mut nodes = Nodes::start("cluster", 3, 1);
    nodes.put(30);
    // Of three, one that leads or follows: both must be able to come back.
    for id in [1, 2] {
        kill(&mut nodes.running[id - 1]);
        nodes.put(60);
        nodes.running[id - 1] = nodes.spawn(id as u16);
        assert!(matches!(nodes.client().status(NodeId(id as u16)), Outcome::Ok(_)), "{id} is back");
        nodes.put(10);
    }
    nodes.running.iter_mut().for_each(kill);
    for (id, replicas) in [(1, "2 replicas"), (2, "2 replicas"), (3, "1 replica")] {
        let (code, said, errors) = replay(&nodes.trace(id));
        assert_eq!(code, 0, "{said}{errors}");
        assert!(
            said.contains(&format!("steps of {replicas} replayed, all outputs equal")),
            "{said}"
        );
        let trace = fs::read_to_string(nodes.trace(id)).expect("a trace");
        assert!(trace.contains("\"in\":{\"digest\":"), "{id} has saved no snapshot");
        assert!(trace.contains("\"request\":\"write\"") || id == 3, "{id} was asked nothing");
    }
}

#[test]
fn the_groups_of_a_node_are_replayed_each_for_itself() {
    let mut nodes = Nodes::start("groups", 3, 4);
    nodes.put(40);
    kill(&mut nodes.running[0]);
    nodes.put(40);
    nodes.running[0] = nodes.spawn(1);
    assert!(matches!(nodes.client().status(NodeId(1)), Outcome::Ok(_)), "it is back");
    nodes.running.iter_mut().for_each(kill);
    for (id, replicas) in [(1, "8 replicas"), (2, "4 replicas"), (3, "4 replicas")] {
        let (code, said, errors) = replay(&nodes.trace(id));
        assert_eq!(code, 0, "{said}{errors}");
        assert!(said.contains(&format!("of {replicas} replayed, all outputs equal")), "{said}");
        let trace = fs::read_to_string(nodes.trace(id)).expect("a trace");
        for group in 0..4 {
            let writes = |line: &&str| {
                line.contains("\"write\"") && line.contains(&format!("\"group\":{group}"))
            };
            assert!(trace.lines().any(|line| writes(&line)), "node {id} wrote nothing of {group}");
        }
    }
}

#[test]
fn a_changed_line_is_noticed_and_a_torn_one_is_said_to_be() {
    let mut nodes = Nodes::start("changed", 1, 1);
    nodes.put(30);
    nodes.running.iter_mut().for_each(kill);
    let trace = fs::read_to_string(nodes.trace(1)).expect("a trace");
    let lines: Vec<&str> = trace.lines().collect();
    let at = lines.iter().rposition(|line| line.contains("\"request\":\"write\"")).expect("a put");
    let changed = nodes.dir.join("changed.trace");
    let try_with = |lines: &[&str]| {
        fs::write(&changed, lines.join("\n")).expect("it is ours");
        replay(&changed)
    };

    // Another value was written than the node was asked to: the last byte of the entry.
    let (before, after) = lines[at].split_once("\",\"client\"").expect("bytes come first");
    let other = if before.ends_with('0') { "1" } else { "0" };
    let put = format!("{}{other}\",\"client\"{after}", &before[..before.len() - 1]);
    let mut other = lines.clone();
    other[at] = &put;
    let (code, said, _) = try_with(&other);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(".trace:") && said.contains(": the output differs, after "), "{said}");

    // An input that the core never got.
    let mut fewer = lines.clone();
    fewer.remove(at);
    assert_eq!(try_with(&fewer).0, 1);

    // A kill in the middle of a line, and the node's next life behind it.
    let half = &lines[at][..lines[at].len() / 2];
    let mut torn = lines[..at].to_vec();
    torn.push(half);
    let cut_off = format!("line {} is cut off", at + 1);
    let (code, said, _) = try_with(&torn);
    assert!(code == 0 && said.contains(&cut_off), "{said}");
    torn.extend(&lines);
    let (code, said, _) = try_with(&torn);
    assert!(code == 0 && said.contains("2 replicas") && said.contains(&cut_off), "{said}");

    // The same in the middle of a life is damage.
    let mut damaged = lines.clone();
    damaged[at] = half;
    let (code, _, errors) = try_with(&damaged);
    assert!(code == 254 && errors.contains(&format!(":{}: not a whole", at + 1)), "{errors}");
}

#[test]
fn what_is_no_trace_is_refused_in_a_line() {
    let dir = folder("refused");
    let cases = [
        ("", "holds no whole step"),
        ("hello\n", "no trace"),
        (
            "{\"in\":{\"synced\":0},\"out\":[],\"digest\":\"0000000000000000\",\"group\":0}\n",
            "no trace",
        ),
        ("{\"quorate-trace\":9,\"node\":1}\n", "version 9"),
        ("{\"quorate-trace\":1,\"node\":1}\n", "holds no whole step"),
    ];
    for (text, why) in cases {
        let file = dir.join("file");
        fs::write(&file, text).expect("it is ours");
        let (code, said, errors) = replay(&file);
        assert_eq!((code, said.as_str(), errors.lines().count()), (254, "", 1), "{errors}");
        assert!(errors.contains("file: ") && errors.contains(why), "{errors}");
    }
    let (code, _, errors) = replay(&dir.join("missing"));
    assert!(code == 254 && errors.contains("cannot be opened"), "{errors}");
}
