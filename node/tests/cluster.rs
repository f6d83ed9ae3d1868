//! Three real nodes on this machine: what is acknowledged is kept, whoever is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use node::client::{Client, Failure, Outcome};
use node::config::{self, Cluster, Secret};
use node::wire::NodeId;
use tempfile::TempDir;

/// For what takes milliseconds on a quiet machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Held from the choice of free ports until they are taken: the tests run side by side.
static PORTS: Mutex<()> = Mutex::new(());

/// Nodes on free loopback ports, their files in a folder of their own.
struct Nodes {
    cluster: Cluster,
    secret: Option<Secret>,
    file: PathBuf,
    running: Vec<(NodeId, Process)>,
    dir: TempDir,
}

/// A process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL. That it is gone already is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &self.cluster.nodes {
            let log = self.dir.path().join(format!("data-{}.log", node.id));
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            eprintln!("{}:\n{text}", log.display());
        }
    }
}

impl Nodes {
    /// Three nodes, all of which answer.
    fn start(partitions: u32) -> Nodes {
        // Poisoned means that another test has failed to start its nodes: it will say why.
        let _ports = PORTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let dir = TempDir::new().expect("a folder");
        let init = config::Init {
            dir: dir.path().to_owned(),
            name: "test".to_owned(),
            nodes: 3,
            partitions,
            replication: None,
            base_port: None,
        };
        let file = config::init(&init).expect("a new cluster");
        let (cluster, secret) = Cluster::load(&file).expect("what init wrote");
        let mut nodes = Nodes { cluster, secret, file, running: Vec::new(), dir };
        nodes.start_missing();
        let mut client = nodes.client();
        for node in &nodes.cluster.nodes {
            assert!(matches!(client.status(node.id), Outcome::Ok(_)), "{} does not start", node.id);
        }
        nodes
    }

    fn start_missing(&mut self) {
        for node in &self.cluster.nodes {
            if self.running.iter().all(|(id, _)| *id != node.id) {
                let data = self.dir.path().join(format!("data-{}", node.id));
                self.running.push((node.id, spawn(node.id, &self.file, &data)));
            }
        }
    }

    fn kill(&mut self, id: NodeId) {
        let count = self.running.len();
        self.running.retain(|(running, _)| *running != id);
        assert_eq!(self.running.len(), count - 1, "{id} was running");
    }

    fn kill_all(&mut self) {
        self.running.clear();
    }

    fn client(&self) -> Client {
        Client::connect(&self.cluster, self.secret.as_ref(), TIMEOUT).expect("a socket")
    }

    /// The leader of the group of this key, once a node knows one that answers.
    fn leader(&self, key: &[u8]) -> NodeId {
        let deadline = Instant::now() + TIMEOUT;
        let mut client = self.client();
        while Instant::now() < deadline {
            // A read is answered by none but a leader that a quorum confirms.
            let (Outcome::Ok(_) | Outcome::Fail(_)) = client.get(key) else { continue };
            if let Outcome::Ok(route) = client.route(key)
                && let Some(leader) = route.leader
            {
                return leader;
            }
        }
        panic!("no leader in {TIMEOUT:?}");
    }
}

fn spawn(id: NodeId, cluster: &Path, data: &Path) -> Process {
    let log = data.with_extension("log");
    let log = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.arg("--id").arg(id.0.to_string()).arg("--cluster").arg(cluster).arg("--data").arg(data);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    Process(child.expect("the node starts"))
}

fn key(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

fn value(number: usize, round: &str) -> Vec<u8> {
    format!("{round}-{number}").into_bytes()
}

fn ok(value: &[u8]) -> Outcome<Arc<[u8]>> {
    Outcome::Ok(value.into())
}

/// Puts ten pairs; half way, `disturb` does its work. All is well in the end.
fn put_ten(client: &mut Client, round: &str, disturb: impl FnOnce()) {
    let mut disturb = Some(disturb);
    for number in 0..10 {
        if number == 5 {
            disturb.take().expect("once")();
        }
        let put = client.put(&key(number), &value(number, round));
        assert_eq!(put, Outcome::Ok(()), "put {number} of round {round}");
    }
}

fn read_ten(client: &mut Client, round: &str) {
    for number in 0..10 {
        assert_eq!(client.get(&key(number)), ok(&value(number, round)), "round {round}");
    }
}

/// Every way a compare-and-swap can go, and a delete.
fn swap(client: &mut Client, round: &str) {
    let key = format!("swapped-{round}").into_bytes();
    assert_eq!(client.get(&key), Outcome::Fail(Failure::Missing));
    assert_eq!(client.cas(&key, Some(b"old"), b"new"), Outcome::Fail(Failure::Missing));
    assert_eq!(client.cas(&key, None, b"first"), ok(b"first"));
    let first = || Outcome::Fail(Failure::Mismatch(b"first".as_slice().into()));
    assert_eq!(client.cas(&key, None, b"second"), first());
    assert_eq!(client.cas(&key, Some(b"wrong"), b"second"), first());
    assert_eq!(client.cas(&key, Some(b"first"), b"second"), ok(b"second"));
    assert_eq!(client.get(&key), ok(b"second"));
    assert_eq!(client.delete(&key), Outcome::Ok(()));
    assert_eq!(client.get(&key), Outcome::Fail(Failure::Missing));
}

#[test]
fn operations_work_and_go_on_without_the_leader() {
    let mut nodes = Nodes::start(1);
    let mut client = nodes.client();
    put_ten(&mut client, "quiet", || {});
    read_ten(&mut client, "quiet");
    swap(&mut client, "quiet");

    let leader = nodes.leader(&key(0));
    put_ten(&mut client, "leaderless", || nodes.kill(leader));
    read_ten(&mut client, "leaderless");
    swap(&mut client, "leaderless");
    assert_ne!(nodes.leader(&key(0)), leader);
}

#[test]
fn operations_go_on_without_a_follower_and_it_may_come_back() {
    let mut nodes = Nodes::start(1);
    let mut client = nodes.client();
    let leader = nodes.leader(&key(0));
    let followers = nodes.cluster.nodes.iter().map(|node| node.id).filter(|id| *id != leader);
    let [one, other] = *followers.collect::<Vec<NodeId>>() else { panic!("two followers") };

    put_ten(&mut client, "one", || nodes.kill(one));
    read_ten(&mut client, "one");
    swap(&mut client, "one");

    // Without the other there is a quorum only if the first has come back and caught up.
    nodes.start_missing();
    nodes.kill(other);
    read_ten(&mut client, "one");
    put_ten(&mut client, "other", || {});
    read_ten(&mut client, "other");
}

#[test]
fn what_was_acknowledged_survives_the_death_of_all() {
    let mut nodes = Nodes::start(1);
    let mut client = nodes.client();
    put_ten(&mut client, "before", || {});
    nodes.kill_all();
    nodes.start_missing();
    read_ten(&mut client, "before");
    // The session has survived, too: it is part of the replicated state.
    put_ten(&mut client, "after", || {});
    read_ten(&mut nodes.client(), "after");
    swap(&mut client, "after");
}

#[test]
fn many_groups_share_the_nodes() {
    let mut nodes = Nodes::start(8);
    let mut client = nodes.client();
    put_ten(&mut client, "quiet", || {});
    read_ten(&mut client, "quiet");
    let leader = nodes.leader(&key(0));
    put_ten(&mut client, "leaderless", || nodes.kill(leader));
    read_ten(&mut nodes.client(), "leaderless");
}

#[test]
fn the_largest_values_are_kept() {
    let nodes = Nodes::start(1);
    let mut client = nodes.client();
    let large = |letter: u8| vec![letter; (64 << 10) - 1];
    assert_eq!(client.put(b"k", &large(b'a')), Outcome::Ok(()));
    let swapped = client.cas(b"k", Some(&large(b'a')), &large(b'b'));
    assert!(swapped == ok(&large(b'b')));
    assert!(client.get(b"k") == ok(&large(b'b')));
    let too_large = Outcome::Fail(Failure::TooLarge { size_bytes_max: (64 << 10) - 1 });
    assert_eq!(client.put(b"k", &vec![0; 64 << 10]), too_large);
}

#[test]
fn every_node_tells_its_state() {
    let nodes = Nodes::start(1);
    let mut client = nodes.client();
    for node in &nodes.cluster.nodes {
        let Outcome::Ok(status) = client.status(node.id) else { panic!("{} is up", node.id) };
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        assert_eq!(status["node"], node.id.0);
    }
}
