//! Real files: the thread that syncs, the lock, identities, images.

use node::identity::{DataFolder, Identity, Refused};
use node::protocol::{Ballot, Entries, GroupId, Index, NodeId, Record};
use node::snapshot::{Images, Unusable};
use node::storage::Disk;
use node::wal::{Opened, Options, Wal, WriteNumber};
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const NODE: NodeId = NodeId(1);
const GROUP: GroupId = GroupId(5);
const PATIENCE: Duration = Duration::from_secs(10);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(path: &Path) -> Opened {
    let options = Options { segment_bytes: 4096, create: true, ..Options::new(NODE) };
    Wal::open(Disk, path, options).unwrap_or_else(|refused| panic!("{refused}"))
}

fn line(refused: Result<DataFolder<Disk>, Refused>) -> String {
    refused.map(|_| ()).expect_err("not ours").to_string()
}

#[test]
fn the_thread_writes_everything_in_order_and_says_so() {
    let folder = folder();
    let (sender, news) = mpsc::channel();
    let wake = Box::new(move || _ = sender.send(()));
    let mut wal = open(folder.path()).wal.into_background(wake).expect("a thread");
    let ballot = Ballot { round: 1, priority: 0, node: NODE };
    let entries = Entries::none();
    let sync = Record::Sync { ballot, from: Index(0), entries, snapshot: false };
    let created = Record::Created { group: GROUP, node: NODE };
    wal.append(GROUP, &[created, Record::Boot(1), Record::Promise(ballot), sync]);
    let mut last = wal.write().expect("sound");
    for number in 0..500u64 {
        let (index, entries) = (Index(number), Entries::of([number.to_string().as_bytes()]));
        wal.append(GROUP, &[Record::Append { ballot, index, entries }]);
        if number % 3 != 0 {
            last = wal.write().expect("sound");
        }
    }
    let mut durable = WriteNumber(0);
    while durable < last {
        news.recv_timeout(PATIENCE).expect("news of a write");
        let now = wal.durable().expect("sound");
        assert!(now >= durable);
        durable = now;
    }
    let found = open(folder.path());
    assert_eq!(found.groups[&GROUP].accepted(), (ballot, Index(500)));
    assert_eq!(found.groups[&GROUP].log().get(Index(321)), b"321");
    wal.close().expect("sound");
}

#[test]
fn a_snapshot_is_named_when_the_record_is_durable_and_not_before() {
    let folder = folder();
    let mut wal = open(folder.path()).wal;
    let ballot = Ballot { round: 1, priority: 0, node: NODE };
    let (from, entries) = (Index(9), Entries::none());
    let sync = Record::Sync { ballot, from, entries, snapshot: true };
    let created = Record::Created { group: GROUP, node: NODE };
    wal.append(GROUP, &[created, Record::Promise(ballot), sync]);
    assert_eq!(wal.snapshot_named().expect("sound"), None);
    wal.write().expect("sound");
    assert_eq!(wal.snapshot_named().expect("sound"), Some((GROUP, Index(9))));
    assert_eq!(wal.snapshot_named().expect("sound"), None);
}

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let folder = folder();
    let path = folder.path().join("a/b");
    let identity = Identity::new("main", NODE, "nodes 1");
    let held = DataFolder::open(Disk, &path, identity.clone()).expect("a new folder");
    assert!(held.is_new());
    let refused = line(DataFolder::open(Disk, &path, identity.clone()));
    assert!(refused.ends_with("a/b/lock: another process uses this data folder"), "{refused}");
    drop(held);
    let mut again = DataFolder::open(Disk, &path, identity.clone()).expect("free again");
    again.log_begun().expect("sound");
    drop(again);
    assert!(!DataFolder::open(Disk, &path, identity).expect("ours").is_new());
}

#[test]
fn the_folder_of_another_or_of_nobody_is_refused() {
    let folder = folder();
    let (path, file) = (folder.path(), folder.path().join("identity"));
    let main = Identity::new("main", NODE, "nodes 1,2");
    let claim = |identity: &Identity| DataFolder::open(Disk, path, identity.clone());
    claim(&main).expect("a new folder");
    let (other, second) = (Identity::new("other", NODE, "nodes 1,2"), NodeId(2));
    for other in [other, Identity::new("main", second, "nodes 1,2")] {
        let expected =
            format!("{}: found node 1 of cluster main, expected {other}", file.display());
        assert_eq!(line(claim(&other)), expected);
    }
    let refused = line(claim(&Identity::new("main", NODE, "nodes 1,2,3")));
    assert!(refused.contains("found nodes 1,2, expected nodes 1,2,3; there are no"), "{refused}");
    let text = fs::read_to_string(&file).expect("readable");
    for byte in 0..text.len() {
        let mut damaged = text.clone().into_bytes();
        damaged[byte] ^= 1;
        fs::write(&file, damaged).expect("writable");
        claim(&main).map(|_| ()).expect_err("damaged");
    }
    fs::write(&file, text.replace("format 2", "format 3")).expect("writable");
    let expected = format!("{}: found format 3, expected format 2", file.display());
    assert_eq!(line(claim(&main)), expected);
    fs::remove_file(&file).expect("there");
    fs::write(path.join("wal-0000000000000007.log"), "").expect("writable");
    let refused = line(claim(&main));
    assert!(refused.contains("found wal-0000000000000007.log but no identity"), "{refused}");
    assert!(!file.exists());
}

#[test]
fn an_image_is_whole_or_refused_and_goes_when_a_newer_one_is_needed() {
    let folder = folder();
    let images = Images::new(Disk, folder.path());
    for index in [3, 8, 20] {
        images.save(GROUP, Index(index), b"the image").expect("sound");
        images.save(GroupId(6), Index(index), b"of another").expect("sound");
    }
    images.retire(GROUP, Index(8)).expect("sound");
    assert!(matches!(images.load(GROUP, Index(3)), Err(Unusable::Machine(_))));
    assert_eq!(*images.load(GROUP, Index(8)).expect("sound"), *b"the image");
    assert_eq!(*images.load(GroupId(6), Index(3)).expect("sound"), *b"of another");
    let file = folder.path().join("snapshot-5-0000000000000008.img");
    let bytes = fs::read(&file).expect("readable");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, flipped).expect("writable");
        images.load(GROUP, Index(8)).expect_err("damaged");
    }
    for size in 0..bytes.len() {
        fs::write(&file, &bytes[..size]).expect("writable");
        images.load(GROUP, Index(8)).expect_err("cut");
    }
    fs::copy(folder.path().join("snapshot-5-0000000000000020.img"), &file).expect("sound");
    images.load(GROUP, Index(8)).expect_err("another image");
    fs::write(folder.path().join("snapshot-5-0000000000000030.img.new"), "half").expect("sound");
    images.remove_unfinished().expect("sound");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 5);
}
