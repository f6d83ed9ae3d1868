//! The durable log of a node: one for all its groups, every record naming its group.
//!
//! ```text
//!   replicas' records -> append -> write -> [thread: one write, one sync] -> waker -> durable
//! ```
//! The log is a row of segment files; `format.rs` lays out their bytes. Each batch begins with a
//! *mark*: how much of its segment was known to be durable when the batch was written.
//!
//! **What a crash may leave.** A batch is written only when the batch before it is synced, and a
//! segment is begun only when the one before it is. So only the last batch of the last segment can
//! be unfinished, and nobody was told that it was durable: a bad record there is a *torn tail*. It
//! is cut, and reported. A bad record anywhere else is *corruption*, and the node refuses to start.
//! The marks tell which: see `torn_bytes` in `replay.rs`.
//!
//! **Limits.** The last batch before a crash has no mark behind it until the next start has written
//! one, so damage to it passes for a torn tail even if it was synced. (A clean end writes a mark.)
//! Nor is it noticed if the last segment is gone as a file, or if bytes change into others with the
//! same CRC32C. With [`SyncMode::Os`] nothing is said of a crash of the machine: marks then vouch
//! only for what the start found.
//!
//! **What goes.** From time to time the state of a group is written down whole, as a *checkpoint*;
//! records of the group before it are superseded. Segments in which every record is superseded are
//! removed; `Segments::roll` says when, and why a crash does not matter.

pub mod format;
mod replay;
mod segments;
mod syncs;
mod thread;

use crate::protocol::{Contradiction, Durable, GroupId, Index, NodeId, Record};
use crate::storage::{Disk, Storage};
use segments::Progress;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
pub use syncs::SyncTimes;
pub use thread::Waker;
use thread::Writer;

/// When a write counts as durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// When the disk has it.
    Always,
    /// When the operating system has it: it survives the end of the process, not of the machine.
    Os,
}

/// How a log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whose log it is.
    pub node: NodeId,
    /// When a write counts as durable.
    pub sync: SyncMode,
    /// The size at which a new segment begins.
    pub segment_bytes: u64,
    /// Whether the node is new, so that there need not be a log. Otherwise one that is gone is not
    /// made again: a node without its memory must not vote.
    pub create: bool,
}

impl Options {
    /// The usual way.
    pub fn new(node: NodeId) -> Options {
        Options { node, sync: SyncMode::Always, segment_bytes: 64 << 20, create: false }
    }
}

/// A log that was opened.
pub struct Opened<S: Storage = Disk> {
    /// Ready to be written on; in the caller's time, until [`Wal::into_background`].
    pub wal: Wal<S>,
    /// What each group's records add up to. A group that is not here never wrote a durable record.
    pub groups: BTreeMap<GroupId, Durable>,
    /// Bytes of an unfinished write that were cut off.
    pub torn_bytes: u64,
}

/// What a log has come to, for those who watch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// How many segment files there are.
    pub segments: u64,
    /// What is written in them, without the room they have in advance.
    pub size_bytes: u64,
}

/// The number of a write; later ones are higher.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WriteNumber(pub u64);

/// A log being written. After an error of any method, all of them fail with the same error: nobody
/// knows what reached the disk, so the node must stop.
pub struct Wal<S: Storage = Disk> {
    writer: Writer<S>,
    groups: BTreeMap<GroupId, Group>,
    /// Records not yet handed to the writer, behind room for a mark; or nothing.
    batch: Vec<u8>,
    written: u64,
    segment_bytes: u64,
    progress: Progress,
    /// The segment in which superseded records were last looked for.
    tidied: u64,
    /// Snapshots named by records that may not be durable yet: the write, the group, the snapshot.
    snapshots: VecDeque<(u64, GroupId, Index)>,
}

/// Invariant: `durable` is what the group's records from segment `needed` on add up to.
struct Group {
    durable: Durable,
    needed: u64,
}

impl<S: Storage> Wal<S> {
    /// Opens the log in a folder that no other process uses.
    pub fn open(storage: S, folder: &Path, options: Options) -> Result<Opened<S>, Refused> {
        let (segments, found) = replay::open(storage, folder, options)?;
        let groups = found.groups.iter().map(|(group, (durable, _))| (*group, durable.clone()));
        let (groups, torn_bytes) = (groups.collect(), found.torn_bytes);
        let progress = segments.progress(0);
        let group = |(group, (durable, needed))| (group, Group { durable, needed });
        let wal = Wal {
            writer: Writer::here(segments),
            groups: found.groups.into_iter().map(group).collect(),
            batch: Vec::new(),
            written: 0,
            segment_bytes: options.segment_bytes,
            progress,
            tidied: progress.segment,
            snapshots: VecDeque::new(),
        };
        Ok(Opened { wal, groups, torn_bytes })
    }

    /// Has a thread do the writing from now on, so that no method waits for the disk,
    /// [`Wal::close`] apart. `waker` is called from that thread when [`Wal::durable`] has news.
    pub fn into_background(self, waker: Waker) -> io::Result<Wal<S>> {
        Ok(Wal { writer: self.writer.into_background(waker)?, ..self })
    }

    /// Adds records to the next write. Panics on records that contradict those before them: they
    /// would make a log from which nobody can start.
    pub fn append(&mut self, group: GroupId, records: &[Record]) {
        for record in records {
            let segment = self.progress.segment;
            let fresh = || Group { durable: Durable::default(), needed: segment };
            let state = self.groups.entry(group).or_insert_with(fresh);
            if let Err(contradiction) = state.durable.replay(record) {
                panic!("group {}: {record}: {contradiction}", group.0);
            }
            let batch = room_for_mark(&mut self.batch);
            format::put(group, record, batch);
            if let Record::Trim { .. } | Record::Sync { snapshot: true, .. } = record {
                self.snapshots.push_back((self.written + 1, group, state.durable.snapshot()));
                // The log is as short now as it gets.
                if state.needed < segment {
                    state.checkpoint(segment, batch);
                }
            }
        }
    }

    /// Hands everything appended to the disk. Returns the number of this write, or of the last one
    /// if nothing was appended.
    pub fn write(&mut self) -> io::Result<WriteNumber> {
        self.progress = self.writer.progress()?;
        if !self.batch.is_empty() {
            self.tidy();
            self.written += 1;
            let needed = self.groups.values().map(|group| group.needed);
            let oldest = needed.min().unwrap_or(self.progress.segment);
            self.writer.hand_over(&mut self.batch, self.written, oldest)?;
        }
        Ok(WriteNumber(self.written))
    }

    /// The last write that is durable, and with it all before.
    pub fn durable(&mut self) -> io::Result<WriteNumber> {
        self.progress = self.writer.progress()?;
        Ok(WriteNumber(self.progress.durable))
    }

    /// A snapshot that a durable record names, each once: older images of the group may go.
    pub fn snapshot_named(&mut self) -> io::Result<Option<(GroupId, Index)>> {
        let WriteNumber(durable) = self.durable()?;
        let named = self.snapshots.pop_front_if(|(write, ..)| *write <= durable);
        Ok(named.map(|(_, group, index)| (group, index)))
    }

    /// How large the log was when this was last told how far it has come.
    pub fn size(&self) -> Size {
        let Progress { segments, size_bytes, .. } = self.progress;
        Size { segments, size_bytes }
    }

    /// How long the syncs took since [`Wal::into_background`]; none if that was never called.
    pub fn sync_times(&self) -> Option<SyncTimes> {
        self.writer.syncs()
    }

    /// Writes what was appended, waits until it is durable, and leaves a log of which every byte is
    /// vouched for.
    pub fn close(mut self) -> io::Result<()> {
        self.write()?;
        self.writer.close()
    }

    /// Keeps the log from growing because of groups in which nothing happens: they are written down
    /// anew when their old records are in the way, and the log is more than twice as large as what
    /// it stands for. So at least as many bytes become free as are written for it.
    fn tidy(&mut self) {
        let Progress { segment, size_bytes, .. } = self.progress;
        if std::mem::replace(&mut self.tidied, segment) == segment {
            return;
        }
        let live: u64 = self.groups.values().map(|group| format::size_bytes(&group.durable)).sum();
        if size_bytes <= 2 * live + SEGMENTS_KEPT * self.segment_bytes {
            return;
        }
        let oldest = self.groups.values().map(|group| group.needed).min();
        let idle = self.groups.values_mut().filter(|group| Some(group.needed) == oldest);
        idle.for_each(|group| group.checkpoint(segment, &mut self.batch));
    }
}

/// Segments about which nobody minds.
const SEGMENTS_KEPT: u64 = 4;

impl Group {
    /// Writes the state down; the batch goes to `segment` or to a later one.
    fn checkpoint(&mut self, segment: u64, batch: &mut Vec<u8>) {
        // A log that is too long for one record keeps its segments until it is trimmed.
        if format::fits_checkpoint(&self.durable) {
            format::put_checkpoint(&self.durable, batch);
            self.needed = segment;
        }
    }
}

fn room_for_mark(batch: &mut Vec<u8>) -> &mut Vec<u8> {
    if batch.is_empty() {
        batch.resize(format::MARK_BYTES, 0);
    }
    batch
}

/// Why a log cannot be opened. The node must not start.
#[derive(Debug)]
pub enum Refused {
    /// The machine failed, or the folder is not ours to use.
    Machine(io::Error),
    /// There is no log, or a part of it is gone.
    Missing {
        /// The file that should be there.
        file: PathBuf,
    },
    /// A file of another version of this program.
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u16,
    },
    /// A file of another node.
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Whose it should be.
        expected: NodeId,
    },
    /// A file is not as it was written.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

/// What is wrong with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// It does not begin with a header.
    Header,
    /// It is another segment, under this name.
    OtherSegment(u64),
    /// The segment before it had so many bytes when it was full, and has not now.
    SizeBefore(u64),
    /// A bad record, in a segment that was full and synced.
    InFullSegment,
    /// A bad record, and a mark behind it that all was good up to there.
    MarkedGood(u64),
    /// A record with a good checksum, of no kind and layout that we write.
    Unknown,
    /// A mark that vouches for what comes behind it, or for another segment.
    StrangeMark,
    /// Records that do not fit together.
    Contradiction(GroupId, Contradiction),
    /// Records that go on from others which are not there.
    NoBeginning(GroupId),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Machine(error) => error.fmt(f),
            Refused::Missing { file } => write!(
                f,
                "{}: this part of the log is gone; a node without its memory must not vote under \
                 its old id",
                file.display()
            ),
            Refused::Version { file, found } => write!(
                f,
                "{}: found format {found}, expected format {}",
                file.display(),
                format::VERSION
            ),
            Refused::Foreign { file, found, expected } => {
                write!(f, "{}: found the log of node {found}, expected {expected}", file.display())
            }
            Refused::Damaged { file, offset, damage } => {
                write!(f, "{} is damaged at byte {offset}: {damage}", file.display())
            }
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Header => write!(f, "no header, or one whose checksum is wrong"),
            Damage::OtherSegment(number) => write!(f, "this is segment {number}"),
            Damage::SizeBefore(size) => write!(f, "the segment before it had {size} bytes"),
            Damage::InFullSegment => write!(f, "a bad record in a segment that was synced"),
            Damage::MarkedGood(synced) => {
                write!(f, "a bad record, and everything up to byte {synced} had been synced")
            }
            Damage::Unknown => write!(f, "a record of no known kind and layout"),
            Damage::StrangeMark => write!(f, "a mark that does not belong here"),
            Damage::Contradiction(group, contradiction) => {
                write!(f, "group {}: {contradiction}", group.0)
            }
            Damage::NoBeginning(group) => {
                write!(f, "group {}: the records and checkpoints before this are gone", group.0)
            }
        }
    }
}
