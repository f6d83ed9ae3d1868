//! The plan: which fault, when, at whom.

use std::fmt::{self, Display};

use clap::ValueEnum;
use node::wire::NodeId;
use serde::{Deserialize, Serialize};

use crate::proxy::Weather;

/// What the nemesis will do, by ascending `at_ms`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Each begins and heals by itself: several may last at a time.
    pub steps: Vec<Step>,
}

/// One fault, from its beginning to its healing.
/// Invariant: `at_ms < heal_ms`, and `order` names every node once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When it begins, from the beginning of the load.
    pub at_ms: u64,
    /// When it is healed.
    pub heal_ms: u64,
    /// What is done.
    pub fault: Fault,
    /// All nodes, shuffled: the first ones are those it is done to. Where the fault is aimed at the
    /// leader, that node steps to the front when the time comes.
    #[serde(with = "numbers")]
    pub order: Vec<NodeId>,
}

/// What is done to the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// `kill -9`; restarted to heal.
    Kill(Target),
    /// The leader is cut off. Those who promise to follow another are killed in that very moment,
    /// and restarted beside the old leader, with the new one cut off; later it is the old one that is
    /// cut off. If they forgot the promise, each leader had a quorum, and one's writes are lost.
    KillVoters,
    /// SIGSTOP; SIGCONT to heal.
    Pause(Target),
    /// The same with the links to other nodes cut, from just before until some time after: as a
    /// virtual machine that is moved. Who led before wakes up in the belief that it still leads,
    /// and clients reach it before anybody tells it otherwise.
    Suspend(Target),
    /// All nodes killed at once; all restarted to heal.
    RestartAll,
    /// Links between nodes are cut. Clients still reach every node.
    Partition(Shape),
    /// Bad weather of one kind on all links from and to the target, those of clients included.
    Weather {
        /// Loss, delay, duplicate, reorder or corrupt.
        kind: Kind,
        /// Around whom.
        target: Target,
        /// How bad.
        weather: Weather,
    },
    /// The clock of the target jumps forward, and runs at this rate; 100 is the true one. To heal,
    /// it runs at that again; it is not set back.
    Clock {
        /// Whose.
        target: Target,
        /// More is faster.
        percent: u32,
        /// How far it jumps.
        jump_ms: u32,
    },
}

/// Whom a fault is aimed at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The node that leads when the fault begins.
    Leader,
    /// One node, drawn by lot.
    One,
    /// As many nodes as can be without touching a quorum of the others; one of two.
    Minority,
    /// Every node.
    All,
}

/// Which links between nodes are cut. Shapes that name the leader put it where it hurts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One node is alone.
    One,
    /// The leader is alone.
    Leader,
    /// Two halves, as equal as can be: of an even number, neither is a quorum.
    Halves,
    /// The leader is in the largest minority.
    Minority,
    /// Each node hears a majority, and no two of them the same one.
    MajoritiesRing,
    /// Two halves that one node belongs to.
    Bridge,
    /// The leader hears nobody, and everybody hears it.
    OneWayIn,
    /// Nobody hears the leader, and it hears everybody.
    OneWayOut,
    /// All links but those of one hub, which does not lead, are cut (Omni-Paxos).
    QuorumLoss,
    /// The hub loses the leader first and falls behind; then the leader is alone, and the others
    /// reach only the hub (Omni-Paxos).
    Constrained,
    /// A line with the leader at its end: each node reaches those near it, so many that the middle
    /// one still has a quorum (Omni-Paxos).
    Chained,
}

/// A family of faults, as asked for on the command line.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nodes are killed, and restarted later
    Kill,
    /// Nodes are stopped, and go on later as if no time had passed
    Pause,
    /// Links between nodes are cut
    Partition,
    /// Datagrams are lost, often several in a row
    Loss,
    /// Datagrams are late
    Delay,
    /// Datagrams arrive twice, or again much later
    Duplicate,
    /// Datagrams overtake each other
    Reorder,
    /// Datagrams are changed or shortened on their way
    Corrupt,
    /// Clocks run too fast or too slow, or jump forward
    Clock,
    /// All nodes are killed at once, and restarted
    RestartAll,
}

impl Kind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Pause => "pause",
            Kind::Partition => "partition",
            Kind::Loss => "loss",
            Kind::Delay => "delay",
            Kind::Duplicate => "duplicate",
            Kind::Reorder => "reorder",
            Kind::Corrupt => "corrupt",
            Kind::Clock => "clock",
            Kind::RestartAll => "restart-all",
        }
    }
}

impl Fault {
    /// The family it belongs to.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::Kill(_) | Fault::KillVoters => Kind::Kill,
            Fault::Pause(_) | Fault::Suspend(_) => Kind::Pause,
            Fault::RestartAll => Kind::RestartAll,
            Fault::Partition(_) => Kind::Partition,
            Fault::Weather { kind, .. } => *kind,
            Fault::Clock { .. } => Kind::Clock,
        }
    }

    /// Whether it has to be known who leads.
    pub fn wants_leader(&self) -> bool {
        match self {
            Fault::Kill(target) | Fault::Pause(target) | Fault::Suspend(target) => {
                *target == Target::Leader
            }
            Fault::Weather { target, .. } | Fault::Clock { target, .. } => {
                *target == Target::Leader
            }
            Fault::KillVoters => true,
            Fault::RestartAll => false,
            Fault::Partition(shape) => shape.wants_leader(),
        }
    }
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 11] = [
        Shape::One,
        Shape::Leader,
        Shape::Halves,
        Shape::Minority,
        Shape::MajoritiesRing,
        Shape::Bridge,
        Shape::OneWayIn,
        Shape::OneWayOut,
        Shape::QuorumLoss,
        Shape::Constrained,
        Shape::Chained,
    ];

    /// Whether it has to be known who leads.
    pub fn wants_leader(self) -> bool {
        !matches!(self, Shape::One | Shape::Halves | Shape::MajoritiesRing | Shape::Bridge)
    }

    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Shape::One => "one",
            Shape::Leader => "leader",
            Shape::Halves => "halves",
            Shape::Minority => "minority",
            Shape::MajoritiesRing => "majorities-ring",
            Shape::Bridge => "bridge",
            Shape::OneWayIn => "one-way-in",
            Shape::OneWayOut => "one-way-out",
            Shape::QuorumLoss => "quorum-loss",
            Shape::Constrained => "constrained",
            Shape::Chained => "chained",
        }
    }
}

impl Target {
    /// The first so many of `count` nodes.
    pub fn of(self, count: usize) -> usize {
        match self {
            Target::Leader | Target::One => 1,
            Target::Minority => (count.saturating_sub(1) / 2).max(1),
            Target::All => count,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Target::Leader => "leader",
            Target::One => "one",
            Target::Minority => "minority",
            Target::All => "all",
        }
    }
}

/// One line a step.
impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        write!(f, "{:>8} to {:>8} s  {}", seconds(self.at_ms), seconds(self.heal_ms), self.fault)?;
        let order = self.order.iter().map(|node| node.0.to_string());
        write!(f, "  (nodes {})", order.collect::<Vec<_>>().join(" "))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind().name())?;
        match self {
            Fault::Kill(target) | Fault::Pause(target) => write!(f, " {}", target.name()),
            Fault::Suspend(target) => write!(f, " {}, cut off", target.name()),
            Fault::KillVoters => write!(f, " voters"),
            Fault::RestartAll => Ok(()),
            Fault::Partition(shape) => write!(f, " {}", shape.name()),
            Fault::Weather { target, weather, .. } => write!(f, " {}: {weather}", target.name()),
            Fault::Clock { target, percent, jump_ms: 0 } => {
                write!(f, " {}: {percent} %", target.name())
            }
            Fault::Clock { target, percent: 100, jump_ms } => {
                write!(f, " {}: {jump_ms} ms ahead", target.name())
            }
            Fault::Clock { target, percent, jump_ms } => {
                write!(f, " {}: {percent} %, {jump_ms} ms ahead", target.name())
            }
        }
    }
}

/// Nodes as plain numbers.
mod numbers {
    use super::NodeId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(nodes: &[NodeId], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(nodes.iter().map(|node| node.0))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<NodeId>, D::Error> {
        Ok(Vec::<u16>::deserialize(from)?.into_iter().map(NodeId).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::{Options, draw};

    #[test]
    fn a_step_is_written_in_one_line_and_one_object() {
        let weather = Weather { loss: 125, burst_max: 3, ..Weather::CLEAR };
        let fault = Fault::Weather { kind: Kind::Loss, target: Target::Leader, weather };
        let order = [2, 1, 3].map(NodeId).to_vec();
        let step = Step { at_ms: 1_250, heal_ms: 4_000, fault, order };
        let line =
            "   1.250 to    4.000 s  loss leader: 12.5 % lost, up to 3 in a row  (nodes 2 1 3)";
        assert_eq!(step.to_string(), line);
        let json = r#"{"at_ms":0,"heal_ms":1,"fault":{"partition":"bridge"},"order":[2,1]}"#;
        let read: Step = serde_json::from_str(json).expect("a step");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), json);
        assert_eq!(read.fault, Fault::Partition(Shape::Bridge));
        assert!(serde_json::from_str::<Step>(&json.replace("order", "ordre")).is_err());
    }

    #[test]
    fn a_plan_is_the_same_when_it_is_read_back() {
        let kinds = Kind::value_variants().to_vec();
        let nodes = (1..=5).map(NodeId).collect();
        let options = Options { kinds, interval_ms: 5_000, time_limit_ms: 120_000, nodes };
        for plan in (0..50).map(|seed| draw(seed, &options)) {
            let json = serde_json::to_string(&plan).expect("JSON");
            assert_eq!(serde_json::from_str::<Plan>(&json).expect("a plan"), plan, "{json}");
            assert_eq!(plan.to_string().lines().count(), plan.steps.len());
        }
    }
}
