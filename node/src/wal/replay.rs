//! Reading the log at the start: which files are needed, which bytes are good, what they add up to.
//! Nothing is changed before everything is known to be good: after a cut the record before it is
//! the end, and damage there would pass for another torn write.

use super::format::{self, Bad, BadHeader, HEADER_BYTES, Header, Item, MARK_BYTES};
use super::segments::{self, End, Segments};
use super::{Damage, Options, Refused};
use crate::protocol::{Contradiction, Durable, Entries, GroupId, NodeId, Record, Summary};
use crate::storage::{Storage, UNFINISHED};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// What a log adds up to.
#[derive(Default)]
pub struct Found {
    /// The state of each group, and the segment that its records are needed from.
    pub groups: BTreeMap<GroupId, (Durable, u64)>,
    /// Bytes behind the last good record that a crash left of an unfinished write, now cut.
    pub torn_bytes: u64,
}

/// Reads the log in a folder, makes it durable as it is, cuts a torn tail, and gets it ready to be
/// written on. Makes a new log if there is none and `options.create` says that there should be
/// none.
pub fn open<S: Storage>(
    storage: S,
    folder: &Path,
    options: Options,
) -> Result<(Segments<S>, Found), Refused> {
    let names = storage.list(folder).map_err(Refused::Machine)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segments::number(name)).collect();
    numbers.sort_unstable();
    let Some(&last) = numbers.last() else {
        if !options.create {
            return Err(Refused::Missing { file: folder.join(segments::name(1)) });
        }
        let created = Segments::create(storage, folder, options).map_err(Refused::Machine)?;
        return Ok((created, Found::default()));
    };
    let (oldest, end, found) = read(&storage, folder, options.node, &numbers)?;
    // Everything is known to be good; from here on, things are changed.
    let resume = || {
        for number in oldest..=last {
            let mut file = storage.open(&folder.join(segments::name(number)))?;
            if number == last && found.torn_bytes > 0 {
                storage.set_len(&mut file, end.offset)?;
            }
            // What was read may so far have survived in memory only, and is about to be relied on.
            storage.sync(&mut file)?;
        }
        for name in names.iter().filter(|name| is_leftover(name, oldest)) {
            storage.remove(&folder.join(name))?;
        }
        storage.sync_folder(folder)?;
        Segments::resume(storage, folder, options, end)
    };
    let segments = resume().map_err(Refused::Machine)?;
    Ok((segments, found))
}

/// Whether a crash left this file: a segment that was superseded, or was not finished.
fn is_leftover(name: &str, oldest: u64) -> bool {
    match name.strip_suffix(UNFINISHED) {
        Some(name) => segments::number(name).is_some(),
        None => segments::number(name).is_some_and(|number| number < oldest),
    }
}

/// Reads the segments that are needed, of those there are: the first of them, where the last one
/// ends, and what they add up to. `numbers`: ascending, at least one.
fn read<S: Storage>(
    storage: &S,
    folder: &Path,
    node: NodeId,
    numbers: &[u64],
) -> Result<(u64, End, Found), Refused> {
    let last = *numbers.last().expect("asked of a log that is there");
    let bytes = segment_bytes(storage, folder, last)?;
    let newest = header(&folder.join(segments::name(last)), &bytes)?;
    let oldest = newest.oldest.min(last);
    let mut reading = Reading {
        folder,
        node,
        oldest,
        groups: BTreeMap::new(),
        waiting: BTreeMap::new(),
        sizes_bytes: VecDeque::new(),
    };
    for number in oldest..last {
        if numbers.binary_search(&number).is_err() {
            return Err(Refused::Missing { file: folder.join(segments::name(number)) });
        }
        reading.segment(number, &segment_bytes(storage, folder, number)?, false)?;
    }
    let part = reading.segment(last, &bytes, true)?;
    let mut sizes_bytes = std::mem::take(&mut reading.sizes_bytes);
    sizes_bytes.pop_back();
    let end = End { header: part.header, offset: part.offset, sizes_bytes };
    Ok((oldest, end, Found { groups: reading.finish()?, torn_bytes: part.torn_bytes }))
}

fn segment_bytes<S: Storage>(storage: &S, folder: &Path, number: u64) -> Result<Vec<u8>, Refused> {
    storage.read(&folder.join(segments::name(number))).map_err(Refused::Machine)
}

/// How much of a segment is good.
struct Part {
    header: Header,
    offset: u64,
    torn_bytes: u64,
}

fn header(file: &Path, bytes: &[u8]) -> Result<Header, Refused> {
    Header::decode(bytes).map_err(|bad| {
        let file = file.to_owned();
        match bad {
            BadHeader::Damaged => Refused::Damaged { file, offset: 0, damage: Damage::Header },
            BadHeader::Version(found) => Refused::Version { file, found },
        }
    })
}

/// A log half read.
struct Reading<'a> {
    folder: &'a Path,
    node: NodeId,
    oldest: u64,
    groups: BTreeMap<GroupId, (Durable, u64)>,
    /// Groups with records that go on from earlier ones, which were superseded, and where the first
    /// of them is: a checkpoint must follow.
    waiting: BTreeMap<GroupId, (u64, u64)>,
    /// The sizes of the segments so far.
    sizes_bytes: VecDeque<u64>,
}

impl Reading<'_> {
    /// Reads one segment. Returns how much of it is good, and whether that is all of it.
    fn segment(&mut self, number: u64, bytes: &[u8], last: bool) -> Result<Part, Refused> {
        let file = self.folder.join(segments::name(number));
        let header = header(&file, bytes)?;
        let Header { node: found, .. } = header;
        if found != self.node {
            return Err(Refused::Foreign { file, found, expected: self.node });
        }
        let damaged = |offset: usize, damage| {
            let (file, offset) = (file.clone(), offset as u64);
            Refused::Damaged { file, offset, damage }
        };
        if header.number != number {
            return Err(damaged(0, Damage::OtherSegment(header.number)));
        }
        if self.sizes_bytes.back().is_some_and(|size| *size != header.previous_bytes) {
            return Err(damaged(0, Damage::SizeBefore(header.previous_bytes)));
        }
        let mut offset = HEADER_BYTES;
        let mut torn_bytes = 0;
        while offset < bytes.len() {
            match format::take(&bytes[offset..]) {
                Ok((item, size_bytes)) => {
                    let place = (number, offset as u64);
                    self.item(item, place, &header).map_err(|damage| damaged(offset, damage))?;
                    offset += size_bytes;
                }
                Err(Bad::Content) => return Err(damaged(offset, Damage::Unknown)),
                Err(Bad::Checksum) if !last => return Err(damaged(offset, Damage::InFullSegment)),
                Err(Bad::Checksum) => {
                    torn_bytes = self::torn_bytes(&header, bytes, offset)
                        .map_err(|damage| damaged(offset, damage))?;
                    break;
                }
            }
        }
        self.sizes_bytes.push_back(offset as u64);
        Ok(Part { header, offset: offset as u64, torn_bytes })
    }

    fn item(&mut self, item: Item, place: (u64, u64), header: &Header) -> Result<(), Damage> {
        let (number, offset) = place;
        match item {
            Item::Mark { salt, synced } => match salt == header.salt && synced <= offset {
                true => Ok(()),
                false => Err(Damage::StrangeMark),
            },
            Item::Checkpoint(summary, entries) => {
                let group = summary.group;
                let restored = self.restore(summary, entries);
                let restored = restored.map_err(|c| Damage::Contradiction(group, c))?;
                self.waiting.remove(&group);
                self.groups.insert(group, (restored, number));
                Ok(())
            }
            Item::Record(group, record) => {
                if let Some((durable, _)) = self.groups.get_mut(&group) {
                    return durable.replay(&record).map_err(|c| Damage::Contradiction(group, c));
                }
                if self.oldest > 1 && !matches!(record, Record::Created { .. }) {
                    self.waiting.entry(group).or_insert(place);
                    return Ok(());
                }
                let created = self.created(group, &record);
                let created = created.map_err(|c| Damage::Contradiction(group, c))?;
                self.groups.insert(group, (created, number));
                Ok(())
            }
        }
    }

    /// The state that a checkpoint stands for, which must be that of the records before it.
    fn restore(&self, summary: Summary, entries: Entries) -> Result<Durable, Contradiction> {
        let restored = Durable::restore(summary, entries)?;
        restored.belongs_to(summary.group, self.node)?;
        match self.groups.get(&summary.group) {
            Some((durable, _)) if *durable != restored => Err(Contradiction::Checkpoint),
            Some(_) | None => Ok(restored),
        }
    }

    /// The state after the first record of a group.
    fn created(&self, group: GroupId, record: &Record) -> Result<Durable, Contradiction> {
        if self.waiting.contains_key(&group) {
            return Err(Contradiction::CreatedTwice);
        }
        let mut durable = Durable::default();
        durable.replay(record)?;
        durable.belongs_to(group, self.node)?;
        Ok(durable)
    }

    /// The states, if every group has one.
    fn finish(self) -> Result<BTreeMap<GroupId, (Durable, u64)>, Refused> {
        let Some((group, (number, offset))) = self.waiting.into_iter().next() else {
            return Ok(self.groups);
        };
        let file = self.folder.join(segments::name(number));
        Err(Refused::Damaged { file, offset, damage: Damage::NoBeginning(group) })
    }
}

/// Judges what stands at the end of the last segment, from a bad record on: how many bytes of it a
/// crash left of an unfinished write, none if nothing was ever written there; or no tail at all.
///
/// Records behind a bad one prove nothing by themselves: the pages of one unsynced write reach the
/// disk in any order. A mark does: it was written only after everything before the offset it names
/// had been synced. So a bad record before the furthest mark, wherever that stands, was good once.
fn torn_bytes(header: &Header, bytes: &[u8], offset: usize) -> Result<u64, Damage> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let behind = bytes.get(offset..end).unwrap_or_default();
    // A mark that ends in zeros is one all the same.
    let marks = &bytes[offset..bytes.len().min(end.max(offset) + MARK_BYTES)];
    match format::furthest_mark(header.salt, marks) {
        Some(synced) if synced > offset as u64 => Err(Damage::MarkedGood(synced)),
        Some(_) | None => Ok(behind.len() as u64),
    }
}
