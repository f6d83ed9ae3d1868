//! Time: heartbeat rounds, which election and failure detection live on, and retransmission.

use super::Replica;
use super::ballot::{NodeId, Round};
use super::election::{Standing, View};
use super::interface::{Output, StateMachine, Suspicion, Timer};
use super::message::{Leading, Message};
use super::sequence_paxos::Role;

/// A disk that has not finished a write for so many election timeouts counts as stalled.
const STALLED_TIMEOUTS: u32 = 4;

impl<M: StateMachine> Replica<M> {
    /// A tick: judge the peers, perhaps lead, and ask them again.
    pub(super) fn heartbeat_due(&mut self, out: &mut Output<M>) {
        out.timers.push(Timer::Heartbeat);
        let leads = matches!(self.role, Role::Leader(_));
        let caught_up = match &self.role {
            Role::Follower(follower) => follower.is_caught_up(&self.acceptor),
            Role::Leader(_) | Role::Recover => false,
        };
        let promised = self.acceptor.promised;
        let stalled = self.acceptor.stalled_ticks() > STALLED_TIMEOUTS * self.config.election_ticks;
        let standing = Standing { promised, leads, caught_up, stalled };
        if let Some(ballot) = self.election.tick(&self.config, standing) {
            self.become_leader(ballot, out);
        }
        let round = self.election.round();
        for (peer, node) in self.config.peers() {
            if self.detectors[peer].tick(round.number) {
                out.suspicions.push(Suspicion { peer: node, suspected: true });
            }
        }
        for (peer, node) in self.config.peers() {
            let leading = match &self.role {
                Role::Leader(leader) => leader.leading(&self.acceptor, peer),
                Role::Follower(_) | Role::Recover => None,
            };
            out.send(&self.config, node, Message::HeartbeatRequest { round, leading });
        }
        // A disk that hangs while it writes a snapshot would otherwise show in nothing else.
        let saving = self.snapshots.is_saving()
            || self.adoption().is_some_and(|(adoption, _)| adoption.is_saving());
        self.acceptor.record_decided(saving, out);
    }

    pub(super) fn heartbeat_request(
        &mut self,
        peer: usize,
        round: Round,
        leading: Option<Leading>,
        out: &mut Output<M>,
    ) {
        if let Some(View { ballot, leader, connected, happy }) = self.election.view() {
            let reply = Message::HeartbeatReply { round, ballot, leader, connected, happy };
            out.send(&self.config, self.config.members.at(peer), reply);
        }
        if let Some(leading) = leading
            && let Some((follower, acceptor, _)) = self.follow(peer, leading.ballot, out)
        {
            follower.heartbeat(acceptor, leading);
        }
    }

    pub(super) fn heartbeat_reply(
        &mut self,
        peer: usize,
        round: Round,
        view: View,
        out: &mut Output<M>,
    ) {
        if self.election.reply(peer, round, view)
            && self.detectors[peer].reply(self.election.round().number)
        {
            let peer = self.config.members.at(peer);
            out.suspicions.push(Suspicion { peer, suspected: false });
        }
    }

    pub(super) fn retransmission_due(&mut self, out: &mut Output<M>) {
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
}
