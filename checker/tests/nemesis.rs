//! Plans carried out on a cluster that is none: in virtual time, through a real proxy.
//!
//! `SEED=` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use checker::nemesis::{
    Cluster, Event, Fault, Kind, Options, Pace, Plan, Shape, Step, Target, Waited, What, draw,
    execute,
};
use checker::proxy::{Endpoint, Link, Proxy, Weather};
use clap::ValueEnum;
use fastrand::Rng;
use node::wire::NodeId;

mod random;

const TIMEOUT: Duration = Duration::from_secs(30);

fn options(count: u16, kinds: &[Kind]) -> Options {
    let nodes = (1..=count).map(NodeId).collect();
    Options { kinds: kinds.to_vec(), interval_ms: 5_000, time_limit_ms: 120_000, nodes }
}

/// A packet from a node to a node, as far as one can see who has no key: first it promises to
/// follow the other, who leads, and then it has accepted an entry of the other's.
fn vows() -> Vec<u8> {
    let mut packet = b"QRT\x01\x01".to_vec();
    packet.extend([0; 29]);
    packet.extend([46, 0, 2, 0, 0, 0, 0, 0]);
    packet.extend([0; 46]);
    packet.extend([19, 0, 7, 0, 0, 0, 0, 0]);
    packet.extend([0; 11]);
    packet.extend(1u64.to_le_bytes());
    packet.extend([0; 16]);
    packet
}

/// Nodes that are but sockets, and the proxy between them.
struct Network {
    proxy: Proxy,
    sockets: Vec<(NodeId, UdpSocket)>,
}

impl Network {
    fn of(count: u16, seed: u64) -> Network {
        let socket = |id| (NodeId(id), UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        let sockets: Vec<(NodeId, UdpSocket)> = (1..=count).map(socket).collect();
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let nodes: Vec<(NodeId, SocketAddr)> =
            sockets.iter().map(|(id, socket)| (*id, address(socket))).collect();
        Network { proxy: Proxy::start(&nodes, 1, seed).expect("sockets on loopback"), sockets }
    }

    /// Every node says to every other one that it promises to follow it, and the proxy has heard it.
    fn chatter(&self) {
        let heard = || self.proxy.counters().values().map(|counts| counts.received).sum::<u64>();
        let mut all = heard();
        for (from, socket) in &self.sockets {
            for (to, _) in self.sockets.iter().filter(|(to, _)| to != from) {
                let face = self.proxy.address(Endpoint::Node(*from), *to);
                socket.send_to(&vows(), face).expect("loopback takes it");
                all += 1;
            }
        }
        let deadline = Instant::now() + TIMEOUT;
        while heard() < all {
            assert!(Instant::now() < deadline, "the proxy hears");
            std::thread::yield_now();
        }
    }

    fn is_clear(&self) -> bool {
        self.proxy.links().iter().all(|link| self.proxy.weather(*link) == Weather::CLEAR)
    }
}

/// Virtual time, in each moment of which there is chatter. At `until_ms` the run is interrupted.
struct Moments<'a> {
    network: &'a Network,
    now_ms: u64,
    until_ms: u64,
}

impl Pace for Moments<'_> {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn wait_until(&mut self, at_ms: u64) -> Waited {
        self.network.chatter();
        self.now_ms = self.now_ms.max(at_ms.min(self.until_ms));
        if at_ms > self.until_ms { Waited::Interrupted } else { Waited::Due }
    }
}

/// A cluster that keeps account of what is done to it.
struct Nodes {
    down: BTreeSet<NodeId>,
    still: BTreeSet<NodeId>,
    clocks: BTreeMap<NodeId, u32>,
    /// Whose clock is as it was, whatever it is told.
    true_clock: Option<NodeId>,
    restarts: u32,
    /// Who leads, in one of so many answers; otherwise nobody.
    leader: (NodeId, u8),
    random: Rng,
    /// How many things can be done before one fails.
    until_failure: Option<u32>,
}

impl Nodes {
    fn of(network: &Network, seed: u64) -> Nodes {
        let mut random = Rng::with_seed(seed);
        let ids: Vec<NodeId> = network.sockets.iter().map(|(id, _)| *id).collect();
        let leader = (ids[random.usize(0..ids.len())], 1);
        let (down, still, clocks, true_clock, restarts, until_failure) = Default::default();
        Nodes { down, still, clocks, true_clock, restarts, leader, random, until_failure }
    }

    fn is_well(&self) -> bool {
        self.down.is_empty()
            && self.still.is_empty()
            && self.clocks.values().all(|rate| *rate == 100)
    }

    /// Fails once, when it is time to.
    fn may_act(&mut self) -> io::Result<()> {
        let left = self.until_failure;
        self.until_failure = left.and_then(|left| left.checked_sub(1));
        if left == Some(0) { Err(io::Error::other("it was to fail")) } else { Ok(()) }
    }
}

impl Cluster for Nodes {
    fn kill(&mut self, node: NodeId) -> io::Result<()> {
        self.may_act()?;
        assert!(self.down.insert(node), "{node:?} is down already");
        self.still.remove(&node);
        Ok(())
    }

    fn restart(&mut self, node: NodeId) -> io::Result<()> {
        self.down.remove(&node);
        self.restarts += 1;
        self.may_act()
    }

    fn pause(&mut self, node: NodeId) -> io::Result<()> {
        self.may_act()?;
        assert!(!self.down.contains(&node), "{node:?} is down");
        self.still.insert(node);
        Ok(())
    }

    fn resume(&mut self, node: NodeId) -> io::Result<()> {
        assert!(!self.down.contains(&node), "{node:?} is down");
        self.still.remove(&node);
        self.may_act()
    }

    fn set_clock(&mut self, node: NodeId, percent: u32, _: u32) -> io::Result<()> {
        self.clocks.insert(node, percent);
        self.may_act()
    }

    fn clock_is_off(&mut self, node: NodeId) -> bool {
        assert!(!self.down.contains(&node) && !self.still.contains(&node), "{node:?} is asked");
        self.clocks.contains_key(&node) && self.true_clock != Some(node)
    }

    fn leader(&mut self, _: usize) -> Option<NodeId> {
        let (leader, every) = self.leader;
        (self.random.u8(0..every) == 0).then_some(leader)
    }
}

/// Carries a plan out on a healthy cluster until then, and tells what was told.
fn run(
    network: &Network,
    nodes: &mut Nodes,
    plan: &Plan,
    until_ms: u64,
) -> (io::Result<()>, Vec<Event>) {
    let mut events = Vec::new();
    let mut pace = Moments { network, now_ms: 0, until_ms };
    let told = &mut |event| events.push(event);
    (execute(plan, nodes, &network.proxy, &mut pace, told), events)
}

/// Each fault that began has taken effect at most once and was healed, in this order.
fn assert_lives(events: &[Event]) {
    let mut lives: BTreeMap<usize, Vec<&What>> = BTreeMap::new();
    // Whom a trap caught is news of its own.
    let lasting = events.iter().filter(|event| !matches!(event.what, What::Sprung(_)));
    lasting.for_each(|event| lives.entry(event.step).or_default().push(&event.what));
    for (step, life) in lives {
        let touched = match life[..] {
            [What::Began { .. }, What::TookEffect, What::Healed { touched }] => *touched > 0,
            [What::Began { .. }, What::Healed { touched }] => *touched == 0,
            _ => false,
        };
        assert!(touched, "step {step}: {life:?}");
    }
    assert!(events.is_sorted_by_key(|event| event.at_ms));
}

fn step(at_ms: u64, heal_ms: u64, fault: Fault, order: &[u16]) -> Step {
    Step { at_ms, heal_ms, fault, order: order.iter().map(|id| NodeId(*id)).collect() }
}

#[test]
fn whatever_happens_all_is_healed() {
    let mut random = Rng::with_seed(random::seed(fastrand::u64(..)));
    let mut begun = 0;
    for round in 0..60 {
        let count = [2, 3, 4, 5, 7][round % 5];
        let network = Network::of(count, random.u64(..));
        let mut options = options(count, Kind::value_variants());
        options.time_limit_ms = 40_000;
        let plan = draw(random.u64(..), &options);
        let mut nodes = Nodes::of(&network, random.u64(..));
        nodes.leader.1 = random.u8(1..4);
        // A third runs to its end, a third is interrupted, in a third something fails.
        let until_ms = if round % 3 == 1 { random.u64(0..40_000) } else { u64::MAX };
        nodes.until_failure = (round % 3 == 2).then(|| random.u32(0..12));
        let (result, events) = run(&network, &mut nodes, &plan, until_ms);
        assert!(nodes.is_well() && network.is_clear(), "round {round} of {plan}");
        assert_eq!(result.is_err(), round % 3 == 2 && nodes.until_failure.is_none(), "{result:?}");
        assert_lives(&events);
        let began = events.iter().filter(|event| matches!(event.what, What::Began { .. })).count();
        assert!(round % 3 != 0 || began == plan.steps.len());
        begun += began;
    }
    assert!(begun > 100, "{begun} faults");
}

#[test]
fn a_listener_that_panics_leaves_nothing_broken() {
    let network = Network::of(3, 1);
    let mut nodes = Nodes::of(&network, 1);
    let faults = [
        Fault::Partition(Shape::One),
        Fault::Pause(Target::One),
        Fault::Kill(Target::One),
        Fault::RestartAll,
    ];
    let steps = (0..).zip(faults).map(|(at, fault)| step(at, 1_000, fault, &[1, 2, 3]));
    let plan = Plan { steps: steps.collect() };
    let mut pace = Moments { network: &network, now_ms: 0, until_ms: u64::MAX };
    // Also when it is told of the healing: who panics twice at a time ends the whole program.
    let listener = &mut |event: Event| {
        let is_healed = matches!(event.what, What::Healed { .. });
        assert!(event.step < 3 && !is_healed, "too much");
    };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        execute(&plan, &mut nodes, &network.proxy, &mut pace, listener)
    }));
    assert!(ended.is_err());
    assert!(nodes.is_well() && network.is_clear());
}

#[test]
fn the_leader_is_the_one_of_the_moment() {
    let network = Network::of(3, 1);
    let mut nodes = Nodes::of(&network, 1);
    nodes.leader = (NodeId(3), 1);
    let steps = vec![
        step(0, 1_000, Fault::Partition(Shape::OneWayIn), &[1, 2, 3]),
        step(2_000, 3_000, Fault::Kill(Target::Leader), &[1, 2, 3]),
        // It is down by then, and hit when it is back.
        step(2_500, 9_000, Fault::Pause(Target::Leader), &[3, 1, 2]),
    ];
    let (result, events) = run(&network, &mut nodes, &Plan { steps }, u64::MAX);
    result.expect("nothing fails");
    let began = events.into_iter().filter_map(|event| match event.what {
        What::Began { nodes, links, leader } => Some((event.at_ms, nodes, links, leader)),
        _ => None,
    });
    let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
    let cut = vec![Link::between(one, three), Link::between(two, three)];
    let wanted = [
        (0, vec![three, one, two], cut, Some(three)),
        (2_000, vec![three], vec![], Some(three)),
        (3_000, vec![three], vec![], Some(three)),
    ];
    assert_eq!(began.collect::<Vec<_>>(), wanted);
}

/// Nodes that are led by the last one; notes which links are cut when something is done to one.
struct Watched<'a> {
    proxy: &'a Proxy,
    seen: Vec<(&'static str, NodeId, String)>,
}

impl Watched<'_> {
    fn note(&mut self, what: &'static str, node: NodeId) -> io::Result<()> {
        let links = self.proxy.links().into_iter();
        let cut = links.filter(|link| self.proxy.weather(*link) == Weather::CUT);
        let cut: Vec<String> = cut.map(|link| link.to_string()).collect();
        self.seen.push((what, node, cut.join(" ")));
        Ok(())
    }
}

impl Cluster for Watched<'_> {
    fn kill(&mut self, node: NodeId) -> io::Result<()> {
        self.note("kill", node)
    }

    fn restart(&mut self, node: NodeId) -> io::Result<()> {
        self.note("restart", node)
    }

    fn pause(&mut self, node: NodeId) -> io::Result<()> {
        self.note("pause", node)
    }

    fn resume(&mut self, node: NodeId) -> io::Result<()> {
        self.note("resume", node)
    }

    fn set_clock(&mut self, node: NodeId, _: u32, _: u32) -> io::Result<()> {
        panic!("{node:?} has no clock")
    }

    fn clock_is_off(&mut self, node: NodeId) -> bool {
        panic!("{node:?} has no clock")
    }

    fn leader(&mut self, _: usize) -> Option<NodeId> {
        self.proxy.links().iter().filter_map(|link| node_of(link.to)).max()
    }
}

fn node_of(end: Endpoint) -> Option<NodeId> {
    match end {
        Endpoint::Node(node) => Some(node),
        Endpoint::Client(_) => None,
    }
}

/// What is done to nodes while a cluster of so many has this fault.
fn seen(count: u16, fault: Fault) -> Vec<(&'static str, NodeId, String)> {
    let network = Network::of(count, 1);
    let mut nodes = Watched { proxy: &network.proxy, seen: Vec::new() };
    let order: Vec<u16> = (1..=count).collect();
    let plan = Plan { steps: vec![step(0, 2_000, fault, &order)] };
    let mut pace = Moments { network: &network, now_ms: 0, until_ms: u64::MAX };
    execute(&plan, &mut nodes, &network.proxy, &mut pace, &mut |_| {}).expect("nothing fails");
    assert!(network.is_clear());
    nodes.seen
}

#[test]
fn a_suspended_leader_is_cut_off_before_it_sleeps_and_when_it_wakes_up() {
    let (leader, cut) = (NodeId(3), String::from("n1>n3 n2>n3 n3>n1 n3>n2"));
    let last = ("resume", leader, String::new());
    let wanted = [("pause", leader, cut.clone()), ("resume", leader, cut), last];
    assert_eq!(seen(3, Fault::Suspend(Target::Leader)), wanted);
}

#[test]
fn voters_die_when_they_have_promised_and_wake_up_beside_the_old_leader() {
    for count in [3, 4, 5] {
        let seen = seen(count, Fault::KillVoters);
        // A quorum with the old leader, which is the last one.
        let voters = usize::from(count / 2);
        let (killed, restarted) = seen.split_at(voters);
        let (restarted, healed) = restarted.split_at(voters);
        assert!(healed.iter().all(|(what, _, cut)| *what == "restart" && cut.is_empty()));
        let of = |seen: &[(&str, NodeId, String)], wanted: &str| -> Vec<NodeId> {
            assert!(seen.iter().all(|(what, _, _)| *what == wanted), "{seen:?}");
            seen.iter().map(|(_, node, _)| *node).collect()
        };
        let mut side = of(killed, "kill");
        assert_eq!(of(restarted, "restart"), side);
        side.push(NodeId(count));
        for (_, _, cut) in restarted {
            for (from, to) in (1..=count).flat_map(|a| (1..=count).map(move |b| (a, b))) {
                let (from, to) = (NodeId(from), NodeId(to));
                let is_across = side.contains(&from) != side.contains(&to);
                let link = Link::between(from, to).to_string();
                assert_eq!(cut.split(' ').any(|name| name == link), is_across, "{link} in {cut}");
            }
        }
    }
}

#[test]
fn faults_on_the_same_link_and_node_heal_one_by_one() {
    let network = Network::of(3, 1);
    let mut nodes = Nodes::of(&network, 1);
    let weather = Weather { duplicate: 500, ..Weather::CLEAR };
    let fault = Fault::Weather { kind: Kind::Duplicate, target: Target::All, weather };
    let steps = vec![
        step(0, 2_000, Fault::Partition(Shape::One), &[1, 2, 3]),
        step(500, 1_000, Fault::Partition(Shape::Halves), &[1, 2, 3]),
        step(500, 3_000, fault, &[1, 2, 3]),
        step(500, 4_000, Fault::RestartAll, &[1, 2, 3]),
        step(600, 1_500, Fault::Kill(Target::Minority), &[1, 2, 3]),
    ];
    let plan = Plan { steps };
    let link = Link::between(NodeId(1), NodeId(2));
    let mut seen = Vec::new();
    let mut pace = Moments { network: &network, now_ms: 0, until_ms: u64::MAX };
    let told = &mut |event: Event| {
        if let What::Healed { touched } = event.what {
            let weather = network.proxy.weather(link);
            seen.push((event.at_ms, weather.cut, weather.duplicate, touched > 0));
        }
    };
    execute(&plan, &mut nodes, &network.proxy, &mut pace, told).expect("nothing fails");
    let wanted = [
        (1_000, true, 500, true),
        (2_000, false, 500, true),
        (3_000, false, 0, true),
        (4_000, false, 0, true),
        // All were down when it came; it waited until somebody was there to be killed.
        (4_900, false, 0, true),
    ];
    assert_eq!(seen, wanted);
    assert!(nodes.is_well());
    assert_eq!(nodes.restarts, 4, "none before the last that held it down was healed");
}

#[test]
fn a_clock_counts_when_it_was_seen_to_have_changed() {
    let network = Network::of(3, 1);
    let mut nodes = Nodes::of(&network, 1);
    nodes.true_clock = Some(NodeId(3));
    let clock = |target| Fault::Clock { target, percent: 400, jump_ms: 0 };
    let steps = vec![
        step(0, 1_000, clock(Target::All), &[1, 2, 3]),
        step(2_000, 3_000, clock(Target::One), &[3, 1, 2]),
        // Who is asleep is not asked, and wakes up with it.
        step(4_000, 4_500, Fault::Pause(Target::One), &[1, 2, 3]),
        step(
            4_100,
            5_000,
            Fault::Clock { target: Target::All, percent: 50, jump_ms: 9 },
            &[2, 3, 1],
        ),
    ];
    let mut pace = Moments { network: &network, now_ms: 0, until_ms: u64::MAX };
    let mut seen = Vec::new();
    let told = &mut |event: Event| match event.what {
        What::TookEffect => seen.push((event.step, None)),
        What::Healed { touched } => seen.push((event.step, Some(touched))),
        What::Began { .. } | What::Sprung(_) => {}
    };
    execute(&Plan { steps }, &mut nodes, &network.proxy, &mut pace, told).expect("nothing fails");
    let wanted =
        [(0, None), (0, Some(2)), (1, Some(0)), (2, None), (3, None), (2, Some(1)), (3, Some(2))];
    assert_eq!(seen, wanted);
    assert!(nodes.is_well());
}
