//! Bad weather between the nodes, and nodes that die in it.

use std::collections::BTreeMap;

use node::wire::NodeId;

use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT};
use crate::size::{Line, Random, size};
use crate::tap::{Tap, Weather};

/// A cluster whose nodes reach each other through this weather.
fn cluster(shape: Shape, weather: Weather, random: &mut Random) -> (Nodes, BTreeMap<NodeId, Tap>) {
    let mut nodes = Nodes::prepare(shape);
    let ids = nodes.ids();
    let mut tap = |id: NodeId| (id, Tap::in_weather(nodes.address(id), weather, random.fork()));
    let taps: BTreeMap<NodeId, Tap> = ids.iter().map(|id| tap(*id)).collect();
    ids.iter().for_each(|id| nodes.let_see(*id, |peer| taps[&peer].address));
    nodes.start_missing();
    ids.iter().for_each(|id| drop(nodes.status(*id)));
    (nodes, taps)
}

/// Kills, freezes and restarts nodes at random; returns how often.
fn disturb(nodes: &mut Nodes, load: &Load, random: &mut Random, times: u64) {
    for _ in 0..times {
        load.wait_for(20 + random.below(100));
        let leader = nodes.leader(b"k");
        let any = *random.pick(&nodes.ids());
        match random.below(6) {
            0 => nodes.kill_all(),
            1 => nodes.kill(any),
            2 => nodes.kill(leader),
            frozen => {
                let id = if frozen == 3 { any } else { leader };
                nodes.freeze(id);
                load.wait_for(10 + random.below(60));
                nodes.thaw(id);
            }
        }
        if random.below(3) > 0 {
            nodes.start_missing();
            continue;
        }
        // For a while without: of three, one may be missing.
        let down = nodes.ids().into_iter().filter(|id| !nodes.is_running(*id)).count();
        if down == 1 {
            load.wait_for(30);
        }
        nodes.start_missing();
    }
}

#[test]
fn nodes_die_and_freeze_on_a_network_that_does_its_worst() {
    let mut random = Random::seeded("weather");
    let storm = Weather { lost: 10, repeated: 10, late: 10, damaged: 5 };
    let hail = Weather { lost: 30, ..Weather::default() };
    let fog = Weather { late: 50, repeated: 30, ..Weather::default() };
    for (weather, groups) in [(storm, 2), (hail, 1), (fog, 3)].into_iter().take(size(1, 3) as usize)
    {
        let line = Line::begin("nodes killed and frozen, snapshots, and a bad network between");
        let limits = serde_json::json!({"snapshot_every": 60, "keep": 10});
        let shape = Shape { limits, ..Shape::new(3, groups) };
        let (mut nodes, _taps) = cluster(shape, weather, &mut random);
        let load = Load::start(&nodes, 6, TIMEOUT);
        let times = size(6, 80);
        disturb(&mut nodes, &load, &mut random, times);
        load.wait_for(100);
        let summary = load.finish(&nodes);
        assert_eq!(summary.indeterminate, 0);
        let Weather { lost, repeated, late, damaged } = weather;
        let result = format!(
            "of 100 datagrams {lost} lost, {repeated} repeated, {late} late, {damaged} damaged: \
             {} acknowledged, 0 lost, 0 doubled, 0 stale",
            summary.acknowledged
        );
        line.end(times, result);
    }
}
