//! A node of a model: the replica, the very code that runs in production, and the disk it writes to.

use super::chain::Told;
use node::protocol::invariants::{self, Observed};
use node::protocol::{
    Answer, Ballot, Config, Contradiction, Durable, Envelope, Image, Index, Input, Message, NodeId,
    Output, Record, Replica, Round, StateMachine, Timer, Write,
};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

/// One node. The replica is gone while it is down; the disk stays.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Node<M: StateMachine> {
    pub replica: Option<Replica<M>>,
    pub disk: Disk,
}

/// What is on disk, and what is on its way there.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Disk {
    pub durable: Durable,
    /// Appended and not synced, oldest first.
    pub unsynced: VecDeque<Unsynced>,
    /// Snapshots that are being written, oldest first.
    pub saving: VecDeque<(Index, Image)>,
    images: BTreeMap<Index, Image>,
}

/// A write under way. Its number does not count, as it does not in the replica: it tells no more than
/// the place in the queue, and states that differ in nothing else would be counted as several, by
/// whichever was found first.
#[derive(Clone)]
pub struct Unsynced(pub Write);

impl PartialEq for Unsynced {
    fn eq(&self, other: &Unsynced) -> bool {
        self.0.records == other.0.records
    }
}

impl Eq for Unsynced {}

impl Hash for Unsynced {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.records.hash(state);
    }
}

/// When what a replica writes becomes durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// Within the step that writes it: as if disks were infinitely fast.
    AtOnce,
    /// When the model says so: until then a crash loses it.
    Later,
}

/// A property that a step broke, and what exactly happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Broken {
    pub property: &'static str,
    pub detail: String,
}

/// Assertions of the core, which are properties too.
pub const NO_ASSERTION_FAILS: &str = "no assertion fails";
/// Named after what a driver relies on.
pub const RECORDS_REPLAY: &str = "what is written can be read again";
/// See [`invariants::unvouched`].
pub const VOUCHED_FOR: &str = "nothing is sent before it is true on the sender's disk";

/// A node in the middle of an action, and what came out of it so far.
pub struct Turn<M: StateMachine> {
    pub node: Node<M>,
    pub sent: Vec<Envelope>,
    pub answers: Vec<Answer<M::Reply>>,
    /// What its steps learned to be decided: a later one may have trimmed it already.
    pub decided: Vec<Learned>,
    writes: Writes,
    output: Output<M>,
    /// The heartbeat round under way, from the node's own questions.
    round: Option<Round>,
}

/// Entries that a step learned to be decided.
pub struct Learned {
    pub from: Index,
    /// The accepted ballot of who learned it.
    pub under: Ballot,
    pub entries: Vec<Vec<u8>>,
}

/// More heartbeats than any election needs.
const ELECTION_TICKS_MAX: usize = 12;

impl<M: Told> Turn<M> {
    /// Begins an action of `node`.
    pub fn of(node: &Node<M>, writes: Writes) -> Turn<M> {
        let (sent, answers, decided) = (Vec::new(), Vec::new(), Vec::new());
        let output = Output::default();
        Turn { node: node.clone(), sent, answers, decided, writes, output, round: None }
    }

    /// A node that never was before.
    pub fn create(config: Config, initial: M) -> Result<Node<M>, Broken> {
        let mut output = Output::default();
        let replica = Some(Replica::create(config, initial, &mut output));
        let node = Node { replica, disk: Disk::default() };
        let mut turn = Turn { output, ..Turn::of(&node, Writes::AtOnce) };
        turn.carry_out()?;
        Ok(turn.node)
    }

    /// Feeds the replica one input.
    pub fn step(&mut self, input: Input<'_>) -> Result<(), Broken> {
        let replica = self.node.replica.as_mut().expect("only who is up takes steps");
        let before = Observed::of(replica);
        replica.step(input, &mut self.output);
        let after = Observed::of(replica);
        let from = before.decided.max(after.first);
        if from < after.decided {
            let entries = replica.log().iter(from, after.decided).map(<[u8]>::to_vec).collect();
            self.decided.push(Learned { from, under: after.accepted_ballot, entries });
        }
        if let Some(property) = invariants::broken(&invariants::OF_A_STEP, &(before, after)) {
            return Err(Broken { property, detail: format!("{before:?}, then {after:?}") });
        }
        self.carry_out()
    }

    /// Does with the output of a step what every driver does.
    fn carry_out(&mut self) -> Result<(), Broken> {
        let mut output = std::mem::take(&mut self.output);
        if let Some(envelope) = invariants::unvouched(&self.node.disk.durable, &output.messages) {
            return Err(Broken { property: VOUCHED_FOR, detail: envelope.to_string() });
        }
        for envelope in output.messages.drain(..) {
            if let Message::HeartbeatRequest { round, .. } = envelope.message {
                self.round = Some(round);
            }
            self.sent.push(envelope);
        }
        self.answers.append(&mut output.answers);
        self.node.disk.unsynced.extend(output.take_write().map(Unsynced));
        let saves = output.saves.drain(..).map(|save| (save.index, save.content.image()));
        self.node.disk.saving.extend(saves);
        while self.writes == Writes::AtOnce && !self.node.disk.unsynced.is_empty() {
            self.sync()?;
        }
        while self.writes == Writes::AtOnce && !self.node.disk.saving.is_empty() {
            self.save()?;
        }
        Ok(())
    }

    /// The oldest write becomes durable.
    pub fn sync(&mut self) -> Result<(), Broken> {
        let disk = &mut self.node.disk;
        let oldest = disk.unsynced.pop_front().expect("something was written");
        let Write { records, unsynced } = oldest.0;
        disk.keep(&records, records.len())?;
        self.step(Input::Synced(unsynced.synced()))
    }

    /// The oldest snapshot becomes durable.
    pub fn save(&mut self) -> Result<(), Broken> {
        let disk = &mut self.node.disk;
        let (index, image) = disk.saving.pop_front().expect("a snapshot was taken");
        disk.images.insert(index, image.clone());
        let needed = disk.durable.snapshot();
        disk.images.retain(|index, _| *index >= needed);
        self.step(Input::SnapshotSaved { index, image })
    }

    /// The node dies. Of the records that were not synced, the first `kept` survive.
    pub fn crash(&mut self, kept: usize) -> Result<(), Broken> {
        self.node.replica = None;
        let disk = &mut self.node.disk;
        disk.saving.clear();
        let records: Vec<_> = disk.unsynced.drain(..).flat_map(|write| write.0.records).collect();
        disk.keep(&records, kept)
    }

    /// The node starts again from its disk.
    pub fn restart(&mut self, config: Config, initial: M) -> Result<(), Broken> {
        let disk = &self.node.disk;
        let image = disk.images.get(&disk.durable.snapshot()).cloned();
        let durable = disk.durable.clone();
        let replica = Replica::recover(config, initial, durable, image, &mut self.output);
        let refused =
            |error: Contradiction| Broken { property: RECORDS_REPLAY, detail: error.to_string() };
        self.node.replica = Some(replica.map_err(refused)?);
        self.carry_out()
    }

    /// The election chooses this node: heartbeats pass until it takes up a ballot, every peer
    /// answering that it sees no leader. False if nothing comes of it.
    ///
    /// The others' elections are left out: any replica may be elected at any time, with the next
    /// ballot above those it has met. That is far fewer states.
    pub fn elect(&mut self) -> Result<bool, Broken> {
        let replica = self.node.replica.as_ref().expect("only who is up is elected");
        let config = replica.config().clone();
        for _ in 0..ELECTION_TICKS_MAX {
            self.step(Input::Timeout(Timer::Heartbeat))?;
            let replica = self.node.replica.as_ref().expect("it is still up");
            if replica.status().phase != "follower" {
                return Ok(true);
            }
            let round = self.round.expect("a heartbeat asks everyone");
            for peer in config.members.iter().filter(|peer| *peer != config.node) {
                self.step(Input::Message(unhappy(&config, peer, round)))?;
            }
        }
        Ok(false)
    }
}

/// What a peer that sees no leader, and would not lead either, answers to a heartbeat.
fn unhappy(config: &Config, peer: NodeId, round: Round) -> Envelope {
    let ballot = Ballot { node: peer, ..Ballot::NONE };
    let (leader, connected, happy) = (Ballot::NONE, false, false);
    let message = Message::HeartbeatReply { round, ballot, leader, connected, happy };
    Envelope { group: config.group, from: peer, to: config.node, message }
}

impl Disk {
    /// Unsynced records, as many as there are.
    pub fn unsynced_count(&self) -> usize {
        self.unsynced.iter().map(|write| write.0.records.len()).sum()
    }

    /// The first `kept` of `records` become durable.
    fn keep(&mut self, records: &[Record], kept: usize) -> Result<(), Broken> {
        for record in &records[..kept] {
            let replayed = self.durable.replay(record);
            replayed.map_err(|error| Broken {
                property: RECORDS_REPLAY,
                detail: format!("{record}: {error}"),
            })?;
        }
        Ok(())
    }
}
