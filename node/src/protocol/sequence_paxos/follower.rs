//! The follower: it promises, completes its log from the leader's, accepts, and reports what is on
//! its disk. Every handler may see its message late, twice, or before the one sent earlier.
//! Source: Sequence Paxos (Haridi et al., 2020), with slot indexes in place of FIFO links.

use super::super::acceptor::{Acceptor, Marks};
use super::super::ballot::{Ballot, Index, NodeId};
use super::super::entries::Entries;
use super::super::interface::{Config, Output, StateMachine};
use super::super::message::{Leading, Message};
use super::adoption::{Adopted, Adoption, Offer};

/// What a follower owes its leader, and what it still misses.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Follower<M> {
    /// The leader's log on its way here.
    pub adoption: Option<Adoption<M>>,
    /// Sent as soon as it is true on disk.
    owes: Owed,
    /// How long the leader's log was at its last heartbeat.
    leader_accepted: Index,
}

/// Ordered: each answer says more than the one before, so one suffices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Owed {
    Nothing,
    Accepted,
    Hello,
    Promise,
}

impl<M: StateMachine> Follower<M> {
    /// Follows a ballot that was just promised.
    pub fn promising() -> Follower<M> {
        Follower { adoption: None, owes: Owed::Promise, leader_accepted: Index::ZERO }
    }

    /// Goes on following what was promised before a restart, or follows nobody yet.
    pub fn greeting() -> Follower<M> {
        Follower { adoption: None, owes: Owed::Hello, leader_accepted: Index::ZERO }
    }

    /// The leader asks again for the promise it has.
    pub fn prepare(&mut self) {
        self.owes = Owed::Promise;
    }

    /// The leader offers its log. It is taken up if it begins where ours is known to agree with it.
    pub fn accept_sync(
        &mut self,
        config: &Config,
        acceptor: &Acceptor,
        message: &Message,
        out: &mut Output<M>,
    ) {
        let &Message::AcceptSync { ballot, adopted_ballot, from, end, first } = message else {
            unreachable!("dispatched by kind");
        };
        if self.adoption.as_ref().is_some_and(|adoption| !adoption.is_behind(first)) {
            return;
        }
        self.adoption = None;
        let accepted = acceptor.log.accepted();
        if acceptor.is_synchronised() && first <= accepted {
            return self.owe(Owed::Accepted);
        }
        // The leader cut at what we reported; a report from before a crash may promise too much.
        let same_log = acceptor.accepted_ballot == adopted_ballot && from <= accepted;
        let agrees = from <= acceptor.decided || same_log || acceptor.is_synchronised();
        if !agrees {
            return self.owe(Owed::Hello);
        }
        if end < acceptor.decided {
            // No leader lacks what was decided before it; there is no answer to such an offer.
            return;
        }
        let from = if acceptor.is_synchronised() { accepted } else { from.max(acceptor.decided) };
        let (source, accepted_ballot) = (ballot.node, ballot);
        let offer = Offer { ballot, source, accepted_ballot, from, end, first };
        self.adoption = Some(Adoption::begin(config, offer, out));
    }

    /// Entries from the leader: skips what is here, appends the rest, and says if some are missing.
    pub fn accept(
        &mut self,
        acceptor: &mut Acceptor,
        (index, entries): (Index, Entries),
        decided: Index,
        out: &mut Output<M>,
    ) {
        if !acceptor.is_synchronised() {
            return self.owe(Owed::Hello);
        }
        let (accepted, end) = (acceptor.log.accepted(), index.plus(entries.len()));
        if index > accepted {
            return self.owe(Owed::Hello);
        }
        if end > accepted {
            let known = accepted.since(index) as usize;
            acceptor.append(entries.skip(known), out);
        } else {
            self.owe(Owed::Accepted);
        }
        acceptor.decide(decided);
    }

    /// The leader knows so many entries to be chosen.
    pub fn decide(&mut self, acceptor: &mut Acceptor, decided: Index) {
        if acceptor.is_synchronised() {
            acceptor.decide(decided);
        }
    }

    /// The leader's heartbeat. What it had a heartbeat ago and we still miss, was lost.
    pub fn heartbeat(&mut self, acceptor: &mut Acceptor, leading: Leading) {
        let missing = acceptor.log.accepted() < self.leader_accepted;
        self.leader_accepted = leading.accepted;
        self.decide(acceptor, leading.decided);
        if missing || !acceptor.is_synchronised() {
            self.owe(Owed::Hello);
        }
    }

    /// Whether our log is as long as the leader's was.
    pub fn is_caught_up(&self, acceptor: &Acceptor) -> bool {
        acceptor.is_synchronised() && acceptor.log.accepted() >= self.leader_accepted
    }

    /// Something became durable; `before` is what was. More of the leader's log is news for it.
    pub fn synced(&mut self, before: Marks, acceptor: &Acceptor) {
        let news = (before.accepted_ballot, before.accepted)
            != (acceptor.durable.accepted_ballot, acceptor.durable.accepted);
        if news && acceptor.is_synchronised() {
            self.owe(Owed::Accepted);
        }
    }

    /// The leader's log, once all of it is here.
    pub fn complete(&mut self, acceptor: &Acceptor) -> Option<Adopted<M>> {
        let complete = self.adoption.take_if(|adoption| adoption.is_complete())?.finish();
        // Late accepts may have closed the gap meanwhile; what was acknowledged must not be cut.
        let superseded = acceptor.is_synchronised() && acceptor.log.accepted() >= complete.from;
        (!superseded).then_some(complete)
    }

    /// A retransmission tick.
    pub fn retransmit(&mut self, config: &Config, others: &[NodeId], out: &mut Output<M>) {
        if let Some(adoption) = &mut self.adoption
            && !adoption.retry(config, others, out)
        {
            self.adoption = None;
            self.owe(Owed::Hello);
        }
    }

    /// Sends what is owed, if it is true on disk by now.
    pub fn settle(&mut self, config: &Config, acceptor: &Acceptor, out: &mut Output<M>) {
        let leader = acceptor.promised.node;
        if self.owes == Owed::Nothing || leader == config.node || acceptor.promised == Ballot::NONE
        {
            return;
        }
        let durable = acceptor.durable;
        let message = match self.owes {
            Owed::Nothing => return,
            // Nothing leaves under a promise before that promise is on disk.
            _ if durable.promised != acceptor.promised => return,
            Owed::Accepted if durable.accepted_ballot != acceptor.promised => return,
            Owed::Accepted => {
                Message::Accepted { ballot: durable.accepted_ballot, accepted: durable.accepted }
            }
            Owed::Hello if self.adoption.is_some() => return,
            Owed::Hello | Owed::Promise => match (acceptor.report(), self.owes) {
                (None, _) => return,
                (Some(report), Owed::Promise) => Message::Promise(report),
                (Some(report), _) => Message::Hello(report),
            },
        };
        self.owes = Owed::Nothing;
        out.send(config, leader, message);
    }

    fn owe(&mut self, owed: Owed) {
        self.owes = self.owes.max(owed);
    }
}
