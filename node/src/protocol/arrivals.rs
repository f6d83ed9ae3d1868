//! What arrives at a replica: one match dispatches each kind of message, its arms are calls.

use super::ballot::{Ballot, Index};
use super::election::View;
use super::interface::{Image, Input, Origin, Outcome, Output, Request, StateMachine, Synced};
use super::message::{Envelope, Message, Report};
use super::sequence_paxos::Role;
use super::sequence_paxos::follower::Follower;
use super::{Replica, compaction};

impl<M: StateMachine> Replica<M> {
    /// Nothing can be said before the record of this start is durable.
    pub(super) fn step_in_recovery(&mut self, input: Input<'_>, out: &mut Output<M>) {
        match input {
            Input::Request(Request { client, number, .. }) => {
                out.answer(Origin { client, number }, Outcome::Redirect(None));
            }
            Input::Timeout(timer) => out.timers.push(timer),
            Input::Message(_) | Input::Synced(_) | Input::SnapshotSaved { .. } => {}
        }
    }

    pub(super) fn receive(&mut self, envelope: Envelope, out: &mut Output<M>) {
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
            Message::SnapshotPull { accepted_ballot, index, offset } => {
                self.snapshot_pull(peer, accepted_ballot, (index, offset), out);
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
        self.snapshots.entries_pulled(self.election.round().number);
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

    /// A request for a snapshot. The newest is the beginning of the log that we have now: it may hold
    /// what was chosen under a later leadership than the asker's, and then it is not the beginning of
    /// the log that the asker means. Below it, the asker would take other logs for equal to its own.
    fn snapshot_pull(
        &mut self,
        peer: usize,
        accepted_ballot: Ballot,
        (index, offset): (Option<Index>, u64),
        out: &mut Output<M>,
    ) {
        let to = self.config.members.at(peer);
        // Another snapshot than the one wanted is sent from its start.
        let held = index.filter(|index| self.snapshots.holds(*index));
        let (index, offset) = if held == index { (index, offset) } else { (None, 0) };
        if index.is_some() || accepted_ballot == self.acceptor.accepted_ballot {
            let now = self.election.round().number;
            self.snapshots.send(&self.config, (to, index, offset), now, out);
        } else if let Some(report) = self.acceptor.report() {
            out.send(&self.config, to, Message::Hello(report));
        }
    }

    pub(super) fn request(&mut self, request: &Request<'_>, out: &mut Output<M>) {
        let connected = self.election.is_connected();
        match &mut self.role {
            Role::Leader(leader) if connected => {
                leader.request(&self.config, &self.acceptor, request, out);
            }
            Role::Leader(_) | Role::Follower(_) | Role::Recover => {
                let leader = self.election.leader().node;
                let seen = self.election.is_happy() && leader != self.config.node;
                let origin = Origin { client: request.client, number: request.number };
                out.answer(origin, Outcome::Redirect(seen.then_some(leader)));
            }
        }
    }

    pub(super) fn synced(&mut self, synced: Synced) {
        let before = self.acceptor.durable;
        self.acceptor.synced(synced);
        match &mut self.role {
            Role::Recover => self.role = Role::Follower(Follower::greeting()),
            Role::Follower(follower) => follower.synced(before, &self.acceptor),
            Role::Leader(_) => {}
        }
    }

    pub(super) fn snapshot_saved(&mut self, index: Index, image: &Image, out: &mut Output<M>) {
        let now = self.election.round().number;
        if let Some(bound) = self.snapshots.saved(index, image, now) {
            let keep = Index(bound.0.saturating_sub(self.config.keep));
            let log = &self.acceptor.log;
            let few_bytes = log.within_bytes(bound.max(log.first()), compaction::SNAPSHOT_BYTES);
            self.acceptor.trim(index, keep.max(few_bytes.min(bound)), out);
        }
        if let Some((adoption, config)) = self.adoption() {
            adoption.saved(config, index, out);
        }
    }
}
