//! Three real nodes through the proxy: the leader is cut off, another one serves, all is healed.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use checker::cluster::free_addresses;
use checker::nemesis::Shape;
use checker::proxy::{Endpoint, Link, Proxy, Weather};
use node::client::{Client, Cluster, Failure, Outcome};
use node::wire::NodeId;
use serde_json::json;

/// For what takes milliseconds on a quiet machine.
const TIMEOUT: Duration = Duration::from_secs(30);
const IDS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

mod runs;

/// A node that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // That it is gone already is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a cluster file; no secret, for all addresses are loopback.
fn view(file: &Path, address: impl Fn(NodeId) -> SocketAddr) {
    let nodes = IDS.map(|id| json!({"id": id.0, "address": address(id).to_string()}));
    fs::write(file, json!({"cluster": "partitioned", "nodes": nodes}).to_string()).expect("ours");
}

fn start(dir: &Path, id: NodeId, nodes: &[(NodeId, SocketAddr)], proxy: &Proxy) -> Process {
    let file = dir.join(format!("cluster-of-{}.json", id.0));
    let own = nodes.iter().find(|(node, _)| *node == id).expect("a member").1;
    let seen = |peer| if peer == id { own } else { proxy.address(Endpoint::Node(id), peer) };
    view(&file, seen);
    let mut node = Command::new(runs::node());
    node.arg("--id").arg(id.0.to_string()).arg("--cluster").arg(file);
    node.arg("--data").arg(dir.join(format!("data-{}", id.0)));
    let log = File::create(dir.join(format!("{}.log", id.0))).expect("a log file");
    node.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Process(node.spawn().expect("the node starts"))
}

/// A client of this group, behind the proxy.
fn client(dir: &Path, group: u32, proxy: &Proxy, timeout: Duration) -> Client {
    let file = dir.join(format!("cluster-of-clients-{group}.json"));
    view(&file, |node| proxy.address(Endpoint::Client(group), node));
    let (cluster, secret) = Cluster::load(&file).expect("a valid cluster");
    Client::connect(&cluster, secret.as_ref(), timeout).expect("a socket")
}

/// The node that a read was just answered by.
fn leader(client: &mut Client) -> NodeId {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        assert!(matches!(client.get(b"k"), Outcome::Ok(_) | Outcome::Fail(Failure::Missing)));
        if let Outcome::Ok(route) = client.route(b"k")
            && let Some(leader) = route.leader
        {
            return leader;
        }
        assert!(Instant::now() < deadline, "somebody leads");
    }
}

#[test]
fn a_leader_cut_off_is_followed_by_another_and_tells_nothing_old() {
    let dir = tempfile::tempdir().expect("a folder");
    let addresses = free_addresses(IDS.len()).expect("there are some");
    let nodes: Vec<_> = IDS.into_iter().zip(addresses).collect();
    let proxy = Proxy::start(&nodes, 2, 1).expect("sockets on loopback");
    let _processes = IDS.map(|id| start(dir.path(), id, &nodes, &proxy));
    let mut free = client(dir.path(), 0, &proxy, TIMEOUT);
    assert_eq!(free.put(b"k", b"old"), Outcome::Ok(()));
    let deposed = leader(&mut free);
    let others: Vec<NodeId> = IDS.into_iter().filter(|id| *id != deposed).collect();

    // Clients of group 1 reach nobody but this leader.
    for other in &others {
        let link = Link { from: Endpoint::Client(1), to: Endpoint::Node(*other) };
        proxy.set(link, Weather::CUT);
    }
    let mut pinned = client(dir.path(), 1, &proxy, TIMEOUT);
    assert_eq!(pinned.get(b"k"), Outcome::Ok(b"old"[..].into()));

    let order = [&[deposed], &others[..]].concat();
    let cuts = Shape::Leader.cuts(&order);
    cuts.iter().for_each(|link| proxy.set(*link, Weather::CUT));
    let before = proxy.counters();
    let cut = Instant::now();
    assert_eq!(free.put(b"k", b"new"), Outcome::Ok(()));
    println!("a write {} ms after the cut", cut.elapsed().as_millis());
    assert!(others.contains(&leader(&mut free)));

    let mut hasty = client(dir.path(), 1, &proxy, Duration::from_millis(500));
    let heard = hasty.get(b"k");
    assert!(matches!(heard, Outcome::Indeterminate(_)), "from one who was deposed: {heard:?}");
    let counters = proxy.counters();
    for link in &cuts {
        assert_eq!(counters[link].passed, before[link].passed, "{link} is cut");
        assert!(counters[link].cut > before[link].cut, "{link} carried something");
    }

    proxy.heal();
    assert_eq!(pinned.put(b"k", b"newer"), Outcome::Ok(()));
    assert_eq!(free.get(b"k"), Outcome::Ok(b"newer"[..].into()));
    let deadline = Instant::now() + TIMEOUT;
    let passed = |link: &Link| proxy.counters()[link].passed > before[link].passed;
    while !cuts.iter().all(passed) {
        assert!(Instant::now() < deadline, "the deposed one is back");
        assert_eq!(free.get(b"k"), Outcome::Ok(b"newer"[..].into()));
    }
}
