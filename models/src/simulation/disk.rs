//! A simulated disk. Writes are appended at once and become durable, in order, some time later; a
//! crash keeps any prefix of what was not synced, and may tear the record after it. Each record is
//! stored with a checksum, and replay judges them as the log of a node does: a bad record at the
//! end was torn and is cut, a bad record with good ones behind it is corruption.

use crate::hash::WordHasher;
use fastrand::Rng;
use node::protocol::{Contradiction, Durable, Entries, Image, Index, Record, Unsynced, Write};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};

/// One node's disk.
#[derive(Clone, Default)]
pub struct Disk {
    /// Synced records, oldest first.
    synced: Vec<Sector>,
    /// What they add up to.
    durable: Durable,
    /// Appended and not synced.
    unsynced: VecDeque<(Vec<Record>, Unsynced)>,
    /// Durable snapshot images.
    images: BTreeMap<Index, Image>,
    /// A bit was flipped, or the disk was wiped: a correct node refuses to start from it.
    pub damaged: bool,
}

#[derive(Clone)]
struct Sector {
    record: Record,
    checksum: u64,
}

/// Why a node cannot start from its disk.
pub enum Refused {
    /// A record is corrupt, and not the last one.
    Corrupt,
    /// The records contradict each other.
    Contradiction(Contradiction),
}

/// What a starting node finds: the durable state, and the snapshot it rests on.
pub type Found = (Durable, Option<Image>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Corrupt => write!(f, "a record is corrupt, and good ones follow it"),
            Refused::Contradiction(contradiction) => contradiction.fmt(f),
        }
    }
}

/// What a crash did to unsynced records.
#[derive(Clone, Copy, Default)]
pub struct Crash {
    /// Records that were lost.
    pub lost: usize,
    /// Records that survived although nobody had promised it.
    pub kept: usize,
    /// The first record lost was torn rather than missing.
    pub torn: bool,
}

impl Disk {
    /// Appends a write, to be synced later.
    pub fn append(&mut self, write: Write) {
        self.unsynced.push_back((write.records, write.unsynced));
    }

    /// The oldest unsynced write becomes durable.
    pub fn sync(&mut self) -> Result<Unsynced, Contradiction> {
        let (records, unsynced) = self.unsynced.pop_front().expect("a sync follows a write");
        for record in records {
            self.keep(record)?;
        }
        Ok(unsynced)
    }

    /// A snapshot becomes durable. Images older than the one the log names go.
    pub fn save(&mut self, index: Index, image: Image) {
        self.images.insert(index, image);
        let needed = self.durable.snapshot();
        self.images.retain(|index, _| *index >= needed);
    }

    /// The durable state.
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Loses unsynced records, all but a prefix.
    pub fn crash(&mut self, random: &mut Rng) -> Result<Crash, Contradiction> {
        let records: Vec<Record> =
            self.unsynced.drain(..).flat_map(|(records, _)| records).collect();
        let kept = random.usize(0..=records.len());
        let lost = records.len() - kept;
        let torn = lost > 0 && random.bool();
        for record in records.iter().take(kept) {
            self.keep(record.clone())?;
        }
        if torn {
            let mut sector = Sector::of(records[kept].clone());
            sector.checksum ^= 1;
            self.synced.push(sector);
        }
        Ok(Crash { lost, kept, torn })
    }

    /// Flips a bit of one record or of the snapshot; whether there was anything to flip.
    pub fn flip_bit(&mut self, random: &mut Rng) -> bool {
        if let Some(image) = self.images.get_mut(&self.durable.snapshot())
            && random.bool()
        {
            let mut bytes = image.bytes().to_vec();
            let at = random.usize(0..bytes.len());
            bytes[at] ^= 1 << random.u8(0..8);
            *image = Image::new(bytes);
            self.damaged = true;
            return true;
        }
        // The very last record is special: damage there looks like a torn write, so it is cut.
        // A log cannot tell; it is the one place where a flipped bit can undo a promise.
        let count = self.synced.len().saturating_sub(1);
        if count == 0 {
            return false;
        }
        let sector = &mut self.synced[random.usize(0..count)];
        match &mut sector.record {
            Record::Append { entries, .. } | Record::Sync { entries, .. }
                if !entries.is_empty() =>
            {
                let mut first = entries.get(0).to_vec();
                match first.first_mut() {
                    Some(byte) => *byte ^= 1 << random.u8(0..8),
                    None => first.push(0),
                }
                let rest = entries.slice(1, entries.len());
                let first = std::iter::once(first.as_slice());
                *entries = Entries::of(first.chain(rest.iter()));
            }
            _ => sector.checksum ^= 1 << random.u8(0..64),
        }
        self.damaged = true;
        true
    }

    /// Loses everything.
    pub fn wipe(&mut self) {
        *self = Disk { damaged: true, ..Disk::default() };
    }

    /// Reads the disk as a starting node does: the durable state and the snapshot it needs.
    pub fn replay(&mut self) -> Result<Found, Refused> {
        // Only when the rest is known to be good is a bad end cut: after a cut, the record before it
        // would be the end, and damage there would pass for another torn write.
        let (last, rest) = match self.synced.split_last() {
            Some((last, rest)) => (last.is_good(), rest),
            None => (true, [].as_slice()),
        };
        if !rest.iter().all(Sector::is_good) {
            return Err(Refused::Corrupt);
        }
        if !last {
            self.synced.pop();
        }
        let mut durable = Durable::default();
        for sector in &self.synced {
            durable.replay(&sector.record).map_err(Refused::Contradiction)?;
        }
        let image = self.images.get(&durable.snapshot()).cloned();
        Ok((durable, image))
    }

    fn keep(&mut self, record: Record) -> Result<(), Contradiction> {
        self.durable.replay(&record)?;
        self.synced.push(Sector::of(record));
        Ok(())
    }
}

impl Sector {
    fn of(record: Record) -> Sector {
        let checksum = checksum(&record);
        Sector { record, checksum }
    }

    fn is_good(&self) -> bool {
        checksum(&self.record) == self.checksum
    }
}

fn checksum(record: &Record) -> u64 {
    let mut hasher = WordHasher::default();
    record.hash(&mut hasher);
    hasher.finish()
}
