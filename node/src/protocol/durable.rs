//! What survives a crash: the records a replica asks its driver to write, and the state they add up
//! to. A driver replays the surviving records in order; a crash may lose any suffix of them that was
//! not synced, so every record alone leaves a state from which the replica may go on.

use super::ballot::{Ballot, GroupId, Index, NodeId};
use super::entries::Entries;
use super::log::Log;
use std::fmt;

/// One atomic write: after a crash it is there in full or not at all.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Record {
    /// First of all: whose data this is. Without it a disk is new or was wiped.
    Created {
        /// The replication group.
        group: GroupId,
        /// The node, which must never vote under this id with another disk.
        node: NodeId,
    },
    /// The replica started for the `boot`-th time.
    Boot(u64),
    /// The replica vowed to follow this ballot.
    Promise(Ballot),
    /// Entries were appended under the accepted ballot.
    Append {
        /// Must be the accepted ballot.
        ballot: Ballot,
        /// Must be the accepted index.
        index: Index,
        /// Not empty.
        entries: Entries,
    },
    /// The log behind `from` was replaced, and what is there now was accepted under `ballot`: one
    /// record, because the accepted ballot must never outlive the log it vouches for.
    Sync {
        /// The new accepted ballot, which must be promised.
        ballot: Ballot,
        /// Where the old log is cut.
        from: Index,
        /// What comes behind.
        entries: Entries,
        /// The log before `from` is this installed snapshot, which ends at `from`.
        snapshot: bool,
    },
    /// So many entries are chosen. A hint that saves work; losing it is harmless.
    Decided(Index),
    /// A snapshot is durable; the log before `first` may go.
    Trim {
        /// How many entries the snapshot covers.
        snapshot: Index,
        /// The first entry kept.
        first: Index,
    },
}

/// Durable state, as the surviving records tell it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Durable {
    identity: Option<(GroupId, NodeId)>,
    pub(super) boot: u64,
    pub(super) promised: Ballot,
    pub(super) accepted_ballot: Ballot,
    pub(super) decided: Index,
    pub(super) log: Log,
    pub(super) snapshot: Index,
}

/// The numbers of a durable state: with the entries of its log, all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Summary {
    /// The replication group.
    pub group: GroupId,
    /// The node.
    pub node: NodeId,
    /// How often the replica has started.
    pub boot: u64,
    /// The highest ballot vowed to be followed.
    pub promised: Ballot,
    /// The ballot of the latest accepted write.
    pub accepted_ballot: Ballot,
    /// Entries known to be chosen.
    pub decided: Index,
    /// Entries covered by the snapshot.
    pub snapshot: Index,
    /// The first entry of the log.
    pub first: Index,
}

/// Durable state that cannot have been written by a correct replica on a correct disk. A replica
/// must not start from it: whatever it guessed, it might break a promise it no longer knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Contradiction {
    /// Nothing here says whose data it is.
    NoIdentity,
    /// The data belongs to another replica.
    OtherReplica(GroupId, NodeId),
    /// The data was given an identity twice.
    CreatedTwice,
    /// Starts are counted; this number is not the next.
    Boot(u64),
    /// A promise that is not above the one before.
    PromiseWentBack(Ballot),
    /// Entries under a ballot that is not the accepted ballot, or was not promised.
    NotAccepted(Ballot),
    /// Entries that do not adjoin the log, or cut what was chosen.
    NotAdjoining(Index),
    /// A decided index beyond the accepted entries.
    DecidedBeyondLog(Index),
    /// A trim that goes back, or drops entries that no snapshot covers.
    TrimmedBeyondSnapshot(Index),
    /// A checkpoint that no state can have had, or another than the records before it add up to.
    Checkpoint,
    /// The snapshot that the records name was not given.
    SnapshotMissing(Index),
    /// The snapshot cannot be read.
    SnapshotMalformed(Index),
}

impl Durable {
    /// Adds one record, in the order of writing. On error the state is as before.
    pub fn replay(&mut self, record: &Record) -> Result<(), Contradiction> {
        match record {
            Record::Created { .. } => {}
            _ if self.identity.is_none() => return Err(Contradiction::NoIdentity),
            _ => {}
        }
        match record {
            Record::Created { group, node } => self.created(*group, *node),
            Record::Boot(boot) => self.booted(*boot),
            Record::Promise(ballot) => self.promised(*ballot),
            Record::Append { ballot, index, entries } => self.append(*ballot, *index, entries),
            Record::Sync { ballot, from, entries, snapshot } => {
                self.sync(*ballot, *from, entries, *snapshot)
            }
            Record::Decided(index) => self.decided(*index),
            Record::Trim { snapshot, first } => self.trim(*snapshot, *first),
        }
    }

    /// The whole state but the entries, for a driver that writes it down anew to forget the records
    /// it came from. None for an empty disk.
    pub fn summary(&self) -> Option<Summary> {
        let (group, node) = self.identity?;
        let Durable { boot, promised, accepted_ballot, decided, snapshot, .. } = *self;
        let first = self.log.first();
        Some(Summary { group, node, boot, promised, accepted_ballot, decided, snapshot, first })
    }

    /// The state that had this `summary` and these `entries` in its log.
    pub fn restore(summary: Summary, entries: Entries) -> Result<Durable, Contradiction> {
        let Summary { group, node, boot, promised, accepted_ballot, decided, snapshot, first } =
            summary;
        ensure(first.0 <= INDEX_MAX, Contradiction::Checkpoint)?;
        let mut log = Log::starting_at(first);
        log.append(entries);
        let ordered = first <= snapshot && snapshot <= decided && decided <= log.accepted();
        ensure(ordered && accepted_ballot <= promised, Contradiction::Checkpoint)?;
        let identity = Some((group, node));
        Ok(Durable { identity, boot, promised, accepted_ballot, decided, log, snapshot })
    }

    /// How many entries the snapshot covers that a recovery needs; zero for none. A driver keeps
    /// older images until the record that names a newer one is durable.
    pub fn snapshot(&self) -> Index {
        self.snapshot
    }

    /// The ballot vowed to be followed.
    pub fn promise(&self) -> Ballot {
        self.promised
    }

    /// The ballot of the latest accepted write, and how many entries are accepted.
    pub fn accepted(&self) -> (Ballot, Index) {
        (self.accepted_ballot, self.log.accepted())
    }

    /// The accepted entries.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Whether this is the data of that replica.
    pub fn belongs_to(&self, group: GroupId, node: NodeId) -> Result<(), Contradiction> {
        match self.identity {
            None => Err(Contradiction::NoIdentity),
            Some((g, n)) if (g, n) == (group, node) => Ok(()),
            Some((group, node)) => Err(Contradiction::OtherReplica(group, node)),
        }
    }

    fn created(&mut self, group: GroupId, node: NodeId) -> Result<(), Contradiction> {
        ensure(self.identity.is_none(), Contradiction::CreatedTwice)?;
        self.identity = Some((group, node));
        Ok(())
    }

    fn booted(&mut self, boot: u64) -> Result<(), Contradiction> {
        ensure(boot == self.boot.saturating_add(1), Contradiction::Boot(boot))?;
        self.boot = boot;
        Ok(())
    }

    fn promised(&mut self, ballot: Ballot) -> Result<(), Contradiction> {
        ensure(ballot > self.promised, Contradiction::PromiseWentBack(ballot))?;
        self.promised = ballot;
        Ok(())
    }

    fn append(&mut self, b: Ballot, index: Index, entries: &Entries) -> Result<(), Contradiction> {
        ensure(b == self.accepted_ballot && b == self.promised, Contradiction::NotAccepted(b))?;
        ensure(index == self.log.accepted(), Contradiction::NotAdjoining(index))?;
        ensure(index.0 <= INDEX_MAX, Contradiction::NotAdjoining(index))?;
        self.log.append(entries.clone());
        Ok(())
    }

    fn sync(
        &mut self,
        ballot: Ballot,
        from: Index,
        entries: &Entries,
        snapshot: bool,
    ) -> Result<(), Contradiction> {
        ensure(ballot == self.promised, Contradiction::NotAccepted(ballot))?;
        ensure(from.0 <= INDEX_MAX, Contradiction::NotAdjoining(from))?;
        if snapshot {
            ensure(from > self.decided, Contradiction::NotAdjoining(from))?;
            self.log = Log::starting_at(from);
            (self.decided, self.snapshot) = (from, from);
        } else {
            ensure(ballot > self.accepted_ballot, Contradiction::NotAccepted(ballot))?;
            let within = self.log.first() <= from && from <= self.log.accepted();
            ensure(within && self.decided <= from, Contradiction::NotAdjoining(from))?;
            self.log.truncate(from);
        }
        self.accepted_ballot = ballot;
        self.log.append(entries.clone());
        Ok(())
    }

    fn decided(&mut self, index: Index) -> Result<(), Contradiction> {
        let within = self.decided <= index && index <= self.log.accepted();
        ensure(within, Contradiction::DecidedBeyondLog(index))?;
        self.decided = index;
        Ok(())
    }

    fn trim(&mut self, snapshot: Index, first: Index) -> Result<(), Contradiction> {
        let forward = self.snapshot <= snapshot && self.log.first() <= first;
        let covered = first <= snapshot && snapshot <= self.log.accepted();
        ensure(forward && covered, Contradiction::TrimmedBeyondSnapshot(first))?;
        self.snapshot = snapshot;
        // A snapshot holds chosen entries only.
        self.decided = self.decided.max(snapshot);
        self.log.trim(first);
        Ok(())
    }
}

/// No log gets as long; a record that says so was never written by us, and would overflow counts.
const INDEX_MAX: u64 = 1 << 63;

fn ensure(holds: bool, otherwise: Contradiction) -> Result<(), Contradiction> {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contradiction::NoIdentity => write!(
                f,
                "no identity record: the disk is new or was wiped, and a node without its memory \
                 must not vote: restore it, or leave it out for good"
            ),
            Contradiction::OtherReplica(group, node) => {
                write!(f, "the data belongs to node {node} of group {}", group.0)
            }
            Contradiction::CreatedTwice => write!(f, "two identity records"),
            Contradiction::Boot(boot) => {
                write!(f, "boot {boot} does not follow the boot before it")
            }
            Contradiction::PromiseWentBack(ballot) => {
                write!(f, "promise {ballot} is not above the promise before it")
            }
            Contradiction::NotAccepted(ballot) => {
                write!(f, "entries under {ballot}, which was not promised and accepted before them")
            }
            Contradiction::NotAdjoining(index) => {
                write!(f, "entries at {index} leave a gap in the log or replace chosen entries")
            }
            Contradiction::DecidedBeyondLog(index) => {
                write!(f, "decided index {index} lies outside the log or before an earlier one")
            }
            Contradiction::TrimmedBeyondSnapshot(first) => {
                write!(f, "the log was trimmed to {first} with no snapshot that covers the rest")
            }
            Contradiction::Checkpoint => {
                write!(f, "a checkpoint that differs from the records before it, or from any state")
            }
            Contradiction::SnapshotMissing(index) => {
                write!(f, "the snapshot at {index}, which the log needs, is not there")
            }
            Contradiction::SnapshotMalformed(index) => {
                write!(f, "the snapshot at {index} cannot be read")
            }
        }
    }
}

impl std::error::Error for Contradiction {}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Created { group, node } => write!(f, "created {node} of group {}", group.0),
            Record::Boot(boot) => write!(f, "boot {boot}"),
            Record::Promise(ballot) => write!(f, "promise {ballot}"),
            Record::Append { ballot, index, entries } => {
                write!(f, "append {index}..{} under {ballot}", index.plus(entries.len()))
            }
            Record::Sync { ballot, from, entries, snapshot } => {
                let base = if *snapshot { "snapshot and " } else { "" };
                write!(f, "sync {base}{from}..{} under {ballot}", from.plus(entries.len()))
            }
            Record::Decided(index) => write!(f, "decided {index}"),
            Record::Trim { snapshot, first } => write!(f, "trim to {first}, snapshot {snapshot}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B1: Ballot = Ballot { round: 1, priority: 0, node: NodeId(1) };
    const B2: Ballot = Ballot { round: 2, priority: 0, node: NodeId(2) };

    /// A disk that holds two entries accepted under `B1`, one of them decided.
    fn disk() -> Durable {
        let entries = Entries::of([b"a".as_slice(), b"b"]);
        let mut disk = Durable::default();
        for record in [
            Record::Created { group: GroupId(0), node: NodeId(1) },
            Record::Boot(1),
            Record::Promise(B1),
            Record::Sync { ballot: B1, from: Index(0), entries, snapshot: false },
            Record::Decided(Index(1)),
        ] {
            disk.replay(&record).expect("a legal history");
        }
        disk
    }

    #[test]
    fn each_contradiction_is_named_and_changes_nothing() {
        let entries = Entries::of([b"x".as_slice()]);
        let append =
            |ballot, at| Record::Append { ballot, index: Index(at), entries: entries.clone() };
        let sync = |ballot, at| {
            let (from, entries) = (Index(at), entries.clone());
            Record::Sync { ballot, from, entries, snapshot: false }
        };
        let trim =
            |snapshot, first| Record::Trim { snapshot: Index(snapshot), first: Index(first) };
        let cases = [
            (Record::Created { group: GroupId(0), node: NodeId(1) }, Contradiction::CreatedTwice),
            (Record::Boot(3), Contradiction::Boot(3)),
            (Record::Promise(B1), Contradiction::PromiseWentBack(B1)),
            (append(B2, 2), Contradiction::NotAccepted(B2)),
            (append(B1, 3), Contradiction::NotAdjoining(Index(3))),
            (sync(B2, 1), Contradiction::NotAccepted(B2)),
            (sync(B1, 1), Contradiction::NotAccepted(B1)),
            (Record::Decided(Index(3)), Contradiction::DecidedBeyondLog(Index(3))),
            (Record::Decided(Index(0)), Contradiction::DecidedBeyondLog(Index(0))),
            (trim(1, 2), Contradiction::TrimmedBeyondSnapshot(Index(2))),
            (trim(3, 1), Contradiction::TrimmedBeyondSnapshot(Index(1))),
        ];
        for (record, expected) in cases {
            let mut disk = disk();
            assert_eq!(disk.replay(&record), Err(expected), "{record}");
            assert_eq!(disk, self::disk(), "{record} left a trace");
        }
    }

    #[test]
    fn a_sync_never_cuts_what_was_decided() {
        let mut disk = disk();
        disk.replay(&Record::Promise(B2)).expect("higher");
        let (from, entries) = (Index(0), Entries::none());
        let sync = Record::Sync { ballot: B2, from, entries, snapshot: false };
        assert_eq!(disk.replay(&sync), Err(Contradiction::NotAdjoining(Index(0))));
    }

    #[test]
    fn a_state_written_down_whole_is_restored() {
        let mut disk = disk();
        disk.replay(&Record::Trim { snapshot: Index(1), first: Index(1) }).expect("decided");
        let summary = disk.summary().expect("an identity");
        let entries = disk.log.slice(Index(1), Index(2), usize::MAX);
        assert_eq!(Durable::restore(summary, entries), Ok(disk));
        let beyond = Summary { decided: Index(2), ..summary };
        let restored = Durable::restore(beyond, Entries::none());
        assert_eq!(restored, Err(Contradiction::Checkpoint));
    }

    #[test]
    fn a_disk_without_identity_accepts_nothing() {
        let promise = Record::Promise(B1);
        assert_eq!(Durable::default().replay(&promise), Err(Contradiction::NoIdentity));
    }
}
