//! A cluster in memory: replicas, the disk below each, the network between them. No clock and no
//! chance: it does what a scenario says, in that order, and checks every invariant after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use node::kv::Store;
use node::protocol::{
    Answer, Body, Config, Content, Durable, Envelope, GroupId, Image, Index, Input, Members,
    Message, NodeId, Output, Replica, Request, Save, StateMachine, Status, Timer, Write,
    invariants,
};
use node::session::Limits;

use super::clients::Clients;

/// What stops a scenario: a broken invariant, or a command that makes no sense.
pub type Failure = String;

/// All of it. Node `n1` is `nodes[0]`.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub network: Network,
    pub clients: Clients,
    pub trace: Trace,
}

/// What a scenario shows.
#[derive(Default)]
pub struct Trace {
    pub lines: Vec<String>,
    pub muted: bool,
    pub heartbeats: bool,
}

/// One member, up or down.
pub struct Node {
    pub config: Config,
    pub replica: Option<Replica<Store>>,
    pub disk: Disk,
    limits: Limits,
    retransmits: bool,
}

/// Durable state, and what is on its way there.
#[derive(Default)]
pub struct Disk {
    /// Whether a write waits for a `sync`; otherwise it is durable at once.
    pub slow: bool,
    pub wiped: bool,
    durable: Durable,
    images: BTreeMap<Index, Image>,
    unsynced: VecDeque<Write>,
    saving: Vec<Save<Store>>,
}

/// Messages in flight, in the order of sending. Heartbeats are no part of a story: they arrive
/// before anything else happens, unless their link is cut.
#[derive(Default)]
pub struct Network {
    pub flying: Vec<Flying>,
    heartbeats: VecDeque<Envelope>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Messages ever sent, without heartbeats.
    pub sent: usize,
}

/// A message in flight.
#[derive(Clone)]
pub struct Flying {
    pub envelope: Envelope,
    /// Stays where it is until it is named or released.
    pub held: bool,
}

/// A network that is still busy after so many messages never will be quiet.
const SETTLE_MESSAGES_MAX: usize = 5_000;

impl Cluster {
    /// New nodes with new disks. `configure` may change what is not the default.
    pub fn create(
        count: u16,
        limits: Limits,
        configure: impl Fn(&mut Config),
    ) -> Result<Cluster, Failure> {
        let members = Members::new((1..=count).map(NodeId));
        let nodes = members.iter().map(|id| {
            let mut config = Config::new(GroupId(0), id, members.clone());
            config.snapshot_every = 0;
            configure(&mut config);
            Node { config, limits, replica: None, disk: Disk::default(), retransmits: false }
        });
        let mut cluster = Cluster {
            nodes: nodes.collect(),
            network: Network::default(),
            clients: Clients::default(),
            trace: Trace::default(),
        };
        for at in 0..cluster.nodes.len() {
            let (mut out, node) = (Output::default(), &mut cluster.nodes[at]);
            let store = Store::with_limits(limits);
            node.replica = Some(Replica::create(node.config.clone(), store, &mut out));
            cluster.take_out(at, out)?;
        }
        Ok(cluster)
    }

    // --- Steps ---------------------------------------------------------------------------------

    /// Feeds one input and carries out what comes of it. A node that is down hears nothing.
    pub fn step(&mut self, at: usize, input: Input<'_>) -> Result<(), Failure> {
        let Some(replica) = &mut self.nodes[at].replica else { return Ok(()) };
        let (before, mut out) = (replica.status(), Output::default());
        replica.step(input, &mut out);
        let (after, id) = (replica.status(), replica.config().node);
        self.trace.changes(id, &before, &after);
        self.take_out(at, out)
    }

    /// Writes, sends, answers, and says `synced` at once if the disk is fast.
    fn take_out(&mut self, at: usize, mut out: Output<Store>) -> Result<(), Failure> {
        let node = &mut self.nodes[at];
        let id = node.config.node;
        if let Some(unvouched) = invariants::unvouched(&node.disk.durable, &out.messages) {
            return Err(format!("sent, but not true on the disk of its sender: {unvouched}"));
        }
        node.retransmits |= out.timers.contains(&Timer::Retransmit);
        for suspicion in &out.suspicions {
            let verb = if suspicion.suspected { "suspects" } else { "trusts" };
            self.trace.say(format!("{id} {verb} {}", suspicion.peer));
        }
        if let Some(write) = out.take_write() {
            let unsynced = if node.disk.slow { ", unsynced" } else { "" };
            for record in &write.records {
                self.trace.say(format!("{id} writes {record}{unsynced}"));
            }
            node.disk.unsynced.push_back(write);
        }
        for save in out.saves.drain(..) {
            let source = if matches!(save.content, Content::Image(_)) { " as pulled" } else { "" };
            self.trace.say(format!("{id} saves snapshot {}{source}", save.index));
            node.disk.saving.push(save);
        }
        if let Some(ballot) = out.elected {
            self.trace.say(format!("{id} leads {ballot}"));
        }
        out.messages.drain(..).for_each(|envelope| self.send(envelope));
        for answer in out.answers.drain(..) {
            let Answer { client, number, outcome } = answer;
            let line = self.clients.answered(id, (client, number), outcome);
            self.trace.say(line);
        }
        self.check()?;
        if self.nodes[at].disk.slow { Ok(()) } else { self.sync(at, usize::MAX) }
    }

    fn send(&mut self, envelope: Envelope) {
        let (from, to) = (envelope.from, envelope.to);
        let up = self.nodes[usize::from(to.0) - 1].replica.is_some();
        let lost = self.network.cut.contains(&(from, to));
        let heartbeat = is_heartbeat(&envelope.message);
        if !heartbeat || self.trace.heartbeats {
            let fate = if lost || !up { " (lost)" } else { "" };
            self.trace.say(format!("{envelope}{fate}"));
        }
        self.network.sent += usize::from(!heartbeat);
        match heartbeat {
            _ if lost => {}
            true => self.network.heartbeats.push_back(envelope),
            false => self.network.flying.push(Flying { envelope, held: false }),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let replicas: Vec<_> = self.nodes.iter().filter_map(|node| node.replica.as_ref()).collect();
        let disks: Vec<&Durable> = self.nodes.iter().map(|node| &node.disk.durable).collect();
        if let Some(name) = invariants::broken_pair(&replicas) {
            return Err(format!("invariant broken: {name}"));
        }
        match invariants::chosen_entries_last(&disks, &replicas) {
            true => Ok(()),
            false => Err("invariant broken: a chosen entry is in every later log".into()),
        }
    }

    // --- Time ----------------------------------------------------------------------------------

    /// Fires the heartbeat timers of `ticking`; the heartbeats and their answers arrive at once.
    pub fn tick(&mut self, ticking: &[usize]) -> Result<(), Failure> {
        for &at in ticking {
            self.step(at, Input::Timeout(Timer::Heartbeat))?;
        }
        while let Some(envelope) = self.network.heartbeats.pop_front() {
            self.receive(envelope)?;
        }
        Ok(())
    }

    /// Fires the retransmission timer of a node, if it runs.
    pub fn retransmit(&mut self, at: usize) -> Result<(), Failure> {
        match std::mem::take(&mut self.nodes[at].retransmits) {
            true => self.step(at, Input::Timeout(Timer::Retransmit)),
            false => Ok(()),
        }
    }

    /// Lets time pass: everyone ticks, repeats what must be repeated, and all of it arrives.
    pub fn wait(&mut self) -> Result<(), Failure> {
        let everyone: Vec<usize> = (0..self.nodes.len()).collect();
        self.tick(&everyone)?;
        everyone.into_iter().try_for_each(|at| self.retransmit(at))?;
        self.settle()
    }

    // --- Network -------------------------------------------------------------------------------

    /// Delivers until nothing is in flight but what is held.
    pub fn settle(&mut self) -> Result<(), Failure> {
        for _ in 0..SETTLE_MESSAGES_MAX {
            let Some(next) = self.network.flying.iter().position(|flying| !flying.held) else {
                return Ok(());
            };
            self.deliver(next)?;
        }
        Err(format!("still busy after {SETTLE_MESSAGES_MAX} messages"))
    }

    /// Delivers the message at a position.
    pub fn deliver(&mut self, position: usize) -> Result<(), Failure> {
        let flying = self.network.flying.remove(position);
        self.receive(flying.envelope)
    }

    fn receive(&mut self, envelope: Envelope) -> Result<(), Failure> {
        let to = usize::from(envelope.to.0) - 1;
        self.step(to, Input::Message(envelope))
    }

    /// Cuts a link in one direction; what is in flight on it is lost.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.network.cut.insert((from, to));
        let on_link = |envelope: &Envelope| (envelope.from, envelope.to) == (from, to);
        let (lost, left): (Vec<Flying>, Vec<Flying>) =
            self.network.flying.drain(..).partition(|flying| on_link(&flying.envelope));
        self.network.flying = left;
        lost.iter().for_each(|flying| self.trace.say(format!("{} (lost)", flying.envelope)));
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.network.cut.clear();
    }

    // --- Disks and crashes ---------------------------------------------------------------------

    /// Makes the first `count` pending writes durable, and saves what is to be saved if that is
    /// all of them; then tells the replica.
    pub fn sync(&mut self, at: usize, count: usize) -> Result<(), Failure> {
        let Node { config: Config { node: id, .. }, disk, .. } = &mut self.nodes[at];
        let count = count.min(disk.unsynced.len());
        let mut synced = None;
        for Write { records, unsynced } in disk.unsynced.drain(..count) {
            for record in &records {
                let replayed = disk.durable.replay(record);
                replayed.map_err(|why| format!("{id} wrote what contradicts its disk: {why}"))?;
                if disk.slow {
                    self.trace.say(format!("{id} syncs {record}"));
                }
            }
            synced = Some(unsynced.synced());
        }
        let saved =
            if disk.unsynced.is_empty() { std::mem::take(&mut disk.saving) } else { vec![] };
        if let Some(synced) = synced {
            self.step(at, Input::Synced(synced))?;
        }
        for Save { index, content } in saved {
            let image = content.image();
            self.nodes[at].disk.images.insert(index, image.clone());
            self.step(at, Input::SnapshotSaved { index, image })?;
        }
        Ok(())
    }

    /// Stops a node. Of the records that were not synced, the first `kept` survive.
    pub fn crash(&mut self, at: usize, kept: usize) -> Result<(), Failure> {
        let Node { config, replica, disk, retransmits, .. } = &mut self.nodes[at];
        replica.take().ok_or_else(|| format!("{} is down already", config.node))?;
        *retransmits = false;
        disk.saving.clear();
        let unsynced = disk.unsynced.drain(..).flat_map(|write| write.records);
        for (position, record) in unsynced.enumerate() {
            let fate = if position < kept { "keeps" } else { "loses" };
            self.trace.say(format!("{} {fate} {record}", config.node));
            if position < kept {
                disk.durable.replay(&record).map_err(|why| why.to_string())?;
            }
        }
        Ok(())
    }

    /// Starts a node from its disk, or says why it must not start.
    pub fn restart(&mut self, at: usize) -> Result<(), Failure> {
        let Node { config, replica, disk, limits, .. } = &mut self.nodes[at];
        if replica.is_some() {
            return Err(format!("{} is up", config.node));
        }
        let mut out = Output::default();
        let (store, durable) = (Store::with_limits(*limits), disk.durable.clone());
        let image = disk.images.get(&durable.snapshot()).cloned();
        match Replica::recover(config.clone(), store, durable, image, &mut out) {
            Ok(recovered) => *replica = Some(recovered),
            Err(why) => self.trace.say(format!("{} refuses to start: {why}", config.node)),
        }
        self.take_out(at, out)
    }

    /// Puts a blank disk into a node that is down.
    pub fn wipe(&mut self, at: usize) -> Result<(), Failure> {
        let Node { config, replica, disk, .. } = &mut self.nodes[at];
        *disk = Disk { wiped: true, ..Disk::default() };
        if replica.is_none() { Ok(()) } else { Err(format!("{} is up", config.node)) }
    }

    // --- Requests and views --------------------------------------------------------------------

    /// Hands a client's request to a node.
    pub fn request(&mut self, at: usize, name: (u64, u64), body: Body<'_>) -> Result<(), Failure> {
        let (client, number) = name;
        if self.nodes[at].replica.is_none() {
            self.trace.say(format!("c{client} hears nothing"));
        }
        self.step(at, Input::Request(Request { client, number, body, more: false }))
    }

    /// The status of every node that is up.
    pub fn statuses(&self) -> impl Iterator<Item = Status> + '_ {
        self.nodes.iter().filter_map(|node| node.replica.as_ref()).map(Replica::status)
    }

    /// Whether one node leads, everything is decided, and all who are up have the same state.
    pub fn agrees(&self) -> bool {
        let up = || self.nodes.iter().filter_map(|node| node.replica.as_ref());
        let leading: Vec<Status> = self.statuses().filter(|s| s.leads.is_some()).collect();
        let [leader] = leading.as_slice() else { return false };
        let done = |s: Status| {
            s.promised == leader.promised
                && s.accepted_ballot == s.promised
                && s.applied == s.accepted
                && s.accepted == leader.accepted
        };
        let digest = |replica: &Replica<Store>| replica.machine().digest();
        let digests: BTreeSet<u64> = up().map(digest).collect();
        self.statuses().all(done) && digests.len() == 1
    }
}

impl Trace {
    /// Adds a line, unless nothing is to be shown.
    pub fn say(&mut self, line: String) {
        if !self.muted {
            self.lines.push(line);
        }
    }

    /// Names what a step changed and no record, message or answer tells.
    fn changes(&mut self, id: NodeId, before: &Status, after: &Status) {
        match (before.phase, after.phase) {
            (one, other) if one == other => {}
            (_, "prepare") => self.say(format!("{id} prepares {}", after.promised)),
            ("leader" | "prepare", "follower") => self.say(format!("{id} steps down")),
            _ => {}
        }
        if before.decided != after.decided {
            self.say(format!("{id} decides ..{}", after.decided));
        }
    }
}

/// Whether a message is one of those that a trace leaves out.
fn is_heartbeat(message: &Message) -> bool {
    matches!(message, Message::HeartbeatRequest { .. } | Message::HeartbeatReply { .. })
}
