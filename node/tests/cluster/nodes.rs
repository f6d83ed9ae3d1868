//! Real nodes as processes of this machine: started, stopped, killed, frozen, and asked how they are.
//!
//! Stands alone, so that measurements can use it, too. Each cluster has a loopback address of its
//! own, drawn by lot, and ports that the system gives to nobody unasked: a node that is down finds
//! its port free when it comes back, whatever else runs on the machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use node::client::{Client, Outcome};
use node::config::{self, Cluster, Secret};
use node::wire::NodeId;
use serde_json::{Value, json};
use tempfile::TempDir;

/// For what takes milliseconds on a quiet machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// What a cluster shall be.
#[derive(Clone)]
pub struct Shape {
    pub nodes: u16,
    pub partitions: u32,
    /// As in the cluster file; those not given have their defaults.
    pub limits: Value,
    /// Flags that each node gets besides the usual ones.
    pub flags: Vec<&'static str>,
}

impl Shape {
    pub fn new(nodes: u16, partitions: u32) -> Shape {
        Shape { nodes, partitions, limits: json!({}), flags: Vec::new() }
    }
}

/// The nodes of one cluster, their files in a folder of their own.
pub struct Nodes {
    pub cluster: Cluster,
    pub secret: Option<Secret>,
    /// The cluster file.
    pub file: PathBuf,
    flags: Vec<&'static str>,
    /// Copies of the cluster file that some nodes have, with other addresses of their peers.
    views: BTreeMap<NodeId, PathBuf>,
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
        if std::thread::panicking() {
            for id in self.ids() {
                eprintln!("the log of {id}:\n{}", self.log(id));
            }
        }
    }
}

impl Nodes {
    /// Nodes all of which answer.
    pub fn start(shape: Shape) -> Nodes {
        let mut nodes = Nodes::prepare(shape);
        nodes.start_missing();
        nodes.ids().into_iter().for_each(|id| drop(nodes.status(id)));
        nodes
    }

    /// A cluster of which no node runs yet.
    pub fn prepare(shape: Shape) -> Nodes {
        let dir = TempDir::new().expect("a folder");
        let init = config::Init {
            dir: dir.path().to_owned(),
            name: "test".to_owned(),
            nodes: shape.nodes,
            partitions: shape.partitions,
            replication: None,
            base_port: None,
        };
        let file = config::init(&init).expect("a new cluster");
        let text = fs::read(&file).expect("what init wrote");
        let mut text: Value = serde_json::from_slice(&text).expect("JSON");
        text["limits"] = shape.limits;
        let addresses = addresses(shape.nodes);
        for (node, address) in
            text["nodes"].as_array_mut().expect("a list").iter_mut().zip(addresses)
        {
            node["address"] = json!(address.to_string());
        }
        fs::write(&file, text.to_string()).expect("it is ours");
        let (cluster, secret) = Cluster::load(&file).expect("a valid cluster");
        let (views, running) = (BTreeMap::new(), Vec::new());
        Nodes { cluster, secret, file, flags: shape.flags, views, running, dir }
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.cluster.nodes.iter().map(|node| node.id).collect()
    }

    pub fn address(&self, id: NodeId) -> SocketAddr {
        self.cluster.node(id).expect("a member").address
    }

    /// Where all files of this cluster are.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder of a node.
    pub fn data(&self, id: NodeId) -> PathBuf {
        self.dir.path().join(format!("data-{id}"))
    }

    /// What a node wrote to standard error, in all its lives.
    pub fn log(&self, id: NodeId) -> String {
        fs::read_to_string(self.log_file(id)).unwrap_or_default()
    }

    /// Starts every node that does not run.
    pub fn start_missing(&mut self) {
        for id in self.ids() {
            if self.running.iter().all(|(running, _)| *running != id) {
                self.start_node(id);
            }
        }
    }

    pub fn start_node(&mut self, id: NodeId) {
        let command = self.command(id);
        self.start_as(id, command);
    }

    /// From its next start on, a node sees the others at these addresses.
    pub fn let_see(&mut self, id: NodeId, address: impl Fn(NodeId) -> SocketAddr) {
        let text = fs::read(&self.file).expect("it is ours");
        let mut text: Value = serde_json::from_slice(&text).expect("JSON");
        for node in text["nodes"].as_array_mut().expect("a list") {
            let peer = NodeId(node["id"].as_u64().expect("a number") as u16);
            if peer != id {
                node["address"] = json!(address(peer).to_string());
            }
        }
        let view = self.dir.path().join(format!("cluster-of-{id}.json"));
        fs::write(&view, text.to_string()).expect("it is ours");
        self.views.insert(id, view);
    }

    /// The command that runs a node, to be changed or wrapped.
    pub fn command(&self, id: NodeId) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
        // Set by cargo; the system's loader would look there first, for nothing.
        command.env_remove("LD_LIBRARY_PATH");
        command.arg("--id").arg(id.0.to_string()).arg("--cluster");
        command.arg(self.views.get(&id).unwrap_or(&self.file));
        command.arg("--data").arg(self.data(id)).args(&self.flags);
        command
    }

    /// Starts a node by this command, the process of which must become the node.
    pub fn start_as(&mut self, id: NodeId, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.log_file(id));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log file"));
        self.running.push((id, Process(command.spawn().expect("the node starts"))));
    }

    /// SIGKILL; returns when the node is gone.
    pub fn kill(&mut self, id: NodeId) {
        drop(self.take(id));
    }

    /// SIGKILL to all, then waits: none sees another's end for long.
    pub fn kill_all(&mut self) {
        for (_, process) in &mut self.running {
            process.0.kill().expect("it is our child");
        }
        self.running.clear();
    }

    /// SIGSTOP: the node is there, and does nothing.
    pub fn freeze(&self, id: NodeId) {
        self.signal(id, "-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self, id: NodeId) {
        self.signal(id, "-CONT");
    }

    /// SIGTERM; returns how it ended.
    pub fn stop(&mut self, id: NodeId) -> ExitStatus {
        self.signal(id, "-TERM");
        self.ended(id)
    }

    /// Waits for a node to end by itself.
    pub fn ended(&mut self, id: NodeId) -> ExitStatus {
        let mut process = self.take(id);
        eventually(&format!("{id} ends"), || process.0.try_wait().expect("it is our child"))
    }

    /// Whether a node that was started has not ended.
    pub fn is_running(&mut self, id: NodeId) -> bool {
        let process = self.running.iter_mut().find(|(running, _)| *running == id);
        process.is_some_and(|(_, process)| process.0.try_wait().expect("our child").is_none())
    }

    pub fn pid(&self, id: NodeId) -> u32 {
        let found = self.running.iter().find(|(running, _)| *running == id);
        found.unwrap_or_else(|| panic!("{id} was started")).1.0.id()
    }

    pub fn client(&self) -> Client {
        self.client_within(TIMEOUT)
    }

    pub fn client_within(&self, timeout: Duration) -> Client {
        Client::connect(&self.cluster, self.secret.as_ref(), timeout).expect("a socket")
    }

    /// What a node says of itself, once it answers.
    pub fn status(&self, id: NodeId) -> Value {
        match self.client().status(id) {
            Outcome::Ok(status) => serde_json::from_str(&status).expect("JSON"),
            other => panic!("{id} does not answer: {other:?}"),
        }
    }

    /// The leader of the group of this key, once a node knows one that answers.
    pub fn leader(&self, key: &[u8]) -> NodeId {
        let mut client = self.client();
        eventually("a leader answers", || {
            // A read is answered by none but a leader that a quorum confirms.
            let (Outcome::Ok(_) | Outcome::Fail(_)) = client.get(key) else { return None };
            match client.route(key) {
                Outcome::Ok(route) => route.leader,
                _ => None,
            }
        })
    }

    fn log_file(&self, id: NodeId) -> PathBuf {
        self.dir.path().join(format!("{id}.log"))
    }

    fn take(&mut self, id: NodeId) -> Process {
        let at = self.running.iter().position(|(running, _)| *running == id);
        self.running.swap_remove(at.unwrap_or_else(|| panic!("{id} was started"))).1
    }

    fn signal(&self, id: NodeId, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid(id).to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{signal} to {id}");
    }
}

/// Asks again and again, until there is something; panics after [`TIMEOUT`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(TIMEOUT, what, ask)
}

/// As [`eventually`], with another deadline.
pub fn eventually_within<T>(
    timeout: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Addresses that are free now, and will be.
fn addresses(count: u16) -> Vec<SocketAddr> {
    loop {
        let [a, b, c, d, e] = lot();
        let ip = Ipv4Addr::new(127, a, b, c.clamp(1, 254));
        // Below the ports that Linux gives to sockets which ask for none.
        let base = 10_000 + u16::from_le_bytes([d, e]) % 20_000;
        let addresses = (base..base + count).map(|port| SocketAddr::from((ip, port)));
        let addresses: Vec<SocketAddr> = addresses.collect();
        if addresses.iter().all(|address| UdpSocket::bind(address).is_ok()) {
            return addresses;
        }
    }
}

/// Nobody replays this: which address it is means nothing.
fn lot() -> [u8; 5] {
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
