//! What a driver hands in and takes out. A driver owes the core three things, and the types see to
//! the first: that it says `synced` only of a write it was given; that writes become durable in the
//! order they were handed out, each record atomically; and that timers, once set, fire.

use super::ballot::{Ballot, GroupId, Index, Members, NodeId};
use super::compaction;
use super::durable::Record;
use super::message::{Envelope, Message};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// The replicated state. Deterministic: the same entries at the same indexes give the same state,
/// the same replies and the same image on every replica.
pub trait StateMachine: Clone + Eq + Hash + fmt::Debug {
    /// What a client gets.
    type Reply: Clone + Eq + Hash + fmt::Debug;
    /// Runs the entry at position `index`. Total: a malformed entry gets a reply and changes nothing.
    fn apply(&mut self, index: Index, entry: &[u8]) -> Self::Reply;
    /// Answers a read; changes nothing.
    fn query(&self, query: &[u8]) -> Self::Reply;
    /// A hash of the state: equal states have equal digests.
    fn digest(&self) -> u64;
    /// Appends the whole state to `image`; equal states give equal bytes.
    fn encode(&self, image: &mut Vec<u8>);
    /// Reads what `encode` wrote after `index` entries. Any bytes are either the image of such a
    /// state, to which the entry at `index` can be applied next, or malformed.
    fn decode(image: &[u8], index: Index) -> Result<Self, Malformed>;
}

/// Bytes that nobody who follows the format can have written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed bytes")
    }
}

impl std::error::Error for Malformed {}

/// Who the replica is, and its limits. The same on every member, but for `node` and `priority`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// The replication group.
    pub group: GroupId,
    /// This node, one of `members`.
    pub node: NodeId,
    /// All members of the group.
    pub members: Members,
    /// The wish to lead: where all else is equal, the highest leads, and takes the lead back.
    pub priority: u8,
    /// Heartbeats without an answer after which a peer does not count as connected: the election
    /// timeout, in ticks.
    pub election_ticks: u32,
    /// Most payload bytes of one message; a single larger entry still goes alone.
    pub message_bytes: usize,
    /// Most bytes sent to one follower and not yet acknowledged.
    pub window_bytes: u64,
    /// Most requests a leader takes on before they are decided, and on its own disk; more are
    /// answered *busy*.
    pub undecided_max: u64,
    /// The same, in bytes.
    pub undecided_bytes_max: u64,
    /// A snapshot is taken each time the applied index is a multiple of this, and after 64 MiB of
    /// entries. Zero for never: then a leader is *busy* for ever once its log has 512 MiB.
    pub snapshot_every: u64,
    /// Entries kept in the log behind a snapshot, for followers that are a little late; of them
    /// 64 MiB at most.
    pub keep: u64,
}

impl Config {
    /// A configuration with the default limits.
    pub fn new(group: GroupId, node: NodeId, members: Members) -> Config {
        assert!(members.position(node).is_some(), "a replica is a member of its group");
        Config {
            group,
            node,
            members,
            priority: 0,
            election_ticks: 4,
            message_bytes: 16 << 10,
            window_bytes: 1 << 20,
            undecided_max: 100_000,
            undecided_bytes_max: 256 << 20,
            snapshot_every: 100_000,
            keep: 10_000,
        }
    }

    /// The position of this node among the members.
    pub(super) fn me(&self) -> usize {
        self.members.position(self.node).expect("checked at construction")
    }

    /// The positions and ids of all other members.
    pub(super) fn peers(&self) -> impl Iterator<Item = (usize, NodeId)> + '_ {
        self.members.iter().enumerate().filter(|(_, node)| *node != self.node)
    }
}

/// What can happen to a replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input<'a> {
    /// A message arrived; authentic, but from any time.
    Message(Envelope),
    /// A timer fired.
    Timeout(Timer),
    /// A client of this node asks.
    Request(Request<'a>),
    /// A write, and all writes before it, are durable.
    Synced(Synced),
    /// The snapshot of an earlier [`Save`] is durable: file, rename and directory.
    SnapshotSaved {
        /// How many entries it covers.
        index: Index,
        /// Its bytes.
        image: Image,
    },
}

/// A client's question or command.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Request<'a> {
    /// With `number`, names the request to the driver; the replica only returns it.
    pub client: u64,
    /// See `client`.
    pub number: u64,
    /// The content.
    pub body: Body<'a>,
    /// Another request follows at once, so this one waits to share its message, its write or its
    /// confirmation. If none follows after all, any other input will do.
    pub more: bool,
}

/// The content of a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Body<'a> {
    /// An entry for the log.
    Write(&'a [u8]),
    /// A query of the state; never enters the log.
    Read(&'a [u8]),
}

/// The replica's clocks. The core says when to start one; how long it runs is the driver's business.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// One tick: a heartbeat round.
    Heartbeat,
    /// Something is unacknowledged; best a few round trips long.
    Retransmit,
}

/// What became of a request. No outcome means *indeterminate*.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome<R> {
    /// It was executed, or read; here is the reply.
    Reply(R),
    /// Not by this replica. A write may or may not be executed; retry there, under the same session.
    Redirect(Option<NodeId>),
    /// Too much is under way; surely not executed.
    Busy,
}

/// An outcome with the request it belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Answer<R> {
    /// As in the request.
    pub client: u64,
    /// As in the request.
    pub number: u64,
    /// The outcome.
    pub outcome: Outcome<R>,
}

/// A request to make a snapshot durable and say [`Input::SnapshotSaved`] then. It replaces older
/// images only when a record that names it is durable.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Save<M> {
    /// How many entries the snapshot covers.
    pub index: Index,
    /// Its content.
    pub content: Content<M>,
}

/// A snapshot, taken here or received.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Content<M> {
    /// A copy of the state; encoding it is the driver's, on another thread if it likes.
    State(M),
    /// An image pulled from a peer.
    Image(Image),
}

/// The bytes of a snapshot and their digest. To make one reads them all: with a large state that is
/// for a thread that nobody waits for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Image {
    bytes: Arc<[u8]>,
    digest: u64,
}

impl Image {
    /// The image of these bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Image {
        let bytes = bytes.into();
        Image { digest: compaction::digest(&bytes), bytes }
    }

    /// What is saved and sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells images apart.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }
}

impl<M: StateMachine> Content<M> {
    /// What to save. Takes as long as the state is large.
    pub fn image(&self) -> Image {
        match self {
            Content::Image(image) => image.clone(),
            Content::State(machine) => {
                let mut image = Vec::new();
                machine.encode(&mut image);
                Image::new(image)
            }
        }
    }
}

/// Records to write, and the only way to say later that they were synced.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Write {
    /// To be appended in order, each atomically.
    pub records: Vec<Record>,
    /// Turns into an input once the records are durable.
    pub unsynced: Unsynced,
}

/// A write that is not known to be durable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use = "nothing that depends on this write is sent before it is reported synced"]
pub struct Unsynced(u64);

impl Unsynced {
    /// To be called when, and only when, the write and all before it are durable.
    pub fn synced(self) -> Synced {
        Synced(self.0)
    }
}

/// The news that a write is durable. There is no other way to make one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Synced(pub(super) u64);

/// A change of the failure detector's mind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Suspicion {
    /// Of whom.
    pub peer: NodeId,
    /// Whether it is suspected now, or trusted again.
    pub suspected: bool,
}

/// What a step wants done. A driver takes everything out after each step, or after a few.
/// Messages may be sent at once, and answers given: the replica holds back whatever depends on a
/// write until that write is reported synced.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Output<M: StateMachine> {
    /// To be sent; may be lost.
    pub messages: Vec<Envelope>,
    /// To be given to clients.
    pub answers: Vec<Answer<M::Reply>>,
    /// To be made durable, in any order with the writes.
    pub saves: Vec<Save<M>>,
    /// To be started; starting a running timer again is harmless.
    pub timers: Vec<Timer>,
    /// To be logged.
    pub suspicions: Vec<Suspicion>,
    /// A leadership this replica has just completed, to be logged.
    pub elected: Option<Ballot>,
    records: Vec<Record>,
    write: u64,
}

impl<M: StateMachine> Default for Output<M> {
    fn default() -> Output<M> {
        Output {
            messages: Vec::new(),
            answers: Vec::new(),
            saves: Vec::new(),
            timers: Vec::new(),
            suspicions: Vec::new(),
            elected: None,
            records: Vec::new(),
            write: 0,
        }
    }
}

impl<M: StateMachine> Output<M> {
    /// Takes out what is to be written, if anything.
    pub fn take_write(&mut self) -> Option<Write> {
        if self.records.is_empty() {
            return None;
        }
        let records = std::mem::take(&mut self.records);
        Some(Write { records, unsynced: Unsynced(self.write) })
    }

    /// Gives back the records of a write that is done, so that the next one needs no allocation.
    pub fn recycle(&mut self, mut records: Vec<Record>) {
        if self.records.capacity() == 0 {
            records.clear();
            self.records = records;
        }
    }

    pub(super) fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    /// How many records wait to be taken.
    pub(super) fn recorded(&self) -> usize {
        self.records.len()
    }

    /// All records so far belong to write `number` or an earlier one.
    pub(super) fn seal_write(&mut self, number: u64) {
        self.write = number;
    }

    pub(super) fn send(&mut self, config: &Config, to: NodeId, message: Message) {
        self.messages.push(Envelope { group: config.group, from: config.node, to, message });
    }

    pub(super) fn answer(&mut self, origin: Origin, outcome: Outcome<M::Reply>) {
        let Origin { client, number } = origin;
        self.answers.push(Answer { client, number, outcome });
    }
}

/// Who asked: returned with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Origin {
    pub client: u64,
    pub number: u64,
}
