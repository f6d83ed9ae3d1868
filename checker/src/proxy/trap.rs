//! A trap for voters: what they promised must hold across their death, so that is when they die.
//!
//! A promise is what a node must not forget in a crash, and it matters only until the leader that it
//! was given to has brought its log: a moment of a millisecond, which no schedule hits by chance.

use node::wire::{NodeId, bears_promise};

use super::link::{Endpoint, Link};

/// Who promised to follow whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sprung {
    /// Who wants to lead.
    pub candidate: NodeId,
    /// Who promised to follow it, and does not hear of it any more.
    pub voters: Vec<NodeId>,
}

/// Waits until so many promised to follow the same node.
#[derive(Clone, Debug)]
pub(super) struct Trap {
    spared: NodeId,
    count: usize,
    caught: Option<Sprung>,
}

impl Trap {
    /// Promises from and to `spared` are none of its business.
    pub fn new(spared: NodeId, count: usize) -> Trap {
        Trap { spared, count, caught: None }
    }

    /// What it has caught, if that is enough.
    pub fn sprung(&self) -> Option<Sprung> {
        self.caught.clone().filter(|caught| caught.voters.len() >= self.count)
    }

    /// Whether a datagram on this link brings a promise that it waits for: the first one to anybody,
    /// and then those of others to the same candidate.
    pub fn takes(&mut self, link: Link, bytes: &[u8]) -> bool {
        let (Endpoint::Node(voter), Endpoint::Node(candidate)) = (link.from, link.to) else {
            return false;
        };
        if self.sprung().is_some() || link.touches(self.spared) || !bears_promise(bytes) {
            return false;
        }
        let nobody = Sprung { candidate, voters: Vec::new() };
        let caught = self.caught.get_or_insert(nobody);
        let is_new = caught.candidate == candidate && !caught.voters.contains(&voter);
        if is_new {
            caught.voters.push(voter);
        }
        is_new
    }
}
