//! Snapshots, and the log they make superfluous.
//!
//! Replicas take snapshots at the same indexes, multiples of `snapshot_every` or where so many
//! bytes were applied since the last one, so that the images are equal and a follower may pull one
//! image from several holders; one that is still busy with the last takes the next later. The log
//! is trimmed at most to what a durable snapshot covers, and not while a follower still pulls the
//! snapshot before it: it would find the entries behind its snapshot gone, and start again for
//! ever. A snapshot may run ahead of our own log on disk: the record that makes it count comes
//! behind those entries.

use super::ballot::{Index, NodeId};
use super::entries::Batch;
use super::interface::{Config, Content, Image, Output, Save, StateMachine};
use super::log::Log;
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
/// A snapshot is due after so many bytes of entries, however few they are; and of those behind it, so
/// many bytes are kept at most.
pub(super) const SNAPSHOT_BYTES: u64 = 64 << 20;
/// A leader whose log has so many bytes takes nothing on until it can be trimmed: whoever lacks all of
/// it must be able to install it in one record.
pub(super) const LOG_BYTES_MAX: u64 = 512 << 20;
const _: () = assert!(LOG_BYTES_MAX < Batch::SIZE_BYTES_MAX as u64);

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
    pub fn is_due(&self, config: &Config, log: &Log, applied: Index) -> bool {
        config.snapshot_every > 0
            && applied > self.index()
            && self.saving.is_none()
            && (applied.0.is_multiple_of(config.snapshot_every)
                || self.room_bytes(config, log, applied) == 0)
    }

    /// Bytes of entries that may be applied until a snapshot is due for them.
    pub fn room_bytes(&self, config: &Config, log: &Log, applied: Index) -> u64 {
        if config.snapshot_every == 0 || log.size_bytes() < SNAPSHOT_BYTES {
            return u64::MAX;
        }
        let newest = self.saving.unwrap_or(self.index()).max(log.first()).min(applied);
        let since_bytes = log.position_bytes(applied) - log.position_bytes(newest);
        SNAPSHOT_BYTES.saturating_sub(since_bytes)
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

#[cfg(test)]
mod tests {
    use super::super::ballot::{GroupId, Members};
    use super::super::entries::Entries;
    use super::*;

    #[test]
    fn few_entries_that_are_large_are_a_reason_too() {
        let config = Config::new(GroupId(0), NodeId(1), Members::new([NodeId(1)]));
        let (mut log, mut snapshots) = (Log::default(), Snapshots::default());
        let half = vec![0; SNAPSHOT_BYTES as usize / 2];
        log.append(Entries::of([half.as_slice()]));
        assert!(!snapshots.is_due(&config, &log, Index(1)));
        log.append(Entries::of([half.as_slice(), b"x"]));
        assert_eq!(snapshots.room_bytes(&config, &log, Index(1)), SNAPSHOT_BYTES / 2);
        assert!(!snapshots.is_due(&config, &log, Index(1)));
        assert!(snapshots.is_due(&config, &log, Index(2)));
        let never = Config { snapshot_every: 0, ..config.clone() };
        assert!(!snapshots.is_due(&never, &log, Index(2)));
        // Counted from the last one, also while that is being written.
        snapshots.saving = Some(Index(2));
        assert_eq!(snapshots.room_bytes(&config, &log, Index(3)), SNAPSHOT_BYTES - 1);
        snapshots.replace(Index(2), Image::new(Vec::new()), 0);
        snapshots.saving = None;
        assert!(!snapshots.is_due(&config, &log, Index(3)));
    }
}
