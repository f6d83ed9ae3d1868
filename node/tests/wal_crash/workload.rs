//! Replicas in outline: legal records of a few groups, snapshots as they are needed for them, and a
//! memory of every state there was, to compare with what a start finds.

use super::disk::TestDisk;
use fastrand::Rng;
use node::identity::{DataFolder, Identity};
use node::protocol::{Ballot, Durable, Entries, GroupId, Index, NodeId, Record};
use node::snapshot::Images;
use node::wal::{Opened, Options, SyncMode, Wal};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

pub const NODE: NodeId = NodeId(3);
pub const FOLDER: &str = "data";
/// Small, so that a short run fills many.
pub const SMALL: Options = Options { segment_bytes: 600, ..LARGE };
/// So large that a short run fills none.
pub const LARGE: Options =
    Options { node: NODE, sync: SyncMode::Always, segment_bytes: 1 << 14, create: false };

pub type States = BTreeMap<GroupId, Durable>;

/// One node that writes.
pub struct Workload {
    pub random: Rng,
    disk: TestDisk,
    /// The states after each record, the first before any of them.
    pub history: Vec<States>,
    /// How many records were reported durable.
    pub durable: usize,
    /// Groups of this number or above do nothing after their first steps.
    pub idle_from: u32,
}

/// Starts on a disk as a node does.
pub fn start(
    disk: &TestDisk,
    options: Options,
) -> Result<(Opened<TestDisk>, Images<TestDisk>), String> {
    let path = Path::new(FOLDER);
    let identity = Identity::new("main", NODE, "nodes 1");
    let mut folder =
        DataFolder::claim(disk.clone(), path, identity).map_err(|refused| refused.to_string())?;
    let options = Options { create: folder.is_new(), ..options };
    let opened = Wal::open(disk.clone(), path, options).map_err(|refused| refused.to_string())?;
    folder.log_begun().map_err(|error| error.to_string())?;
    let images = Images::new(disk.clone(), path);
    images.remove_unfinished().map_err(|error| error.to_string())?;
    Ok((opened, images))
}

pub fn image(group: GroupId, index: Index) -> Vec<u8> {
    format!("everything before {index} in group {}", group.0).into_bytes()
}

impl Workload {
    pub fn new(disk: &TestDisk, seed: u64) -> Workload {
        let (random, history) = (Rng::with_seed(seed), vec![States::new()]);
        Workload { random, disk: disk.clone(), history, durable: 0, idle_from: 2 }
    }

    /// The states now, if all is written.
    pub fn states(&self) -> &States {
        self.history.last().expect("never empty")
    }

    /// Goes on from what was found, on the disk it was found on.
    pub fn resume(&mut self, disk: &TestDisk, found: States) {
        self.disk = disk.clone();
        self.history = vec![found];
        self.durable = 0;
    }

    /// Writes so many batches; fails as the disk does.
    pub fn run(
        &mut self,
        wal: &mut Wal<TestDisk>,
        images: &Images<TestDisk>,
        batches: usize,
    ) -> io::Result<()> {
        for _ in 0..batches {
            for _ in 0..=self.random.u64(..3) {
                let group = GroupId(self.random.u64(..3) as u32);
                for record in self.records(group) {
                    if let Some(index) = snapshot_of(&record) {
                        images.save(group, index, &image(group, index))?;
                    }
                    let mut states = self.states().clone();
                    let state = states.entry(group).or_default();
                    state.replay(&record).expect("the workload is legal");
                    self.history.push(states);
                    wal.append(group, &[record]);
                }
            }
            let written = wal.write()?;
            assert_eq!(wal.durable()?, written, "nothing is written in the background here");
            self.durable = self.history.len() - 1;
            while let Some((group, index)) = wal.snapshot_named()? {
                images.retire(group, index)?;
            }
        }
        Ok(())
    }

    /// What a replica of that group may write next.
    fn records(&mut self, group: GroupId) -> Vec<Record> {
        let Some(state) = self.states().get(&group).cloned() else {
            let ballot = self.above(Ballot::NONE);
            let first = Record::Created { group, node: NODE };
            let entries = self.entries();
            let sync = Record::Sync { ballot, from: Index(0), entries, snapshot: false };
            return vec![first, Record::Boot(1), Record::Promise(ballot), sync];
        };
        if group.0 >= self.idle_from {
            return Vec::new();
        }
        let summary = state.summary().expect("it was created");
        let (promised, (accepted_ballot, accepted)) = (state.promise(), state.accepted());
        let between = |low: Index, high: Index, random: &mut Rng| {
            Index(low.0 + random.u64(..high.since(low) + 1))
        };
        let decided = between(summary.decided, accepted, &mut self.random);
        match self.random.u64(..10) {
            0 => vec![Record::Promise(self.above(promised))],
            1 => {
                let from = Index(decided.0 + 1 + self.random.u64(..3));
                let entries = self.entries();
                vec![Record::Sync { ballot: promised, from, entries, snapshot: true }]
            }
            2 => vec![Record::Decided(decided)],
            3 | 4 if decided > summary.snapshot => {
                let first = between(summary.first, decided, &mut self.random);
                vec![Record::Decided(decided), Record::Trim { snapshot: decided, first }]
            }
            5 => vec![Record::Boot(summary.boot + 1)],
            _ if accepted_ballot < promised => {
                let entries = self.entries();
                vec![Record::Sync { ballot: promised, from: decided, entries, snapshot: false }]
            }
            _ => {
                let entries = self.entries();
                vec![Record::Append { ballot: promised, index: accepted, entries }]
            }
        }
    }

    fn above(&mut self, ballot: Ballot) -> Ballot {
        let node = NodeId(1 + self.random.u64(..3) as u16);
        Ballot { round: 0, priority: 0, node }.above(ballot)
    }

    fn entries(&mut self) -> Entries {
        let mut entry = || vec![b'a' + self.random.u64(..26) as u8; self.random.u64(..40) as usize];
        let entries: Vec<Vec<u8>> = (0..3).map(|_| entry()).collect();
        Entries::of(entries.iter().map(Vec::as_slice))
    }
}

fn snapshot_of(record: &Record) -> Option<Index> {
    match record {
        Record::Trim { snapshot, .. } => Some(*snapshot),
        Record::Sync { from, snapshot: true, .. } => Some(*from),
        _ => None,
    }
}
