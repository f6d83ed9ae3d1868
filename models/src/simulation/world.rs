//! One simulated cluster with its clients and its nemesis, in virtual time.

use super::client::{Client, Counter, Step};
use super::network::{Active, Links};
use super::node::Node;
use super::oracle::{Oracle, Violation};
use super::plan::{Fault, Plan};
use super::queue::Queue;
use super::tally::Tally;
use super::trace::Trace;
use fastrand::Rng;
use node::kv::{Reply, Store};
use node::protocol::{
    Ballot, Body, Envelope, Image, Index, Input, Outcome, Output, Request, Timer,
};

/// The whole state of a run.
pub struct World {
    pub(super) plan: Plan,
    pub(super) random: Rng,
    pub(super) queue: Queue<Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Links,
    pub(super) clients: Vec<Client>,
    pub(super) ids: Counter,
    pub(super) oracle: Oracle,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
    pub(super) output: Output<Store>,
    /// The storm is over.
    pub(super) calm: bool,
}

/// What can happen.
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Event {
    Deliver(Envelope),
    Timeout { node: usize, life: u64, timer: Timer },
    Synced { node: usize, life: u64 },
    Saved { node: usize, life: u64, index: Index, image: Image },
    Ask { node: usize, client: usize, id: u64, read: bool, body: Vec<u8> },
    Answer { client: usize, id: u64, outcome: Outcome<Reply> },
    Begin(usize),
    Again { client: usize, hint: Option<usize> },
    OutOfPatience { client: usize, id: u64, attempt: u32 },
    Strike,
    Ambush { node: usize, life: u64, down_us: u64 },
    End(u64),
    Restart(usize),
    Resume(usize),
    TurnRound { leader: usize, for_us: u64 },
}

/// All predicates over the whole cluster are swept once in so many events, and at every crash.
const SWEEP_EVENTS: u64 = 512;
/// No run of some seconds needs as many; one that gets there is caught in a storm of its own making.
const EVENTS_MAX: u64 = 3_000_000;

impl World {
    /// A cluster that has just been switched on. Keeps the last steps before `traced_until_us` in words.
    pub fn new(plan: Plan, mut random: Rng, traced_until_us: u64) -> World {
        let nodes = (0..plan.nodes).map(|_| Node::default()).collect();
        let links = Links::new(plan.nodes, plan.network.clone());
        let mut ids = Counter::default();
        let clients = (0..plan.clients).map(|_| Client::new(ids.next(), random.bool())).collect();
        World {
            queue: Queue::new(),
            nodes,
            links,
            clients,
            ids,
            oracle: Oracle::default(),
            tally: Tally::default(),
            trace: Trace::new(traced_until_us),
            output: Output::default(),
            calm: false,
            plan,
            random,
        }
    }

    /// Runs all phases: a storm that must break nothing, faults that last and must not stop a
    /// majority, and a calm in which all must be well.
    pub fn run(&mut self) -> Result<Tally, Violation> {
        self.start()?;
        let first = self.random.u64(self.plan.fault_every_us.clone());
        self.queue.after(first, Event::Strike);
        self.run_until(self.plan.storm_us)?;
        self.endure()?;
        self.calm()?;
        let mut tally = self.tally();
        tally.histories_undecided = u64::from(self.oracle.judge_history()?);
        Ok(tally)
    }

    /// Switches all nodes and clients on.
    pub fn start(&mut self) -> Result<(), Violation> {
        for node in 0..self.plan.nodes {
            self.create(node)?;
        }
        for client in 0..self.plan.clients {
            self.rest(client);
        }
        Ok(())
    }

    /// Lets everything happen that happens before `end_us`.
    pub fn run_until(&mut self, end_us: u64) -> Result<(), Violation> {
        while self.queue.now_us() < end_us {
            self.next()?;
        }
        Ok(())
    }

    /// Cuts the ordered pairs of positions that `cut` names, for good.
    pub fn cut(&mut self, fault: Fault, cut: impl Fn(usize, usize) -> bool) {
        let nodes = self.plan.nodes;
        let pairs = (0..nodes * nodes).map(|pair| (pair / nodes, pair % nodes));
        let cuts = pairs.filter(|&(a, b)| a != b && cut(a, b)).collect();
        let id = self.ids.next();
        self.tally.injected(fault);
        self.links.active.push(Active { id, fault, cuts, loss: 0, delay_us: 0, effective: false });
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        self.queue.now_us()
    }

    /// The highest ballot that some node leads.
    pub fn highest_leadership(&self) -> Option<Ballot> {
        let replicas = self.nodes.iter().filter_map(|node| node.replica.as_ref());
        replicas.filter_map(|replica| replica.status().leads).max()
    }

    /// Leaderships completed so far.
    pub fn elections(&self) -> u64 {
        self.tally.elections
    }

    /// Entries decided so far.
    pub fn decided_count(&self) -> u64 {
        self.oracle.decided_count()
    }

    /// What has happened so far, counted.
    pub fn tally(&self) -> Tally {
        let (virtual_us, decided) = (self.queue.now_us(), self.oracle.decided_count());
        let operations = self.oracle.history.len() as u64;
        Tally { seeds: 1, virtual_us, decided, operations, ..self.tally.clone() }
    }

    /// The position of the node that leads under the highest ballot.
    pub fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| node.replica.as_ref().and_then(|replica| replica.status().leads);
        let leading =
            self.nodes.iter().enumerate().filter_map(|(at, node)| Some((leads(node)?, at)));
        leading.max().map(|(_, at)| at)
    }

    // --- Events --------------------------------------------------------------------------------

    /// Lets the next thing happen.
    pub fn next(&mut self) -> Result<(), Violation> {
        let event = self.queue.next().expect("timers never stop");
        self.tally.events += 1;
        if self.tally.events > EVENTS_MAX {
            return Err("the messages beget ever more messages".to_string());
        }
        if self.tally.events.is_multiple_of(SWEEP_EVENTS) {
            self.sweep()?;
        }
        if let Some(event) = self.wait_while_paused(event) {
            self.happen(event)?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver(envelope) => {
                let to = usize::from(envelope.to.0) - 1;
                self.step(to, Input::Message(envelope))
            }
            Event::Timeout { node, life, timer } if life == self.nodes[node].life => {
                self.nodes[node].armed[timer as usize] = false;
                self.step(node, Input::Timeout(timer))
            }
            Event::Synced { node, life } if life == self.nodes[node].life => {
                let synced = self.nodes[node].disk.sync();
                let synced = synced.map_err(|error| format!("n{} wrote: {error}", node + 1))?;
                self.step(node, Input::Synced(synced.synced()))
            }
            Event::Saved { node, life, index, image } if life == self.nodes[node].life => {
                self.nodes[node].disk.save(index, image.clone());
                self.step(node, Input::SnapshotSaved { index, image })
            }
            Event::Timeout { .. } | Event::Synced { .. } | Event::Saved { .. } => Ok(()),
            Event::Ask { node, client, id, read, body } => {
                let request = match read {
                    true => Body::Read(&body),
                    false => Body::Write(&body),
                };
                let more = self.random.u8(0..8) == 0;
                let client = client as u64;
                let request = Request { client, number: id, body: request, more };
                self.step(node, Input::Request(request))
            }
            Event::Answer { client, id, outcome } => self.answered(client, id, outcome),
            Event::Begin(client) => {
                let now = self.queue.now_us();
                let step =
                    self.clients[client].begin(&self.plan, now, &mut self.ids, &mut self.random);
                self.go_on(client, step, None)
            }
            Event::Again { client, hint } => {
                let step = self.clients[client].ask(&self.plan, hint, &mut self.random);
                self.go_on(client, step, None)
            }
            Event::OutOfPatience { client, id, attempt } => {
                let (step, note) = self.clients[client].timed_out(
                    &self.plan,
                    (id, attempt),
                    &mut self.ids,
                    &mut self.random,
                );
                self.tally.retries += u64::from(matches!(step, Step::Ask { .. }));
                self.go_on(client, step, note)
            }
            Event::Strike | Event::End(_) | Event::Ambush { .. } | Event::TurnRound { .. }
                if self.calm =>
            {
                Ok(())
            }
            Event::TurnRound { leader, for_us } => self.turn_round(leader, for_us),
            Event::Ambush { node, life, down_us } if life == self.nodes[node].life => {
                self.tally.effective(Fault::Ambush);
                self.queue.after(down_us, Event::Restart(node));
                self.crash(node)
            }
            Event::Ambush { .. } => Ok(()),
            Event::Strike => self.strike(),
            Event::End(id) => {
                self.links.end(id);
                Ok(())
            }
            Event::Restart(node) => self.restart(node),
            Event::Resume(node) => {
                self.resume(node);
                Ok(())
            }
        }
    }

    /// What is meant for a paused node waits until it goes on.
    fn wait_while_paused(&mut self, event: Event) -> Option<Event> {
        let node = match &event {
            Event::Deliver(envelope) => usize::from(envelope.to.0) - 1,
            Event::Timeout { node, .. }
            | Event::Synced { node, .. }
            | Event::Saved { node, .. }
            | Event::Ask { node, .. } => *node,
            _ => return Some(event),
        };
        let paused = &mut self.nodes[node];
        if paused.stuck_disk && matches!(event, Event::Synced { .. } | Event::Saved { .. }) {
            paused.mailbox.push(event);
            return None;
        }
        let resumes_us = paused.paused_until_us;
        if resumes_us <= self.queue.now_us() || paused.replica.is_none() {
            return Some(event);
        }
        if let Some(fault) = paused.unnoticed_pause.take() {
            self.tally.effective(fault);
        }
        paused.mailbox.push(event);
        None
    }

    /// Judges all nodes together.
    pub(super) fn sweep(&self) -> Result<(), Violation> {
        let replicas: Vec<_> = self.nodes.iter().filter_map(|node| node.replica.as_ref()).collect();
        let disks: Vec<_> = self.nodes.iter().map(|node| node.disk.durable()).collect();
        self.oracle.sweep(&replicas, &disks)
    }

    /// Adds a line to the trace, if there is one.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.queue.now_us(), line);
    }
}
