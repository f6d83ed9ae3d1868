//! Recovery: nodes crash and come back with their disk. To become durable is a step of its own, so
//! every message waits for the write it vouches for, and a crash loses what was not written yet.
//!
//! What the bounds leave out: damaged disks and torn records (those are the simulator's), snapshots.

use crate::catalogue::{Run, Size};
use crate::cluster::{Bounds, Budget, Node, Shared, Writes};
use crate::letters::{Example, run};
use crate::replication::reachable;
use crate::wishes::Wishes;
use node::protocol::Message;

/// What disks and crashes must be able to do.
fn crashes() -> Vec<Example> {
    let mut all = reachable();
    all.extend([
        Example::sometimes("others decide what a node that is down does not have", |_, world| {
            !world.decided.is_empty()
                && world
                    .nodes
                    .iter()
                    .any(|node| node.replica.is_none() && node.disk.durable.accepted().1.0 == 0)
        }),
        Example::sometimes("a promise waits for the disk", |_, world| {
            world.nodes.iter().any(|node| {
                let written = node.disk.durable.promise();
                node.replica.as_ref().is_some_and(|replica| replica.status().promised > written)
            })
        }),
        Example::sometimes("an entry waits for the disk", |_, world| {
            world.nodes.iter().any(|node| {
                let written = node.disk.durable.accepted().1;
                node.replica.as_ref().is_some_and(|replica| replica.status().accepted > written)
            })
        }),
        Example::sometimes("a node that came back is one of the quorum", |_, world| {
            let has_entry = |node: &&Shared<Node<_>>| node.disk.durable.accepted().1.0 > 0;
            let came_back = |node: &Shared<Node<_>>| {
                node.replica.as_ref().is_some_and(|replica| replica.status().boot > 1)
            };
            // With one node less, it would be none.
            let quorum = world.nodes.len() / 2 + 1;
            !world.decided.is_empty()
                && world.nodes.iter().filter(has_entry).count() == quorum
                && world.nodes.iter().filter(has_entry).any(came_back)
        }),
        Example::sometimes("a crash loses what a leader had others accept", |_, world| {
            let sent = world.network.iter().any(|sent| match &sent.envelope.message {
                Message::Accept { entries, .. } => !entries.is_empty(),
                _ => false,
            });
            sent && world.nodes.iter().all(|node| node.disk.durable.accepted().1.0 == 0)
                && world.nodes.iter().all(|node| node.disk.unsynced.is_empty())
                && world.replicas().all(|replica| replica.status().accepted.0 == 0)
        }),
    ]);
    all
}

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let of = |elections, entries, crashes, candidates: &[u16]| {
        let budget = Budget { elections, entries, crashes, ..Budget::default() };
        let candidates = candidates.to_vec();
        Bounds { writes: Writes::Later, candidates, ..Bounds::new(budget) }
    };
    let in_turn = |bounds| Bounds { in_turn: true, ..bounds };
    let run = |size, pinned, bounds| run(wishes, size, pinned, bounds, crashes);
    vec![
        run(Size::Small, 24_783, of(1, 1, 1, &[1])),
        run(Size::Small, 74_329, of(1, 1, 1, &[1, 2, 3])),
        run(Size::Small, 503_451, in_turn(of(2, 1, 1, &[1, 1]))),
        run(Size::Full, 1_495_074, of(1, 2, 1, &[1])),
        run(Size::Full, 412_416, of(1, 1, 2, &[1])),
        run(Size::Full, 8_943_541, in_turn(of(2, 1, 1, &[1, 2]))),
    ]
}
