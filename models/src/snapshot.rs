//! Snapshots: a follower is behind a log that was trimmed, and an old and a new snapshot are on the
//! way to it.
//!
//! What the bounds leave out: crashes in clusters of more than two, elections that are not over when a
//! path begins, images of more than two pieces.

use crate::catalogue::{Run, Size};
use crate::cluster::Move::{Arrive, Elect, Exchange, Propose, Tick};
use crate::cluster::{Bounds, Budget, Node, Past, Shared, Writes};
use crate::letters::{Example, run, run_after};
use crate::replication::reachable;
use crate::wishes::Wishes;
use node::protocol::{Envelope, Message, NodeId};

/// What snapshots must be able to do.
fn installs() -> Vec<Example> {
    let mut all = reachable();
    all.extend([
        Example::sometimes("a log is trimmed", |_, world| {
            world.replicas().any(|replica| replica.status().first.0 > 0)
        }),
        Example::sometimes("a follower that was sent no entry has a snapshot", |_, world| {
            let entries_came = |node: NodeId| {
                world.network.iter().any(|sent| match &sent.envelope.message {
                    Message::Accept { .. } | Message::Pulled { .. } => {
                        sent.arrived && sent.envelope.to == node
                    }
                    _ => false,
                })
            };
            world.replicas().any(|replica| {
                let (status, node) = (replica.status(), replica.config().node);
                status.phase == "follower" && status.snapshot.0 > 0 && !entries_came(node)
            })
        }),
    ]);
    all
}

/// With two snapshots under way to one follower.
fn overtaken() -> Vec<Example> {
    let mut all = installs();
    all.push(Example::sometimes("pieces of two snapshots are on their way", |_, world| {
        let mut indexes = world.network.iter().filter_map(|sent| match sent.envelope.message {
            Message::SnapshotPiece { index, .. } => Some((sent.envelope.to, index)),
            _ => None,
        });
        indexes
            .next()
            .is_some_and(|first| indexes.any(|other| other.0 == first.0 && other != first))
    }));
    all
}

/// n3 led, and has two entries that nobody else ever saw.
const LONGER: Past =
    Past { words: "n3 wrote alone", moves: &[Elect(3), Exchange(3, 2), Propose(3), Propose(3)] };

/// n5 led, and wrote one entry more than anybody knows. n4 prepares to lead, and is to adopt n3's log,
/// which begins with a snapshot, under the ballot of n5's. Before it is asked for that, n3 leads above
/// n4, and another entry is chosen, decided, and in its newest snapshot.
const OVERTAKEN: Past = Past {
    words: "n5 wrote alone, n4 prepared, n3 led",
    moves: &[
        Elect(5),
        Exchange(5, 1),
        Exchange(5, 2),
        Exchange(5, 3),
        Exchange(5, 1),
        Exchange(5, 2),
        Exchange(5, 3),
        Propose(5),
        Exchange(5, 1),
        Exchange(5, 2),
        Exchange(5, 3),
        Tick(5),
        Arrive(5, 1),
        Arrive(5, 2),
        Arrive(5, 3),
        Propose(5),
        Elect(4),
        Exchange(4, 1),
        Elect(4),
        Exchange(4, 1),
        Exchange(4, 3),
        Elect(3),
        Exchange(3, 1),
        Exchange(3, 2),
        Exchange(3, 1),
        Exchange(3, 2),
        Propose(3),
        Exchange(3, 1),
        Exchange(3, 2),
    ],
};

/// What a leader must meet that was overtaken.
fn refused() -> Vec<Example> {
    let mut all = reachable();
    all.push(Example::sometimes("whoever has another log by now says so", |_, world| {
        world.network.iter().any(|sent| {
            let Envelope { from, to, .. } = *sent.envelope;
            let said = matches!(sent.envelope.message, Message::Hello(_));
            said && (from, to) == (NodeId(3), NodeId(4))
        })
    }));
    all
}

/// Where a snapshot takes the place of a longer log.
fn replaced() -> Vec<Example> {
    let mut all = installs();
    all.push(Example::sometimes(
        "a log is longer than the snapshot that replaces it",
        |_, world| {
            world.network.iter().any(|sent| match &sent.envelope.message {
                Message::SnapshotPiece { index, .. } if !sent.arrived => {
                    let replica = world.node(sent.envelope.to).replica.as_ref();
                    replica.is_some_and(|replica| replica.status().accepted > *index)
                }
                _ => false,
            })
        },
    ));
    all
}

/// What a crash must be able to do to a snapshot.
fn crashes() -> Vec<Example> {
    let mut all = reachable();
    all.extend([
        Example::sometimes("a snapshot waits for the disk", |_, world| {
            world.nodes.iter().any(|node| !node.disk.saving.is_empty())
        }),
        Example::sometimes("a node that is down can only start from a snapshot", |_, world| {
            let trimmed = |node: &Shared<Node<_>>| node.disk.durable.log().first().0 > 0;
            world.nodes.iter().any(|node| node.replica.is_none() && trimmed(node))
        }),
    ]);
    all
}

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let of = |entries, duplicates, message_bytes| {
        let budget = Budget { elections: 1, entries, duplicates, ..Budget::default() };
        let bounds = Bounds::new(budget);
        Bounds { candidates: vec![1], snapshot_every: 1, message_bytes, ..bounds }
    };
    let run = |size, pinned, bounds, sometimes| run(wishes, size, pinned, bounds, sometimes);
    let crash = |entries| {
        let budget = Budget { elections: 1, entries, crashes: 1, ..Budget::default() };
        let bounds = Bounds { nodes: 2, candidates: vec![1], ..Bounds::new(budget) };
        Bounds { snapshot_every: 1, message_bytes: 8, writes: Writes::Later, ..bounds }
    };
    let behind = {
        let budget = Budget { elections: 1, entries: 2, ..Budget::default() };
        let links = &[(1, 2), (2, 3)];
        Bounds { candidates: vec![2], links, snapshot_every: 1, ..Bounds::new(budget) }
    };
    // n5 hears n4 alone.
    let overtaken_leader = {
        let budget = Budget { retransmissions: 2, heartbeats: 1, ..Budget::default() };
        let bounds =
            Bounds { candidates: vec![4], links: &[(3, 4), (4, 5)], ..Bounds::new(budget) };
        Bounds { nodes: 5, snapshot_every: 1, ..bounds }
    };
    vec![
        run(Size::Small, 145, of(1, 0, 8), installs as fn() -> Vec<Example>),
        run(Size::Small, 888, crash(1), crashes),
        run_after(OVERTAKEN, wishes, Size::Small, 6_051, overtaken_leader, refused),
        run(Size::Small, 2_017, of(1, 1, 8), installs),
        run(Size::Small, 5_494, of(2, 0, 8), installs),
        run(Size::Small, 6_826, of(2, 0, 4), installs),
        run_after(LONGER, wishes, Size::Small, 14_875, behind, replaced),
        run(Size::Full, 211_551, of(2, 1, 8), overtaken),
        run(Size::Full, 278_043, of(2, 1, 4), overtaken),
    ]
}
