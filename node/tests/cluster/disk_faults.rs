//! Real disk faults in real processes: whoever cannot write stops, says so, and has promised nothing.

use std::process::Command;

use node::client::Outcome;
use node::wire::NodeId;

use crate::full_disks;
use crate::injected;
use crate::load::{Load, Summary};
use crate::nodes::{Nodes, Shape, TIMEOUT, eventually};
use crate::size::{Line, is_full, size};

/// From now on the kernel refuses to let any file of this node grow beyond so many bytes.
fn limit_files(nodes: &Nodes, id: NodeId, size_bytes: u64) {
    let limit = format!("--fsize={size_bytes}");
    let set = Command::new("prlimit").args(["--pid", &nodes.pid(id).to_string(), &limit]).status();
    assert!(set.expect("prlimit (of util-linux) runs").success());
}

/// A node ended because of its disk: says so in one line, which names the file.
pub fn assert_ended_by_disk(nodes: &mut Nodes, id: NodeId, since: usize) -> String {
    let ended = nodes.ended(id);
    let log = nodes.log(id)[since..].to_owned();
    assert_eq!(ended.code(), Some(1), "{id}: {ended}\n{log}");
    let [error] = errors(&log)[..] else { panic!("{id} says {:?}", errors(&log)) };
    assert_eq!(log.lines().last(), Some(error), "these are its last words");
    let path = nodes.data(id).display().to_string();
    assert!(error.contains(&path) || error.contains("/proc/"), "no file is named: {error}");
    assert!(!log.contains("panicked"), "{log}");
    error.to_owned()
}

/// The lines of a log that say why the node ended.
pub fn errors(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" ERROR ")).collect()
}

/// Waits until a node has applied all that the others knew to be decided just now.
pub fn wait_until_caught_up(nodes: &Nodes, id: NodeId) {
    let decided = |id| nodes.status(id)["groups"][0]["decided"].as_u64().expect("a number");
    let goal = nodes.ids().into_iter().filter(|other| *other != id).map(decided).max();
    eventually("the node has caught up", || {
        let applied = nodes.status(id)["groups"][0]["applied"].as_u64();
        (applied >= goal).then_some(())
    });
}

/// After so many faults: every acknowledged write is there, and every other was refused for sure.
fn assert_nothing_is_lost(nodes: &Nodes, load: Load, line: Line, faults: u64) {
    let Summary { acknowledged, indeterminate } = load.finish(nodes);
    assert_eq!(indeterminate, 0);
    line.end(faults, format_args!("{acknowledged} acknowledged, 0 lost; exit 1, one line"));
}

/// The node that leads, or the first that does not.
pub fn victim(nodes: &Nodes, is_leader: bool) -> NodeId {
    let leader = nodes.leader(b"k");
    if is_leader {
        return leader;
    }
    nodes.ids().into_iter().find(|id| *id != leader).expect("there are others")
}

#[test]
fn a_node_that_cannot_write_stops_and_nothing_is_lost() {
    let line = Line::begin("writes refused by the kernel (EFBIG), leader and follower in turn");
    const LIMIT_BYTES: u64 = 64 << 10;
    let mut nodes = Nodes::start(Shape::new(3, 1));
    let mut client = nodes.client();
    for number in 0..2 * LIMIT_BYTES / 4096 {
        assert_eq!(client.put(&number.to_le_bytes(), &[b'x'; 4096]), Outcome::Ok(()));
    }
    let load = Load::start(&nodes, 4, TIMEOUT);
    let faults = size(2, 20);
    for round in 0..faults {
        let id = victim(&nodes, round % 2 == 0);
        wait_until_caught_up(&nodes, id);
        load.wait_for(50);
        let since = nodes.log(id).len();
        limit_files(&nodes, id, LIMIT_BYTES);
        let error = assert_ended_by_disk(&mut nodes, id, since);
        assert!(error.contains("stopped, the disk failed"), "{error}");
        assert!(error.contains("cannot be written: File too large"), "{error}");
        load.wait_for(50);
        nodes.start_node(id);
        wait_until_caught_up(&nodes, id);
    }
    assert_nothing_is_lost(&nodes, load, line, faults);
    if is_full() {
        injected::one_call_fails_in_a_cluster();
    }
}

#[test]
fn a_lone_node_acknowledges_nothing_after_a_failed_write() {
    let mut nodes = Nodes::start(Shape::new(1, 1));
    let [id] = nodes.ids()[..] else { panic!("one node") };
    let mut client = nodes.client();
    let value = [b'x'; 4096];
    (0..32_u64).for_each(|n| assert_eq!(client.put(&n.to_le_bytes(), &value), Outcome::Ok(())));
    let since = nodes.log(id).len();
    limit_files(&nodes, id, 64 << 10);
    let mut hasty = nodes.client_within(std::time::Duration::from_millis(500));
    assert!(matches!(hasty.put(b"late", b"x"), Outcome::Indeterminate(_)));
    assert_ended_by_disk(&mut nodes, id, since);
    nodes.start_node(id);
    for number in 0..32_u64 {
        assert_eq!(client.get(&number.to_le_bytes()), Outcome::Ok(value.as_slice().into()));
    }
    if is_full() {
        injected::a_lone_node_acknowledges_what_is_synced();
        injected::the_socket_fails_now_and_then();
    }
}

#[test]
fn a_node_that_cannot_save_a_snapshot_stops_and_nothing_is_lost() {
    let line = Line::begin("data folder gone while snapshots are taken");
    let limits = serde_json::json!({"snapshot_every": 50, "keep": 10});
    let mut nodes = Nodes::start(Shape { limits, ..Shape::new(3, 1) });
    let load = Load::start(&nodes, 4, TIMEOUT);
    let faults = size(2, 20);
    for round in 0..faults {
        let id = victim(&nodes, round % 2 == 0);
        load.wait_for(50);
        let (data, elsewhere) = (nodes.data(id), nodes.folder().join("elsewhere"));
        let since = nodes.log(id).len();
        std::fs::rename(&data, &elsewhere).expect("one file system");
        let error = assert_ended_by_disk(&mut nodes, id, since);
        assert!(error.contains("snapshot") || error.contains("cannot be listed"), "{error}");
        std::fs::rename(&elsewhere, &data).expect("nobody has made another");
        nodes.start_node(id);
        wait_until_caught_up(&nodes, id);
    }
    assert_nothing_is_lost(&nodes, load, line, faults);
    if is_full() {
        full_disks::a_disk_is_full();
        full_disks::a_log_cannot_grow();
    }
}
