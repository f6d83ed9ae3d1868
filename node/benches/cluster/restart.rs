//! All nodes killed, and started again with a log of a million entries that no snapshot covers.

use crate::load::{Load, VALUE, key};
use crate::nodes::{Nodes, Shape};
use crate::{Scale, row};
use node::client::Outcome;
use serde_json::json;
use std::fs;
use std::time::Instant;

pub fn measure(scale: &Scale) {
    let entries = scale.count(1_000_000);
    let limits = json!({"snapshot_every": 0});
    let mut nodes = Nodes::start(Shape { limits, ..Shape::new(3, 1) });
    let empty_kib = rss_kib(nodes.pid(nodes.ids()[0]));
    Load::connect(&nodes, 256).put(0..entries);
    let (leader, last) = (nodes.leader(&key(0)), key(entries - 1));
    let grown = rss_kib(nodes.pid(leader)) - empty_kib;
    let each = (grown << 10) as f64 / entries as f64;
    row(
        &format!("memory of a node, for each of {entries} keys and entries"),
        &format!("{each:.0} bytes, of which 48 are key and value"),
    );

    nodes.kill_all();
    let begun = Instant::now();
    nodes.start_missing();
    let answered = nodes.client().get(&last);
    let served = begun.elapsed();
    assert_eq!(answered, Outcome::Ok(VALUE.as_slice().into()));
    row(
        &format!("restart of all three with a log of {entries} entries, to a read"),
        &format!("{:.0} ms", served.as_secs_f64() * 1e3),
    );
    // And one alone, whose processor nobody shares.
    nodes.kill(leader);
    let begun = Instant::now();
    nodes.start_node(leader);
    nodes.status(leader);
    row(
        "restart of one of them, to its first answer",
        &format!("{:.0} ms", begun.elapsed().as_secs_f64() * 1e3),
    );
}

/// Memory that a process has in use.
fn rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
