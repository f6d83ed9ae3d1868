//! Leader election alone: ticks and heartbeats on fixed topologies, lost, late and repeated.
//!
//! What the bounds leave out: everything but heartbeats, so a leader completes no prepare phase and
//! followers learn of it from heartbeats only; preferred replicas; stalled disks. That a leader is
//! found *in time*, and stays, is the simulator's to show: `models simulate --scenario`.

use crate::catalogue::{Run, Size};
use crate::cluster::Move::{Elect, Exchange, Propose, Tick};
use crate::cluster::{Bounds, Budget, Elections, Past};
use crate::letters::{Example, run, run_after};
use crate::wishes::Wishes;
use node::protocol::{Ballot, Message, NodeId, Replica, StateMachine};

const NO_LEADER_WITHOUT_QUORUM: &str = "who reaches no quorum never leads";

/// What elections must and must not be able to do.
fn elected() -> Vec<Example> {
    vec![
        // Two quorums meet, and a node without one could only be in the way of those that have one.
        Example::always(NO_LEADER_WITHOUT_QUORUM, |model, world| {
            let reaches = |node: NodeId| {
                let others = (1..=model.bounds.nodes).map(NodeId);
                others.filter(|other| *other == node || model.bounds.linked(node, *other)).count()
            };
            world.replicas().filter(|replica| leads(replica)).all(|replica| {
                // Counted here anew: what a quorum is, is for this model to say, too.
                2 * reaches(replica.config().node) > usize::from(model.bounds.nodes)
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

fn leads<M: StateMachine>(replica: &Replica<M>) -> bool {
    matches!(replica.status().phase, "prepare" | "leader")
}

const FULL: &[(u16, u16)] = &[];
/// The ends do not hear each other.
const CHAIN: &[(u16, u16)] = &[(1, 2), (2, 3)];
/// Only the hub, n4, hears a quorum.
const HUB: &[(u16, u16)] = &[(1, 4), (2, 4), (3, 4)];

/// Only the hub hears a quorum, and it has missed the last leadership, n4's.
fn missed() -> Vec<Example> {
    vec![
        Example::always(NO_LEADER_WITHOUT_QUORUM, |_, world| {
            world.replicas().filter(|replica| leads(replica)).all(|replica| {
                let past = replica.status().promised == MISSED;
                past || replica.config().node == NodeId(1)
            })
        }),
        Example::sometimes("the hub learns what it missed", |_, world| {
            world.network.iter().any(|sent| match sent.envelope.message {
                Message::Nack { promised } => sent.arrived && promised == MISSED,
                _ => false,
            })
        }),
        Example::sometimes("the hub is elected above it", |_, world| {
            let elected =
                |replica: &Replica<_>| leads(replica) && replica.status().promised > MISSED;
            world.replicas().any(elected)
        }),
    ]
}

const MISSED: Ballot = Ballot { round: 1, priority: 0, node: NodeId(4) };

/// n4 led n2 and n3 without n1, an entry is decided; then all links but n1's were cut, for so long
/// that everybody has given that leadership up.
const OUTDATED: Past = Past {
    words: "n4 led without n1",
    moves: &[
        Elect(4),
        Exchange(4, 2),
        Exchange(4, 3),
        Exchange(4, 2),
        Propose(4),
        Exchange(4, 2),
        Tick(2),
        Tick(3),
        Tick(4),
        Tick(2),
        Tick(3),
        Tick(4),
        Tick(2),
        Tick(3),
        Tick(4),
        Tick(2),
        Tick(3),
        Tick(4),
    ],
};

const OUTDATED_HUB: &[(u16, u16)] = &[(1, 2), (1, 3)];

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let of = |nodes, links, heartbeats, duplicates| {
        let budget = Budget { heartbeats, duplicates, ..Budget::default() };
        let candidates = (1..=nodes).collect();
        let elections = Elections::ByHeartbeat;
        Bounds { nodes, candidates, elections, links, ..Bounds::new(budget) }
    };
    let behind = |candidates: &[u16], heartbeats| Bounds {
        elections: Elections::ByHeartbeatAndNack,
        candidates: candidates.to_vec(),
        ..of(4, OUTDATED_HUB, heartbeats, 0)
    };
    let after_that = |size, pinned, bounds| {
        run_after(OUTDATED, wishes, size, pinned, bounds, missed as fn() -> Vec<Example>)
    };
    let run = |size, pinned, bounds, sometimes| run(wishes, size, pinned, bounds, sometimes);
    vec![
        run(Size::Small, 4_627, of(3, CHAIN, 3, 0), elected as fn() -> Vec<Example>),
        run(Size::Small, 108_952, of(3, CHAIN, 4, 0), rivals),
        run(Size::Small, 147_509, of(4, HUB, 3, 0), elected),
        after_that(Size::Small, 357_142, behind(&[1], 4)),
        run(Size::Full, 662_842, of(3, FULL, 4, 0), rivals),
        run(Size::Full, 468_940, of(3, CHAIN, 4, 1), rivals),
        run(Size::Full, 3_008_852, of(3, CHAIN, 5, 0), rivals),
    ]
}
