//! A replica with its driver's half of the bargain: a disk that syncs when it is told to. All that
//! is asserted of a replica is asserted here, at each of its steps.

use crate::cluster::{ENTRY_BYTES_MAX, MESSAGE_BYTES, Met, WINDOW_BYTES, meet};
use crate::memory;
use crate::random::Random;
use node::kv::Store;
use node::protocol::invariants::{self, OF_A_STEP, Observed};
use node::protocol::{
    Config, Content, Contradiction, Durable, Envelope, Image, Index, Input, Message, Output,
    Record, Replica, Request, Write,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone)]
pub struct Node {
    config: Config,
    pub replica: Replica<Store>,
    out: Output<Store>,
    /// What the synced records add up to, and all written ones.
    durable: Durable,
    written: Durable,
    unsynced: VecDeque<Write>,
    /// Every record ever synced.
    pub history: Vec<Record>,
    pub images: BTreeMap<Index, Image>,
    saves: VecDeque<(Index, Image)>,
    /// Requests without an answer.
    waiting: BTreeSet<u64>,
}

impl Node {
    /// A replica that never existed before. Its first write is to be settled.
    pub fn create(config: Config) -> Node {
        let mut out = Output::default();
        let replica = Replica::create(config.clone(), Store::default(), &mut out);
        Node {
            config,
            replica,
            out,
            durable: Durable::default(),
            written: Durable::default(),
            unsynced: VecDeque::new(),
            history: Vec::new(),
            images: BTreeMap::new(),
            saves: VecDeque::new(),
            waiting: BTreeSet::new(),
        }
    }

    // --- What happens to it --------------------------------------------------------------------

    /// One step of the replica. Returns what it sends.
    pub fn step(&mut self, input: Input<'_>, met: &mut Met) -> Vec<Envelope> {
        if let Input::Request(Request { number, .. }) = input {
            self.waiting.insert(number);
        }
        let before = Observed::of(&self.replica);
        let (held, allocated) = (memory::held(), memory::allocated());
        self.replica.step(input, &mut self.out);
        let allocated = memory::allocated() - allocated;
        let step = (before, Observed::of(&self.replica));
        assert_eq!(invariants::broken(&OF_A_STEP, &step), None);
        // Copies and growth are in proportion to what is held or came, never to a number in it.
        let bound = 16 * held + (1 << 16);
        assert!(allocated <= bound, "allocated {allocated} bytes while {held} were held");
        self.settle(met)
    }

    /// The oldest write becomes durable. Returns the news of it.
    pub fn sync(&mut self) -> Option<Input<'static>> {
        let write = self.unsynced.pop_front()?;
        self.make_durable(write.records);
        self.check_restarts();
        Some(Input::Synced(write.unsynced.synced()))
    }

    /// The oldest snapshot becomes durable, in place of one with the same index.
    pub fn save(&mut self) -> Option<Input<'static>> {
        let (index, image) = self.saves.pop_front()?;
        self.images.insert(index, image.clone());
        self.check_restarts();
        Some(Input::SnapshotSaved { index, image })
    }

    /// Whatever waits for the disk, one after the other.
    pub fn sync_or_save(&mut self) -> Option<Input<'static>> {
        self.sync().or_else(|| self.save())
    }

    /// How many writes and snapshots wait for the disk.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len() + self.saves.len()
    }

    /// In how many messages at most the log and the newest snapshot can be sent.
    pub fn pieces(&self) -> u64 {
        let log = self.replica.log();
        let image_bytes = self.images.values().map(|image| image.bytes().len()).max().unwrap_or(0);
        log.accepted().since(log.first()) + (image_bytes / MESSAGE_BYTES) as u64
    }

    /// Some of the records not synced survive; the replica starts again from those.
    pub fn crash(&mut self, random: &mut Random) {
        let mut records: Vec<Record> = self.unsynced.drain(..).flat_map(|w| w.records).collect();
        records.truncate(random.below(records.len() as u64 + 1) as usize);
        self.make_durable(records);
        self.saves.clear();
        self.waiting.clear();
        (self.replica, self.out) = self.restarted(&self.durable);
        self.written = self.durable.clone();
    }

    /// The disk is another's: these records, and perhaps not the image they ask for.
    pub fn start_from(
        &mut self,
        records: &[Record],
        random: &mut Random,
    ) -> Result<(), Contradiction> {
        let mut durable = Durable::default();
        for record in records {
            let before = durable.clone();
            let replayed = durable.replay(record);
            assert!(replayed.is_ok() || durable == before, "a refused {record} left a trace");
            replayed?;
        }
        let needed = durable.snapshot();
        let image = match random.below(8) {
            0 => Some(Image::new(random.bytes(40))),
            1 => self.images.values().next().cloned(),
            2 => None,
            _ => self.images.get(&needed).cloned(),
        };
        let (config, start) = (self.config.clone(), Store::default());
        let mut node = Node::create(config.clone());
        node.out = Output::default();
        node.replica =
            Replica::recover(config, start, durable.clone(), image.clone(), &mut node.out)?;
        (node.history, node.images) = (records.to_vec(), self.images.clone());
        node.images.extend(image.map(|image| (needed, image)));
        (node.durable, node.written) = (durable.clone(), durable);
        *self = node;
        Ok(())
    }

    fn make_durable(&mut self, records: Vec<Record>) {
        for record in records {
            self.durable.replay(&record).expect("replayed when it was written");
            self.history.push(record);
        }
        let needed = self.durable.snapshot();
        self.images.retain(|index, _| *index >= needed);
    }

    // --- What it says and does -----------------------------------------------------------------

    /// Takes everything out, as a driver does, and holds it against the disk. Returns what is sent.
    pub fn settle(&mut self, met: &mut Met) -> Vec<Envelope> {
        assert_eq!(invariants::broken(&invariants::of_a_replica(), &self.replica), None);
        self.check_output();
        if let Some(write) = self.out.take_write() {
            self.check_records(&write.records, met);
            self.unsynced.push_back(write);
            self.check_restarts();
        }
        for save in self.out.saves.drain(..) {
            meet(
                met,
                match save.content {
                    Content::State(_) => "a snapshot was taken",
                    Content::Image(_) => "a snapshot came from a peer",
                },
            );
            self.saves.push_back((save.index, save.content.image()));
        }
        self.out.timers.clear();
        self.out.suspicions.clear();
        self.out.elected = None;
        self.out.messages.drain(..).collect()
    }

    /// Every record must follow from those before it.
    fn check_records(&mut self, records: &[Record], met: &mut Met) {
        for record in records {
            match record {
                Record::Sync { snapshot: true, .. } => meet(met, "a snapshot was installed"),
                Record::Sync { .. } => meet(met, "a log was replaced"),
                Record::Trim { .. } => meet(met, "the log was trimmed"),
                _ => {}
            }
            let replayed = self.written.replay(record);
            assert!(replayed.is_ok(), "{record}: {}", replayed.unwrap_err());
        }
    }

    /// The amount of output is bounded by configuration, whatever came in; each request is answered
    /// at most once; and nothing is said that a crash could make untrue.
    fn check_output(&mut self) {
        for answer in self.out.answers.drain(..) {
            assert!(self.waiting.remove(&answer.number), "answered twice, or unasked");
        }
        let Output { messages, saves, timers, suspicions, .. } = &self.out;
        let messages_max = 4 * WINDOW_BYTES as usize / MESSAGE_BYTES + 16;
        let bytes_max = 2 * WINDOW_BYTES as usize + 16 * MESSAGE_BYTES.max(ENTRY_BYTES_MAX);
        assert!(messages.len() <= messages_max, "{} messages", messages.len());
        let size_bytes: usize = messages.iter().map(|envelope| size_bytes(&envelope.message)).sum();
        assert!(size_bytes <= bytes_max, "{size_bytes} bytes in messages");
        assert!(saves.len() <= 2 && timers.len() <= 4 && suspicions.len() <= 2);
        if let Some(lie) = invariants::unvouched(&self.durable, messages) {
            panic!("not vouched for by the disk: {lie}");
        }
    }

    /// A crash may come now, or when everything written is durable.
    fn check_restarts(&self) {
        self.restarted(&self.durable);
        self.restarted(&self.written);
    }

    /// What a start from `disk` gives, checked.
    fn restarted(&self, disk: &Durable) -> (Replica<Store>, Output<Store>) {
        let (config, start, mut out) = (self.config.clone(), Store::default(), Output::default());
        if disk.belongs_to(config.group, config.node).is_err() {
            // Nothing was synced yet, so the node was never heard of: it is created again.
            return (Replica::create(config, start, &mut out), out);
        }
        let image = self.images.get(&disk.snapshot()).cloned();
        let replica = Replica::recover(config, start, disk.clone(), image, &mut out);
        let replica = replica.unwrap_or_else(|contradiction| panic!("no restart: {contradiction}"));
        let status = replica.status();
        assert_eq!((status.accepted_ballot, status.accepted), disk.accepted());
        assert_eq!((status.promised, status.snapshot), (disk.promise(), disk.snapshot()));
        assert_eq!(invariants::broken(&invariants::of_a_replica(), &replica), None);
        (replica, out)
    }
}

/// Of what a message carries.
fn size_bytes(message: &Message) -> usize {
    match message {
        Message::Accept { entries, .. } | Message::Pulled { entries, .. } => entries.size_bytes(),
        Message::SnapshotPiece { bytes, .. } => bytes.len(),
        _ => 0,
    }
}
