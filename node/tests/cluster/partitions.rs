//! Five nodes, eight groups: any key through any node, and leaders spread over all of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use node::partition::Table;
use node::wire::{GroupId, NodeId, Question, Reply};

use crate::caller::{Caller, Heard};
use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT, eventually};
use crate::size::{Line, size};

/// Redirects that a question may take to arrive, once leaders are known.
const HOPS_MAX: usize = 3;

/// Who leads which group, if all members that run agree.
fn leaders(nodes: &Nodes, caller: &mut Caller, without: Option<NodeId>) -> Option<Vec<NodeId>> {
    let mut named: BTreeMap<u64, Vec<Option<u64>>> = BTreeMap::new();
    for id in nodes.ids().into_iter().filter(|id| Some(*id) != without) {
        for group in caller.status(id)["groups"].as_array().expect("a list") {
            let leader = group["leader"].as_u64().filter(|_| group["connected"] == true);
            named.entry(group["group"].as_u64().expect("a number")).or_default().push(leader);
        }
    }
    assert_eq!(named.len(), nodes.cluster.partitions as usize, "each group is somewhere");
    let agreed = named.values().map(|leaders| {
        let same = leaders.iter().all(|leader| *leader == leaders[0]);
        leaders[0].filter(|leader| same && without != Some(NodeId(*leader as u16)))
    });
    agreed.map(|leader| Some(NodeId(leader? as u16))).collect()
}

/// Groups led, by each node that leads any, fewest first.
fn spread(leaders: &[NodeId]) -> Vec<usize> {
    let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
    leaders.iter().for_each(|leader| *counts.entry(*leader).or_default() += 1);
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort();
    counts
}

/// Waits until the leaders are spread as well as eight groups can be on five nodes.
fn wait_until_spread(nodes: &Nodes, caller: &mut Caller) {
    eventually("leaders are spread 2-2-2-1-1", || {
        let leaders = leaders(nodes, caller, None)?;
        (spread(&leaders) == [1, 1, 2, 2, 2]).then_some(())
    });
}

/// Reads a key, asking `first` and then whomever the answers name.
fn read_through(caller: &mut Caller, first: NodeId, group: GroupId, key: &[u8]) -> (usize, Reply) {
    let mut asked = first;
    for hops in 0..=HOPS_MAX {
        match caller.ask(asked, group, Question::Read(key)) {
            Heard::Reply(reply) => return (hops, reply),
            Heard::Redirect(of, Some(leader)) => {
                assert_eq!(of, group);
                asked = leader;
            }
            other => panic!("{asked} answers {other:?}"),
        }
    }
    panic!("more than {HOPS_MAX} redirects from {first} to group {}", group.0)
}

#[test]
fn any_key_is_reached_through_any_node() {
    let nodes = Nodes::start(Shape::new(5, 8));
    let (mut client, mut caller) = (nodes.client(), Caller::new(&nodes));
    wait_until_spread(&nodes, &mut caller);
    let table = Table::new(&nodes.cluster);
    let line = Line::begin("5 nodes, 8 groups: each key read and routed through each node");
    let (keys, mut hops_max) = (size(100, 5_000), 0);
    for number in 0..keys {
        let key = format!("key-{number}").into_bytes();
        let group = table.group_of(&key);
        assert_eq!(client.put(&key, &key), node::client::Outcome::Ok(()));
        for id in nodes.ids() {
            let (hops, reply) = read_through(&mut caller, id, group, &key);
            assert_eq!(reply, Reply::Found(key.as_slice().into()));
            hops_max = hops_max.max(hops);
            let route = caller.ask(id, GroupId(0), Question::Route(Some(&key)));
            assert!(matches!(route, Heard::Redirect(of, Some(_)) if of == group), "{route:?}");
            let wrong = GroupId((group.0 + 1) % nodes.cluster.partitions);
            let answer = caller.ask(id, wrong, Question::Read(&key));
            assert_eq!(answer, Heard::WrongGroup(group));
        }
    }
    line.end(5 * keys, format_args!("all found, at most {hops_max} redirects"));
}

#[test]
fn leaders_are_spread_and_come_back_to_a_node_that_was_killed() {
    let line = Line::begin("5 nodes, 8 groups: a node killed and restarted under load");
    let mut nodes = Nodes::start(Shape::new(5, 8));
    let mut caller = Caller::new(&nodes);
    wait_until_spread(&nodes, &mut caller);
    let load = Load::start(&nodes, 8, TIMEOUT);
    let mut back: Vec<Duration> = Vec::new();
    let mut taken_over: Vec<Duration> = Vec::new();
    for round in 0..size(1, 15) {
        let ids = nodes.ids();
        let victim = ids[round as usize % ids.len()];
        load.wait_for(100);
        nodes.kill(victim);
        let killed = Instant::now();
        eventually("the others lead all groups", || leaders(&nodes, &mut caller, Some(victim)));
        taken_over.push(killed.elapsed());
        load.wait_for(100);
        nodes.start_node(victim);
        caller.status(victim);
        let up = Instant::now();
        wait_until_spread(&nodes, &mut caller);
        back.push(up.elapsed());
    }
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    let result = format_args!(
        "taken over {}; spread again {} after it is up; {} acknowledged, 0 lost",
        range(&taken_over),
        range(&back),
        summary.acknowledged
    );
    line.end(back.len() as u64, result);
}

fn range(times: &[Duration]) -> String {
    let of = |time: Option<&Duration>| time.expect("not empty").as_millis();
    format!("{}..{} ms", of(times.iter().min()), of(times.iter().max()))
}
