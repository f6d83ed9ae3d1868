//! Names and numbers of the protocol: nodes, groups, ballots, indexes, and the counting of quorums.
//! Every one is a newtype, so that a ballot round never meets a log index by accident.

use std::fmt;

/// A node of the cluster. Identity is this number and the cluster's secret, never an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NodeId(pub u16);

/// A replication group: one log, one ballot, one set of members. A node hosts a replica per group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct GroupId(pub u32);

/// A number of log entries. As a position, it names the entry before which that many stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Index(pub u64);

impl Index {
    /// The empty log.
    pub const ZERO: Index = Index(0);

    /// The position `entries` further on.
    pub fn plus(self, entries: usize) -> Index {
        Index(self.0.saturating_add(entries as u64))
    }

    /// How many entries lie in `earlier..self`; zero when `earlier` is the later one.
    pub fn since(self, earlier: Index) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Names one leadership. Ordered by round, then priority, then node, so two nodes that bump to the
/// same round never share a ballot, and a preferred node wins a tie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ballot {
    /// Grows with each leadership that had to be fought for.
    pub round: u64,
    /// The configured wish to lead; spreads the leaders of many groups over the nodes.
    pub priority: u8,
    /// The node that would lead.
    pub node: NodeId,
}

impl Ballot {
    /// Lower than every ballot a node can make: rounds of real leaderships start at one.
    pub const NONE: Ballot = Ballot { round: 0, priority: 0, node: NodeId(0) };

    /// Whether its node wants to lead. Round zero only says how it would be ranked.
    pub fn is_raised(&self) -> bool {
        self.round > 0
    }

    /// The next ballot of the same node: its round is higher than `than`.
    pub fn above(self, than: Ballot) -> Ballot {
        Ballot { round: than.round.max(self.round).saturating_add(1), ..self }
    }
}

/// Freshness of a question: a counter the asker never repeats, because its boot number is part of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Round {
    /// How often the asker has started, counted durably.
    pub boot: u64,
    /// Counts questions since that start.
    pub number: u64,
}

/// The members of a group, sorted; a position in it stands for a node wherever votes are counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Members(Vec<NodeId>);

impl Members {
    /// Most members a group can have.
    pub const MAX: usize = 32;

    /// Sorts `nodes` and drops repetitions. Panics unless 1 to 32 remain (a configuration error,
    /// which the configuration reader reports in words before it comes here).
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Members {
        let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
        nodes.sort();
        nodes.dedup();
        assert!((1..=Self::MAX).contains(&nodes.len()), "a group has 1 to 32 members");
        Members(nodes)
    }

    /// How many members.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest number of members such that any two sets of that size meet, for even counts too.
    pub fn quorum(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// The position of `node`, or none for a stranger.
    pub fn position(&self, node: NodeId) -> Option<usize> {
        self.0.binary_search(&node).ok()
    }

    /// All members in order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.iter().copied()
    }

    /// The member at `position`.
    pub fn at(&self, position: usize) -> NodeId {
        self.0[position]
    }
}

/// A set of members, by position. Counting votes in a set is what makes a repeated vote count once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NodeSet(u32);

impl NodeSet {
    /// Adds a member; false if it was there already.
    pub fn insert(&mut self, position: usize) -> bool {
        let before = self.0;
        self.0 |= 1 << position;
        self.0 != before
    }

    /// Whether the member is in the set.
    pub fn contains(self, position: usize) -> bool {
        self.0 & (1 << position) != 0
    }

    /// How many distinct members.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.priority {
            _ if *self == Ballot::NONE => write!(f, "b-"),
            0 => write!(f, "b{}.{}", self.round, self.node.0),
            priority => write!(f, "b{}.{}p{}", self.round, self.node.0, priority),
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.boot, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quorums_always_meet() {
        for count in 1..=Members::MAX {
            let members = Members::new((0..count as u16).map(NodeId));
            assert!(2 * members.quorum() > count);
        }
    }

    #[test]
    fn a_vote_repeated_counts_once() {
        let mut votes = NodeSet::default();
        assert!(votes.insert(3));
        assert!(!votes.insert(3));
        assert_eq!(votes.count(), 1);
    }

    #[test]
    fn a_bump_exceeds_both_ballots() {
        let mine = Ballot { round: 2, priority: 1, node: NodeId(1) };
        let seen = Ballot { round: 7, priority: 9, node: NodeId(3) };
        assert!(mine.above(seen) > seen && mine.above(seen).node == NodeId(1));
    }
}
