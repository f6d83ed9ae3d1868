//! The protocol core: a pure function from a replica and an input to a replica and an output.
//!
//! ```text
//!   replica.step(input, &mut output)        the one function
//!
//!   node/src/server.rs                      real sockets, disks and clocks   (its four callers)
//!   node/tests/scenarios.rs                 hand-written runs
//!   models/src/simulation                   seeded runs in virtual time
//!   models                                  every interleaving, by a model checker
//! ```
//! A driver loops: feed an input, then take out of the output
//! - `take_write()`: append the records in order, sync, then feed `unsynced.synced()`; `recycle` the
//!   records to spare the next write an allocation;
//! - `saves`: make the snapshot durable, then feed `SnapshotSaved`;
//! - `messages` and `answers`: send them, at once if it likes;
//! - `timers`: start them, feed `Timeout` when they fire.
//!
//! Reading order: `message.rs`, `durable.rs`, this file, `sequence_paxos/`, `election.rs`,
//! `reads.rs`, `compaction.rs`; and `invariants.rs`, which is the specification.

mod acceptor;
mod ballot;
mod compaction;
mod durable;
mod election;
mod entries;
mod failure_detector;
mod interface;
pub mod invariants;
mod log;
mod message;
mod reads;
mod sequence_paxos;

pub use ballot::{Ballot, GroupId, Index, Members, NodeId, NodeSet, Round};
pub use durable::{Contradiction, Durable, Record};
pub use entries::{Batch, Entries};
pub use interface::{
    Answer, Body, Config, Content, Input, Malformed, Outcome, Output, Request, Save, StateMachine,
    Suspicion, Synced, Timer, Unsynced, Write,
};
pub use log::Log;
pub use message::{Envelope, Leading, Message, Report};

use acceptor::Acceptor;
use compaction::Snapshots;
use election::{Election, Standing, View};
use failure_detector::Detector;
use sequence_paxos::Role;
use sequence_paxos::adoption::{Adopted, Adoption};
use sequence_paxos::follower::Follower;
use sequence_paxos::leader::{Leader, Phase};
use std::sync::Arc;

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
        image: Option<Arc<[u8]>>,
        out: &mut Output<M>,
    ) -> Result<Replica<M>, Contradiction> {
        durable.belongs_to(config.group, config.node)?;
        let index = durable.snapshot;
        // An image that nothing on the disk refers to may be of any state.
        let image = image.filter(|_| index > Index::ZERO);
        let machine = match &image {
            None if index > Index::ZERO => return Err(Contradiction::SnapshotMissing(index)),
            None => initial,
            Some(image) => {
                M::decode(image, index).map_err(|_| Contradiction::SnapshotMalformed(index))?
            }
        };
        Ok(Replica::start(config, durable, machine, image, out))
    }

    fn start(
        config: Config,
        durable: Durable,
        machine: M,
        image: Option<Arc<[u8]>>,
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

    // --- What arrives --------------------------------------------------------------------------

    /// Nothing can be said before the record of this start is durable.
    fn step_in_recovery(&mut self, input: Input<'_>, out: &mut Output<M>) {
        match input {
            Input::Request(Request { client, number, .. }) => {
                out.answer(interface::Origin { client, number }, Outcome::Redirect(None));
            }
            Input::Timeout(timer) => out.timers.push(timer),
            Input::Message(_) | Input::Synced(_) | Input::SnapshotSaved { .. } => {}
        }
    }

    fn receive(&mut self, envelope: Envelope, out: &mut Output<M>) {
        let Envelope { group, from, to, message } = envelope;
        let peer = self.config.members.position(from).filter(|_| from != self.config.node);
        let (Some(peer), true) = (peer, (group, to) == (self.config.group, self.config.node))
        else {
            return;
        };
        if !message.is_plausible() {
            return;
        }
        match message {
            Message::Prepare { ballot } => self.prepare((peer, ballot), out),
            Message::Promise(report) | Message::Hello(report) => self.reported(peer, report, out),
            Message::Nack { promised } => self.nack(promised, out),
            Message::AcceptSync { ballot, .. } => self.accept_sync((peer, ballot), message, out),
            Message::Accept { ballot, index, entries, decided } => {
                if let Some((follower, acceptor, _)) = self.follow(peer, ballot, out) {
                    follower.accept(acceptor, (index, entries), decided, out);
                }
            }
            Message::Accepted { ballot, accepted } => {
                if let Some((leader, acceptor)) = self.leading(ballot) {
                    leader.accepted(acceptor, peer, accepted);
                }
            }
            Message::Decide { ballot, decided } => {
                if let Some((follower, acceptor, _)) = self.follow(peer, ballot, out) {
                    follower.decide(acceptor, decided);
                }
            }
            Message::Pull { ballot, accepted_ballot, from, end } => {
                self.pull(peer, (ballot, accepted_ballot), (from, end), out);
            }
            Message::Pulled { .. } => {
                if let Some((adoption, config)) = self.adoption() {
                    adoption.pulled(config, from, message, out);
                }
            }
            Message::SnapshotPull { index, offset } => {
                let now = self.election.round().number;
                self.snapshots.send(&self.config, (from, index, offset), now, out);
            }
            Message::SnapshotPiece { .. } => {
                if let Some((adoption, config)) = self.adoption() {
                    adoption.piece(config, from, message, out);
                }
            }
            Message::Confirm { ballot, round } => {
                if self.follow(peer, ballot, out).is_some() {
                    out.send(&self.config, from, Message::Confirmed { ballot, round });
                }
            }
            Message::Confirmed { ballot, round } => {
                if ballot == self.acceptor.promised
                    && let Role::Leader(leader) = &mut self.role
                {
                    leader.reads.confirmed(&self.config, peer, round);
                }
            }
            Message::HeartbeatRequest { round, leading } => {
                self.heartbeat_request(peer, round, leading, out);
            }
            Message::HeartbeatReply { round, ballot, leader, connected, happy } => {
                self.heartbeat_reply(peer, round, View { ballot, leader, connected, happy }, out);
            }
        }
    }

    /// Prepare: promises a higher ballot, whoever leads it.
    fn prepare(&mut self, (peer, ballot): (usize, Ballot), out: &mut Output<M>) {
        if ballot.node != self.config.members.at(peer) {
            return;
        }
        if ballot > self.acceptor.promised {
            self.become_follower(ballot, out);
        } else if let Some((follower, ..)) = self.follow(peer, ballot, out) {
            follower.prepare();
        }
    }

    /// Promise or hello: what a peer has on disk.
    fn reported(&mut self, peer: usize, report: Report, out: &mut Output<M>) {
        if report.promised > self.acceptor.promised {
            return self.nack(report.promised, out);
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.reconcile(&self.config, &self.acceptor, (peer, report), out);
        }
    }

    /// Someone promised a higher ballot than ours: we lead no longer. It is not promised here
    /// before its leader asks; but the election must rise above it if that leader is gone.
    fn nack(&mut self, promised: Ballot, out: &mut Output<M>) {
        self.election.observe(promised);
        if let Role::Leader(leader) = &self.role
            && promised > leader.ballot
        {
            self.resign(Follower::greeting(), out);
        }
    }

    fn accept_sync(&mut self, from: (usize, Ballot), message: Message, out: &mut Output<M>) {
        let (peer, ballot) = from;
        if let Some((follower, acceptor, config)) = self.follow(peer, ballot, out) {
            follower.accept_sync(config, acceptor, &message, out);
        }
    }

    /// A request for entries, answered from the log that the asker means, or by what we have.
    fn pull(
        &mut self,
        peer: usize,
        (ballot, accepted_ballot): (Ballot, Ballot),
        (from, end): (Index, Index),
        out: &mut Output<M>,
    ) {
        let (config, log) = (&self.config, &self.acceptor.log);
        let to = config.members.at(peer);
        let held = log.first() <= from && end <= log.accepted();
        if self.acceptor.accepted_ballot != accepted_ballot || !held {
            match (&mut self.role, self.acceptor.report()) {
                (Role::Leader(leader), _) if leader.ballot == ballot => {
                    leader.offer_again(config, &self.acceptor, peer, out);
                }
                (_, Some(report)) => out.send(config, to, Message::Hello(report)),
                (_, None) => {}
            }
            return;
        }
        let mut index = from;
        for piece in 1..=compaction::PIECES_PER_PULL {
            if index == end {
                break;
            }
            let entries = log.slice(index, end, config.message_bytes);
            let next = index.plus(entries.len());
            let last = next == end || piece == compaction::PIECES_PER_PULL;
            let pulled = Message::Pulled { ballot, accepted_ballot, index, entries, last };
            out.send(config, to, pulled);
            index = next;
        }
    }

    fn request(&mut self, request: &Request<'_>, out: &mut Output<M>) {
        let connected = self.election.is_connected();
        match &mut self.role {
            Role::Leader(leader) if connected => {
                leader.request(&self.config, &self.acceptor, request, out);
            }
            Role::Leader(_) | Role::Follower(_) | Role::Recover => {
                let leader = self.election.leader().node;
                let seen = self.election.is_happy() && leader != self.config.node;
                let origin = interface::Origin { client: request.client, number: request.number };
                out.answer(origin, Outcome::Redirect(seen.then_some(leader)));
            }
        }
    }

    fn synced(&mut self, synced: Synced) {
        let before = self.acceptor.durable;
        self.acceptor.synced(synced);
        match &mut self.role {
            Role::Recover => self.role = Role::Follower(Follower::greeting()),
            Role::Follower(follower) => follower.synced(before, &self.acceptor),
            Role::Leader(_) => {}
        }
    }

    fn snapshot_saved(&mut self, index: Index, image: &Arc<[u8]>, out: &mut Output<M>) {
        let now = self.election.round().number;
        if let Some(bound) = self.snapshots.saved(index, image, now) {
            let keep = bound.0.saturating_sub(self.config.keep);
            self.acceptor.trim(index, Index(keep), out);
        }
        if let Some((adoption, config)) = self.adoption() {
            adoption.saved(config, index, out);
        }
    }

    // --- Time ----------------------------------------------------------------------------------

    /// A tick: judge the peers, perhaps lead, and ask them again.
    fn heartbeat_due(&mut self, out: &mut Output<M>) {
        out.timers.push(Timer::Heartbeat);
        let leads = matches!(self.role, Role::Leader(_));
        let caught_up = match &self.role {
            Role::Follower(follower) => follower.is_caught_up(&self.acceptor),
            Role::Leader(_) | Role::Recover => false,
        };
        let standing = Standing { promised: self.acceptor.promised, leads, caught_up };
        if let Some(ballot) = self.election.tick(&self.config, standing) {
            self.become_leader(ballot, out);
        }
        let round = self.election.round();
        for (peer, node) in self.config.peers() {
            if self.detectors[peer].tick(round.number) {
                out.suspicions.push(Suspicion { peer: node, suspected: true });
            }
        }
        let leading = match &self.role {
            Role::Leader(leader) => leader.leading(&self.acceptor),
            Role::Follower(_) | Role::Recover => None,
        };
        for (_, node) in self.config.peers() {
            out.send(&self.config, node, Message::HeartbeatRequest { round, leading });
        }
        self.acceptor.record_decided(out);
    }

    fn heartbeat_request(
        &mut self,
        peer: usize,
        round: Round,
        leading: Option<Leading>,
        out: &mut Output<M>,
    ) {
        let View { ballot, leader, connected, happy } = self.election.view();
        let reply = Message::HeartbeatReply { round, ballot, leader, connected, happy };
        out.send(&self.config, self.config.members.at(peer), reply);
        if let Some(leading) = leading
            && let Some((follower, acceptor, _)) = self.follow(peer, leading.ballot, out)
        {
            follower.heartbeat(acceptor, leading);
        }
    }

    fn heartbeat_reply(&mut self, peer: usize, round: Round, view: View, out: &mut Output<M>) {
        if self.election.reply(peer, round, view)
            && self.detectors[peer].reply(self.election.round().number)
        {
            let peer = self.config.members.at(peer);
            out.suspicions.push(Suspicion { peer, suspected: false });
        }
    }

    fn retransmission_due(&mut self, out: &mut Output<M>) {
        match &mut self.role {
            Role::Leader(leader) => {
                leader.retransmit(&self.config, &self.acceptor, &self.detectors, out);
            }
            Role::Follower(follower) => {
                let trusted = |peer: usize| !self.detectors[peer].is_suspected();
                let peers = self.config.peers().filter(|(peer, _)| trusted(*peer));
                let others: Vec<NodeId> = peers.map(|(_, node)| node).collect();
                follower.retransmit(&self.config, &others, out);
            }
            Role::Recover => unreachable!("a recovering replica only waits"),
        }
    }

    // --- Roles ---------------------------------------------------------------------------------

    /// Promises a ballot above every earlier one, made by another node.
    fn become_follower(&mut self, ballot: Ballot, out: &mut Output<M>) {
        assert_ne!(ballot.node, self.config.node, "our own ballots are led, not followed");
        self.acceptor.promise(ballot, out);
        self.election.observe(ballot);
        self.resign(Follower::promising(), out);
    }

    /// Takes up a leadership that was won in the election.
    fn become_leader(&mut self, ballot: Ballot, out: &mut Output<M>) {
        assert_eq!(ballot.node, self.config.node);
        if ballot <= self.acceptor.promised {
            return;
        }
        self.acceptor.promise(ballot, out);
        self.resign(Follower::greeting(), out);
        self.role = Role::Leader(Box::new(Leader::new(&self.config, ballot, self.boot)));
    }

    /// Ends whatever role there was.
    fn resign(&mut self, follower: Follower<M>, out: &mut Output<M>) {
        assert!(!matches!(self.role, Role::Recover), "a recovering replica has no role to end");
        let successor = Some(self.election.leader().node).filter(|node| *node != self.config.node);
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, Role::Follower(follower)) {
            leader.resign(successor, out);
        }
    }

    /// The follower, if `peer` leads the ballot that is promised here. Otherwise the sender learns
    /// why not: it is a leader of the past, or we missed its prepare.
    fn follow(
        &mut self,
        peer: usize,
        ballot: Ballot,
        out: &mut Output<M>,
    ) -> Option<(&mut Follower<M>, &mut Acceptor, &Config)> {
        let node = self.config.members.at(peer);
        if ballot.node != node {
            return None;
        }
        let promised = self.acceptor.promised;
        if ballot < promised {
            out.send(&self.config, node, Message::Nack { promised });
        } else if ballot > promised
            && let Some(report) = self.acceptor.report()
        {
            out.send(&self.config, node, Message::Hello(report));
        }
        match &mut self.role {
            Role::Follower(follower) if ballot == promised => {
                Some((follower, &mut self.acceptor, &self.config))
            }
            Role::Follower(_) | Role::Leader(_) | Role::Recover => None,
        }
    }

    /// The leader, if `ballot` is its leadership.
    fn leading(&mut self, ballot: Ballot) -> Option<(&mut Leader<M>, &mut Acceptor)> {
        match &mut self.role {
            Role::Leader(leader) if leader.ballot == ballot => Some((leader, &mut self.acceptor)),
            Role::Leader(_) | Role::Follower(_) | Role::Recover => None,
        }
    }

    /// The log that is on its way here, in either role.
    fn adoption(&mut self) -> Option<(&mut Adoption<M>, &Config)> {
        let adoption = match &mut self.role {
            Role::Follower(follower) => follower.adoption.as_mut(),
            Role::Leader(leader) => match &mut leader.phase {
                Phase::Prepare(prepare) => prepare.adoption.as_mut(),
                Phase::Accept(_) => None,
            },
            Role::Recover => None,
        };
        adoption.map(|adoption| (adoption, &self.config))
    }

    // --- What follows --------------------------------------------------------------------------

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
        if let Some(image) = snapshot {
            self.machine = image.machine;
            self.applied = from;
            self.snapshots.replace(from, image.bytes, self.election.round().number);
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.become_accepting(&self.config, &self.acceptor, out);
        }
    }

    /// Runs decided entries on the state, answers whoever asked for them, takes snapshots.
    fn apply(&mut self, out: &mut Output<M>) {
        loop {
            let applied = self.applied;
            if self.snapshots.is_due(&self.config, applied) {
                if !self.is_durable(applied) {
                    // A snapshot must not run ahead of our own log on disk; the write is under way.
                    break;
                }
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
            for entry in self.acceptor.log.iter(applied, end) {
                let reply = self.machine.apply(self.applied, entry);
                if let Role::Leader(leader) = &mut self.role
                    && let Some(origin) = leader.origin_of(self.applied)
                {
                    out.answer(origin, Outcome::Reply(reply));
                }
                self.applied = self.applied.plus(1);
            }
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.reads.answer(&self.machine, self.applied, out);
        }
    }

    /// Whether the log up to `index` is on our own disk.
    fn is_durable(&self, index: Index) -> bool {
        let durable = self.acceptor.durable;
        durable.accepted_ballot == self.acceptor.accepted_ballot && index <= durable.accepted
    }

    fn is_outstanding(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.is_outstanding(&self.config, &self.acceptor),
            Role::Follower(follower) => follower.adoption.is_some(),
            Role::Recover => false,
        }
    }
}
