//! The bytes of the log, little-endian. A segment file is a header and records, one behind the
//! other, then zeros up to the size it was given in advance.
//!
//! ```text
//!   header                                    record
//!    0  magic            "QUORWAL\n"           0  length of the content     u32
//!    8  version          u16                   4  checksum of all the rest  u32, CRC32C
//!   10  node             u16                   8  group                     u32
//!   12  segment number   u64                  12  kind                      u8
//!   20  oldest segment   u64                  13  content
//!       still needed
//!   28  bytes of the     u64                  ballot
//!       segment before                         0  round                     u64
//!   36  salt             u64                   8  priority                  u8
//!   44  checksum         u32, CRC32C           9  node                      u16
//!   48                                        11
//!
//!   kind            content
//!   1  created      node u16
//!   2  boot         boot u64
//!   3  promise      ballot
//!   4  append       ballot, index u64, count u32, entries as `Entries::encode` lays them out
//!   5  sync         ballot, from u64, snapshot u8 (0 or 1), count u32, entries
//!   6  decided      index u64
//!   7  trim         snapshot u64, first u64
//!   8  checkpoint   node u16, boot u64, promised ballot, accepted ballot, decided u64,
//!                   snapshot u64, first u64, count u32, entries
//!   9  mark         salt of the segment u64, bytes of it known to be durable u64 (of group 0)
//! ```
//! Decoding is total and strict: any bytes are the one encoding of a record, or bad.

use crate::bytes::Reader;
use crate::protocol::{
    Ballot, Batch, Durable, Entries, GroupId, Index, Malformed, NodeId, Record, Summary,
};

/// The layout described here.
pub const VERSION: u16 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 48;
/// Bytes of a record besides its content.
pub const FRAME_BYTES: usize = 13;
/// Bytes of a mark.
pub const MARK_BYTES: usize = FRAME_BYTES + 16;

const MAGIC: [u8; 8] = *b"QUORWAL\n";
const GROUP_AT: usize = 8;
const KIND_AT: usize = 12;

const CREATED: u8 = 1;
const BOOT: u8 = 2;
const PROMISE: u8 = 3;
const APPEND: u8 = 4;
const SYNC: u8 = 5;
const DECIDED: u8 = 6;
const TRIM: u8 = 7;
const CHECKPOINT: u8 = 8;
const MARK: u8 = 9;

/// The start of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Whose log it is.
    pub node: NodeId,
    /// Counts segments from one.
    pub number: u64,
    /// Segments before this one were superseded when this file was made.
    pub oldest: u64,
    /// The exact size of the segment before; zero for the first.
    pub previous_bytes: u64,
    /// A number nobody can foresee, so that no client can make an entry that reads like a mark.
    pub salt: u64,
}

/// What a segment holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// A record of a replica.
    Record(GroupId, Record),
    /// All that the records of a group add up to so far.
    Checkpoint(Summary, Entries),
    /// So many bytes of the segment were durable before this was written.
    Mark {
        /// As in the header.
        salt: u64,
        /// Never beyond the mark itself.
        synced: u64,
    },
}

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// Too short, or not what the checksum was made of: torn, damaged, or never written.
    Checksum,
    /// Written as it stands, but not by this format.
    Content,
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHeader {
    /// Too short, another kind of file, or not what the checksum was made of.
    Damaged,
    /// A header of another version of this format.
    Version(u16),
}

impl Header {
    /// The header in bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.node.0.to_le_bytes());
        for number in [self.number, self.oldest, self.previous_bytes, self.salt] {
            put_u64(&mut bytes, number);
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.try_into().expect("the sizes above add up")
    }

    /// Reads a header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(BadHeader::Damaged)?;
        let (magic, fields) = header.split_at(MAGIC.len());
        let Ok((version, fields, checksum)) = read_header(&mut Reader(fields)) else {
            unreachable!("the fields fill the size that was checked");
        };
        if magic != MAGIC {
            return Err(BadHeader::Damaged);
        }
        if crc32c::crc32c(&header[..HEADER_BYTES - 4]) == checksum && version == VERSION {
            return Ok(fields);
        }
        // Another version may place its checksum elsewhere, so its number is believed without.
        match version {
            0 | VERSION => Err(BadHeader::Damaged),
            found => Err(BadHeader::Version(found)),
        }
    }
}

fn read_header(from: &mut Reader<'_>) -> Result<(u16, Header, u32), Malformed> {
    let (version, node) = (u16(from)?, NodeId(u16(from)?));
    let (number, oldest, previous_bytes, salt) =
        (from.u64()?, from.u64()?, from.u64()?, from.u64()?);
    Ok((version, Header { node, number, oldest, previous_bytes, salt }, from.u32()?))
}

/// Appends a record of `group`. Panics on one of 4 GiB (batches are bounded far below).
pub fn put(group: GroupId, record: &Record, bytes: &mut Vec<u8>) {
    let kind = match record {
        Record::Created { .. } => CREATED,
        Record::Boot(_) => BOOT,
        Record::Promise(_) => PROMISE,
        Record::Append { .. } => APPEND,
        Record::Sync { .. } => SYNC,
        Record::Decided(_) => DECIDED,
        Record::Trim { .. } => TRIM,
    };
    framed(group, kind, bytes, |bytes| match record {
        Record::Created { group: named, node } => {
            assert_eq!(*named, group, "a replica writes its own records");
            bytes.extend_from_slice(&node.0.to_le_bytes());
        }
        Record::Boot(boot) => put_u64(bytes, *boot),
        Record::Promise(ballot) => put_ballot(bytes, ballot),
        Record::Append { ballot, index, entries } => {
            put_ballot(bytes, ballot);
            put_u64(bytes, index.0);
            put_count(bytes, entries.len());
            entries.encode(bytes);
        }
        Record::Sync { ballot, from, entries, snapshot } => {
            put_ballot(bytes, ballot);
            put_u64(bytes, from.0);
            bytes.push(u8::from(*snapshot));
            put_count(bytes, entries.len());
            entries.encode(bytes);
        }
        Record::Decided(index) => put_u64(bytes, index.0),
        Record::Trim { snapshot, first } => {
            put_u64(bytes, snapshot.0);
            put_u64(bytes, first.0);
        }
    });
}

/// Whether a state fits one checkpoint.
pub fn fits_checkpoint(durable: &Durable) -> bool {
    let log = durable.log();
    let count = log.accepted().since(log.first());
    size_bytes(durable) <= Batch::SIZE_BYTES_MAX as u64
        && count < (Batch::SIZE_BYTES_MAX >> 2) as u64
}

/// Bytes of all entries of a state together.
pub fn size_bytes(durable: &Durable) -> u64 {
    let log = durable.log();
    log.position_bytes(log.accepted()) - log.position_bytes(log.first())
}

/// Appends a state, whole. Panics on an empty one, and on one that does not fit.
pub fn put_checkpoint(durable: &Durable, bytes: &mut Vec<u8>) {
    assert!(fits_checkpoint(durable));
    let summary = durable.summary().expect("a group in the log was created there");
    framed(summary.group, CHECKPOINT, bytes, |bytes| {
        bytes.extend_from_slice(&summary.node.0.to_le_bytes());
        put_u64(bytes, summary.boot);
        put_ballot(bytes, &summary.promised);
        put_ballot(bytes, &summary.accepted_ballot);
        for index in [summary.decided, summary.snapshot, summary.first] {
            put_u64(bytes, index.0);
        }
        let (log, from, to) = (durable.log(), summary.first, durable.log().accepted());
        put_count(bytes, to.since(from) as usize);
        // As `Entries::encode` would, without first copying many batches into one.
        let mut end = 0;
        for entry in log.iter(from, to) {
            end += entry.len() as u32;
            bytes.extend_from_slice(&end.to_le_bytes());
        }
        log.iter(from, to).for_each(|entry| bytes.extend_from_slice(entry));
    });
}

/// Appends a mark.
pub fn put_mark(salt: u64, synced: u64, bytes: &mut Vec<u8>) {
    framed(GroupId(0), MARK, bytes, |bytes| {
        put_u64(bytes, salt);
        put_u64(bytes, synced);
    });
}

/// Reads the record at the start of `bytes`, and how many bytes it takes.
pub fn take(bytes: &[u8]) -> Result<(Item, usize), Bad> {
    let mut frame = Reader(bytes);
    let header = (frame.u32(), frame.u32(), frame.u32(), frame.u8());
    let (Ok(length), Ok(checksum), Ok(group), Ok(kind)) = header else {
        return Err(Bad::Checksum);
    };
    let content = frame.0.get(..length as usize).ok_or(Bad::Checksum)?;
    let size_bytes = FRAME_BYTES + content.len();
    if checksum_of(&bytes[..size_bytes]) != checksum {
        return Err(Bad::Checksum);
    }
    let item = read(GroupId(group), kind, content).map_err(|Malformed| Bad::Content)?;
    Ok((item, size_bytes))
}

/// The furthest offset that a mark anywhere in `bytes` says was durable, if any does. `bytes`: a
/// part of the segment with this salt, which need not begin with a record.
pub fn furthest_mark(salt: u64, bytes: &[u8]) -> Option<u64> {
    let looks_so = |window: &&[u8]| {
        window[KIND_AT] == MARK && window[FRAME_BYTES..][..8] == salt.to_le_bytes()
    };
    let marks =
        bytes.windows(MARK_BYTES).filter(looks_so).filter_map(|window| match take(window) {
            Ok((Item::Mark { synced, .. }, _)) => Some(synced),
            _ => None,
        });
    marks.max()
}

fn framed(group: GroupId, kind: u8, bytes: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; GROUP_AT]);
    bytes.extend_from_slice(&group.0.to_le_bytes());
    bytes.push(kind);
    content(bytes);
    let length = u32::try_from(bytes.len() - start - FRAME_BYTES).expect("batches are bounded");
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum_of(&bytes[start..]);
    bytes[start + 4..start + GROUP_AT].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum_of(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[GROUP_AT..])
}

fn read(group: GroupId, kind: u8, content: &[u8]) -> Result<Item, Malformed> {
    let mut from = Reader(content);
    let record = match kind {
        CREATED => Record::Created { group, node: NodeId(u16(&mut from)?) },
        BOOT => Record::Boot(from.u64()?),
        PROMISE => Record::Promise(ballot(&mut from)?),
        APPEND => Record::Append {
            ballot: ballot(&mut from)?,
            index: Index(from.u64()?),
            entries: entries(&mut from)?,
        },
        SYNC => {
            let (ballot, index) = (ballot(&mut from)?, Index(from.u64()?));
            let snapshot = match from.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Malformed),
            };
            Record::Sync { ballot, from: index, entries: entries(&mut from)?, snapshot }
        }
        DECIDED => Record::Decided(Index(from.u64()?)),
        TRIM => Record::Trim { snapshot: Index(from.u64()?), first: Index(from.u64()?) },
        CHECKPOINT => {
            let summary = Summary {
                group,
                node: NodeId(u16(&mut from)?),
                boot: from.u64()?,
                promised: ballot(&mut from)?,
                accepted_ballot: ballot(&mut from)?,
                decided: Index(from.u64()?),
                snapshot: Index(from.u64()?),
                first: Index(from.u64()?),
            };
            return Ok(Item::Checkpoint(summary, entries(&mut from)?));
        }
        MARK if group == GroupId(0) => {
            let (salt, synced) = (from.u64()?, from.u64()?);
            from.end()?;
            return Ok(Item::Mark { salt, synced });
        }
        _ => return Err(Malformed),
    };
    from.end()?;
    Ok(Item::Record(group, record))
}

fn u16(from: &mut Reader<'_>) -> Result<u16, Malformed> {
    Ok(u16::from_le_bytes([from.u8()?, from.u8()?]))
}

fn ballot(from: &mut Reader<'_>) -> Result<Ballot, Malformed> {
    Ok(Ballot { round: from.u64()?, priority: from.u8()?, node: NodeId(u16(from)?) })
}

/// Entries reach to the end of every record that has any.
fn entries(from: &mut Reader<'_>) -> Result<Entries, Malformed> {
    Entries::decode(from.u32()?, from.rest())
}

fn put_u64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_ballot(bytes: &mut Vec<u8>, ballot: &Ballot) {
    put_u64(bytes, ballot.round);
    bytes.push(ballot.priority);
    bytes.extend_from_slice(&ballot.node.0.to_le_bytes());
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("batches are bounded");
    bytes.extend_from_slice(&count.to_le_bytes());
}
