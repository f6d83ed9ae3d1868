//! A fault while it lasts: whom it holds, which links it lies on, what it has touched.

use std::collections::BTreeMap;

use node::wire::NodeId;

use super::plan::{Fault, Target};
use crate::proxy::{Counts, Link, Proxy, Weather};

/// A fault that has begun.
pub(super) struct Active {
    pub step: usize,
    pub fault: Fault,
    pub heal_ms: u64,
    /// When nodes that are suspended go on; none if they do, or are not.
    pub wakes_ms: Option<u64>,
    /// What is done to nodes is done to these.
    pub nodes: Vec<NodeId>,
    /// What is done to links.
    pub links: BTreeMap<Link, Weather>,
    /// What `links` will be, and when.
    pub later: Option<(u64, BTreeMap<Link, Weather>)>,
    /// A trap is set for voters; see [`Proxy::set_trap`].
    pub is_trap_set: bool,
    /// How many nodes were touched, and datagrams before that of `before`.
    pub touched: u64,
    /// Nodes whose clocks were set, and not yet seen to have changed.
    pub doubted: Vec<NodeId>,
    /// Of every link, when the fault came to lie on these.
    pub before: BTreeMap<Link, Counts>,
    pub took_effect: bool,
}

impl Active {
    pub fn holds_down(&self, node: NodeId) -> bool {
        matches!(self.fault, Fault::Kill(_) | Fault::RestartAll) && self.nodes.contains(&node)
    }

    pub fn holds_still(&self, node: NodeId) -> bool {
        let is_still = match self.fault {
            Fault::Pause(_) => true,
            Fault::Suspend(_) => self.wakes_ms.is_some(),
            _ => false,
        };
        is_still && self.nodes.contains(&node)
    }

    pub fn clock_of(&self, node: NodeId) -> Option<u32> {
        match self.fault {
            Fault::Clock { percent, .. } if self.nodes.contains(&node) => Some(percent),
            _ => None,
        }
    }

    /// How many nodes, or datagrams by these counters, it has touched.
    pub fn touched(&self, counters: &BTreeMap<Link, Counts>) -> u64 {
        let of = |link: &Link, weather: &Weather| {
            counters[link].touched(weather) - self.before[link].touched(weather)
        };
        self.touched + self.links.iter().map(|(link, weather)| of(link, weather)).sum::<u64>()
    }
}

/// Whom, and what weather on which links, a fault means if the nodes stand in this order.
pub(super) fn aim(
    fault: Fault,
    order: &[NodeId],
    proxy: &Proxy,
) -> (Vec<NodeId>, BTreeMap<Link, Weather>) {
    let first = |target: Target| order[..target.of(order.len())].to_vec();
    match fault {
        Fault::Kill(target) | Fault::Pause(target) | Fault::Clock { target, .. } => {
            (first(target), BTreeMap::new())
        }
        Fault::Suspend(target) => {
            let nodes = first(target);
            let cuts = cut_off(&nodes, order);
            (nodes, cuts)
        }
        Fault::KillVoters => (order[..1].to_vec(), cut_off(&order[..1], order)),
        Fault::RestartAll => (order.to_vec(), BTreeMap::new()),
        Fault::Partition(shape) => {
            let cuts = shape.cuts(order).into_iter().map(|link| (link, Weather::CUT));
            (order.to_vec(), cuts.collect())
        }
        Fault::Weather { target, weather, .. } => {
            let nodes = first(target);
            let around = |link: &Link| nodes.iter().any(|node| link.touches(*node));
            let links = proxy.links().into_iter().filter(around);
            let links = links.map(|link| (link, weather)).collect();
            (nodes, links)
        }
    }
}

/// All links between these and the others, cut.
pub(super) fn cut_off(these: &[NodeId], all: &[NodeId]) -> BTreeMap<Link, Weather> {
    let others = all.iter().filter(|node| !these.contains(node));
    let links = others.flat_map(|other| these.iter().map(|node| Link::between(*node, *other)));
    links.flat_map(|link| [link, link.back()]).map(|link| (link, Weather::CUT)).collect()
}
