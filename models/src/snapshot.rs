//! Snapshots: a follower is behind a log that was trimmed, and an old and a new snapshot are on the
//! way to it.
//!
//! What the bounds leave out: crashes while a snapshot is written (those are the simulator's), more
//! than one candidate, images of more than two pieces.

use crate::catalogue::{Run, Size, Wishes};
use crate::cluster::{Bounds, Budget};
use crate::letters::{Example, run};
use crate::replication::reachable;
use node::protocol::Message;

/// What snapshots must be able to do.
fn installs() -> Vec<Example> {
    let mut all = reachable();
    all.extend([
        Example::sometimes("a log is trimmed", |_, world| {
            world.replicas().any(|replica| replica.status().first.0 > 0)
        }),
        Example::sometimes("a follower installs a snapshot", |_, world| {
            world.network.iter().any(|sent| match &sent.envelope.message {
                Message::SnapshotPiece { index, .. } if sent.arrived => {
                    let replica = world.node(sent.envelope.to).replica.as_ref();
                    replica.is_some_and(|replica| replica.status().snapshot >= *index)
                }
                _ => false,
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

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let of = |entries, duplicates, message_bytes| {
        let budget = Budget { elections: 1, entries, duplicates, ..Budget::default() };
        let bounds = Bounds::new(budget);
        Bounds { candidates: vec![1], snapshot_every: 1, message_bytes, ..bounds }
    };
    let run = |size, pinned, bounds, sometimes| run(wishes, size, pinned, bounds, sometimes);
    vec![
        run(Size::Small, 145, of(1, 0, 8), installs as fn() -> Vec<Example>),
        run(Size::Small, 2_017, of(1, 1, 8), installs),
        run(Size::Small, 5_494, of(2, 0, 8), installs),
        run(Size::Small, 6_826, of(2, 0, 4), installs),
        run(Size::Full, 211_551, of(2, 1, 8), overtaken),
        run(Size::Full, 278_043, of(2, 1, 4), overtaken),
    ]
}
