//! Whole clusters killed, and leaders frozen, in the middle of load.

use std::time::{Duration, Instant};

use node::client::Outcome;
use node::wire::{Question, Reply};

use crate::caller::{Caller, Heard};
use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT, eventually};
use crate::size::{Line, Random, is_full, size};

/// Kills all nodes again and again; returns how it went, in a few words.
fn kill_everything(kills: u64, shape: Shape, padding_bytes: usize, test: &str) -> String {
    let mut random = Random::seeded(test);
    let mut nodes = Nodes::start(shape);
    let load = Load::padded(&nodes, 8, TIMEOUT, padding_bytes);
    let mut recovery_max = Duration::ZERO;
    for _ in 0..kills {
        load.wait_for(100 + random.below(300));
        nodes.kill_all();
        let killed = Instant::now();
        nodes.start_missing();
        load.wait_for(1);
        recovery_max = recovery_max.max(killed.elapsed());
    }
    load.wait_for(200);
    let summary = load.finish(&nodes);
    // Requests are repeated for far longer than a restart takes.
    assert_eq!(summary.indeterminate, 0);
    format!(
        "{} acknowledged, 0 lost, 0 doubled, 0 indeterminate; next answer within {} ms",
        summary.acknowledged,
        recovery_max.as_millis()
    )
}

#[test]
fn all_nodes_are_killed_in_the_middle_of_load() {
    let line = Line::begin("all nodes killed under load");
    let kills = size(4, 50);
    line.end(kills, kill_everything(kills, Shape::new(3, 1), 0, "all killed"));
}

#[test]
fn all_nodes_are_killed_that_leave_syncing_to_the_system() {
    let line = Line::begin("all nodes killed under load, --sync os, 4 groups");
    let shape = Shape { flags: vec!["--sync", "os"], ..Shape::new(3, 4) };
    let kills = size(4, 50);
    line.end(kills, kill_everything(kills, shape, 0, "all killed, --sync os"));
}

#[test]
fn all_nodes_are_killed_while_they_take_snapshots() {
    let line = Line::begin("all nodes killed under load, snapshot every 40 entries");
    let limits = serde_json::json!({"snapshot_every": 40, "keep": 10});
    let shape = Shape { limits, ..Shape::new(3, 1) };
    let kills = size(4, 50);
    line.end(kills, kill_everything(kills, shape.clone(), 0, "all killed, snapshots"));
    if is_full() {
        let line = Line::begin("the same with puts of 50 kB: segments of the log come and go");
        let result = kill_everything(kills, shape, 50_000, "all killed, large values");
        line.end(kills, result);
    }
}

#[test]
fn all_nodes_are_killed_of_clusters_of_any_shape() {
    let line = Line::begin("all nodes killed under load: 1, 2, 4, 5 and 7 nodes; 1 to 64 groups");
    let shapes = [(4, 5), (1, 2), (2, 1), (5, 8), (7, 3), (3, 64)];
    let mut kills = 0;
    for (nodes, groups) in shapes.into_iter().take(size(1, 6) as usize) {
        let test = format!("all killed, {nodes} nodes, {groups} groups");
        let each = size(4, 15);
        kill_everything(each, Shape::new(nodes, groups), 0, &test);
        kills += each;
    }
    line.end(kills, "0 lost, 0 doubled, 0 indeterminate");
}

/// New folders and old ones, killed at any moment between the first instruction and the first answer.
#[test]
fn nodes_that_are_killed_while_they_start_start_again() {
    let line = Line::begin("nodes killed 0..20 ms after their start");
    let mut random = Random::seeded("killed starting");
    let (mut kills, rounds) = (0, size(2, 10));
    for _ in 0..rounds {
        let mut nodes = Nodes::prepare(Shape::new(3, 2));
        let mut kill_starting = |nodes: &mut Nodes, times| {
            for _ in 0..times {
                nodes.start_missing();
                let until = Instant::now() + Duration::from_micros(random.below(20_000));
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                nodes.kill_all();
                kills += 3;
            }
        };
        kill_starting(&mut nodes, 20);
        nodes.start_missing();
        let mut client = nodes.client();
        for number in 0..20_u64 {
            let key = number.to_le_bytes();
            assert_eq!(client.put(&key, &key), Outcome::Ok(()));
        }
        nodes.kill_all();
        kill_starting(&mut nodes, 20);
        nodes.start_missing();
        for number in 0..20_u64 {
            let key = number.to_le_bytes();
            assert_eq!(client.get(&key), Outcome::Ok(key.as_slice().into()));
        }
    }
    line.end(kills, "all start again, nothing lost");
}

#[test]
fn nodes_restarted_one_by_one_stop_cleanly_and_nobody_notices() {
    let line = Line::begin("rolling restart by SIGTERM under load");
    let mut nodes = Nodes::start(Shape::new(3, 2));
    let load = Load::start(&nodes, 8, TIMEOUT);
    let restarts = size(6, 60);
    for round in 0..restarts {
        load.wait_for(100);
        let ids = nodes.ids();
        let id = ids[round as usize % ids.len()];
        let ended = nodes.stop(id);
        assert!(ended.success(), "{id}: {ended}");
        nodes.start_node(id);
        drop(nodes.status(id));
    }
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    for id in nodes.ids() {
        assert!(!nodes.log(id).contains("cut off"), "a clean end leaves no torn log");
    }
    line.end(restarts, format_args!("{} acknowledged, 0 lost, 0 doubled", summary.acknowledged));
}

/// A client that gives up early knows less, and must not say more than it knows.
#[test]
fn impatient_clients_are_never_told_a_lie() {
    let line = Line::begin("all nodes killed, clients give up after 40 ms");
    let mut random = Random::seeded("impatient");
    let mut nodes = Nodes::start(Shape::new(3, 1));
    let load = Load::start(&nodes, 8, Duration::from_millis(40));
    let kills = size(4, 50);
    for _ in 0..kills {
        load.wait_for(200 + random.below(200));
        nodes.kill_all();
        load.wait_for(16);
        nodes.start_missing();
    }
    load.wait_for(400);
    let summary = load.finish(&nodes);
    assert!(summary.indeterminate >= kills, "{summary:?}");
    let (acknowledged, indeterminate) = (summary.acknowledged, summary.indeterminate);
    line.end(
        kills,
        format_args!("{acknowledged} acknowledged, {indeterminate} indeterminate, no lie"),
    );
}

#[test]
fn a_frozen_leader_is_followed_by_another_and_does_not_answer_from_its_memory() {
    let line = Line::begin("leader frozen and thawed under load");
    let mut nodes = Nodes::start(Shape::new(3, 1));
    let load = Load::start(&nodes, 8, TIMEOUT);
    let (mut client, mut caller) = (nodes.client(), Caller::new(&nodes));
    let freezes = size(4, 30);
    for round in 0..freezes {
        assert_eq!(client.put(b"k", format!("old-{round}").as_bytes()), Outcome::Ok(()));
        let leader = nodes.leader(b"k");
        let group = client.table().group_of(b"k");
        // With a token, so that the question below is taken the first time.
        caller.status(leader);
        nodes.freeze(leader);
        assert_eq!(client.put(b"k", format!("new-{round}").as_bytes()), Outcome::Ok(()));
        load.wait_for(100);
        // It lies in the socket while the node is frozen, behind whatever else came there.
        let question = caller.send(leader, group, Question::Read(b"k"));
        nodes.thaw(leader);
        match caller.answer(question, TIMEOUT) {
            Some(Heard::Reply(Reply::Found(value))) => {
                assert_eq!(&value[..], format!("new-{round}").as_bytes(), "a stale read");
            }
            Some(Heard::Redirect(..)) => {}
            other => panic!("the thawed leader says {other:?}"),
        }
        eventually("the thawed node follows", || {
            let status = caller.status(leader);
            status["groups"][0]["connected"].as_bool()?.then_some(())
        });
    }
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    nodes.ids().into_iter().for_each(|id| assert!(nodes.is_running(id), "{id} has ended"));
    line.end(
        freezes,
        format_args!("{} acknowledged, 0 lost, 0 doubled, 0 stale", summary.acknowledged),
    );
}
