//! The load: clients and nemesis at work at the same time, until the time is up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use node::wire::NodeId;

use super::faults::Faults;
use super::status_line::state;
use super::{Error, Interrupts, Plan, Scene, StatusLine};
use crate::cluster::Nodes;
use crate::nemesis::{self, Event, Interrupt, Pace as _, WallClock, What};
use crate::process::{self, Access, Place, Shared};
use crate::proxy::Endpoint;
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

/// Runs clients and faults for as long as planned, or until interrupted, or until a node ends that
/// should not, or the history cannot be written. All is healed afterwards, in so far as the nemesis
/// did it.
pub(super) fn run(scene: &Scene<'_>, interrupts: &Interrupts) -> Result<Loaded, Error> {
    let Scene { plan, recorder, .. } = scene;
    // Where what a pinned client sends to all other nodes ends: nobody reads it.
    let void = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("a socket"))?;
    let accesses = accesses(scene, void.local_addr().map_err(Error::io("a socket"))?);
    let (begun, interrupt) = (Instant::now(), Interrupt::default());
    let is_over = AtomicBool::new(false);
    let (pace, known) = (Pace::new(plan.rate), Known::new(plan.keys));
    let (pace, known, places) = (&pace, &known, plan.concurrency);
    let shared = Shared { recorder, pace, known, places, begun, is_over: &is_over };
    thread::scope(|scope| {
        let load = UntilDropped(&is_over);
        let clients = accesses.iter().enumerate().map(|(number, access)| {
            let begins = plan.recording.as_ref().map_or(&[][..], |of| &of.begins[number]);
            let (place, shared) = (Place { number, draw: draw(plan, number), begins }, &shared);
            let occupy = move || process::occupy(place, access, shared);
            thread::Builder::new().spawn_scoped(scope, occupy)
        });
        let clients = clients.collect::<io::Result<Vec<_>>>();
        let clients = clients.map_err(Error::io("a client's thread"))?;
        let monitor = thread::Builder::new().spawn_scoped(scope, || {
            let ended = watch(scene, interrupts, begun, &is_over);
            is_over.store(true, Ordering::Relaxed);
            interrupt.now();
            ended
        });
        let monitor = monitor.map_err(Error::io("a thread"))?;
        let (faults, executed) = break_things(scene, begun, &interrupt);
        drop(load);
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
            wanted_leader: faults.wanted_leader,
            hit_leader: faults.hit_leader,
        })
    })
}

/// The load, which is over when this is dropped: threads that wait for that are ended whatever
/// becomes of the others.
struct UntilDropped<'a>(&'a AtomicBool);

impl Drop for UntilDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How the client at each place reaches the cluster. `void`: where it sends what is to reach nobody.
fn accesses(scene: &Scene<'_>, void: SocketAddr) -> Vec<Access> {
    let Scene { plan, nodes, proxy, .. } = scene;
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
    (0..plan.concurrency).map(access).collect()
}

/// Carries out the schedule, and waits until the time is up. Not in a thread of its own: nodes that
/// it restarts would die with that.
fn break_things(
    scene: &Scene<'_>,
    begun: Instant,
    interrupt: &Interrupt,
) -> (Faults, io::Result<()>) {
    let Scene { plan, schedule, nodes, proxy, recorder } = scene;
    let mut clock = WallClock::since(begun, interrupt.clone());
    let groups = nodes.groups();
    let mut surgeon = Surgeon { nodes, groups: groups.len() as u64 };
    let mut faults = Faults::new(groups);
    let mut events = |event: Event| {
        // What is healed in front of nodes that stand still does not heal them.
        if !(nodes.is_frozen() && matches!(event.what, What::Healed { .. })) {
            faults.take(event, schedule, recorder);
        }
    };
    let executed = nemesis::execute(schedule, &mut surgeon, proxy, &mut clock, &mut events);
    if executed.is_ok() {
        clock.wait_until(plan.time_limit.as_millis() as u64);
    }
    (faults, executed)
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
        let is_lost = scene.recorder.has_failed();
        if !ended.is_empty() || interrupts.came() || is_over || is_late || is_lost {
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

/// What the nemesis may do to nodes.
struct Surgeon<'a> {
    nodes: &'a Nodes,
    groups: u64,
}

impl nemesis::Cluster for Surgeon<'_> {
    fn kill(&mut self, node: NodeId) -> io::Result<()> {
        self.done(self.nodes.kill(node), node)
    }

    fn restart(&mut self, node: NodeId) -> io::Result<()> {
        self.nodes.start(node).map_err(|error| io::Error::other(error.to_string()))
    }

    fn pause(&mut self, node: NodeId) -> io::Result<()> {
        self.done(self.nodes.pause(node), node)
    }

    fn resume(&mut self, node: NodeId) -> io::Result<()> {
        self.done(self.nodes.resume(node), node)
    }

    fn set_clock(&mut self, node: NodeId, percent: u32, jump_ms: u32) -> io::Result<()> {
        let jump = Duration::from_millis(jump_ms.into());
        let set = self.nodes.set_clock(node, percent, jump);
        set.map_err(|error| io::Error::other(error.to_string()))
    }

    fn clock_is_off(&mut self, node: NodeId) -> bool {
        self.nodes.clock_is_off(node)
    }

    fn leader(&mut self, step: usize) -> Option<NodeId> {
        // Each group in its turn.
        self.nodes.leader(step as u64 % self.groups)
    }
}

impl Surgeon<'_> {
    fn done(&self, is_done: bool, node: NodeId) -> io::Result<()> {
        // Those that stand still are left as they are, and so are those that do not run.
        match is_done || self.nodes.is_frozen() {
            true => Ok(()),
            false => Err(io::Error::other(format!("node {} does not run", node.0))),
        }
    }
}
