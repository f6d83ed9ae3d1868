//! How roles change, and who is spoken to in which. Roles change here and nowhere else.

use super::super::Replica;
use super::super::acceptor::Acceptor;
use super::super::ballot::Ballot;
use super::super::interface::{Config, Output, StateMachine};
use super::super::message::Message;
use super::Role;
use super::adoption::Adoption;
use super::follower::Follower;
use super::leader::{Leader, Phase};

impl<M: StateMachine> Replica<M> {
    /// Promises a ballot above every earlier one, made by another node.
    pub(in super::super) fn become_follower(&mut self, ballot: Ballot, out: &mut Output<M>) {
        assert_ne!(ballot.node, self.config.node, "our own ballots are led, not followed");
        self.acceptor.promise(ballot, out);
        self.election.observe(ballot);
        self.resign(Follower::promising(), out);
    }

    /// Takes up a leadership that was won in the election.
    pub(in super::super) fn become_leader(&mut self, ballot: Ballot, out: &mut Output<M>) {
        assert_eq!(ballot.node, self.config.node);
        if ballot <= self.acceptor.promised {
            return;
        }
        self.acceptor.promise(ballot, out);
        self.resign(Follower::greeting(), out);
        self.role = Role::Leader(Box::new(Leader::new(&self.config, ballot, self.boot)));
    }

    /// Ends whatever role there was.
    pub(in super::super) fn resign(&mut self, follower: Follower<M>, out: &mut Output<M>) {
        assert!(!matches!(self.role, Role::Recover), "a recovering replica has no role to end");
        let successor = Some(self.election.leader().node).filter(|node| *node != self.config.node);
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, Role::Follower(follower)) {
            leader.resign(successor, out);
        }
    }

    /// The follower, if `peer` leads the ballot that is promised here. Otherwise the sender learns
    /// why not: it is a leader of the past, or we missed its prepare.
    pub(in super::super) fn follow(
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
    pub(in super::super) fn leading(
        &mut self,
        ballot: Ballot,
    ) -> Option<(&mut Leader<M>, &mut Acceptor)> {
        match &mut self.role {
            Role::Leader(leader) if leader.ballot == ballot => Some((leader, &mut self.acceptor)),
            Role::Leader(_) | Role::Follower(_) | Role::Recover => None,
        }
    }

    /// The log that is on its way here, in either role.
    pub(in super::super) fn adoption(&mut self) -> Option<(&mut Adoption<M>, &Config)> {
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
}
