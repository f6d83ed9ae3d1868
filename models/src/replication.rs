//! Replication: leaders compete for one log over a network that loses, repeats and reorders.
//!
//! What the bounds leave out: crashes (that is `recovery`), elections brought about by heartbeats
//! (that is `election`), more than three leaderships on one path, logs longer than two entries.

use crate::catalogue::{Run, Size};
use crate::cluster::Move::{Arrive, Elect, Exchange, Propose};
use crate::cluster::{Bounds, Budget, Past};
use crate::letters::{Example, run, run_after};
use crate::wishes::Wishes;
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
            let leads = |ballot| {
                let mut leads = world.replicas().filter_map(|replica| replica.status().leads);
                leads.any(|later| later > ballot)
            };
            world.decided.first().is_some_and(|decided| leads(decided.under))
        }),
        Example::sometimes("a later leadership begins without an accepted entry", |_, world| {
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

/// What leaders of five must be able to do.
fn twice() -> Vec<Example> {
    let mut all = reachable();
    all.push(Example::sometimes("a message arrives twice, and a promise", |model, world| {
        world.left.duplicates < model.bounds.budget.duplicates
            && world
                .network
                .iter()
                .any(|sent| sent.arrived && matches!(sent.envelope.message, Message::Promise(_)))
    }));
    all
}

/// n1 led, and nobody else has what it wrote.
const ALONE: Past =
    Past { words: "n1 wrote alone", moves: &[Elect(1), Exchange(1, 2), Propose(1)] };

/// n2 decided two entries with n1, which does not know that they are decided. Then n3 led, and took
/// them over from n1. Whatever leader comes next goes by n3's log, and n1 must take all of it anew.
const IN_PIECES: Past = Past {
    words: "n2 and n3 led",
    moves: &[
        Elect(2),
        Exchange(2, 1),
        Exchange(2, 1),
        Propose(2),
        Propose(2),
        Exchange(2, 1),
        Elect(3),
        Exchange(3, 1),
        Exchange(3, 1),
        Arrive(3, 2),
    ],
};

/// What a log that comes in pieces must be able to do.
fn in_pieces() -> Vec<Example> {
    let leads = Example::sometimes("a leader completes its prepare phase", |_, world| {
        world.replicas().any(|replica| replica.status().leads.is_some())
    });
    let mut all = vec![leads];
    all.push(Example::sometimes("one of two pieces has arrived", |_, world| {
        world.network.iter().any(|sent| match sent.envelope.message {
            Message::Pulled { last: false, .. } => sent.arrived,
            _ => false,
        })
    }));
    all
}

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let after = |past, pinned, bounds, sometimes: fn() -> Vec<Example>| {
        run_after(past, wishes, Size::Small, pinned, bounds, sometimes)
    };
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
    // Half of five on either side of n3, which alone hears both: a vote too many is a quorum too few.
    let five = |bounds: Bounds| {
        let links = &[(1, 2), (1, 3), (3, 5), (4, 5)];
        Bounds { nodes: 5, candidates: vec![1, 5], in_turn: true, links, ..bounds }
    };
    // n1 has what the second leader never saw.
    let stale = |bounds| {
        let links = &[(1, 2), (2, 3)];
        Bounds { candidates: vec![1, 2], in_turn: true, links, ..bounds }
    };
    // It hears of what that one decides.
    let beaten = Budget { elections: 1, entries: 1, heartbeats: 1, ..Budget::default() };
    let beaten = Bounds { links: &[(1, 2), (2, 3)], candidates: vec![2], ..Bounds::new(beaten) };
    let pieces = |bounds| Bounds { candidates: vec![2], message_bytes: 1, ..bounds };
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
        run(Size::Small, 43_866, five(of(2, 1, 1)), twice),
        run(Size::Small, 41_004, stale(of(2, 2, 0)), rivals),
        after(ALONE, 68_587, beaten, reachable),
        after(IN_PIECES, 59, pieces(of(1, 0, 0)), in_pieces),
        run(Size::Full, 2_622_235, of(2, 1, 1), rivals),
        run(Size::Full, 1_807_219, four(of(2, 1, 0)), rivals),
    ]
}
