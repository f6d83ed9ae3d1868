//! Carries out a plan: begins each fault, notices when it takes effect, and heals it.

mod heal;
mod voters;

use std::collections::BTreeMap;
use std::io;

use node::wire::NodeId;

use super::active::{Active, aim};
use super::pace::{Pace, Waited};
use super::plan::{Fault, Kind, Plan, Step};
use crate::proxy::{Link, Proxy, Sprung, Weather};

/// What can be done to the nodes of a cluster.
pub trait Cluster {
    /// SIGKILL to a node, paused or not; returns when it is gone.
    fn kill(&mut self, node: NodeId) -> io::Result<()>;
    /// Starts a node, unless it runs; need not wait until it serves.
    fn restart(&mut self, node: NodeId) -> io::Result<()>;
    /// SIGSTOP to a node.
    fn pause(&mut self, node: NodeId) -> io::Result<()>;
    /// SIGCONT to a node, which may run already.
    fn resume(&mut self, node: NodeId) -> io::Result<()>;
    /// Lets the clock of a node jump forward by so much, and run at a rate from now on, also when it
    /// is restarted; 100 is the true one. An error where the machine has no means for it.
    fn set_clock(&mut self, node: NodeId, percent: u32, jump_ms: u32) -> io::Result<()>;
    /// Whether a node that runs was seen to have another clock than before that. Asked again and
    /// again: must not take long.
    fn clock_is_off(&mut self, node: NodeId) -> bool;
    /// Who leads, if that is known; where several groups are led, a step is aimed at one of them.
    /// Asked again and again: must not take long.
    fn leader(&mut self, step: usize) -> Option<NodeId>;
}

/// What happened to one step of the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, by the pace of the run.
    pub at_ms: u64,
    /// Which step, by position in the plan.
    pub step: usize,
    /// What happened.
    pub what: What,
}

/// The life of a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// It began.
    Began {
        /// Whom it is done to, or between whom; the first is the leader, if there is one.
        nodes: Vec<NodeId>,
        /// The links it lies on.
        links: Vec<Link>,
        /// The leader it was aimed at; none if it was to be, and nobody was known to lead.
        leader: Option<NodeId>,
    },
    /// A node or a datagram was touched, for the first time.
    TookEffect,
    /// The trap for voters; who promised is killed by now, and restarted.
    Sprung(Sprung),
    /// It is healed, also if the run was interrupted.
    Healed {
        /// How many nodes or datagrams it touched; zero means that it was none.
        touched: u64,
    },
}

/// How long a fault waits for a leader to be aimed at, or for clocks to be seen.
const AIM_MS: u64 = 1_500;
/// How long a node that was suspended is cut off after it woke up: until it has served some reads
/// and then found out, by silence, that it no longer leads.
const DROWSY_MS: u64 = 300;
/// How soon it is looked again for what comes unannounced: leaders and first effects.
const LOOK_MS: u64 = 20;
/// How soon it is looked again for who went into a trap. They do not hear of the new leader by then.
const TRAP_MS: u64 = 1;

/// Carries out the plan, and tells what happens. Returns when the last fault is healed, or, with
/// everything healed, when interrupted or at the first error.
pub fn execute(
    plan: &Plan,
    cluster: &mut dyn Cluster,
    proxy: &Proxy,
    pace: &mut dyn Pace,
    events: &mut dyn FnMut(Event),
) -> io::Result<()> {
    let active = Vec::new();
    let mut nemesis = Nemesis { plan, cluster, proxy, pace, events, active, silent: false };
    let ran = nemesis.run();
    ran.and(nemesis.heal_all())
}

struct Nemesis<'a> {
    plan: &'a Plan,
    cluster: &'a mut dyn Cluster,
    proxy: &'a Proxy,
    pace: &'a mut dyn Pace,
    events: &'a mut dyn FnMut(Event),
    active: Vec<Active>,
    /// Nobody can be told any more.
    silent: bool,
}

impl Nemesis<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut next = 0;
        loop {
            let now_ms = self.pace.now_ms();
            self.heal_due(now_ms)?;
            self.wake_due(now_ms)?;
            self.turn_later(now_ms);
            self.look_into_trap()?;
            while let Some(step) = self.plan.steps.get(next).filter(|step| step.at_ms <= now_ms) {
                if !self.begin(next, step, now_ms)? {
                    break;
                }
                next += 1;
            }
            self.notice();
            let Some(until_ms) = self.next_ms(next, now_ms) else { return Ok(()) };
            if self.pace.wait_until(until_ms) == Waited::Interrupted {
                return Ok(());
            }
        }
    }

    /// When something is to be done next. None if all is over.
    fn next_ms(&self, next: usize, now_ms: u64) -> Option<u64> {
        let begins = self.plan.steps.get(next).map(|step| match step.at_ms > now_ms {
            true => step.at_ms,
            false => now_ms + LOOK_MS,
        });
        let heals = self.active.iter().map(|active| active.heal_ms);
        let wakes = self.active.iter().filter_map(|active| active.wakes_ms);
        let later = self.active.iter().filter_map(|active| Some(active.later.as_ref()?.0));
        let unnoticed =
            self.active.iter().any(|active| !active.took_effect || !active.doubted.is_empty());
        let looks = unnoticed.then_some(now_ms + LOOK_MS);
        let traps = self.active.iter().any(|active| active.is_trap_set);
        let looks = looks.into_iter().chain(traps.then_some(now_ms + TRAP_MS));
        begins.into_iter().chain(heals).chain(wakes).chain(later).chain(looks).min()
    }

    /// Begins a step. Returns whether it did: else it waits for somebody to hit.
    fn begin(&mut self, number: usize, step: &Step, now_ms: u64) -> io::Result<bool> {
        let leader = match step.fault.wants_leader() {
            true => self.cluster.leader(number).filter(|leader| self.works(*leader)),
            false => None,
        };
        // While all are down there is nobody to hit; but they come back, and a leader may not.
        let is_nobody_up = !step.order.iter().any(|node| self.works(*node));
        let has_no_leader = step.fault.wants_leader() && leader.is_none();
        // Who is killed before its new clock was seen, will never have shown it.
        let kills = matches!(step.fault.kind(), Kind::Kill | Kind::RestartAll);
        let is_too_early = has_no_leader || (kills && self.has_unseen_clock());
        if is_nobody_up || (is_too_early && now_ms < step.at_ms + AIM_MS) {
            return Ok(false);
        }
        let mut order = step.order.clone();
        // Who is down already can hardly be hit again.
        order.sort_by_key(|node| !self.works(*node));
        if let Some(at) = order.iter().position(|node| Some(*node) == leader) {
            order[..=at].rotate_right(1);
        }
        let lasts_ms = step.heal_ms.saturating_sub(step.at_ms);
        let (nodes, links) = aim(step.fault, &order, self.proxy);
        let mut active = Active {
            step: number,
            fault: step.fault,
            heal_ms: now_ms + lasts_ms,
            wakes_ms: matches!(step.fault, Fault::Suspend(_))
                .then_some(now_ms + lasts_ms - DROWSY_MS.min(lasts_ms / 2)),
            nodes: nodes.clone(),
            links,
            later: None,
            is_trap_set: step.fault == Fault::KillVoters,
            touched: 0,
            doubted: Vec::new(),
            before: self.proxy.counters(),
            took_effect: false,
        };
        if let Fault::Partition(shape) = step.fault
            && let Some(before) = shape.cuts_before(&order)
        {
            active.later = Some((now_ms + lasts_ms / 3, active.links.clone()));
            active.links.retain(|link, _| before.contains(link));
        }
        if active.is_trap_set {
            // With them the old leader would have a quorum.
            self.proxy.set_trap(order[0], order.len() / 2);
        }
        let links: Vec<Link> = active.links.keys().copied().collect();
        self.tell(number, What::Began { nodes, links: links.clone(), leader });
        self.active.push(active);
        self.apply(&links);
        self.strike()?;
        // A node that has just been started lets one wait for its clock.
        let took_ms = self.pace.now_ms() - now_ms;
        self.active.last_mut().expect("it was pushed").heal_ms += took_ms;
        Ok(true)
    }

    /// Does what the fault that began last does to nodes.
    fn strike(&mut self) -> io::Result<()> {
        let last = self.active.len() - 1;
        let (fault, nodes) = (self.active[last].fault, self.active[last].nodes.clone());
        for node in nodes {
            let others = &self.active[..last];
            let is_down = others.iter().any(|other| other.holds_down(node));
            match fault {
                Fault::Kill(_) | Fault::RestartAll if !is_down => self.cluster.kill(node)?,
                Fault::Pause(_) | Fault::Suspend(_) if !is_down => self.cluster.pause(node)?,
                Fault::Clock { percent, jump_ms, .. } => {
                    self.cluster.set_clock(node, percent, jump_ms)?;
                    self.active[last].doubted.push(node);
                    continue;
                }
                _ => continue,
            }
            self.active[last].touched += 1;
        }
        Ok(())
    }

    /// The second half of faults that have one.
    fn turn_later(&mut self, now_ms: u64) {
        for at in 0..self.active.len() {
            let later = &mut self.active[at].later;
            if let Some((_, links)) = later.take_if(|(due_ms, _)| *due_ms <= now_ms) {
                self.turn(at, links);
            }
        }
    }

    /// From now on a fault lies on these links, and on no others.
    fn turn(&mut self, at: usize, links: BTreeMap<Link, Weather>) {
        let counters = self.proxy.counters();
        let active = &mut self.active[at];
        active.touched = active.touched(&counters);
        active.before = counters;
        let mut all: Vec<Link> = links.keys().copied().collect();
        all.extend(active.links.keys());
        active.links = links;
        self.apply(&all);
    }

    /// Gives links the weather of all that lies on them.
    fn apply(&self, links: &[Link]) {
        for link in links {
            let weather = self.active.iter().filter_map(|active| active.links.get(link));
            self.proxy.set(*link, weather.fold(Weather::CLEAR, |all, one| all.and(*one)));
        }
    }

    /// Tells of those that took effect since the last look.
    fn notice(&mut self) {
        self.look_at_clocks();
        if self.active.iter().all(|active| active.took_effect) {
            return;
        }
        let counters = self.proxy.counters();
        let mut told = Vec::new();
        for active in self.active.iter_mut().filter(|active| !active.took_effect) {
            active.took_effect = active.touched(&counters) > 0;
            told.extend(active.took_effect.then_some(active.step));
        }
        told.into_iter().for_each(|step| self.tell(step, What::TookEffect));
    }

    /// Only a clock that was seen to have changed is one that was touched.
    fn look_at_clocks(&mut self) {
        let doubted = self.active.iter().flat_map(|active| &active.doubted);
        let asked: Vec<NodeId> = doubted.filter(|node| self.works(**node)).copied().collect();
        for node in asked {
            if !self.cluster.clock_is_off(node) {
                continue;
            }
            for active in &mut self.active {
                let before = active.doubted.len();
                active.doubted.retain(|doubted| *doubted != node);
                active.touched += (before - active.doubted.len()) as u64;
            }
        }
    }

    /// Whether some node that could show that its clock was set has not done so yet.
    fn has_unseen_clock(&self) -> bool {
        self.active.iter().flat_map(|active| &active.doubted).any(|node| self.works(*node))
    }

    /// Whether nothing we did stands in the way of a node.
    fn works(&self, node: NodeId) -> bool {
        let held = |active: &Active| active.holds_down(node) || active.holds_still(node);
        !self.active.iter().any(held)
    }

    fn tell(&mut self, step: usize, what: What) {
        let at_ms = self.pace.now_ms();
        if !self.silent {
            (self.events)(Event { at_ms, step, what });
        }
    }
}

/// A panic on the way must not leave a node frozen or a link cut.
impl Drop for Nemesis<'_> {
    fn drop(&mut self) {
        if !self.active.is_empty() {
            // It may have been the listener that panicked.
            self.silent = true;
            let _ = self.heal_all();
        }
    }
}
