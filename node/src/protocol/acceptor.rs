//! The acceptor: what a replica has promised and accepted, on its disk and ahead of its disk. Both
//! roles write through it, so the order of the records is decided here and nowhere else.

use super::ballot::{Ballot, Index};
use super::durable::{Durable, Record};
use super::entries::Entries;
use super::interface::{Output, StateMachine, Synced};
use super::log::Log;
use super::message::Report;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// Invariant: `accepted_ballot <= promised`; `log.first() <= decided <= log.accepted()`;
/// `writes` is at least as many as are `unsynced`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Acceptor {
    pub promised: Ballot,
    pub accepted_ballot: Ballot,
    pub decided: Index,
    pub log: Log,
    pub durable: Marks,
    /// One for each write under way, oldest first; the last is write number `writes`.
    unsynced: VecDeque<Marks>,
    writes: WriteNumber,
    decided_recorded: Index,
    /// For how many ticks after the first that saw it the oldest write has been under way; none if
    /// no tick has seen it. Not told by its number, which does not count when states are compared.
    waited: Option<u32>,
}

/// Writes are numbered from one. Two acceptors that differ in the numbers alone behave alike, so
/// they are equal: otherwise how often each has written would multiply the states of every model.
#[derive(Clone, Copy, Debug)]
struct WriteNumber(u64);

impl PartialEq for WriteNumber {
    fn eq(&self, _other: &WriteNumber) -> bool {
        true
    }
}

impl Eq for WriteNumber {}

impl Hash for WriteNumber {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

/// How far a log has come: what is true once everything written so far is durable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Marks {
    pub promised: Ballot,
    pub accepted_ballot: Ballot,
    pub accepted: Index,
}

impl Acceptor {
    /// Takes over durable state.
    pub fn recover(durable: Durable) -> Acceptor {
        let marks = Marks {
            promised: durable.promised,
            accepted_ballot: durable.accepted_ballot,
            accepted: durable.log.accepted(),
        };
        Acceptor {
            promised: durable.promised,
            accepted_ballot: durable.accepted_ballot,
            decided: durable.decided,
            log: durable.log,
            durable: marks,
            unsynced: VecDeque::new(),
            writes: WriteNumber(0),
            decided_recorded: durable.decided,
            waited: None,
        }
    }

    /// Vows to follow `ballot`, which is above every earlier vow.
    pub fn promise<M: StateMachine>(&mut self, ballot: Ballot, out: &mut Output<M>) {
        assert!(ballot > self.promised, "a promise never goes back");
        self.promised = ballot;
        out.record(Record::Promise(ballot));
    }

    /// Appends under the accepted ballot, which is the promised one.
    pub fn append<M: StateMachine>(&mut self, entries: Entries, out: &mut Output<M>) {
        assert_eq!(self.accepted_ballot, self.promised, "entries need a synchronised log");
        let (ballot, index) = (self.accepted_ballot, self.log.accepted());
        out.record(Record::Append { ballot, index, entries: entries.clone() });
        self.log.append(entries);
    }

    /// Replaces the log behind `from` and takes the promised ballot as the accepted one, in one
    /// record. With `snapshot` the log before `from` is a snapshot that was just installed.
    pub fn sync<M: StateMachine>(
        &mut self,
        from: Index,
        entries: Entries,
        snapshot: bool,
        out: &mut Output<M>,
    ) {
        assert!(from >= self.decided, "chosen entries are never replaced");
        let record =
            Record::Sync { ballot: self.promised, from, entries: entries.clone(), snapshot };
        out.record(record);
        match snapshot {
            true => self.log = Log::starting_at(from),
            false => self.log.truncate(from),
        }
        self.accepted_ballot = self.promised;
        self.log.append(entries);
        if snapshot {
            self.decided = from;
        }
    }

    /// Learns that `index` entries are chosen; those beyond the log are learned with the log.
    pub fn decide(&mut self, index: Index) {
        self.decided = self.decided.max(index.min(self.log.accepted()));
    }

    /// Drops the log before `first`; a durable snapshot covers `snapshot` entries.
    pub fn trim<M: StateMachine>(&mut self, snapshot: Index, first: Index, out: &mut Output<M>) {
        assert!(first <= snapshot && snapshot <= self.decided, "a trim beyond the snapshot");
        let first = first.max(self.log.first());
        out.record(Record::Trim { snapshot, first });
        self.log.trim(first);
    }

    /// Writes the decided index down if it moved; a recovery then has less to learn. With `probe`
    /// also if it did not, unless another write is under way: to see whether the disk still works.
    pub fn record_decided<M: StateMachine>(&mut self, probe: bool, out: &mut Output<M>) {
        if self.decided > self.decided_recorded || (probe && self.unsynced.is_empty()) {
            out.record(Record::Decided(self.decided));
            self.decided_recorded = self.decided;
        }
    }

    /// Gives the records of a step their number, and remembers what they make durable.
    pub fn seal_write<M: StateMachine>(&mut self, out: &mut Output<M>) {
        self.writes.0 += 1;
        out.seal_write(self.writes.0);
        self.unsynced.push_back(self.written());
    }

    /// Learns that a write, and all before it, are durable.
    pub fn synced(&mut self, synced: Synced) {
        while self.oldest_unsynced().is_some_and(|oldest| oldest <= synced.0) {
            self.durable = self.unsynced.pop_front().expect("there is an oldest");
            self.waited = None;
        }
    }

    /// A tick. For how many ticks the oldest write under way has waited for the disk.
    pub fn stalled_ticks(&mut self) -> u32 {
        if self.unsynced.is_empty() {
            return 0;
        }
        let ticks = self.waited.map_or(0, |ticks| ticks.saturating_add(1));
        self.waited = Some(ticks);
        ticks
    }

    /// The number of the oldest write under way.
    fn oldest_unsynced(&self) -> Option<u64> {
        let later = self.unsynced.len().checked_sub(1)?;
        Some(self.writes.0 - later as u64)
    }

    /// Whether the whole log was accepted under the promised ballot.
    pub fn is_synchronised(&self) -> bool {
        self.accepted_ballot == self.promised
    }

    /// What is on disk, unless a write is under way that would change its meaning: then there is
    /// nothing true and lasting to say until it is durable.
    pub fn report(&self) -> Option<Report> {
        let Marks { promised, accepted_ballot, accepted } = self.durable;
        if promised != self.promised || accepted_ballot != self.accepted_ballot {
            return None;
        }
        let (decided, first) = (self.decided.min(accepted), self.log.first().min(accepted));
        Some(Report { promised, accepted_ballot, accepted, decided, first })
    }

    /// What will be durable when everything written is.
    fn written(&self) -> Marks {
        Marks {
            promised: self.promised,
            accepted_ballot: self.accepted_ballot,
            accepted: self.log.accepted(),
        }
    }
}
