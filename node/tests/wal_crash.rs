//! What a node finds after a crash: everything it was told is durable, nothing that was never
//! written, and of a damaged disk a refusal that says where.

#[path = "wal_crash/damage.rs"]
mod damage;
#[path = "wal_crash/disk.rs"]
mod disk;
#[path = "wal_crash/files.rs"]
mod files;
#[path = "wal_crash/golden.rs"]
mod golden;
#[path = "wal_crash/workload.rs"]
mod workload;

use disk::{Crash, Fault, TestDisk};
use node::protocol::{GroupId, Index, Record};
use node::storage::Storage;
use node::wal::format::{self, Header};
use node::wal::{Opened, Options, Refused, SyncMode, Wal, WriteNumber};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use workload::{FOLDER, SMALL, States, Workload, image, start};

/// Printed first; `SEED=` takes another.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("SEED={seed}");
    seed
}

fn open(disk: &TestDisk) -> Result<Opened<TestDisk>, Refused> {
    Wal::open(disk.clone(), Path::new(FOLDER), SMALL)
}

fn segment(number: u64) -> PathBuf {
    Path::new(FOLDER).join(format!("wal-{number:016}.log"))
}

fn segments(disk: &TestDisk) -> Vec<u64> {
    let names = disk.list(Path::new(FOLDER)).expect("lists never fail here");
    let digits = |name: &String| name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(digits).collect();
    numbers.sort();
    numbers
}

/// A disk after so many batches, and who wrote them; the log is left open, or closed.
fn written(options: Options, batches: usize, close: bool) -> (TestDisk, Workload) {
    let (disk, seed) = (TestDisk::default(), seed());
    let (mut opened, images) = start(&disk, options).expect("a sound disk");
    let mut workload = Workload::new(&disk, seed);
    workload.run(&mut opened.wal, &images, batches).expect("a sound disk");
    if close {
        opened.wal.close().expect("a sound disk");
    }
    (disk, workload)
}

/// Which of the states there were, in order, is this?
fn position(history: &[States], found: &States) -> Option<usize> {
    history.iter().rposition(|states| states == found)
}

#[test]
fn whatever_operation_fails_and_whatever_the_crash_leaves_nothing_durable_is_missing() {
    let seed = seed();
    let (mut runs, mut rolled, mut torn, mut kept) = (0, 0, 0, 0);
    let mut life = |at: u64, fault: Fault, crash: Crash| {
        let disk = TestDisk::default();
        disk.fail(at, fault);
        let mut workload = Workload::new(&disk, seed);
        if let Ok((mut opened, images)) = start(&disk, SMALL) {
            let failed = workload.run(&mut opened.wal, &images, 40).is_err();
            if !failed {
                assert!(!disk.struck(), "an error was swallowed");
                return false;
            }
        }
        assert!(disk.struck());
        rolled += segments(&disk).iter().any(|number| *number > 1) as u64;
        // A crash during the recovery, then another recovery.
        let second = disk.after(crash);
        second.fail(at % 23, fault);
        let survivor = match start(&second, SMALL) {
            Err(_) if second.struck() => second.after(crash),
            Err(refused) => panic!("operation {at}, {fault:?}, {crash:?}: {refused}"),
            Ok(_) => disk.after(crash),
        };
        let started = start(&survivor, SMALL);
        let (mut opened, images) = started
            .unwrap_or_else(|refused| panic!("operation {at}, {fault:?}, {crash:?}: {refused}"));
        torn += u64::from(opened.torn_bytes > 0);
        let found = position(&workload.history, &opened.groups)
            .unwrap_or_else(|| panic!("operation {at}, {fault:?}, {crash:?}: invented"));
        assert!(found >= workload.durable, "operation {at}, {fault:?}, {crash:?}: lost");
        kept += u64::from(found > workload.durable);
        for (group, durable) in opened.groups.iter().filter(|(_, d)| d.snapshot() > Index::ZERO) {
            let loaded = images.load(*group, durable.snapshot()).expect("the log rests on it");
            assert_eq!(*loaded, *image(*group, durable.snapshot()));
        }
        tidy(&survivor);
        // It goes on as if nothing had been.
        workload.resume(&survivor, opened.groups.clone());
        workload.run(&mut opened.wal, &images, 5).expect("a sound disk");
        let again = open(&survivor.after(Crash::Nothing)).expect("a sound disk");
        assert_eq!(&again.groups, workload.states());
        runs += 1;
        true
    };
    for at in 0.. {
        let faults = [Fault::Nothing, Fault::Half, Fault::All];
        let crashes = [Crash::All, Crash::Nothing, Crash::Some(seed ^ at)];
        let lives = faults.iter().flat_map(|fault| crashes.iter().map(move |c| (*fault, *c)));
        if !lives.fold(false, |any, (fault, crash)| life(at, fault, crash) | any) {
            break;
        }
    }
    println!("{runs} runs, {rolled} with rolls, {torn} torn, {kept} kept more than was reported");
    assert!(runs > 1000 && rolled > 500 && torn > 50 && kept > 50, "the runs prove too little");
}

/// A start leaves no unfinished and no superseded file.
fn tidy(disk: &TestDisk) {
    let names = disk.list(Path::new(FOLDER)).expect("lists never fail here");
    assert!(names.iter().all(|name| !name.ends_with(".new")), "{names:?}");
    let numbers = segments(disk);
    let [first, .., last] = numbers[..] else { return };
    let bytes = disk.bytes(&segment(last)).expect("it is there");
    assert_eq!(Header::decode(&bytes).map(|header| header.oldest), Ok(first));
    assert_eq!(numbers.len() as u64, last - first + 1);
}

#[test]
fn groups_in_which_nothing_happens_do_not_keep_the_log_from_being_cut() {
    let disk = TestDisk::default();
    let (mut opened, images) = start(&disk, SMALL).expect("a sound disk");
    let mut workload = Workload::new(&disk, seed());
    workload.idle_from = 1;
    for _ in 0..200 {
        workload.run(&mut opened.wal, &images, 5).expect("a sound disk");
        let live: u64 = workload.states().values().map(format::size_bytes).sum();
        let size = |number: &u64| disk.bytes(&segment(*number)).expect("it is there").len() as u64;
        let size: u64 = segments(&disk).iter().map(size).sum();
        // What the log may hold, and what it may grow by until its oldest segments are gone.
        let most = 2 * live + (4 + 5) * SMALL.segment_bytes;
        assert!(size <= most, "{size} bytes of log for {live} bytes of entries");
        let found = open(&disk.after(Crash::Nothing)).expect("a sound disk");
        assert_eq!(&found.groups, workload.states());
    }
    let numbers = segments(&disk);
    assert!(numbers[0] > 50, "nothing was removed");
    assert!(workload.states()[&GroupId(1)].accepted().1 > Index::ZERO, "the idle have a state");
}

#[test]
fn without_syncs_everything_survives_the_end_of_the_process() {
    let (disk, os) = (TestDisk::default(), Options { sync: SyncMode::Os, ..SMALL });
    let (mut opened, images) = start(&disk, os).expect("a sound disk");
    let mut workload = Workload::new(&disk, seed());
    workload.run(&mut opened.wal, &images, 60).expect("a sound disk");
    let disk = disk.after(Crash::All);
    let (opened, _) = start(&disk, SMALL).expect("a sound disk");
    assert_eq!(&opened.groups, workload.states());
    // A start makes durable what it found.
    let (opened, _) = start(&disk.after(Crash::Nothing), SMALL).expect("a sound disk");
    assert_eq!(&opened.groups, workload.states());
}

#[test]
fn after_an_error_nothing_is_tried_again() {
    let group = GroupId(1);
    for (fault, operation) in [(Fault::Half, 0), (Fault::Nothing, 0), (Fault::All, 1)] {
        let disk = TestDisk::default();
        let (Opened { mut wal, .. }, _) = start(&disk, SMALL).expect("a sound disk");
        wal.append(group, &[Record::Created { group, node: SMALL.node }, Record::Boot(1)]);
        disk.fail(disk.operations() + operation, fault);
        let error = wal.write().expect_err("the disk failed").to_string();
        assert!(error.contains("test: "), "{error}");
        let operations = disk.operations();
        wal.append(group, &[Record::Boot(2)]);
        assert_eq!(wal.write().expect_err("sticky").to_string(), error);
        assert_eq!(wal.durable().expect_err("sticky").to_string(), error);
        assert_eq!(wal.close().expect_err("sticky").to_string(), error);
        assert_eq!(disk.operations(), operations);
    }
}

#[test]
fn an_error_of_the_thread_wakes_whoever_waits_for_it() {
    let (disk, group) = (TestDisk::default(), GroupId(1));
    let (Opened { wal, .. }, _) = start(&disk, SMALL).expect("a sound disk");
    let (sender, news) = mpsc::channel();
    let mut wal = wal.into_background(Box::new(move || _ = sender.send(()))).expect("a thread");
    wal.append(group, &[Record::Created { group, node: SMALL.node }]);
    disk.fail(disk.operations() + 1, Fault::Nothing);
    let written = wal.write().expect("not known yet");
    news.recv_timeout(Duration::from_secs(10)).expect("news of the error");
    assert_eq!(wal.durable().expect_err("no sync").to_string(), "test: an error");
    assert_eq!(written, WriteNumber(1));
    wal.append(group, &[Record::Boot(1)]);
    assert_eq!(wal.write().expect_err("sticky").to_string(), "test: an error");
    assert_eq!(wal.close().expect_err("sticky").to_string(), "test: an error");
}
