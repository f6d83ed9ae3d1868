//! Damaged logs: a cut, a flipped bit, a part that is gone, bytes that nobody wrote.

use super::disk::TestDisk;
use super::workload::{FOLDER, LARGE, SMALL};
use super::{open, position, seed, segment, segments, written};
use fastrand::Rng;
use node::protocol::{Ballot, Contradiction, Durable, Entries, GroupId, Index, NodeId, Record};
use node::wal::format::{self, HEADER_BYTES, Header, Item};
use node::wal::{Damage, Options, Refused, Wal};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn a_log_cut_anywhere_is_a_prefix() {
    let (disk, workload) = written(LARGE, 14, false);
    let last = *segments(&disk).last().expect("a log");
    let whole = disk.bytes(&segment(last)).expect("it is there");
    // With zeros behind the cut, a record that ends in zeros may be whole all the same.
    for zeros in [0, whole.len()] {
        let mut found = BTreeSet::new();
        for size in 0..=whole.len() {
            let disk = disk.copy();
            let mut bytes = whole[..size].to_vec();
            bytes.resize(size.max(zeros), 0);
            disk.set(&segment(last), bytes);
            match open(&disk) {
                Ok(opened) => {
                    let at = position(&workload.history, &opened.groups).expect("a state that was");
                    assert!(found.last() <= Some(&at), "cut at {size}: {at}, before {found:?}");
                    found.insert(at);
                }
                Err(Refused::Damaged { offset: 0, damage: Damage::Header, .. }) => {
                    assert!(size < HEADER_BYTES);
                }
                Err(refused) => panic!("cut at {size}: {refused}"),
            }
        }
        assert_eq!(found.last(), Some(&(workload.history.len() - 1)));
        assert!(found.len() > 5, "too few records to prove anything");
    }
}

#[test]
fn a_flipped_bit_is_named_or_it_is_in_the_last_batch() {
    for close in [true, false] {
        let (disk, workload) = written(SMALL, 25, close);
        let numbers = segments(&disk);
        assert!(numbers.len() > 2, "too short to prove anything");
        let mut met = BTreeMap::new();
        for number in &numbers {
            let bytes = disk.bytes(&segment(*number)).expect("it is there");
            let last_batch = match &batches(&bytes)[..] {
                [.., before, _] => *before.last().expect("a mark, at least"),
                [_] | [] => HEADER_BYTES,
            };
            for bit in 0..bytes.len() * 8 {
                let disk = disk.copy();
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                disk.set(&segment(*number), flipped);
                let place = format!("bit {bit} of segment {number}");
                let outcome = match open(&disk) {
                    Err(Refused::Damaged { file, offset, .. }) => {
                        assert_eq!(file, segment(*number), "{place}");
                        assert!(offset <= bit as u64 / 8, "{place}");
                        "damaged"
                    }
                    Err(Refused::Version { .. }) => "version",
                    Err(refused) => panic!("{place}: {refused}"),
                    Ok(opened) if opened.groups == *workload.states() => "no loss",
                    Ok(opened) => {
                        assert!(!close, "{place}: lost what a clean end vouched for");
                        assert!(bit / 8 >= last_batch && *number == numbers[numbers.len() - 1]);
                        assert!(opened.torn_bytes > 0, "{place}: a silent loss");
                        position(&workload.history, &opened.groups).expect("a prefix");
                        "torn"
                    }
                };
                *met.entry(outcome).or_insert(0) += 1;
            }
        }
        println!("{met:?}");
        assert!(met["damaged"] > 5000, "too little to prove anything");
    }
}

/// Where each record ends, by batches, the mark of each batch first.
fn batches(bytes: &[u8]) -> Vec<Vec<usize>> {
    let (mut at, mut batches) = (HEADER_BYTES, vec![]);
    while let Ok((item, size)) = format::take(&bytes[at..]) {
        at += size;
        if matches!(item, Item::Mark { .. }) {
            batches.push(vec![]);
        }
        batches.last_mut().expect("a mark comes first").push(at);
    }
    batches
}

#[test]
fn good_records_behind_a_bad_one_are_a_torn_tail_unless_a_mark_vouches_for_it() {
    let several = |count: usize| {
        let (disk, workload) = written(LARGE, count, false);
        let bytes = disk.bytes(&segment(1)).expect("it is there");
        let batches = batches(&bytes);
        let fits = batches.len() > 1 && batches[batches.len() - 1].len() > 3;
        fits.then_some((disk, workload, bytes, batches))
    };
    let (disk, workload, bytes, batches) = (2..30).find_map(several).expect("some batch is long");
    let [.., before, last] = &batches[..] else { unreachable!("asked for") };
    // The last byte of the first record behind the mark; two more records stand behind it.
    let (before, last, last_mark) = (before[1] - 1, last[1] - 1, last[0] - 1);
    let damage = |at: usize| {
        let disk = disk.copy();
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        disk.set(&segment(1), bytes);
        disk
    };
    let opened = open(&damage(last)).expect("unsynced pages are written in any order");
    assert!(opened.torn_bytes > 0);
    assert!(position(&workload.history, &opened.groups) < Some(workload.history.len() - 1));
    let refused = open(&damage(before)).map(|_| ()).expect_err("this was synced");
    let Refused::Damaged { damage: Damage::MarkedGood(_), .. } = refused else {
        panic!("{refused}");
    };
    // What was cut is gone for good, whatever is written in its place.
    let restarted = damage(last);
    let found = open(&restarted).expect("a torn tail").groups;
    let again = open(&restarted).expect("sound");
    assert_eq!((again.groups, again.torn_bytes), (found, 0));
    // A start vouches for what it found: damage to it is no torn tail any more.
    let restarted = damage(last_mark);
    drop(open(&restarted).expect("a torn tail"));
    let mut bytes = restarted.bytes(&segment(1)).expect("it is there");
    bytes[before] ^= 1;
    restarted.set(&segment(1), bytes);
    assert!(matches!(open(&restarted), Err(Refused::Damaged { .. })));
}

#[test]
fn what_no_node_writes_is_refused_where_it_stands() {
    let (group, node) = (GroupId(2), SMALL.node);
    let header = |oldest| Header { node, number: 2, oldest, previous_bytes: 0, salt: 9 }.encode();
    let created = Record::Created { group, node };
    let mut state = Durable::default();
    [created.clone(), Record::Boot(1)].iter().for_each(|r| state.replay(r).expect("legal"));
    let refused = |oldest: u64, write: &dyn Fn(&mut Vec<u8>)| {
        let (disk, mut bytes) = (TestDisk::default(), header(oldest).to_vec());
        write(&mut bytes);
        disk.set(&segment(2), bytes);
        match open(&disk) {
            Err(Refused::Damaged { offset, damage, .. }) => Some((offset as usize, damage)),
            Err(refused) => panic!("{refused}"),
            Ok(_) => None,
        }
    };
    let put = |record: &Record, bytes: &mut Vec<u8>| format::put(group, record, bytes);
    let second = HEADER_BYTES + format::FRAME_BYTES + 2;
    let wrong = |contradiction| Damage::Contradiction(group, contradiction);

    assert_eq!(refused(2, &|bytes| format::put_checkpoint(&state, bytes)), None);
    let differs = |bytes: &mut Vec<u8>| {
        put(&created, bytes);
        format::put_checkpoint(&state, bytes);
    };
    assert_eq!(refused(2, &differs), Some((second, wrong(Contradiction::Checkpoint))));
    let no_beginning = |bytes: &mut Vec<u8>| put(&Record::Boot(2), bytes);
    assert_eq!(refused(2, &no_beginning), Some((HEADER_BYTES, Damage::NoBeginning(group))));
    let twice = |bytes: &mut Vec<u8>| (0..2).for_each(|_| put(&created, bytes));
    assert_eq!(refused(2, &twice), Some((second, wrong(Contradiction::CreatedTwice))));
    let stranger = Record::Created { group, node: NodeId(7) };
    let other = wrong(Contradiction::OtherReplica(group, NodeId(7)));
    assert_eq!(refused(2, &|bytes| put(&stranger, bytes)), Some((HEADER_BYTES, other)));
    let strange = Some((HEADER_BYTES, Damage::StrangeMark));
    assert_eq!(refused(2, &|bytes| format::put_mark(8, 0, bytes)), strange);
    assert_eq!(refused(2, &|bytes| format::put_mark(9, 49, bytes)), strange);
    assert_eq!(refused(2, &|bytes| format::put_mark(9, 48, bytes)), None);
    let (ballot, index, entries) = (Ballot::NONE, Index(0), Entries::none());
    let unknown = |bytes: &mut Vec<u8>| {
        put(&Record::Append { ballot, index, entries: entries.clone() }, bytes);
        bytes[HEADER_BYTES + 12] = 77;
        let checksum = crc32c::crc32c(&bytes[HEADER_BYTES..][..4]);
        let checksum = crc32c::crc32c_append(checksum, &bytes[HEADER_BYTES + 8..]);
        bytes[HEADER_BYTES + 4..][..4].copy_from_slice(&checksum.to_le_bytes());
    };
    assert_eq!(refused(2, &unknown), Some((HEADER_BYTES, Damage::Unknown)));
}

#[test]
fn an_entry_that_reads_like_a_mark_vouches_for_nothing() {
    let (disk, _) = written(LARGE, 4, false);
    let mut bytes = disk.bytes(&segment(1)).expect("it is there");
    let end = *batches(&bytes).last().and_then(|batch| batch.last()).expect("several batches");
    bytes.truncate(end);
    bytes.extend_from_slice(b"torn");
    format::put_mark(12345, bytes.len() as u64, &mut bytes);
    disk.set(&segment(1), bytes);
    assert!(open(&disk).expect("a torn tail").torn_bytes > 4);
}

#[test]
fn a_missing_or_foreign_part_is_refused() {
    let (disk, _) = written(SMALL, 30, true);
    let numbers = segments(&disk);
    assert!(numbers.len() > 2);
    let kept = |without: u64| {
        let partial = TestDisk::default();
        for number in numbers.iter().filter(|number| **number != without) {
            partial.set(&segment(*number), disk.bytes(&segment(*number)).expect("it is there"));
        }
        partial
    };
    for number in &numbers[..numbers.len() - 1] {
        match open(&kept(*number)) {
            Err(Refused::Missing { file }) => assert_eq!(file, segment(*number)),
            Err(refused) => panic!("{refused}"),
            Ok(_) => panic!("segment {number} was not missed"),
        }
    }
    assert!(matches!(open(&TestDisk::default()), Err(Refused::Missing { .. })));
    let foreign = Options { node: NodeId(4), ..SMALL };
    let refused = Wal::open(disk.clone(), Path::new(FOLDER), foreign).map(|_| ());
    let line = refused.expect_err("another node's").to_string();
    assert!(line.ends_with("found the log of node n3, expected n4"), "{line}");
    let swapped = kept(numbers[0]);
    swapped.set(&segment(numbers[0]), disk.bytes(&segment(numbers[1])).expect("it is there"));
    assert!(matches!(open(&swapped), Err(Refused::Damaged { .. })));
}

#[test]
fn any_bytes_are_one_encoding_of_a_record_or_bad() {
    let mut random = Rng::with_seed(seed());
    let (disk, _) = written(SMALL, 30, true);
    let valid: Vec<Vec<u8>> =
        segments(&disk).iter().map(|n| disk.bytes(&segment(*n)).expect("it is there")).collect();
    let mut decoded = 0;
    for _ in 0..200_000 {
        // A good record with one byte changed, and its checksum made to fit.
        let bytes = &valid[random.u64(..valid.len() as u64) as usize];
        let mut at = HEADER_BYTES;
        for _ in 0..random.u64(..5) {
            at += format::take(&bytes[at..]).map_or(0, |(_, size)| size);
        }
        let Ok((_, size)) = format::take(&bytes[at..]) else { continue };
        let mut record = bytes[at..at + size].to_vec();
        let change = random.u64(..size as u64) as usize;
        record[change] = random.u64(..256) as u8;
        record.truncate(size - (random.u64(..4) / 3) as usize);
        let checksum = crc32c::crc32c(&record[..4]);
        let checksum = crc32c::crc32c_append(checksum, &record[8..]);
        record[4..8].copy_from_slice(&checksum.to_le_bytes());
        let Ok((item, size)) = format::take(&record) else { continue };
        decoded += 1;
        let mut again = Vec::new();
        match item {
            Item::Record(group, r) => format::put(group, &r, &mut again),
            Item::Mark { salt, synced } => format::put_mark(salt, synced, &mut again),
            Item::Checkpoint(..) => continue,
        }
        assert_eq!(again, record[..size]);
    }
    assert!(decoded > 10_000);
}
