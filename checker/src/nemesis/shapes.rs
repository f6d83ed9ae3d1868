//! Partitions: which links each shape cuts.

use node::wire::NodeId;

use super::plan::Shape;
use crate::proxy::Link;

impl Shape {
    /// The links that are cut, of nodes in this order, the leader first if the shape wants it.
    pub fn cuts(self, order: &[NodeId]) -> Vec<Link> {
        let count = order.len();
        let quorum = count / 2 + 1;
        let half = count / 2;
        // Who speaks is `from`, who hears is `to`; both are positions in the order.
        let is_cut = |from: usize, to: usize| {
            let (low, high) = (from.min(to), from.max(to));
            match self {
                Shape::One | Shape::Leader => low == 0,
                Shape::Halves => (from < half) != (to < half),
                Shape::Minority => (from < count - quorum) != (to < count - quorum),
                // Hears a quorum around it on the ring, itself included.
                Shape::MajoritiesRing => (from + quorum / 2 + count - to) % count >= quorum,
                Shape::Bridge => low > 0 && (low <= half) != (high <= half),
                Shape::OneWayIn => to == 0,
                Shape::OneWayOut => from == 0,
                Shape::QuorumLoss => from != HUB && to != HUB,
                Shape::Constrained => low == 0 || (from != HUB && to != HUB),
                Shape::Chained => high - low > quorum / 2,
            }
        };
        links(order, is_cut)
    }

    /// What is cut for a while before the rest, if the shape has a past.
    pub fn cuts_before(self, order: &[NodeId]) -> Option<Vec<Link>> {
        (self == Shape::Constrained).then(|| links(order, |from, to| from + to == HUB))
    }
}

/// The leader is at 0 where shapes have a hub, so that it is another node.
const HUB: usize = 1;

fn links(order: &[NodeId], is_cut: impl Fn(usize, usize) -> bool) -> Vec<Link> {
    let pairs = (0..order.len()).flat_map(|from| (0..order.len()).map(move |to| (from, to)));
    let cut = pairs.filter(|(from, to)| from != to && is_cut(*from, *to));
    cut.map(|(from, to)| Link::between(order[from], order[to])).collect()
}
