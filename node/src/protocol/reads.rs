//! Linearizable reads without the log and without the disk. Source: Ongaro's thesis, section 6.4.
//!
//! A read that arrived before the question "do you still follow me?" was asked, and was confirmed by
//! a quorum, sees every write that completed before it: a higher leadership could only have chosen
//! one after a quorum promised it, and that quorum meets ours in a replica that had not. What the
//! leader inherited must be decided first, so the read waits for the adopted log too.
//! The promise that counts is the volatile one: a replica that is about to follow another says no.

use super::ballot::{Ballot, Index, NodeSet, Round};
use super::interface::{Config, Origin, Outcome, Output, StateMachine};
use super::message::Message;
use std::collections::VecDeque;

/// Reads of one leader, in one queue: first those that are confirmed and wait for the applied index,
/// then those that the question under way is for, then those that arrived later and need another.
/// Invariants: `reads` is ordered by index, and has at least `confirmed + asking` of them; `queries`
/// has the bytes of all their queries, one behind the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reads {
    ballot: Ballot,
    /// The question under way, or the last one. Never asked twice: a repeated or late answer to an
    /// earlier question must confirm nothing.
    round: Round,
    votes: NodeSet,
    reads: VecDeque<Read>,
    queries: Vec<u8>,
    confirmed: usize,
    asking: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Read {
    origin: Origin,
    query_bytes: usize,
    /// How many entries must be applied before the state may answer.
    index: Index,
}

impl Reads {
    pub fn new(ballot: Ballot, boot: u64) -> Reads {
        Reads {
            ballot,
            round: Round { boot, number: 0 },
            votes: NodeSet::default(),
            reads: VecDeque::new(),
            queries: Vec::new(),
            confirmed: 0,
            asking: 0,
        }
    }

    /// A read arrived; `index` entries were decided or inherited by then.
    pub fn arrived(&mut self, origin: Origin, query: &[u8], index: Index) {
        self.reads.push_back(Read { origin, query_bytes: query.len(), index });
        self.queries.extend_from_slice(query);
    }

    /// Whether another read may wait.
    pub fn has_room(&self, config: &Config) -> bool {
        (self.reads.len() as u64) < config.undecided_max
    }

    /// Whether answers are awaited, so that the question must be repeated.
    pub fn is_asking(&self) -> bool {
        self.asking > 0
    }

    /// Asks for all reads that wait, unless a question is under way.
    pub fn ask<M: StateMachine>(&mut self, config: &Config, out: &mut Output<M>) {
        let waiting = self.reads.len() - self.confirmed - self.asking;
        if self.is_asking() || waiting == 0 {
            return;
        }
        self.asking = waiting;
        self.round.number += 1;
        self.votes = NodeSet::default();
        self.repeat(config, out);
        self.vote(config, config.me());
    }

    /// Puts the question, if one is under way, to whoever has not answered it.
    pub fn repeat<M: StateMachine>(&self, config: &Config, out: &mut Output<M>) {
        if !self.is_asking() {
            return;
        }
        for (peer, node) in config.peers() {
            if !self.votes.contains(peer) {
                out.send(config, node, Message::Confirm { ballot: self.ballot, round: self.round });
            }
        }
    }

    /// An answer; counts if it is to the question under way.
    pub fn confirmed(&mut self, config: &Config, peer: usize, round: Round) {
        if self.is_asking() && round == self.round {
            self.vote(config, peer);
        }
    }

    /// Answers every confirmed read that `applied` entries suffice for.
    pub fn answer<M: StateMachine>(&mut self, machine: &M, applied: Index, out: &mut Output<M>) {
        let mut start = 0;
        while self.confirmed > 0
            && let Some(read) = self.reads.pop_front_if(|read| read.index <= applied)
        {
            let query = &self.queries[start..start + read.query_bytes];
            out.answer(read.origin, Outcome::Reply(machine.query(query)));
            start += read.query_bytes;
            self.confirmed -= 1;
        }
        self.queries.drain(..start);
    }

    /// Everyone who waits, in no longer than the life of this leadership.
    pub fn origins(&self) -> impl Iterator<Item = Origin> + '_ {
        self.reads.iter().map(|read| read.origin)
    }

    fn vote(&mut self, config: &Config, voter: usize) {
        self.votes.insert(voter);
        if self.votes.count() >= config.members.quorum() {
            self.confirmed += std::mem::take(&mut self.asking);
        }
    }
}
