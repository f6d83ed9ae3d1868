//! What the nemesis tells, as the history has it.

use std::collections::BTreeMap;

use node::wire::NodeId;

use super::Recorder;
use crate::nemesis::{self, Event, What};
use crate::proxy::{Link, Sprung};

/// The faults of a run so far.
pub(super) struct Faults {
    /// The members of each replication group.
    groups: Vec<Vec<NodeId>>,
    /// Their numbers in the history, by step.
    numbers: BTreeMap<usize, usize>,
    /// What lasts, by step.
    active: BTreeMap<usize, Held>,
    /// Some fault was aimed at the leader.
    pub wanted_leader: bool,
    /// Some fault hit the leader it was aimed at.
    pub hit_leader: bool,
}

impl Faults {
    /// There was none yet. `groups`: the members of each replication group.
    pub fn new(groups: Vec<Vec<NodeId>>) -> Faults {
        let (numbers, active) = Default::default();
        Faults { groups, numbers, active, wanted_leader: false, hit_leader: false }
    }

    /// Writes an event down.
    pub fn take(&mut self, Event { step, what, .. }: Event, plan: &nemesis::Plan, to: &Recorder) {
        let fault = &plan.steps[step].fault;
        match what {
            What::Began { nodes, links, leader } => {
                let names: Vec<String> = nodes.iter().map(|node| format!("n{}", node.0)).collect();
                let mut text = format!("{fault}: {}", names.join(" "));
                if let Some(leader) = leader {
                    text = format!("{text}, n{} leads", leader.0);
                }
                self.active.insert(step, Held::by(fault, nodes, links));
                let has_quorum = self.has_quorum();
                let number = to.fault_begins(fault.kind().name(), &text, has_quorum);
                self.numbers.insert(step, number);
                self.wanted_leader |= fault.wants_leader();
                self.hit_leader |= leader.is_some();
            }
            What::TookEffect => to.noted(&format!("took effect: {fault}")),
            What::Sprung(Sprung::Accepted) => {
                to.noted("they accepted from the old leader, which is cut off now");
            }
            What::Sprung(Sprung::Promised { candidate, voters }) => {
                let voters: Vec<String> =
                    voters.iter().map(|node| format!("n{}", node.0)).collect();
                let (voters, candidate) = (voters.join(" and "), candidate.0);
                to.noted(&format!("killed {voters}, who had just promised to follow n{candidate}"));
            }
            What::Healed { touched } => {
                self.active.remove(&step);
                let has_quorum = self.has_quorum();
                to.fault_ends(self.numbers[&step], touched, has_quorum);
            }
        }
    }

    /// Whether in every group some node reaches a quorum of it.
    fn has_quorum(&self) -> bool {
        self.groups.iter().all(|members| has_quorum(members, &self.active))
    }
}

/// What a fault keeps from working.
#[derive(Default)]
struct Held {
    nodes: Vec<NodeId>,
    links: Vec<Link>,
}

impl Held {
    fn by(fault: &nemesis::Fault, nodes: Vec<NodeId>, links: Vec<Link>) -> Held {
        use nemesis::Fault;
        match fault {
            Fault::Kill(_) | Fault::Pause(_) | Fault::Suspend(_) | Fault::RestartAll => {
                Held { nodes, links }
            }
            Fault::Partition(_) | Fault::KillVoters => Held { nodes: Vec::new(), links },
            // Bad weather and odd clocks are hard to bear, but no excuse.
            Fault::Weather { .. } | Fault::Clock { .. } => Held::default(),
        }
    }
}

/// Whether some member reaches a quorum of them, both ways, itself included.
fn has_quorum(members: &[NodeId], active: &BTreeMap<usize, Held>) -> bool {
    let works = |node: NodeId| !active.values().any(|held| held.nodes.contains(&node));
    let passes =
        |from, to| !active.values().any(|held| held.links.contains(&Link::between(from, to)));
    members.iter().any(|&one| {
        let reaches = |&&other: &&NodeId| works(other) && passes(one, other) && passes(other, one);
        works(one) && members.iter().filter(reaches).count() > members.len() / 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::{Fault, Shape, Target};

    #[test]
    fn a_quorum_is_of_nodes_that_work_by_links_that_work_both_ways() {
        let all: Vec<NodeId> = (1..=3).map(NodeId).collect();
        let link = |from, to| Link::between(NodeId(from), NodeId(to));
        let ring = Fault::Partition(Shape::MajoritiesRing);
        let cut = |links: &[Link]| Held::by(&ring, all.clone(), links.to_vec());
        let kill =
            |count: usize| Held::by(&Fault::Kill(Target::One), all[..count].to_vec(), vec![]);
        let of = |held: Vec<Held>| has_quorum(&all, &held.into_iter().enumerate().collect());
        assert!(of(vec![]));
        assert!(of(vec![cut(&[link(1, 2), link(1, 3)])]), "2 and 3 have each other");
        assert!(of(vec![cut(&[link(1, 2), link(2, 3)])]), "1 and 3 have each other");
        assert!(!of(vec![cut(&[link(1, 2), link(2, 3), link(3, 1)])]), "a ring of one-way links");
        assert!(of(vec![kill(1)]));
        assert!(!of(vec![kill(2)]));
        assert!(!of(vec![kill(1), cut(&[link(2, 3)])]), "each alone would leave one");
        let four: Vec<NodeId> = (1..=4).map(NodeId).collect();
        assert!(!has_quorum(&four, &BTreeMap::from([(0, kill(2))])), "half is none");
    }
}
