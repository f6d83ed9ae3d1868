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

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u16) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    /// Cut links between nodes from 1, the leader, in order: `1-2` both ways, `1>2` one way.
    fn cut(shape: Shape, count: u16) -> String {
        named(&nodes(count), &shape.cuts(&nodes(count)))
    }

    fn named(nodes: &[NodeId], cuts: &[Link]) -> String {
        let mut names = Vec::new();
        for (at, a) in nodes.iter().enumerate() {
            for b in &nodes[at + 1..] {
                let (there, back) = (Link::between(*a, *b), Link::between(*b, *a));
                match (cuts.contains(&there), cuts.contains(&back)) {
                    (true, true) => names.push(format!("{}-{}", a.0, b.0)),
                    (true, false) => names.push(format!("{}>{}", a.0, b.0)),
                    (false, true) => names.push(format!("{}>{}", b.0, a.0)),
                    (false, false) => {}
                }
            }
        }
        names.join(" ")
    }

    #[test]
    fn each_shape_cuts_these_links() {
        const HALF_OF_7: &str = "1-4 1-5 1-6 1-7 2-4 2-5 2-6 2-7 3-4 3-5 3-6 3-7";
        let table = [
            (Shape::One, 3, "1-2 1-3"),
            (Shape::One, 4, "1-2 1-3 1-4"),
            (Shape::Leader, 5, "1-2 1-3 1-4 1-5"),
            (Shape::Leader, 7, "1-2 1-3 1-4 1-5 1-6 1-7"),
            (Shape::Halves, 3, "1-2 1-3"),
            (Shape::Halves, 4, "1-3 1-4 2-3 2-4"),
            (Shape::Halves, 5, "1-3 1-4 1-5 2-3 2-4 2-5"),
            (Shape::Halves, 7, HALF_OF_7),
            (Shape::Minority, 3, "1-2 1-3"),
            (Shape::Minority, 4, "1-2 1-3 1-4"),
            (Shape::Minority, 5, "1-3 1-4 1-5 2-3 2-4 2-5"),
            (Shape::Minority, 7, HALF_OF_7),
            (Shape::MajoritiesRing, 3, "2>1 1>3 3>2"),
            (Shape::MajoritiesRing, 4, "1-3 2-4"),
            (Shape::MajoritiesRing, 5, "1-3 1-4 2-4 2-5 3-5"),
            (Shape::MajoritiesRing, 7, "3>1 1-4 1-5 1>6 4>2 2-5 2-6 2>7 5>3 3-6 3-7 6>4 4-7 7>5"),
            (Shape::Bridge, 3, "2-3"),
            (Shape::Bridge, 4, "2-4 3-4"),
            (Shape::Bridge, 5, "2-4 2-5 3-4 3-5"),
            (Shape::Bridge, 7, "2-5 2-6 2-7 3-5 3-6 3-7 4-5 4-6 4-7"),
            (Shape::OneWayIn, 3, "2>1 3>1"),
            (Shape::OneWayIn, 5, "2>1 3>1 4>1 5>1"),
            (Shape::OneWayOut, 3, "1>2 1>3"),
            (Shape::OneWayOut, 4, "1>2 1>3 1>4"),
            (Shape::QuorumLoss, 3, "1-3"),
            (Shape::QuorumLoss, 4, "1-3 1-4 3-4"),
            (Shape::QuorumLoss, 5, "1-3 1-4 1-5 3-4 3-5 4-5"),
            (Shape::QuorumLoss, 7, "1-3 1-4 1-5 1-6 1-7 3-4 3-5 3-6 3-7 4-5 4-6 4-7 5-6 5-7 6-7"),
            (Shape::Constrained, 3, "1-2 1-3"),
            (Shape::Constrained, 4, "1-2 1-3 1-4 3-4"),
            (Shape::Constrained, 5, "1-2 1-3 1-4 1-5 3-4 3-5 4-5"),
            (
                Shape::Constrained,
                7,
                "1-2 1-3 1-4 1-5 1-6 1-7 3-4 3-5 3-6 3-7 4-5 4-6 4-7 5-6 5-7 6-7",
            ),
            (Shape::Chained, 3, "1-3"),
            (Shape::Chained, 4, "1-3 1-4 2-4"),
            (Shape::Chained, 5, "1-3 1-4 1-5 2-4 2-5 3-5"),
            (Shape::Chained, 7, "1-4 1-5 1-6 1-7 2-5 2-6 2-7 3-6 3-7 4-7"),
        ];
        for (shape, count, links) in table {
            assert_eq!(cut(shape, count), links, "{} of {count}", shape.name());
        }
        assert!(Shape::ALL.iter().all(|shape| table.iter().any(|(known, ..)| known == shape)));
    }

    #[test]
    fn only_the_constrained_shape_has_a_past() {
        for shape in Shape::ALL {
            let before = shape.cuts_before(&nodes(5)).map(|cuts| named(&nodes(5), &cuts));
            let wanted = (shape == Shape::Constrained).then(|| "1-2".to_owned());
            assert_eq!(before, wanted, "{}", shape.name());
        }
    }

    /// What each node can hear, itself included.
    fn heard(shape: Shape, count: u16) -> Vec<Vec<NodeId>> {
        let cuts = shape.cuts(&nodes(count));
        let hears =
            |from: &NodeId, to: NodeId| *from == to || !cuts.contains(&Link::between(*from, to));
        nodes(count)
            .into_iter()
            .map(|to| nodes(count).into_iter().filter(|from| hears(from, to)).collect())
            .collect()
    }

    #[test]
    fn on_the_ring_each_hears_a_majority_of_its_own() {
        for count in 3..=9 {
            let mut heard = heard(Shape::MajoritiesRing, count);
            assert!(heard.iter().all(|nodes| nodes.len() == usize::from(count) / 2 + 1));
            heard.sort();
            heard.dedup();
            assert_eq!(heard.len(), usize::from(count), "of {count}");
        }
    }

    #[test]
    fn who_keeps_a_quorum_in_the_shapes_of_omni_paxos() {
        for count in 3..=9 {
            let quorum = usize::from(count) / 2 + 1;
            let keeps = |shape: Shape| -> Vec<bool> {
                heard(shape, count).iter().map(|nodes| nodes.len() >= quorum).collect()
            };
            let hub_only: Vec<bool> = (0..usize::from(count)).map(|at| at == HUB).collect();
            if count > 3 {
                assert_eq!(keeps(Shape::QuorumLoss), hub_only, "of {count}");
                assert_eq!(keeps(Shape::Constrained), hub_only, "of {count}");
            }
            assert!(keeps(Shape::Chained)[usize::from(count) / 2], "of {count}");
            assert!(count == 3 || !keeps(Shape::Chained)[0], "of {count}");
        }
    }
}
