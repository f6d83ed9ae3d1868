//! A trap for voters: what they promised must hold across their death, so that is when they die.
//!
//! A promise matters only until the new leader has brought its log; and what a node accepts that
//! should not have, only until it learns that it was chosen. Both are moments of a millisecond, which
//! no schedule hits by chance, and anybody between the nodes can see them.

use node::wire::{GroupId, NodeId, Overheard, overhear};

use super::link::{Endpoint, Link};

/// What the trap caught.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sprung {
    /// These promised to follow a candidate, and do not hear of it any more.
    Promised {
        /// Who wants to lead.
        candidate: NodeId,
        /// Who is about to follow it.
        voters: Vec<NodeId>,
    },
    /// All of them have accepted from the old leader since, and do not hear of it any more.
    Accepted,
}

/// Waits until so many promised to follow the same node, then until they accept from the old leader.
#[derive(Clone, Debug)]
pub(super) struct Trap {
    leader: NodeId,
    count: usize,
    /// Who they promised to follow, and in which group.
    candidate: Option<(NodeId, GroupId)>,
    /// Each with what it had accepted when it promised, and whether it accepted more since.
    voters: Vec<(NodeId, u64, bool)>,
    /// What it was told of [`Sprung`]: nothing, the first, or all.
    told: u8,
}

impl Trap {
    /// For an election of any other node than the leader.
    pub fn new(leader: NodeId, count: usize) -> Trap {
        Trap { leader, count, candidate: None, voters: Vec::new(), told: 0 }
    }

    /// What it has caught, each once and in order.
    pub fn sprung(&mut self) -> Option<Sprung> {
        let is_full = self.voters.len() == self.count;
        let have_accepted = self.voters.iter().all(|(_, _, accepted)| *accepted);
        let sprung = match self.told {
            0 if is_full => Sprung::Promised {
                candidate: self.candidate?.0,
                voters: self.voters.iter().map(|(voter, _, _)| *voter).collect(),
            },
            1 if have_accepted => Sprung::Accepted,
            _ => return None,
        };
        self.told += 1;
        Some(sprung)
    }

    /// Whether a datagram on this link brings what it waits for. Nothing must follow it then.
    pub fn takes(&mut self, link: Link, bytes: &[u8]) -> bool {
        let (Endpoint::Node(from), Endpoint::Node(to)) = (link.from, link.to) else {
            return false;
        };
        // All are heard, whatever the first one is.
        let heard = overhear(bytes).filter(|vow| self.hears(from, to, *vow)).count();
        heard > 0
    }

    fn hears(&mut self, from: NodeId, to: NodeId, vow: Overheard) -> bool {
        match vow {
            Overheard::Promise(group, accepted) => {
                let is_other = from != self.leader && to != self.leader;
                let is_new = self.voters.iter().all(|(voter, _, _)| *voter != from);
                if !is_other || !is_new || self.voters.len() == self.count {
                    return false;
                }
                if *self.candidate.get_or_insert((to, group)) != (to, group) {
                    return false;
                }
                self.voters.push((from, accepted, false));
                true
            }
            // Before they are killed, who knows from when that is.
            Overheard::Accepted(group, accepted) if to == self.leader && self.told == 1 => {
                let of_group = self.candidate.is_some_and(|(_, of)| of == group);
                let voter = self.voters.iter_mut().find(|(voter, _, _)| *voter == from);
                let more = |(_, before, _): &&mut (_, u64, _)| accepted > *before;
                let more = voter.filter(more).filter(|_| of_group);
                more.is_some_and(|(_, _, has)| !std::mem::replace(has, true))
            }
            Overheard::Accepted(..) => false,
        }
    }
}
