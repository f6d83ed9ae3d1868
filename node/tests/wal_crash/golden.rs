//! The bytes of the log, one file a kind of record. A change here is a change of the format: nodes
//! could not read their disks any more. `REWRITE=1` accepts it.

use node::protocol::{Ballot, Durable, Entries, GroupId, Index, NodeId, Record};
use node::wal::format::{self, Header, Item};
use std::fs;
use std::path::Path;

const GROUP: GroupId = GroupId(0x0a0b_0c0d);
const NODE: NodeId = NodeId(0x0102);
const BALLOT: Ballot = Ballot { round: 0x1122_3344_5566_7788, priority: 9, node: NODE };

fn records() -> [(&'static str, Record); 8] {
    let entries = || Entries::of([b"".as_slice(), b"put k", b"v"]);
    let sync = |snapshot| {
        let (ballot, from, entries) = (BALLOT, Index(4), entries());
        Record::Sync { ballot, from, entries, snapshot }
    };
    [
        ("created", Record::Created { group: GROUP, node: NODE }),
        ("boot", Record::Boot(1)),
        ("promise", Record::Promise(BALLOT)),
        ("append", Record::Append { ballot: BALLOT, index: Index(7), entries: entries() }),
        ("sync", sync(false)),
        ("sync-snapshot", sync(true)),
        ("decided", Record::Decided(Index(9))),
        ("trim", Record::Trim { snapshot: Index(8), first: Index(6) }),
    ]
}

/// What some of the records above add up to.
fn state() -> Durable {
    let mut state = Durable::default();
    for name in ["created", "boot", "promise", "sync-snapshot", "append"] {
        let (_, record) = records().into_iter().find(|(of, _)| *of == name).expect("listed");
        state.replay(&record).expect("legal in this order");
    }
    state
}

#[test]
fn every_kind_of_record_has_the_bytes_it_always_had() {
    for (name, record) in records() {
        let mut bytes = Vec::new();
        format::put(GROUP, &record, &mut bytes);
        check(name, &record.to_string(), &bytes);
        assert_eq!(format::take(&bytes), Ok((Item::Record(GROUP, record), bytes.len())));
    }
    let mut bytes = Vec::new();
    format::put_checkpoint(&state(), &mut bytes);
    check("checkpoint", "all of a state", &bytes);
    let Ok((Item::Checkpoint(summary, entries), _)) = format::take(&bytes) else {
        panic!("a checkpoint");
    };
    assert_eq!(Durable::restore(summary, entries), Ok(state()));
    bytes.clear();
    format::put_mark(0xfeed, 77, &mut bytes);
    check("mark", "mark 77, salt feed", &bytes);
    assert_eq!(format::take(&bytes), Ok((Item::Mark { salt: 0xfeed, synced: 77 }, bytes.len())));
}

#[test]
fn a_header_has_the_bytes_it_always_had() {
    let header = Header { node: NODE, number: 3, oldest: 2, previous_bytes: 500, salt: 0xfeed };
    let bytes = header.encode();
    check("header", "header of segment 3", &bytes);
    assert_eq!(Header::decode(&bytes), Ok(header));
}

fn check(name: &str, says: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wal");
    let path = folder.join(format!("{name}.hex"));
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
    let lines: Vec<String> =
        bytes.chunks(16).map(|bytes| line(bytes).trim_end().to_owned()).collect();
    let text = format!("# {says}\n{}\n", lines.join("\n"));
    if std::env::var_os("REWRITE").is_some() {
        fs::create_dir_all(&folder).expect("writable");
        fs::write(&path, &text).expect("writable");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, text, "{} (REWRITE=1 accepts this)", path.display());
}
