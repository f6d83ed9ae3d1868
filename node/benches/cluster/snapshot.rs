//! What clients notice of a snapshot of a million keys.

use crate::load::{Kind, Latencies, Load};
use crate::nodes::{Nodes, Shape};
use crate::{Scale, row};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 16;

pub fn measure(scale: &Scale) {
    let keys = scale.count(1_000_000);
    let limits = serde_json::json!({"snapshot_every": keys + keys / 10, "keep": 1_000});
    let nodes = Nodes::start(Shape { limits, ..Shape::new(3, 1) });
    Load::connect(&nodes, 256).put(0..keys);
    let leader = nodes.leader(b"key");
    let group = || nodes.status(leader)["groups"][0].clone();

    // Once the snapshot falls due, and once it is durable.
    let (due, durable) = (Mutex::new(None), Mutex::new(None));
    let done = AtomicBool::new(false);
    let answered = thread::scope(|scope| {
        scope.spawn(|| {
            let due_at = keys + keys / 10;
            while group()["applied"].as_u64() < Some(due_at) {
                thread::sleep(Duration::from_millis(2));
            }
            *due.lock().expect("no panic") = Some(Instant::now());
            while group()["snapshot"] == 0 {
                thread::sleep(Duration::from_millis(2));
            }
            *durable.lock().expect("no panic") = Some(Instant::now());
            // As long again, to see what comes behind.
            thread::sleep(Duration::from_secs(1));
            done.store(true, Ordering::Relaxed);
        });
        let mut load = Load::connect(&nodes, IN_FLIGHT);
        let mut answered = Vec::new();
        let keys = (0..).take_while(|_| !done.load(Ordering::Relaxed)).map(|n| n * 7919 % keys);
        load.run(keys, Kind::Put, |at, latency| answered.push((at, latency)));
        answered
    });
    let due = due.into_inner().expect("no panic").expect("it fell due");
    let durable = durable.into_inner().expect("no panic").expect("it became durable");
    let [mut before, mut during, mut after] = [(); 3].map(|()| Latencies::default());
    for (at, latency) in answered {
        // Whatever was under way for a moment of it counts; and it may have begun a little before
        // the status said so.
        let window = if at < due - Duration::from_millis(10) {
            &mut before
        } else if at - latency <= durable {
            &mut during
        } else {
            &mut after
        };
        window.record(latency);
    }
    let bytes = group()["snapshot_bytes"].as_u64().expect("a number");
    let took = durable.duration_since(due).as_secs_f64() * 1e3;
    row(
        &format!("a snapshot of {keys} keys, on all three nodes at once"),
        &format!("{took:.0} ms until it is durable, {bytes} bytes"),
    );
    row(&format!("  puts, {IN_FLIGHT} in flight, before it"), &before.to_string());
    row("  while it is taken and saved", &during.to_string());
    row("  after it", &after.to_string());
}
