//! Who speaks to whom through the proxy, and what became of what was said.

use std::fmt::{self, Display};

use node::wire::NodeId;

use super::weather::Weather;

/// One end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Endpoint {
    /// A node of the cluster.
    Node(NodeId),
    /// All clients of a group, which share their weather but not their addresses.
    Client(u32),
}

/// The way of datagrams from one endpoint to another. The way back is another link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link {
    /// Who sends.
    pub from: Endpoint,
    /// Who receives.
    pub to: Endpoint,
}

impl Link {
    /// The link from one node to another.
    pub fn between(from: NodeId, to: NodeId) -> Link {
        Link { from: Endpoint::Node(from), to: Endpoint::Node(to) }
    }

    /// The way back.
    pub fn back(self) -> Link {
        Link { from: self.to, to: self.from }
    }

    /// Whether this node is at either end.
    pub fn touches(self, node: NodeId) -> bool {
        [self.from, self.to].contains(&Endpoint::Node(node))
    }
}

/// What became of the datagrams of a link. Those that still wait are in `received` only.
/// Invariant: `received >= passed + cut + lost + crowded`, and equal once none waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Came from the sender.
    pub received: u64,
    /// Went on to the receiver, however late or damaged; copies are not counted here.
    pub passed: u64,
    /// Dropped because the link was cut.
    pub cut: u64,
    /// Dropped by lot.
    pub lost: u64,
    /// Dropped because too many waited, or the kernel took no more.
    pub crowded: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Followed by a copy of an old one.
    pub replayed: u64,
    /// Held back until others had overtaken it, or none came.
    pub reordered: u64,
    /// Changed or shortened.
    pub corrupted: u64,
    /// Sent on later than it came.
    pub delayed: u64,
}

impl Counts {
    /// Datagrams that met what this weather does, whether or not it was this one that did it.
    pub fn touched(&self, weather: &Weather) -> u64 {
        let Weather { cut, loss, duplicate, replay, reorder, corrupt, .. } = *weather;
        [
            (cut, self.cut),
            (loss > 0, self.lost),
            (duplicate > 0, self.duplicated),
            (replay > 0, self.replayed),
            (reorder > 0, self.reordered),
            (corrupt > 0, self.corrupted),
            (weather.delay_ms > 0 || weather.jitter_ms > 0, self.delayed),
        ]
        .iter()
        .filter_map(|(does, count)| does.then_some(count))
        .sum()
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Node(node) => write!(f, "n{}", node.0),
            Endpoint::Client(group) => write!(f, "c{group}"),
        }
    }
}

impl Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{}", self.from, self.to)
    }
}
