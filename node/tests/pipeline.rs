//! A pipeline against three real nodes whose leader is killed: nothing acknowledged is lost, and
//! every command that is ok took effect once.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::client::{Ask, Client, Cluster, Completion, Done, Outcome, Pipeline, Secret};
use node::config::{self, Init};
use node::wire::NodeId;
use tempfile::TempDir;

/// For what takes milliseconds on a quiet machine.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Counters, each incremented by one compare-and-swap after the other, all at the same time.
const COUNTERS: u64 = 200;
/// The leader is killed when this many increments are done.
const KILL_AFTER: u64 = 2_000;
const INCREMENTS: u64 = 6_000;

/// A process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL. That it is gone already is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Nodes {
    cluster: Cluster,
    secret: Option<Secret>,
    running: BTreeMap<NodeId, Process>,
    _dir: TempDir,
}

impl Nodes {
    fn start() -> Nodes {
        let dir = TempDir::new().expect("a folder");
        let init = Init {
            dir: dir.path().to_owned(),
            name: "test".to_owned(),
            nodes: 3,
            partitions: 1,
            replication: None,
            base_port: None,
        };
        let file = config::init(&init).expect("a new cluster");
        let (cluster, secret) = Cluster::load(&file).expect("what init wrote");
        let start = |id: NodeId| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
            command.arg("--id").arg(id.0.to_string()).arg("--cluster").arg(&file);
            command.arg("--data").arg(dir.path().join(id.to_string())).stdin(Stdio::null());
            Process(command.stderr(Stdio::null()).spawn().expect("the node starts"))
        };
        let running = cluster.nodes.iter().map(|node| (node.id, start(node.id))).collect();
        Nodes { cluster, secret, running, _dir: dir }
    }

    /// Kills whoever leads, once somebody does.
    fn kill_leader(&mut self) {
        let mut client =
            Client::connect(&self.cluster, self.secret.as_ref(), TIMEOUT).expect("a socket");
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            if let Outcome::Ok(route) = client.route(b"any")
                && let Some(leader) = route.leader
                && self.running.remove(&leader).is_some()
            {
                return;
            }
        }
        panic!("no leader in {TIMEOUT:?}");
    }
}

fn text(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Adds one to a counter that has this value; one without a value is missing.
fn increment(pipeline: &mut Pipeline, counter: u64, value: u64) {
    let old = (value > 0).then(|| text(value));
    let (key, new) = (text(counter), text(value + 1));
    pipeline.submit(counter, Ask::Cas { key: &key, old: old.as_deref(), new: &new });
}

#[test]
fn increments_take_effect_once_although_the_leader_is_killed() {
    let mut nodes = Nodes::start();
    let mut pipeline =
        Pipeline::connect(&nodes.cluster, nodes.secret.as_ref(), TIMEOUT).expect("a socket");
    let mut values = [0; COUNTERS as usize];
    (0..COUNTERS).for_each(|counter| increment(&mut pipeline, counter, 0));
    let (mut done, mut submitted) = (0, COUNTERS);
    while pipeline.in_flight() > 0 {
        let Some(Completion { tag, outcome, .. }) = pipeline.poll(TIMEOUT) else { continue };
        let value = &mut values[tag as usize];
        *value += 1;
        // Nobody else writes the key: one that is found otherwise was lost, or ran twice. And only a
        // minority is down, so that everything is known in time.
        assert_eq!(outcome, Outcome::Ok(Done::Swapped(text(*value).into())), "counter {tag}");
        done += 1;
        if done == KILL_AFTER {
            nodes.kill_leader();
        }
        if submitted < INCREMENTS {
            increment(&mut pipeline, tag, *value);
            submitted += 1;
        }
    }
    assert_eq!(done, INCREMENTS);

    let mut reader =
        Client::connect(&nodes.cluster, nodes.secret.as_ref(), TIMEOUT).expect("a socket");
    for (counter, value) in (0..).zip(values) {
        let found = reader.get(&text(counter));
        assert_eq!(found, Outcome::Ok(text(value).into()), "counter {counter}");
    }
}
