//! The protocol core: a pure function from a replica and an input to a replica and an output.
//!
//! ```text
//!   replica.step(input, &mut output)        the one function
//!
//!   node/tests/scenarios.rs                 hand-written runs                    (its callers)
//!   models/src/simulation                   seeded runs in virtual time
//!   node/src/server                         real sockets, disks and clocks
//!   models/src/cluster                      every interleaving, by a model checker
//! ```
//! A driver loops: feed an input, then take out of the output
//! - `take_write()`: append the records in order, sync, then feed `unsynced.synced()`; `recycle` the
//!   records to spare the next write an allocation;
//! - `saves`: make the snapshot durable, then feed `SnapshotSaved`;
//! - `messages` and `answers`: send them, at once if it likes;
//! - `timers`: start them, feed `Timeout` when they fire.
//!
//! Reading order: `message.rs`, `durable.rs`, this file, `arrivals.rs`, `sequence_paxos/`,
//! `heartbeat.rs`, `election.rs`, `reads.rs`, `compaction.rs`; and `invariants.rs`, which is the
//! specification.

mod acceptor;
mod arrivals;
mod ballot;
mod compaction;
mod durable;
mod election;
mod entries;
mod failure_detector;
mod heartbeat;
mod interface;
pub mod invariants;
mod log;
mod message;
mod reads;
mod sequence_paxos;

pub use ballot::{Ballot, GroupId, Index, Members, NodeId, NodeSet, Round};
pub use durable::{Contradiction, Durable, Record, Summary};
pub use entries::{Batch, Entries};
pub use interface::{
    Answer, Body, Config, Content, Image, Input, Malformed, Outcome, Output, Request, Save,
    StateMachine, Suspicion, Synced, Timer, Unsynced, Write,
};
pub use log::Log;
pub use message::{Envelope, Leading, Message, Report};

use acceptor::Acceptor;
use compaction::Snapshots;
use election::Election;
use failure_detector::Detector;
use sequence_paxos::Role;
use sequence_paxos::adoption::{Adopted, Pulled};
use sequence_paxos::leader::Phase;

/// One member of one replication group.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Replica<M> {
    config: Config,
    boot: u64,
    acceptor: Acceptor,
    role: Role<M>,
    election: Election,
    /// By member position; our own is not used.
    detectors: Vec<Detector>,
    machine: M,
    applied: Index,
    snapshots: Snapshots,
}

/// A replica's state, for those who watch it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// `recover`, `follower`, `prepare` or `leader`.
    pub phase: &'static str,
    /// The ballot it leads, its prepare phase completed.
    pub leads: Option<Ballot>,
    /// How often it was started.
    pub boot: u64,
    /// The highest leadership it knows.
    pub leader: Ballot,
    /// Whether a quorum answers it.
    pub connected: bool,
    /// The ballot it vowed to follow.
    pub promised: Ballot,
    /// The ballot of its latest accepted write.
    pub accepted_ballot: Ballot,
    /// Entries covered by its durable snapshot.
    pub snapshot: Index,
    /// The first entry in its log.
    pub first: Index,
    /// Entries run on the state.
    pub applied: Index,
    /// Entries known to be chosen.
    pub decided: Index,
    /// Entries accepted.
    pub accepted: Index,
    /// Peers suspected to have crashed.
    pub suspects: Vec<NodeId>,
}

impl<M: StateMachine> Replica<M> {
    /// Creates a replica that never existed before. Never to be called where one did: a replica
    /// that forgot its promises must not vote.
    /// `initial`: the state before the first entry, the same on every member.
    pub fn create(config: Config, initial: M, out: &mut Output<M>) -> Replica<M> {
        out.record(Record::Created { group: config.group, node: config.node });
        Replica::start(config, Durable::default(), initial, None, out)
    }

    /// Starts a replica again from what survived. `image`: the snapshot that `durable.snapshot()`
    /// asks for. Fails if the state contradicts itself, is another replica's, or was wiped.
    pub fn recover(
        config: Config,
        initial: M,
        durable: Durable,
        image: Option<Image>,
        out: &mut Output<M>,
    ) -> Result<Replica<M>, Contradiction> {
        durable.belongs_to(config.group, config.node)?;
        let index = durable.snapshot;
        // An image that nothing on the disk refers to may be of any state.
        let image = image.filter(|_| index > Index::ZERO);
        let machine = match &image {
            None if index > Index::ZERO => return Err(Contradiction::SnapshotMissing(index)),
            None => initial,
            Some(image) => M::decode(image.bytes(), index)
                .map_err(|_| Contradiction::SnapshotMalformed(index))?,
        };
        Ok(Replica::start(config, durable, machine, image, out))
    }

    fn start(
        config: Config,
        durable: Durable,
        machine: M,
        image: Option<Image>,
        out: &mut Output<M>,
    ) -> Replica<M> {
        let (boot, index) = (durable.boot + 1, durable.snapshot);
        let election = Election::new(&config, boot, durable.promised);
        let mut replica = Replica {
            boot,
            acceptor: Acceptor::recover(durable),
            role: Role::Recover,
            election,
            detectors: vec![Detector::new(); config.members.count()],
            machine,
            applied: index,
            snapshots: Snapshots::recover(index, image),
            config,
        };
        out.record(Record::Boot(boot));
        replica.acceptor.seal_write(out);
        out.timers.push(Timer::Heartbeat);
        replica
    }

    /// Takes one step. Total: any input, in any state, leaves a legal state.
    pub fn step(&mut self, input: Input<'_>, out: &mut Output<M>) {
        #[cfg(debug_assertions)]
        let before = invariants::Observed::of(self);
        let recorded = out.recorded();
        let more = matches!(input, Input::Request(Request { more: true, .. }));
        match input {
            Input::Synced(synced) => self.synced(synced),
            _ if matches!(self.role, Role::Recover) => self.step_in_recovery(input, out),
            Input::Message(envelope) => self.receive(envelope, out),
            Input::Timeout(Timer::Heartbeat) => self.heartbeat_due(out),
            Input::Timeout(Timer::Retransmit) => self.retransmission_due(out),
            Input::Request(request) => self.request(&request, out),
            Input::SnapshotSaved { index, image } => self.snapshot_saved(index, &image, out),
        }
        // Nothing follows from a request that another joins at once: one settlement serves all.
        if !more {
            self.settle(out);
        }
        if out.recorded() > recorded {
            self.acceptor.seal_write(out);
        }
        #[cfg(debug_assertions)]
        invariants::assert_step(&before, self);
    }

    /// What an observer may see.
    pub fn status(&self) -> Status {
        let acceptor = &self.acceptor;
        let (phase, leads) = match &self.role {
            Role::Recover => ("recover", None),
            Role::Follower(_) => ("follower", None),
            Role::Leader(leader) => match leader.phase {
                Phase::Prepare(_) => ("prepare", None),
                Phase::Accept(_) => ("leader", Some(leader.ballot)),
            },
        };
        let suspected = |(peer, _): &(usize, NodeId)| self.detectors[*peer].is_suspected();
        Status {
            phase,
            leads,
            boot: self.boot,
            leader: self.election.leader(),
            connected: self.election.is_connected(),
            promised: acceptor.promised,
            accepted_ballot: acceptor.accepted_ballot,
            snapshot: self.snapshots.index(),
            first: acceptor.log.first(),
            applied: self.applied,
            decided: acceptor.decided,
            accepted: acceptor.log.accepted(),
            suspects: self.config.peers().filter(suspected).map(|(_, node)| node).collect(),
        }
    }

    /// Who the replica is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The accepted entries.
    pub fn log(&self) -> &Log {
        &self.acceptor.log
    }

    /// The state after the applied entries.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Draws the conclusions of a step, whatever the step was.
    fn settle(&mut self, out: &mut Output<M>) {
        let adopted = match &mut self.role {
            Role::Follower(follower) => follower.complete(&self.acceptor),
            Role::Leader(leader) => leader.prepare(&self.config, &mut self.acceptor, out),
            Role::Recover => return,
        };
        if let Some(adopted) = adopted {
            self.install(adopted, out);
        }
        match &mut self.role {
            Role::Leader(leader) => {
                leader.seal_batch(&mut self.acceptor, out);
                leader.decide(&self.config, &mut self.acceptor);
                leader.send_accepts(&self.config, &self.acceptor, &self.detectors, out);
                leader.reads.ask(&self.config, out);
            }
            Role::Follower(follower) => follower.settle(&self.config, &self.acceptor, out),
            Role::Recover => {}
        }
        self.apply(out);
        if self.is_outstanding() {
            out.timers.push(Timer::Retransmit);
        }
    }

    /// Replaces the log behind the point of agreement, in one record.
    fn install(&mut self, adopted: Adopted<M>, out: &mut Output<M>) {
        let Adopted { from, entries, snapshot } = adopted;
        self.acceptor.sync(from, entries, snapshot.is_some(), out);
        if let Some(Pulled { machine, image, .. }) = snapshot {
            self.machine = machine;
            self.applied = from;
            self.snapshots.replace(from, image, self.election.round().number);
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.become_accepting(&self.config, &self.acceptor, out);
        }
    }

    /// Runs decided entries on the state, answers whoever asked for them, takes snapshots.
    fn apply(&mut self, out: &mut Output<M>) {
        loop {
            let (applied, log) = (self.applied, &self.acceptor.log);
            if self.snapshots.is_due(&self.config, log, applied) {
                self.snapshots.take(applied, &self.machine, out);
            }
            if applied == self.acceptor.decided {
                break;
            }
            let every = self.config.snapshot_every.max(1);
            let boundary = Index(applied.0 - applied.0 % every + every);
            let end = match self.config.snapshot_every {
                0 => self.acceptor.decided,
                _ => self.acceptor.decided.min(boundary),
            };
            let mut room_bytes = self.snapshots.room_bytes(&self.config, log, applied);
            for entry in log.iter(applied, end) {
                let reply = self.machine.apply(self.applied, entry);
                if let Role::Leader(leader) = &mut self.role
                    && let Some(origin) = leader.origin_of(self.applied)
                {
                    out.answer(origin, Outcome::Reply(reply));
                }
                self.applied = self.applied.plus(1);
                room_bytes = room_bytes.saturating_sub(entry.len() as u64);
                if room_bytes == 0 {
                    break;
                }
            }
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.answer(&self.machine, self.applied, out);
        }
    }

    fn is_outstanding(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.is_outstanding(&self.config, &self.acceptor),
            Role::Follower(follower) => follower.adoption.is_some(),
            Role::Recover => false,
        }
    }
}
