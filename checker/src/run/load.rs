//! The load: clients and nemesis at work at the same time, until the time is up.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use node::wire::NodeId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use super::live::Sighting;
use super::{Error, Plan, Recorder, Scene};
use crate::cli::CRASHED;
use crate::cluster::Nodes;
use crate::nemesis::{self, Event, Interrupt, Pace as _, WallClock, What};
use crate::process::{self, Access, Place, Shared};
use crate::proxy::{Endpoint, Link, Sprung};
use crate::say;
use crate::workload::{Draw, Known, Pace};

/// How long an operation may take: some elections, but not a whole fault, so that there is always
/// somebody who goes on.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The same for who asks one node only, which mostly does not lead.
const TIMEOUT_PINNED: Duration = Duration::from_millis(250);

/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How the load went.
pub(super) struct Loaded {
    /// Nodes that ended though nobody killed them, and how.
    pub ended: Vec<(NodeId, ExitStatus)>,
    /// Somebody wanted to see the end.
    pub is_interrupted: bool,
    /// Some fault was aimed at the leader.
    pub wanted_leader: bool,
    /// Some fault hit the leader it was aimed at.
    pub hit_leader: bool,
}

/// Ctrl-C and its like: the first ends the load, the second ends us, and the nodes with us.
pub(crate) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    pub fn watch() -> io::Result<Interrupts> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, CRASHED.into(), flag.clone())?;
            flag::register(signal, flag.clone())?;
        }
        // A file above the limit is to be an error, of which we can tell, and no sudden end.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(Interrupts(flag))
    }

    /// Whether the first came.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs clients and faults for as long as planned, or until interrupted, or until a node ends that
/// should not. All is healed afterwards, in so far as the nemesis did it.
pub(super) fn run(scene: &Scene<'_>, interrupts: &Interrupts) -> Result<Loaded, Error> {
    let Scene { plan, schedule, nodes, proxy, recorder } = scene;
    // Where what a pinned client sends to all other nodes ends: nobody reads it.
    let void = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("a socket"))?;
    let void = void.local_addr().map_err(Error::io("a socket"))?;
    let ids = nodes.ids();
    let access = |place: usize| {
        let pinned = pinned(place, &ids);
        let group = Endpoint::Client(place as u32);
        let (cluster, secret) = nodes.view(|node| match pinned {
            Some(only) if only != node => void,
            _ => proxy.address(group, node),
        });
        let timeout = if pinned.is_some() { TIMEOUT_PINNED } else { TIMEOUT };
        Access { cluster, secret, timeout }
    };
    let (begun, interrupt) = (Instant::now(), Interrupt::default());
    let is_over = AtomicBool::new(false);
    let (pace, known) = (Pace::new(plan.rate), Known::new(plan.keys));
    let shared = Shared {
        recorder,
        pace: &pace,
        known: &known,
        places: plan.concurrency,
        begun,
        is_over: &is_over,
    };
    thread::scope(|scope| {
        let mut clients = Vec::new();
        for place in 0..plan.concurrency {
            let (access, draw) = (access(place), draw(plan, place));
            let begins = plan.recording.as_ref().map_or(&[][..], |of| &of.begins[place]);
            let (place, shared) = (Place { number: place, draw, begins }, &shared);
            clients.push(scope.spawn(move || process::occupy(place, &access, shared)));
        }
        let monitor = scope.spawn(|| {
            let ended = watch(scene, interrupts, begun, &is_over);
            is_over.store(true, Ordering::Relaxed);
            interrupt.now();
            ended
        });
        let mut clock = WallClock::since(begun, interrupt.clone());
        let mut told = Told::default();
        let mut events = |event: Event| {
            // What is healed in front of nodes that stand still does not heal them.
            if !(nodes.is_frozen() && matches!(event.what, What::Healed { .. })) {
                told.take(event, schedule, recorder);
            }
        };
        // Here, and not in a thread of its own: nodes that it restarts die with their thread.
        let executed =
            nemesis::execute(schedule, &mut Surgeon(nodes), proxy, &mut clock, &mut events);
        if executed.is_ok() {
            clock.wait_until(plan.time_limit.as_millis() as u64);
        }
        is_over.store(true, Ordering::Release);
        let ended = monitor.join().expect("the monitor does not panic");
        for client in clients {
            let done = client.join().expect("clients do not panic");
            done.map_err(Error::io("a client's socket"))?;
        }
        // A node that ended by itself cannot be killed or paused; that it ended is the news.
        if ended.is_empty() {
            executed.map_err(Error::io("the nemesis"))?;
        }
        Ok(Loaded {
            ended,
            is_interrupted: interrupts.came(),
            wanted_leader: told.wanted_leader,
            hit_leader: told.hit_leader,
        })
    })
}

/// Every other client asks one node only, whether it leads or not, and only reads: a deposed leader
/// that answers is found out by whoever does not look elsewhere.
fn pinned(place: usize, ids: &[NodeId]) -> Option<NodeId> {
    is_pinned(place).then(|| ids[place / 2 % ids.len()])
}

fn is_pinned(place: usize) -> bool {
    place % 2 == 1
}

/// What is asked for at this place.
pub(super) fn draw(plan: &Plan, place: usize) -> Draw {
    Draw::new(plan.seed, place, plan.keys, is_pinned(place))
}

/// Looks on until it is over, and returns who ended unasked. Tells of what is impossible, and
/// freezes the nodes if they are to be.
fn watch(
    scene: &Scene<'_>,
    interrupts: &Interrupts,
    begun: Instant,
    is_over: &AtomicBool,
) -> Vec<(NodeId, ExitStatus)> {
    let line = StatusLine::new(scene.plan.time_limit);
    let mut first = None;
    loop {
        // Before the look: a nemesis that failed at a node that had ended is not to hide that end.
        let is_over = is_over.load(Ordering::Acquire);
        let ended = scene.nodes.ended();
        let elapsed = begun.elapsed();
        let is_late = elapsed >= scene.plan.time_limit;
        if !ended.is_empty() || interrupts.came() || is_over || is_late {
            line.clear();
            return ended;
        }
        line.show(elapsed, || state(scene.recorder, first.as_ref()));
        if first.is_some() {
            thread::sleep(LOOK);
            continue;
        }
        first = scene.recorder.await_sighting(LOOK);
        let Some(first) = &first else { continue };
        if scene.plan.stop_at_first {
            scene.nodes.freeze();
            scene.recorder.noted("all nodes are frozen");
            line.clear();
            say::aside(format_args!("checker: invalid, nodes are frozen: {first}"));
            return ended;
        }
        if !line.is_seen() {
            say::aside(format_args!("checker: invalid, and the run goes on: {first}"));
        }
    }
}

/// What one sees on a terminal while it lasts.
pub(crate) struct StatusLine(Option<ProgressBar>);

impl StatusLine {
    pub fn new(time_limit: Duration) -> StatusLine {
        let style = ProgressStyle::with_template("[{bar:20}] {wide_msg}");
        let style = style.expect("the template is right").progress_chars("=> ");
        let bar = || ProgressBar::new(time_limit.as_millis() as u64).with_style(style);
        StatusLine(io::stderr().is_terminal().then(bar))
    }

    /// Whether there is somebody to see it.
    pub fn is_seen(&self) -> bool {
        self.0.is_some()
    }

    /// `state` is asked for only where somebody sees it.
    pub fn show(&self, elapsed: Duration, state: impl FnOnce() -> String) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(elapsed.as_millis() as u64);
        bar.set_message(format!("{} s · {}", elapsed.as_secs(), state()));
    }

    pub fn clear(&self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// How a run is going, in a line.
fn state(recorder: &Recorder, first: Option<&Sighting>) -> String {
    let counts = recorder.counts();
    let faults = recorder.faults();
    let active = faults.iter().filter(|fault| fault.healed.is_none());
    let active: Vec<&str> = active.map(|fault| fault.what.as_str()).collect();
    let ok: u64 = counts.ok.iter().sum();
    format!(
        "{ok} ok · {} failed · {} indeterminate · {}{}",
        counts.failed,
        counts.indeterminate,
        if active.is_empty() { String::from("no fault") } else { active.join(", ") },
        first.map_or(String::new(), |first| format!(" · INVALID: {first}"))
    )
}

/// What the nemesis told, as the history has it.
#[derive(Default)]
struct Told {
    /// Their numbers in the history, by step.
    numbers: BTreeMap<usize, usize>,
    /// What lasts, by step.
    active: BTreeMap<usize, Held>,
    wanted_leader: bool,
    hit_leader: bool,
}

impl Told {
    fn take(&mut self, Event { step, what, .. }: Event, plan: &nemesis::Plan, to: &Recorder) {
        let fault = &plan.steps[step].fault;
        match what {
            What::Began { nodes, links, leader } => {
                let names: Vec<String> = nodes.iter().map(|node| format!("n{}", node.0)).collect();
                let mut text = format!("{fault}: {}", names.join(" "));
                if let Some(leader) = leader {
                    text = format!("{text}, n{} leads", leader.0);
                }
                self.active.insert(step, Held::by(fault, nodes, links));
                let has_quorum = has_quorum(&plan.steps[step].order, &self.active);
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
                let has_quorum = has_quorum(&plan.steps[step].order, &self.active);
                to.fault_ends(self.numbers[&step], touched, has_quorum);
            }
        }
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

/// Whether some node reaches a quorum of `all`, both ways, itself included.
fn has_quorum(all: &[NodeId], active: &BTreeMap<usize, Held>) -> bool {
    let works = |node: NodeId| !active.values().any(|held| held.nodes.contains(&node));
    let passes =
        |from, to| !active.values().any(|held| held.links.contains(&Link::between(from, to)));
    all.iter().any(|&one| {
        let reaches = |&&other: &&NodeId| works(other) && passes(one, other) && passes(other, one);
        works(one) && all.iter().filter(reaches).count() > all.len() / 2
    })
}

/// What the nemesis may do to nodes.
struct Surgeon<'a>(&'a Nodes);

impl nemesis::Cluster for Surgeon<'_> {
    fn kill(&mut self, node: NodeId) -> io::Result<()> {
        self.done(self.0.kill(node), node)
    }

    fn restart(&mut self, node: NodeId) -> io::Result<()> {
        self.0.start(node).map_err(|error| io::Error::other(error.to_string()))
    }

    fn pause(&mut self, node: NodeId) -> io::Result<()> {
        self.done(self.0.pause(node), node)
    }

    fn resume(&mut self, node: NodeId) -> io::Result<()> {
        self.done(self.0.resume(node), node)
    }

    fn set_clock(&mut self, node: NodeId, percent: u32, jump_ms: u32) -> io::Result<()> {
        let jump = Duration::from_millis(jump_ms.into());
        let set = self.0.set_clock(node, percent, jump);
        set.map_err(|error| io::Error::other(error.to_string()))
    }

    fn clock_is_off(&mut self, node: NodeId) -> bool {
        self.0.clock_is_off(node)
    }

    fn leader(&mut self) -> Option<NodeId> {
        self.0.leader()
    }
}

impl Surgeon<'_> {
    fn done(&self, is_done: bool, node: NodeId) -> io::Result<()> {
        // Those that stand still are left as they are, and so are those that do not run.
        match is_done || self.0.is_frozen() {
            true => Ok(()),
            false => Err(io::Error::other(format!("node {} does not run", node.0))),
        }
    }
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
