//! A follower that was down while 200,000 writes passed comes back while clients go on.

use crate::load::{Kind, Latencies, Load};
use crate::nodes::{Nodes, Shape};
use crate::{Scale, row};
use node::wire::NodeId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

/// A load that leaves the machine room for the follower to catch up.
const IN_FLIGHT: usize = 16;

pub fn measure(scale: &Scale) {
    let writes = scale.count(200_000);
    let limits = serde_json::json!({"snapshot_every": writes / 2, "keep": writes / 20});
    let mut nodes = Nodes::start(Shape { limits, ..Shape::new(3, 1) });
    let leader = nodes.leader(b"key");
    let down = nodes.ids().into_iter().find(|id| *id != leader).expect("there are three");
    nodes.kill(down);
    Load::connect(&nodes, 256).put(0..writes);

    let mut load = Load::connect(&nodes, IN_FLIGHT);
    let before = timed(&mut load, 0..scale.count(50_000));
    // Three nodes run behind this, and two before it: what a third alone costs is seen after it.
    nodes.start_node(down);
    let (begun, caught_up) = (Instant::now(), AtomicBool::new(false));
    let (during, took, image_bytes) = thread::scope(|scope| {
        let wait = scope.spawn(|| {
            let goal = applied(&nodes, leader);
            while applied(&nodes, down) < goal {}
            caught_up.store(true, Ordering::Relaxed);
            begun.elapsed()
        });
        let keys = (0..).take_while(|_| !caught_up.load(Ordering::Relaxed));
        let during = timed(&mut load, keys.map(|number| number % writes));
        (during, wait.join().expect("the follower catches up"), image_bytes(&nodes, down))
    });
    let after = timed(&mut load, 0..scale.count(50_000));
    row(
        &format!("a follower {writes} writes behind, until it has caught up"),
        &format!("{:.0} ms, by a snapshot of {image_bytes} bytes", took.as_secs_f64() * 1e3),
    );
    row(&format!("  puts, {IN_FLIGHT} in flight, before it came"), &before.to_string());
    row("  while it catches up", &during.to_string());
    row("  with three nodes, after that", &after.to_string());
}

fn timed(load: &mut Load, keys: impl IntoIterator<Item = u64>) -> Latencies {
    let mut latencies = Latencies::default();
    load.run(keys, Kind::Put, |_, latency| latencies.record(latency));
    latencies
}

fn applied(nodes: &Nodes, id: NodeId) -> u64 {
    nodes.status(id)["groups"][0]["applied"].as_u64().expect("a number")
}

/// Panics if the node got there without a snapshot.
fn image_bytes(nodes: &Nodes, id: NodeId) -> u64 {
    let group = &nodes.status(id)["groups"][0];
    assert_ne!(group["snapshot"], 0, "it was too far behind for the log");
    group["snapshot_bytes"].as_u64().expect("a number")
}
