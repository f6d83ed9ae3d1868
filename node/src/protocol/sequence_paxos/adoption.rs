//! Completing a log from another replica's: a preparing leader adopts the best promised log, a
//! follower adopts its leader's. Both pull, so the source keeps no state, and the puller decides how
//! much is under way. Everything is staged beside the log, and installed in one record at the end.

use super::super::ballot::{Ballot, Index, NodeId};
use super::super::compaction::PIECES_PER_PULL;
use super::super::entries::{Batch, Entries};
use super::super::interface::{Config, Content, Image, Output, Save, StateMachine};
use super::super::message::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A log on its way. Invariant: `from <= staged_end <= end`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Adoption<M> {
    /// The leadership for which the log is completed.
    ballot: Ballot,
    /// Who has the log, accepted under `accepted_ballot`.
    source: NodeId,
    accepted_ballot: Ballot,
    from: Index,
    end: Index,
    staged: Vec<Entries>,
    staged_end: Index,
    bridge: Bridge<M>,
    /// Entries that overtook others.
    early: Early<Entries>,
    /// Retransmission ticks since the last piece.
    silent_ticks: u32,
}

/// How the gap before the first entry that the source still holds is closed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Bridge<M> {
    /// There is no gap.
    NotNeeded,
    /// Pulling a snapshot.
    Fetching(Fetch),
    /// It is being made durable.
    Saving(Pulled<M>),
    /// It is durable.
    Saved(Pulled<M>),
}

/// A whole snapshot: its image, and the state that it stands for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Pulled<M> {
    index: Index,
    pub machine: M,
    pub image: Image,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Fetch {
    /// Whom we ask; others than the source only for the very same snapshot.
    holder: NodeId,
    /// Which snapshot, its size and digest, known from the first piece.
    image: Option<(Index, u64, u64)>,
    bytes: Vec<u8>,
    /// Pieces that overtook others.
    early: Early<Arc<[u8]>>,
}

/// Pieces of one answer that overtook others. Each is taken out once, in sequence; so the last piece
/// of an answer asks for more once, and its repetitions, which are out of sequence by then, do not
/// set off another round of pieces each.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Early<P>(BTreeMap<u64, (P, bool)>);

/// What an adoption came to.
pub(in super::super) struct Adopted<M> {
    pub from: Index,
    pub entries: Entries,
    /// The snapshot that precedes the entries, ending at `from`.
    pub snapshot: Option<Pulled<M>>,
}

/// The offer of a log: who has it and which part of it is wanted.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Offer {
    /// The leadership for which the log is completed.
    pub ballot: Ballot,
    /// Who has the log.
    pub source: NodeId,
    /// The accepted ballot of the log there.
    pub accepted_ballot: Ballot,
    /// Our log agrees with it up to here.
    pub from: Index,
    /// The log ends here, or later.
    pub end: Index,
    /// It begins here; before that, the source has a snapshot.
    pub first: Index,
}

/// A source that is silent for so many retransmission ticks is asked again.
const REPEAT_TICKS: u32 = 2;
/// After so many, another holder of the snapshot is tried.
const ROTATE_TICKS: u32 = 6;
/// After so many, the adoption is given up and planned anew.
const GIVE_UP_TICKS: u32 = 24;

/// Pieces kept out of sequence at most; those beyond are pulled again.
const EARLY_MAX: usize = 2 * PIECES_PER_PULL;

impl<P> Default for Early<P> {
    fn default() -> Early<P> {
        Early(BTreeMap::new())
    }
}

impl<P> Early<P> {
    fn keep(&mut self, position: u64, piece: P, last: bool) {
        self.0.insert(position, (piece, last));
        if self.0.len() > EARLY_MAX {
            // The farthest is the least useful; the one in sequence must never be turned away.
            self.0.pop_last();
        }
    }

    /// The earliest piece, if it begins at or before `end`.
    fn next(&mut self, end: u64) -> Option<(u64, P, bool)> {
        let first = self.0.first_entry().filter(|entry| *entry.key() <= end)?;
        let (position, (piece, last)) = first.remove_entry();
        Some((position, piece, last))
    }
}

impl Fetch {
    fn from(holder: NodeId) -> Fetch {
        Fetch { holder, image: None, bytes: Vec::new(), early: Early::default() }
    }
}

impl<M: StateMachine> Adoption<M> {
    /// Begins with a first pull, unless there is nothing to pull.
    pub fn begin(config: &Config, offer: Offer, out: &mut Output<M>) -> Adoption<M> {
        let Offer { ballot, source, accepted_ballot, from, end, first } = offer;
        let bridge = match from < first {
            true => Bridge::Fetching(Fetch::from(source)),
            false => Bridge::NotNeeded,
        };
        let adoption = Adoption {
            ballot,
            source,
            accepted_ballot,
            from,
            end,
            staged: Vec::new(),
            staged_end: from,
            bridge,
            early: Early::default(),
            silent_ticks: 0,
        };
        adoption.pull(config, out);
        adoption
    }

    /// Who has the log.
    pub fn source(&self) -> NodeId {
        self.source
    }

    /// Asks for the next pieces of what is missing.
    fn pull(&self, config: &Config, out: &mut Output<M>) {
        let Adoption { ballot, accepted_ballot, staged_end: from, end, .. } = *self;
        match &self.bridge {
            // Nothing is missing, but the holder must go on keeping what comes behind its snapshot.
            Bridge::Saving(pulled) => {
                let (index, offset) = (Some(pulled.index), pulled.image.bytes().len() as u64);
                let pull = Message::SnapshotPull { accepted_ballot, index, offset };
                out.send(config, self.source, pull);
            }
            Bridge::Fetching(fetch) => {
                let (index, offset) = (fetch.image.map(|image| image.0), fetch.bytes.len() as u64);
                let pull = Message::SnapshotPull { accepted_ballot, index, offset };
                out.send(config, fetch.holder, pull);
            }
            Bridge::NotNeeded | Bridge::Saved(_) if from == end => {}
            Bridge::NotNeeded | Bridge::Saved(_) => {
                let pull = Message::Pull { ballot, accepted_ballot, from, end };
                out.send(config, self.source, pull);
            }
        }
    }

    /// Entries arrived; those in sequence are staged.
    pub fn pulled(&mut self, config: &Config, from: NodeId, message: Message, out: &mut Output<M>) {
        let Message::Pulled { ballot, accepted_ballot, index, entries, last } = message else {
            unreachable!("dispatched by kind");
        };
        let bridged = matches!(self.bridge, Bridge::NotNeeded | Bridge::Saved(_));
        let mine = (self.ballot, self.accepted_ballot, self.source);
        if !bridged || mine != (ballot, accepted_ballot, from) {
            return;
        }
        self.early.keep(index.0, entries, last);
        let mut answered = false;
        while let Some((index, entries, last)) = self.early.next(self.staged_end.0) {
            let index = Index(index);
            let known = self.staged_end.since(index) as usize;
            let wanted = (self.end.since(index) as usize).min(entries.len());
            if known < wanted {
                self.staged.push(entries.slice(known, wanted));
                self.staged_end = index.plus(wanted);
                self.silent_ticks = 0;
                answered = last;
            }
        }
        if answered {
            self.pull(config, out);
        }
    }

    /// A piece of a snapshot arrived; if it was the last, the image goes to be saved.
    pub fn piece(&mut self, config: &Config, from: NodeId, message: Message, out: &mut Output<M>) {
        let Message::SnapshotPiece { index, size_bytes, digest, offset, bytes, last } = message
        else {
            unreachable!("dispatched by kind");
        };
        let Bridge::Fetching(fetch) = &mut self.bridge else { return };
        // A snapshot that ends before our log parts from the source's would not close the gap.
        let useful = index > self.from && size_bytes > 0;
        let image = (index, size_bytes, digest);
        if fetch.image != Some(image) {
            // The source may have moved on to a newer snapshot; then only that one will do.
            let newer = fetch.image.is_none_or(|(held, ..)| index > held);
            if !useful || from != self.source || !newer {
                return;
            }
            *fetch = Fetch { image: Some(image), ..Fetch::from(self.source) };
        }
        fetch.early.keep(offset, bytes, last);
        let mut answered = false;
        while let Some((offset, bytes, last)) = fetch.early.next(fetch.bytes.len() as u64) {
            let known = fetch.bytes.len() - offset as usize;
            if known < bytes.len() {
                fetch.bytes.extend_from_slice(&bytes[known..]);
                self.silent_ticks = 0;
                answered = last;
            }
        }
        if fetch.bytes.len() as u64 == size_bytes {
            self.fetched(config, (index, digest), out);
        } else if answered {
            self.pull(config, out);
        }
    }

    /// The whole image is here: reads it, and has it saved. What cannot be read is never written: it
    /// might take the place of a good image on the disk.
    fn fetched(&mut self, config: &Config, image: (Index, u64), out: &mut Output<M>) {
        let Bridge::Fetching(fetch) = &mut self.bridge else {
            unreachable!("called while fetching")
        };
        let (index, expected) = image;
        let image = Image::new(std::mem::take(&mut fetch.bytes));
        let machine = M::decode(image.bytes(), index).ok();
        let Some(machine) = machine.filter(|_| image.digest() == expected) else {
            *fetch = Fetch::from(self.source);
            return self.pull(config, out);
        };
        out.saves.push(Save { index, content: Content::Image(image.clone()) });
        self.bridge = Bridge::Saving(Pulled { index, machine, image });
    }

    /// An image is durable. If it is the one awaited, what comes behind it is pulled next.
    pub fn saved(&mut self, config: &Config, index: Index, out: &mut Output<M>) {
        match std::mem::replace(&mut self.bridge, Bridge::NotNeeded) {
            Bridge::Saving(image) if image.index == index => self.bridge = Bridge::Saved(image),
            other => return self.bridge = other,
        }
        (self.from, self.staged_end) = (index, index);
        self.end = self.end.max(index);
        (self.staged, self.early) = (Vec::new(), Early::default());
        self.silent_ticks = 0;
        self.pull(config, out);
    }

    /// A retransmission tick: asks again if nothing came lately. False if it is time to give up.
    /// `others`: holders to try for the snapshot when its source is silent.
    pub fn retry(&mut self, config: &Config, others: &[NodeId], out: &mut Output<M>) -> bool {
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        if self.silent_ticks.is_multiple_of(ROTATE_TICKS)
            && let Bridge::Fetching(fetch) = &mut self.bridge
            && fetch.image.is_some()
        {
            let next = others.iter().find(|node| **node > fetch.holder).or(others.first());
            fetch.holder = next.copied().unwrap_or(self.source);
        }
        if self.silent_ticks.is_multiple_of(REPEAT_TICKS) {
            self.pull(config, out);
        }
        matches!(self.bridge, Bridge::Saving(_)) || self.silent_ticks < GIVE_UP_TICKS
    }

    /// Whether the source, whose log now begins at `first`, cannot send what is pulled next.
    pub fn is_behind(&self, first: Index) -> bool {
        matches!(self.bridge, Bridge::NotNeeded | Bridge::Saved(_)) && self.staged_end < first
    }

    /// Whether a snapshot that was pulled is being written.
    pub fn is_saving(&self) -> bool {
        matches!(self.bridge, Bridge::Saving(_))
    }

    /// Whether all of it is here.
    pub fn is_complete(&self) -> bool {
        let bridged = matches!(self.bridge, Bridge::NotNeeded | Bridge::Saved(_));
        bridged && self.staged_end == self.end
    }

    /// The log to install. Panics unless complete.
    pub fn finish(self) -> Adopted<M> {
        assert!(self.is_complete(), "a log is installed whole");
        let entries = match self.staged.len() {
            0 => Entries::none(),
            1 => self.staged[0].clone(),
            _ => {
                let mut merged = Batch::default();
                self.staged.iter().flat_map(Entries::iter).for_each(|entry| merged.push(entry));
                merged.seal()
            }
        };
        let snapshot = match self.bridge {
            Bridge::Saved(image) => Some(image),
            _ => None,
        };
        Adopted { from: self.from, entries, snapshot }
    }
}
