//! Replication: leaders compete for one log over a network that loses, repeats and reorders.
//!
//! What the bounds leave out: crashes (that is `recovery`), elections brought about by heartbeats
//! (that is `election`), more than two leaderships on one path, logs longer than two entries.

use crate::catalogue::{Run, Size, Wishes};
use crate::cluster::{Bounds, Budget};
use crate::letters::{Example, run};
use node::protocol::Message;

/// What every model of replication must be able to do.
pub fn reachable() -> Vec<Example> {
    vec![
        Example::sometimes("a leader completes its prepare phase", |_, world| {
            world.replicas().any(|replica| replica.status().leads.is_some())
        }),
        Example::sometimes("an entry is decided", |_, world| {
            world.replicas().any(|replica| replica.status().decided.0 > 0)
        }),
    ]
}

/// What a message that is late must be able to do.
fn gaps() -> Vec<Example> {
    let mut all = reachable();
    all.push(Example::sometimes("a follower tells of a gap", |_, world| {
        world.network.iter().any(|sent| matches!(sent.envelope.message, Message::Hello(_)))
    }));
    all.push(Example::sometimes("all nodes decide all entries", |model, world| {
        let all = u64::from(model.bounds.budget.entries);
        world.replicas().all(|replica| replica.status().decided.0 == all)
    }));
    all
}

/// What two leaderships must be able to do to each other.
pub fn rivals() -> Vec<Example> {
    let mut all = reachable();
    all.extend([
        Example::sometimes("two replicas lead at once", |_, world| {
            world.replicas().filter(|replica| replica.status().leads.is_some()).count() > 1
        }),
        Example::sometimes("a leader of the past is told so", |_, world| {
            world.network.iter().any(|sent| matches!(sent.envelope.message, Message::Nack { .. }))
        }),
        Example::sometimes("an entry outlives the leadership it was decided under", |_, world| {
            let mut status = world.replicas().map(|replica| replica.status());
            !world.decided.is_empty()
                && status.any(|status| status.leads.is_some_and(|ballot| ballot.round > 1))
        }),
        Example::sometimes("an accepted entry is replaced", |_, world| {
            let mut writes = world.replicas().map(|replica| replica.status());
            writes.any(|status| status.accepted_ballot.round > 1 && status.accepted.0 == 0)
                && world.nodes.iter().any(|node| node.disk.durable.accepted().1.0 > 0)
        }),
    ]);
    all
}

/// What leaders that do not hear each other must be able to do.
fn quorums() -> Vec<Example> {
    let mut all = reachable();
    all.push(Example::sometimes("the second leader decides too", |_, world| {
        let mut status = world.replicas().map(|replica| replica.status());
        status.any(|status| status.decided.0 > 0 && status.leads.is_some_and(|b| b.node.0 == 4))
    }));
    all
}

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let run = |size, pinned, bounds, sometimes| run(wishes, size, pinned, bounds, sometimes);
    let of = |elections, entries, duplicates| {
        Bounds::new(Budget { elections, entries, duplicates, ..Budget::default() })
    };
    let four = |bounds: Bounds| Bounds { nodes: 4, candidates: vec![1, 4], ..bounds };
    // What the second leader decides, the third must adopt, although the first wrote more.
    let in_turn = |bounds| {
        let links = &[(1, 2), (2, 3)];
        Bounds { candidates: vec![1, 3, 1], in_turn: true, links, ..bounds }
    };
    // Each half of four would be a quorum, if two were enough.
    let halves = |bounds| {
        let links = &[(1, 2), (2, 4), (3, 4), (1, 3)];
        Bounds { candidates: vec![1, 4], in_turn: true, links, ..four(bounds) }
    };
    let repeating = Budget { elections: 1, entries: 1, retransmissions: 1, ..Budget::default() };
    let beating = Budget { elections: 1, entries: 1, heartbeats: 1, ..Budget::default() };
    vec![
        run(Size::Small, 409, of(1, 1, 0), reachable as fn() -> Vec<Example>),
        run(Size::Small, 9_742, of(1, 2, 0), reachable),
        run(Size::Small, 36_886, of(1, 1, 2), reachable),
        run(Size::Small, 32_599, Bounds::new(repeating), reachable),
        run(Size::Small, 90_817, Bounds::new(beating), gaps),
        run(Size::Small, 127_687, of(2, 1, 0), rivals),
        run(Size::Small, 1_597, four(of(1, 1, 0)), reachable),
        run(Size::Small, 4_217, in_turn(of(3, 2, 0)), rivals),
        run(Size::Small, 132_739, halves(of(2, 2, 0)), quorums),
        run(Size::Full, 2_622_235, of(2, 1, 1), rivals),
        run(Size::Full, 1_807_219, four(of(2, 1, 0)), rivals),
    ]
}
