//! The accept phase of a leadership: having entries accepted.

use super::super::acceptor::Acceptor;
use super::super::ballot::{Ballot, Index, NodeId};
use super::super::compaction::LOG_BYTES_MAX;
use super::super::entries::Batch;
use super::super::interface::{Config, Origin, Output, StateMachine};
use super::super::message::{Message, Report};
use std::collections::VecDeque;

/// What the leader took on, and from where on it is its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Accept {
    /// Entries inherited from earlier leaderships.
    pub adopted: Index,
    /// The accepted ballot of the log they came from.
    adopted_ballot: Ballot,
    /// Entries taken on and not yet in the log: they share a record and a message.
    pub batch: Batch,
    /// Who asked for the entries from `origins_start` on.
    pub origins: VecDeque<Origin>,
    pub origins_start: Index,
}

impl Accept {
    /// Nothing was taken on yet.
    pub fn begin(adopted: Index, adopted_ballot: Ballot) -> Accept {
        Accept {
            adopted,
            adopted_ballot,
            batch: Batch::default(),
            origins: VecDeque::new(),
            origins_start: adopted,
        }
    }

    /// Whether another entry may be taken on. What is decided but not on our own disk counts too:
    /// the others may well go on without our disk, while all that waits for it piles up here. So
    /// does, of bytes, a log that no snapshot has shortened yet.
    pub fn has_room(&self, config: &Config, acceptor: &Acceptor) -> bool {
        let durable = match acceptor.durable.accepted_ballot == acceptor.accepted_ballot {
            true => acceptor.durable.accepted,
            false => self.adopted,
        };
        let log = &acceptor.log;
        let settled = acceptor.decided.min(durable).max(log.first());
        let count = log.accepted().since(settled) + self.batch.len() as u64;
        let bytes = log.position_bytes(log.accepted()) - log.position_bytes(settled)
            + self.batch.size_bytes() as u64;
        count < config.undecided_max
            && bytes < config.undecided_bytes_max
            && log.size_bytes() < LOG_BYTES_MAX
    }

    /// Offers our log to a follower that promised: from where the two surely agree.
    pub fn offer<M: StateMachine>(
        &self,
        config: &Config,
        acceptor: &Acceptor,
        to: NodeId,
        report: Report,
        out: &mut Output<M>,
    ) {
        let (first, end) = (acceptor.log.first(), acceptor.log.accepted());
        // Accepted under one ballot, logs are prefixes of each other; else only what is chosen agrees.
        let from = match report.accepted_ballot {
            ours if ours == acceptor.accepted_ballot => report.accepted.min(first),
            base if base == self.adopted_ballot => report.accepted.min(self.adopted),
            _ => report.decided.min(self.adopted),
        };
        let (ballot, adopted_ballot) = (acceptor.accepted_ballot, self.adopted_ballot);
        let offer = Message::AcceptSync { ballot, adopted_ballot, from, end, first };
        out.send(config, to, offer);
    }
}
