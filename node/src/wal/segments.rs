//! The files of the log, as the one who writes them sees them: a batch behind the other, each
//! synced before the next is written; a new file when one is full; old files gone when superseded.

use super::format::{self, HEADER_BYTES, Header, MARK_BYTES};
use super::{Options, SyncMode};
use crate::storage::{self, Storage};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The writer of the log. After an error it must not be used again: nobody knows what was written.
/// Invariant: `HEADER_BYTES <= synced <= offset`; `files` names consecutive segments, none empty of
/// its header, the last of them the one being written.
pub struct Segments<S: Storage> {
    storage: S,
    folder: PathBuf,
    options: Options,
    file: S::File,
    /// Of the segment being written.
    header: Header,
    offset: u64,
    /// What is known to be durable of the segment.
    synced: u64,
    /// Segments before this one are superseded, durably.
    oldest: u64,
    /// The sizes of all segments but the one being written, oldest first.
    sizes_bytes: VecDeque<u64>,
}

/// How far the log has come, for those who fill it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The last batch that is durable.
    pub durable: u64,
    /// The segment being written.
    pub segment: u64,
    /// How many segments there are.
    pub segments: u64,
    /// The size of all segments together.
    pub size_bytes: u64,
}

/// What the reader of a log found, so that it can be written on.
pub struct End {
    /// Of the last segment.
    pub header: Header,
    /// The end of its last good record.
    pub offset: u64,
    /// The sizes of the segments before it that are still needed, oldest first.
    pub sizes_bytes: VecDeque<u64>,
}

/// The file of a segment.
pub fn name(number: u64) -> String {
    format!("wal-{number:016}.log")
}

/// The segment that a file name stands for.
pub fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    digits.parse().ok().filter(|number| self::name(*number) == name)
}

impl<S: Storage> Segments<S> {
    /// Makes the first segment of a new log.
    pub fn create(storage: S, folder: &Path, options: Options) -> io::Result<Segments<S>> {
        let (node, salt) = (options.node, salt());
        let header = Header { node, number: 1, oldest: 1, previous_bytes: 0, salt };
        let file = new_file(&storage, folder, &options, &header)?;
        let offset = HEADER_BYTES as u64;
        let (sizes_bytes, folder) = (VecDeque::new(), folder.to_owned());
        let (synced, oldest) = (offset, header.oldest);
        Ok(Segments { storage, folder, options, file, header, offset, synced, oldest, sizes_bytes })
    }

    /// Goes on behind a log that was read and found good, all of it synced. Ends with a mark: from
    /// then on, damage to what was read can no longer pass for the tail of an unfinished write.
    pub fn resume(
        storage: S,
        folder: &Path,
        options: Options,
        end: End,
    ) -> io::Result<Segments<S>> {
        let End { header, offset, sizes_bytes } = end;
        let mut file = storage.open(&folder.join(name(header.number)))?;
        storage.set_len(&mut file, options.segment_bytes.max(offset))?;
        let (oldest, synced, folder) = (header.oldest, offset, folder.to_owned());
        let mut segments = Segments {
            storage,
            folder,
            options,
            file,
            header,
            offset,
            synced,
            oldest,
            sizes_bytes,
        };
        segments.mark()?;
        Ok(segments)
    }

    /// Writes a batch, whose first `MARK_BYTES` are room for a mark, and makes it durable.
    /// `oldest`: segments before this one are superseded by what is written up to here.
    /// Returns how long the sync took, if there was one.
    pub fn commit(&mut self, batch: &mut Vec<u8>, oldest: u64) -> io::Result<Option<Duration>> {
        assert!(batch.len() >= MARK_BYTES, "a batch begins with room for its mark");
        let empty = self.offset == HEADER_BYTES as u64;
        if !empty && self.offset + batch.len() as u64 > self.options.segment_bytes {
            self.roll()?;
        }
        // The mark is made at the end, where there is room, and moved to its place.
        let end = batch.len();
        format::put_mark(self.header.salt, self.synced, batch);
        batch.copy_within(end.., 0);
        batch.truncate(end);
        self.storage.write_at(&mut self.file, batch, self.offset)?;
        self.offset += batch.len() as u64;
        self.oldest = oldest;
        if self.options.sync == SyncMode::Os {
            return Ok(None);
        }
        let begun = Instant::now();
        self.storage.sync(&mut self.file)?;
        self.synced = self.offset;
        Ok(Some(begun.elapsed()))
    }

    /// Writes that everything so far is durable, and makes that durable, in every mode.
    pub fn mark(&mut self) -> io::Result<()> {
        self.storage.sync(&mut self.file)?;
        self.synced = self.offset;
        let mut mark = Vec::with_capacity(MARK_BYTES);
        format::put_mark(self.header.salt, self.synced, &mut mark);
        self.storage.write_at(&mut self.file, &mark, self.offset)?;
        self.offset += MARK_BYTES as u64;
        self.storage.sync(&mut self.file)?;
        self.synced = self.offset;
        Ok(())
    }

    /// How far this has come, `durable` being the last batch committed.
    pub fn progress(&self, durable: u64) -> Progress {
        let segments = self.sizes_bytes.len() as u64 + 1;
        let size_bytes = self.sizes_bytes.iter().sum::<u64>() + self.offset;
        Progress { durable, segment: self.header.number, segments, size_bytes }
    }

    /// Begins the next segment, and removes those that are superseded.
    ///
    /// A crash at any point is harmless:
    /// 1. A segment gets its name when everything before it, and its own header, are durable. So
    ///    only the last one can have a torn tail, and none can have a torn header.
    /// 2. `oldest` was handed in with a batch that is durable by now, and so are the checkpoints it
    ///    rests on: no record before that segment is needed.
    /// 3. Files go when the header that says they may is durable; those that a crash leaves are
    ///    below its `oldest`, and the next start removes them. A file missing at or above `oldest`
    ///    was not removed by us.
    /// 4. A checkpoint only repeats what the records before it add up to, so it does not matter
    ///    whether these are still read.
    fn roll(&mut self) -> io::Result<()> {
        self.storage.set_len(&mut self.file, self.offset)?;
        if self.options.sync == SyncMode::Always {
            self.storage.sync(&mut self.file)?;
        }
        let before = self.header;
        self.header = Header {
            node: before.node,
            number: before.number + 1,
            oldest: self.oldest,
            previous_bytes: self.offset,
            salt: salt(),
        };
        self.file = new_file(&self.storage, &self.folder, &self.options, &self.header)?;
        self.sizes_bytes.push_back(self.offset);
        (self.offset, self.synced) = (HEADER_BYTES as u64, HEADER_BYTES as u64);
        let first = self.header.number - self.sizes_bytes.len() as u64;
        for number in first..self.oldest {
            self.storage.remove(&self.folder.join(name(number)))?;
            self.sizes_bytes.pop_front();
        }
        Ok(())
    }
}

/// A segment with its header, and room in advance: a sync that need not record a new length each
/// time takes two thirds of the time (116 against 81 us for 200 bytes on ext4).
fn new_file<S: Storage>(
    storage: &S,
    folder: &Path,
    options: &Options,
    header: &Header,
) -> io::Result<S::File> {
    storage::put(storage, folder, &name(header.number), &[&header.encode()])?;
    let mut file = storage.open(&folder.join(name(header.number)))?;
    storage.set_len(&mut file, options.segment_bytes.max(HEADER_BYTES as u64))?;
    Ok(file)
}

/// The only source of randomness in the standard library, seeded by the operating system.
fn salt() -> u64 {
    RandomState::new().build_hasher().finish()
}
