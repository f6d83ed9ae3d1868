//! Leader election alone: ticks and heartbeats on fixed topologies, lost, late and repeated.
//!
//! What the bounds leave out: everything but heartbeats, so a leader completes no prepare phase and
//! followers learn of it from heartbeats only; preferred replicas; stalled disks. That a leader is
//! found *in time*, and stays, is the simulator's to show: `models simulate --scenario`.

use crate::catalogue::{Run, Size, Wishes};
use crate::cluster::{Bounds, Budget, Elections};
use crate::letters::{Example, run};
use node::protocol::{Message, NodeId};

/// What elections must and must not be able to do.
fn elected() -> Vec<Example> {
    vec![
        // Two quorums meet, and a node without one could only be in the way of those that have one.
        Example::always("who reaches no quorum never leads", |model, world| {
            let reaches = |node: NodeId| {
                let others = (1..=model.bounds.nodes).map(NodeId);
                others.filter(|other| *other == node || model.bounds.linked(node, *other)).count()
            };
            world.replicas().filter(|replica| leads(replica)).all(|replica| {
                let config = replica.config();
                reaches(config.node) >= config.members.quorum()
            })
        }),
        Example::sometimes("a replica is elected", |_, world| world.replicas().any(leads)),
        Example::sometimes("a leader tells a follower of itself", |_, world| {
            world.network.iter().any(|sent| match sent.envelope.message {
                Message::HeartbeatReply { leader, happy, .. } => leader.is_raised() && happy,
                _ => false,
            })
        }),
    ]
}

/// Where more than one can be elected.
fn rivals() -> Vec<Example> {
    let mut all = elected();
    all.push(Example::sometimes("two replicas are elected, with different ballots", |_, world| {
        world.replicas().filter(|replica| leads(replica)).count() > 1
    }));
    all
}

fn leads<M: node::protocol::StateMachine>(replica: &node::protocol::Replica<M>) -> bool {
    matches!(replica.status().phase, "prepare" | "leader")
}

const FULL: &[(u16, u16)] = &[];
/// The ends do not hear each other.
const CHAIN: &[(u16, u16)] = &[(1, 2), (2, 3)];
/// Only the hub, n4, hears a quorum.
const HUB: &[(u16, u16)] = &[(1, 4), (2, 4), (3, 4)];

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let of = |nodes, links, heartbeats, duplicates| {
        let budget = Budget { heartbeats, duplicates, ..Budget::default() };
        let candidates = (1..=nodes).collect();
        let elections = Elections::ByHeartbeat;
        Bounds { nodes, candidates, elections, links, ..Bounds::new(budget) }
    };
    let run = |size, pinned, bounds, sometimes| run(wishes, size, pinned, bounds, sometimes);
    vec![
        run(Size::Small, 4_627, of(3, CHAIN, 3, 0), elected as fn() -> Vec<Example>),
        run(Size::Small, 108_952, of(3, CHAIN, 4, 0), rivals),
        run(Size::Small, 147_509, of(4, HUB, 3, 0), elected),
        run(Size::Full, 662_842, of(3, FULL, 4, 0), rivals),
        run(Size::Full, 468_940, of(3, CHAIN, 4, 1), rivals),
        run(Size::Full, 3_008_852, of(3, CHAIN, 5, 0), rivals),
    ]
}
