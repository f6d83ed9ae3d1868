//! Snapshots, and the log they make superfluous.
//!
//! Replicas take snapshots at the same indexes, multiples of `snapshot_every`, so that the images
//! are equal and a follower may pull one image from several holders. The log is trimmed at most to
//! what a durable snapshot covers, and not while a follower still pulls the snapshot before it: it
//! would find the entries behind its snapshot gone, and start again for ever. A snapshot may run
//! ahead of our own log on disk: the record that makes it count comes behind those entries.

use super::ballot::{Index, NodeId};
use super::interface::{Config, Content, Image, Output, Save, StateMachine};
use super::message::Message;
use std::sync::Arc;

/// Durable images, ready to be sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Snapshots {
    newest: Option<Snapshot>,
    /// The one before, while somebody pulls it.
    pinned: Option<Snapshot>,
    /// The snapshot of our own state that is being written.
    saving: Option<Index>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Snapshot {
    index: Index,
    image: Image,
    /// The heartbeat round in which somebody last pulled from it.
    pulled: Option<u64>,
}

/// A snapshot counts as being pulled for so many ticks after the last piece was sent.
const PIN_TICKS: u64 = 100;
/// Pieces sent for one pull; the next pull acknowledges them.
pub(super) const PIECES_PER_PULL: usize = 8;

impl Snapshots {
    /// Starts with the image that the durable state rests on, if it needs one.
    pub fn recover(index: Index, image: Option<Image>) -> Snapshots {
        let newest = image.map(|image| Snapshot::new(index, image));
        Snapshots { newest, pinned: None, saving: None }
    }

    /// How many entries the newest durable snapshot covers.
    pub fn index(&self) -> Index {
        self.newest.as_ref().map_or(Index::ZERO, |snapshot| snapshot.index)
    }

    /// Whether this very snapshot can be sent.
    pub fn holds(&self, index: Index) -> bool {
        [&self.pinned, &self.newest].into_iter().flatten().any(|snapshot| snapshot.index == index)
    }

    /// Whether a snapshot of our own is being written.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether `applied` is a place for a snapshot that nobody has taken yet.
    pub fn is_due(&self, config: &Config, applied: Index) -> bool {
        config.snapshot_every > 0
            && applied.0.is_multiple_of(config.snapshot_every)
            && applied > self.index()
            && self.saving.is_none()
    }

    /// Has a copy of the state made durable.
    pub fn take<M: StateMachine>(&mut self, index: Index, machine: &M, out: &mut Output<M>) {
        assert!(self.saving.is_none(), "one snapshot at a time");
        self.saving = Some(index);
        out.saves.push(Save { index, content: Content::State(machine.clone()) });
    }

    /// Learns that an image is durable. Returns the index up to which it lets the log be trimmed,
    /// if it is our own snapshot and newer than what we have.
    pub fn saved(&mut self, index: Index, image: &Image, now: u64) -> Option<Index> {
        self.saving.take_if(|saving| *saving == index)?;
        if index <= self.index() {
            return None;
        }
        self.replace(index, image.clone(), now);
        Some(self.pinned.as_ref().map_or(index, |pinned| pinned.index))
    }

    /// Takes over an image that was installed in place of the log.
    pub fn replace(&mut self, index: Index, image: Image, now: u64) {
        let before = self.newest.replace(Snapshot::new(index, image));
        let candidates = [self.pinned.take(), before];
        self.pinned = candidates.into_iter().flatten().find(|snapshot| snapshot.is_in_use(now));
    }

    /// Somebody pulls entries; they may be those behind a snapshot it has just pulled.
    pub fn entries_pulled(&mut self, now: u64) {
        for snapshot in [&mut self.pinned, &mut self.newest].into_iter().flatten() {
            if snapshot.is_in_use(now) {
                snapshot.pulled = Some(now);
            }
        }
    }

    /// Sends some pieces of a snapshot that we hold, or else of the newest, from `offset` on.
    pub fn send<M: StateMachine>(
        &mut self,
        config: &Config,
        (to, index, mut offset): (NodeId, Option<Index>, u64),
        now: u64,
        out: &mut Output<M>,
    ) {
        let held = [&mut self.pinned, &mut self.newest].into_iter().flatten();
        // The newest comes last: it serves whoever names none.
        let Some(snapshot) = held.reduce(|a, b| if index == Some(a.index) { a } else { b }) else {
            return;
        };
        snapshot.pulled = Some(now);
        let Snapshot { index: held, ref image, .. } = *snapshot;
        let (digest, image) = (image.digest(), image.bytes());
        let size_bytes = image.len() as u64;
        if offset >= size_bytes {
            return;
        }
        let pieces = image[offset as usize..].chunks(config.message_bytes).take(PIECES_PER_PULL);
        let count = pieces.len();
        for (at, piece) in pieces.enumerate() {
            let (bytes, last) = (Arc::from(piece), at + 1 == count);
            let message =
                Message::SnapshotPiece { index: held, size_bytes, digest, offset, bytes, last };
            out.send(config, to, message);
            offset += piece.len() as u64;
        }
    }
}

impl Snapshot {
    fn new(index: Index, image: Image) -> Snapshot {
        Snapshot { index, image, pulled: None }
    }

    fn is_in_use(&self, now: u64) -> bool {
        self.pulled.is_some_and(|tick| now - tick < PIN_TICKS)
    }
}

/// FNV-1a over eight bytes at a time: guards against mixing pieces of different images, not against
/// an enemy; who may speak here at all is decided by the tag on each datagram.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    }
    hash
}
