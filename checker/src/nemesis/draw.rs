//! Draws a plan from a seed.

use std::collections::BTreeMap;
use std::iter;

use fastrand::Rng;
use node::wire::NodeId;

use super::plan::{Fault, Kind, Plan, Shape, Step, Target};
use crate::proxy::Weather;

/// What a plan shall be like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The families to draw from; empty for a quiet run. Named twice counts once.
    pub kinds: Vec<Kind>,
    /// Time between the beginnings of faults, about; not zero.
    pub interval_ms: u64,
    /// Every fault is healed by then.
    pub time_limit_ms: u64,
    /// The nodes of the cluster; not none.
    pub nodes: Vec<NodeId>,
}

/// Of so many faults, one begins before the one before it is healed.
const OVERLAP_EVERY: u8 = 3;

impl Options {
    /// What is impossible about them, in words for who asked for it.
    pub fn refusal(&self) -> Option<&'static str> {
        let asked = |kind: Kind| self.kinds.contains(&kind);
        if self.interval_ms == 0 {
            return Some("faults need time between them: make the interval longer than zero");
        }
        let alone = self.nodes.len() < 2;
        (alone && asked(Kind::Partition)).then_some("one node has no partition: ask for two nodes")
    }
}

/// The plan of a seed. Every kind comes before any comes again, and so does every shape of a
/// partition. Without a fault if there is no time for one.
pub fn draw(seed: u64, options: &Options) -> Plan {
    let Options { interval_ms, time_limit_ms, .. } = *options;
    let mut lots = Lots::new(seed, options);
    let mut steps = Vec::new();
    // Some time to see that all is well, before the first and after the last.
    let mut at_ms = interval_ms / 4;
    while let Some(fault) = lots.fault() {
        // Two of a kind at a time would often leave no quorum, and prove little.
        if let Some(last) = steps.last().filter(|last: &&Step| last.fault.kind() == fault.kind()) {
            at_ms = at_ms.max(last.heal_ms + interval_ms / 10);
        }
        let most_ms =
            if fault == Fault::RestartAll { interval_ms / 4 } else { interval_ms * 4 / 5 };
        let lasts_ms = lots.random.u64(most_ms / 2..=most_ms).max(1);
        if at_ms + lasts_ms + interval_ms / 10 > time_limit_ms {
            break;
        }
        steps.push(Step { at_ms, heal_ms: at_ms + lasts_ms, fault, order: lots.order() });
        let pause_ms = lots.random.u64(interval_ms * 9 / 10..=interval_ms * 11 / 10);
        let overlaps = lots.random.u8(0..OVERLAP_EVERY) == 0;
        at_ms += if overlaps { lasts_ms / 2 } else { pause_ms }.max(1);
    }
    Plan { steps }
}

/// What is drawn without putting back, until all were drawn.
struct Bag<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Bag<T> {
    fn new(all: Vec<T>) -> Bag<T> {
        Bag { all, left: Vec::new() }
    }

    fn draw(&mut self, random: &mut Rng) -> Option<T> {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            random.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}

/// Not everybody. A minority of one is drawn as one.
fn few(nodes: usize) -> Vec<Target> {
    let minority = (Target::Minority.of(nodes) > 1).then_some(Target::Minority);
    [Target::Leader, Target::One].into_iter().chain(minority).collect()
}

/// Everybody may be killed only as [`Fault::RestartAll`], which is asked for by its own name.
/// Voters are killed where links may be cut too, and where some are left to vote.
fn kills(options: &Options) -> Vec<Fault> {
    let may_cut = options.kinds.contains(&Kind::Partition) && options.nodes.len() > 2;
    let kills = few(options.nodes.len()).into_iter().map(Fault::Kill);
    kills.chain(may_cut.then_some(Fault::KillVoters)).collect()
}

/// A leader that is suspended comes twice: nothing else finds reads that it answers unasked.
fn pauses(nodes: usize) -> Vec<Fault> {
    let suspended = if nodes > 1 { 2 } else { 0 };
    let pauses = few(nodes).into_iter().chain([Target::All]).map(Fault::Pause);
    pauses.chain(iter::repeat_n(Fault::Suspend(Target::Leader), suspended)).collect()
}

struct Lots<'a> {
    random: Rng,
    nodes: &'a [NodeId],
    kinds: Bag<Kind>,
    shapes: Bag<Shape>,
    kills: Bag<Fault>,
    pauses: Bag<Fault>,
    /// One for each kind, so that each hits the leader as often as others.
    targets: BTreeMap<Kind, Bag<Target>>,
}

impl Lots<'_> {
    fn new(seed: u64, options: &Options) -> Lots<'_> {
        let mut kinds = options.kinds.clone();
        kinds.sort();
        kinds.dedup();
        let few = options.nodes.len() < 3;
        // Of two nodes, all shapes are one of these.
        let shapes = match few {
            true => vec![Shape::Leader, Shape::OneWayIn, Shape::OneWayOut],
            false => Shape::ALL.to_vec(),
        };
        Lots {
            random: Rng::with_seed(seed),
            nodes: &options.nodes,
            kinds: Bag::new(kinds),
            shapes: Bag::new(shapes),
            kills: Bag::new(kills(options)),
            pauses: Bag::new(pauses(options.nodes.len())),
            targets: Default::default(),
        }
    }

    fn fault(&mut self) -> Option<Fault> {
        let kind = self.kinds.draw(&mut self.random)?;
        Some(match kind {
            Kind::Kill => self.kills.draw(&mut self.random).expect("there are kills"),
            Kind::Pause => self.pauses.draw(&mut self.random).expect("there are pauses"),
            Kind::RestartAll => Fault::RestartAll,
            Kind::Partition => {
                let shape = self.shapes.draw(&mut self.random);
                Fault::Partition(shape.expect("there are shapes"))
            }
            Kind::Clock => {
                const RATES: [(u32, u32); 6] =
                    [(25, 0), (50, 0), (80, 0), (125, 0), (200, 0), (400, 0)];
                const JUMPS: [(u32, u32); 3] = [(100, 150), (100, 3_000), (100, 3_600_000)];
                let (percent, jump_ms) = *self.pick(&[&RATES[..], &JUMPS].concat());
                Fault::Clock { target: self.target(kind), percent, jump_ms }
            }
            Kind::Loss | Kind::Delay | Kind::Duplicate | Kind::Reorder | Kind::Corrupt => {
                let weather = self.weather(kind);
                Fault::Weather { kind, target: self.target(kind), weather }
            }
        })
    }

    fn weather(&mut self, kind: Kind) -> Weather {
        let random = &mut self.random;
        let clear = Weather::CLEAR;
        match kind {
            Kind::Loss => {
                Weather { loss: random.u16(30..300), burst_max: random.u16(1..=10), ..clear }
            }
            Kind::Delay => {
                Weather { delay_ms: random.u16(2..40), jitter_ms: random.u16(0..40), ..clear }
            }
            Kind::Duplicate => {
                Weather { duplicate: random.u16(50..500), replay: random.u16(10..200), ..clear }
            }
            Kind::Reorder => Weather { reorder: random.u16(50..500), ..clear },
            Kind::Corrupt => Weather { corrupt: random.u16(20..300), ..clear },
            _ => unreachable!("{} is no weather", kind.name()),
        }
    }

    fn target(&mut self, kind: Kind) -> Target {
        let count = self.nodes.len();
        let all = || few(count).into_iter().chain([Target::All]).collect();
        let bag = self.targets.entry(kind).or_insert_with(|| Bag::new(all()));
        bag.draw(&mut self.random).expect("there are targets")
    }

    fn order(&mut self) -> Vec<NodeId> {
        let mut order = self.nodes.to_vec();
        self.random.shuffle(&mut order);
        order
    }

    fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.random.usize(0..from.len())]
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    const SEEDS: std::ops::Range<u64> = 0..50;

    fn options(count: u16, kinds: &[Kind]) -> Options {
        let nodes = (1..=count).map(NodeId).collect();
        Options { kinds: kinds.to_vec(), interval_ms: 5_000, time_limit_ms: 120_000, nodes }
    }

    #[test]
    fn a_seed_decides_the_plan_and_another_seed_decides_otherwise() {
        let options = options(5, Kind::value_variants());
        for seed in SEEDS {
            let plan = draw(seed, &options);
            assert_eq!(plan, draw(seed, &options));
            assert_ne!(plan, draw(seed + 1, &options));
        }
    }

    #[test]
    fn every_kind_comes_and_two_of_a_kind_never_at_a_time() {
        let options = options(5, Kind::value_variants());
        for steps in SEEDS.map(|seed| draw(seed, &options).steps) {
            for kind in Kind::value_variants() {
                assert!(steps.iter().any(|step| step.fault.kind() == *kind), "{kind:?}");
            }
            for pair in steps.windows(2) {
                assert!(pair[0].at_ms < pair[1].at_ms);
                let same = pair[0].fault.kind() == pair[1].fault.kind();
                assert!(!same || pair[0].heal_ms < pair[1].at_ms, "{pair:?}");
            }
            assert!(steps.iter().all(|step| step.at_ms < step.heal_ms && step.heal_ms < 120_000));
            let overlaps = |pair: &[Step]| pair[1].at_ms < pair[0].heal_ms;
            assert!(steps.windows(2).any(overlaps), "some faults come together");
        }
        assert_eq!(draw(1, &self::options(3, &[])), Plan::default());
    }

    #[test]
    fn every_shape_comes_and_every_way_to_kill_and_to_pause() {
        for seed in SEEDS {
            let drawn = |count, kinds: &[Kind]| draw(seed, &options(count, kinds)).steps;
            let has = |steps: &[Step], fault| steps.iter().any(|step| step.fault == fault);
            let partitions = drawn(5, &[Kind::Partition]);
            assert!(Shape::ALL.iter().all(|shape| has(&partitions, Fault::Partition(*shape))));
            let kills = drawn(3, &[Kind::Kill]);
            assert!(has(&kills, Fault::Kill(Target::Leader)));
            assert!(!has(&kills, Fault::KillVoters), "no link may be cut");
            assert!(has(&drawn(3, &[Kind::Kill, Kind::Partition]), Fault::KillVoters));
            assert!(has(&drawn(3, &[Kind::Pause]), Fault::Suspend(Target::Leader)));
        }
    }

    #[test]
    fn one_node_has_no_partition() {
        assert!(options(1, &[Kind::Partition]).refusal().is_some());
        assert!(options(2, &[Kind::Partition]).refusal().is_none());
    }
}
