//! A pipeline against three real nodes whose leader is killed: nothing acknowledged is lost, and
//! every command that is ok took effect once.

use node::client::{Ask, Completion, Done, Outcome, Pipeline};

use crate::nodes::{Nodes, Shape, TIMEOUT};

/// Counters, each incremented by one compare-and-swap after the other, all at the same time.
const COUNTERS: u64 = 200;
/// The leader is killed when this many increments are done.
const KILL_AFTER: u64 = 2_000;
const INCREMENTS: u64 = 6_000;

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
    let mut nodes = Nodes::start(Shape::new(3, 1));
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
            nodes.kill(nodes.leader(b"any"));
        }
        if submitted < INCREMENTS {
            increment(&mut pipeline, tag, *value);
            submitted += 1;
        }
    }
    assert_eq!(done, INCREMENTS);

    let mut reader = nodes.client();
    for (counter, value) in (0..).zip(values) {
        let found = reader.get(&text(counter));
        assert_eq!(found, Outcome::Ok(text(value).into()), "counter {counter}");
    }
}
