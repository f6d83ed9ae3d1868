//! One simulated cluster with its clients and its nemesis, in virtual time.

use super::client::{Client, Counter, Note, Step};
use super::disk::{Disk, Refused};
use super::hash::WordHasher;
use super::network::{Active, Links};
use super::oracle::{Oracle, Violation};
use super::plan::{Fault, Plan};
use super::queue::Queue;
use super::tally::Tally;
use fastrand::Rng;
use node::kv::{Reply, Store};
use node::protocol::invariants::Observed;
use node::protocol::{
    Ballot, Body, Durable, Envelope, Index, Input, Outcome, Output, Replica, Request, Timer,
};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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
    hasher: WordHasher,
    /// The last steps in words, when somebody wants to read them.
    trace: Option<VecDeque<String>>,
    output: Output<Store>,
    calm: bool,
}

/// One node: its disk survives it.
pub struct Node {
    pub(super) replica: Option<Replica<Store>>,
    pub(super) disk: Disk,
    /// Counts starts, so that what was meant for a former life is not delivered to the next.
    life: u64,
    armed: [bool; 2],
    pub(super) paused_until_us: u64,
    /// What waits for the end of a pause.
    mailbox: Vec<Event>,
    /// A pause for which nothing has had to wait yet.
    pub(super) unnoticed_pause: Option<Fault>,
    pub(super) slow_disk_until_us: u64,
    pub(super) clock_percent: u64,
    /// Dies as soon as it writes something, and is down for so long.
    pub(super) ambush_us: Option<u64>,
    /// When the last write under way will be durable.
    synced_at_us: u64,
}

/// What can happen.
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Event {
    Deliver(Envelope),
    Timeout { node: usize, life: u64, timer: Timer },
    Synced { node: usize, life: u64 },
    Saved { node: usize, life: u64, index: Index, image: Arc<[u8]> },
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
}

/// Lines of trace kept for the reader.
const TRACE_LINES: usize = 60;
/// All predicates over the whole cluster are swept once in so many events, and at every crash.
const SWEEP_EVENTS: u64 = 512;
/// No run of some seconds needs as many; one that gets there is caught in a storm of its own making.
const EVENTS_MAX: u64 = 3_000_000;
/// With the storm over, the cluster must agree within so many election timeouts.
pub const CALM_TIMEOUTS_MAX: u64 = 10;

impl World {
    /// A cluster that has just been switched on. `traced`: keep the last steps in words.
    pub fn new(plan: Plan, mut random: Rng, traced: bool) -> World {
        let nodes = (0..plan.nodes).map(|_| Node::new()).collect();
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
            hasher: WordHasher::default(),
            trace: traced.then(VecDeque::new),
            output: Output::default(),
            calm: false,
            plan,
            random,
        }
    }

    /// Runs both phases: a storm that must break nothing, then a calm in which all must be well.
    pub fn run(&mut self) -> Result<Tally, Violation> {
        self.start()?;
        let first = self.random.u64(self.plan.fault_every_us.clone());
        self.queue.after(first, Event::Strike);
        self.run_until(self.plan.storm_us)?;
        self.calm()?;
        let mut tally = self.tally();
        tally.histories_undecided = u64::from(self.oracle.judge_history()?);
        Ok(tally)
    }

    /// Switches all nodes and clients on.
    pub fn start(&mut self) -> Result<(), Violation> {
        for node in 0..self.plan.nodes {
            let config = self.plan.config(node);
            let initial = Store::with_limits(self.plan.sessions);
            let mut output = Output::default();
            let replica = Replica::create(config, initial, &mut output);
            self.begin_life(node, replica, output)?;
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

    /// What has happened since the start, in one number.
    pub fn trace_hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The last steps in words.
    pub fn trace(&self) -> impl Iterator<Item = &String> {
        self.trace.iter().flatten()
    }

    /// The position of the node that leads under the highest ballot.
    pub fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| node.replica.as_ref().and_then(|replica| replica.status().leads);
        let leading =
            self.nodes.iter().enumerate().filter_map(|(at, node)| Some((leads(node)?, at)));
        leading.max().map(|(_, at)| at)
    }

    /// Ends every fault and brings back whoever can come back; then all must agree in time.
    fn calm(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.note(|| "nemesis: heals everything".to_string());
        self.links.heal();
        (self.plan.sync_us, self.plan.save_us) = (50..300, 100..1_000);
        (self.plan.think_us, self.plan.patience_us) = (0..2_000, 20_000);
        for node in 0..self.plan.nodes {
            let healed = &mut self.nodes[node];
            (healed.paused_until_us, healed.slow_disk_until_us) = (0, 0);
            healed.clock_percent = 100;
            self.resume(node);
            self.restart(node)?;
        }
        self.clients.iter_mut().for_each(Client::finish);
        let healed_us = self.queue.now_us();
        let limit_us = CALM_TIMEOUTS_MAX * self.plan.election_timeout_us();
        while let Some(missing) = self.missing() {
            if self.queue.now_us() > healed_us + limit_us {
                let states = self.states();
                return Err(format!(
                    "{CALM_TIMEOUTS_MAX} election timeouts after the last fault, {missing}:{states}"
                ));
            }
            // Agreement is looked for now and then: looking costs more than an event.
            for _ in 0..16 {
                self.next()?;
            }
        }
        self.tally.recovery_us_max = self.queue.now_us() - healed_us;
        self.sweep()
    }

    /// What keeps the cluster from being in full agreement, all answered.
    fn missing(&self) -> Option<&'static str> {
        if !self.clients.iter().all(Client::is_done) {
            return Some("a client still waits for its answer");
        }
        let mut statuses =
            self.nodes.iter().filter_map(|node| node.replica.as_ref()).map(Replica::status);
        let first = statuses.next()?;
        if first.applied != first.accepted {
            return Some("an entry is not decided and applied");
        }
        let behind = statuses
            .any(|status| (status.accepted, status.applied) != (first.accepted, first.applied));
        behind.then_some("a replica is behind")
    }

    fn states(&self) -> String {
        let state = |(at, node): (usize, &Node)| match &node.replica {
            Some(replica) => format!("\n  n{}: {:?}", at + 1, replica.status()),
            None => format!("\n  n{}: down", at + 1),
        };
        self.nodes.iter().enumerate().map(state).collect()
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
            Event::Strike | Event::End(_) | Event::Ambush { .. } if self.calm => Ok(()),
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

    /// Hands a node what waited for it, if its pause is over.
    fn resume(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.paused_until_us <= self.queue.now_us() {
            node.mailbox.drain(..).for_each(|event| self.queue.after(0, event));
        }
    }

    // --- Nodes ---------------------------------------------------------------------------------

    /// One step of one replica, and everything it asks for.
    fn step(&mut self, at: usize, input: Input<'_>) -> Result<(), Violation> {
        let World { nodes, output, hasher, .. } = self;
        let Some(replica) = &mut nodes[at].replica else { return Ok(()) };
        (self.queue.now_us(), at).hash(hasher);
        input.hash(hasher);
        if let Some(trace) = &mut self.trace {
            note(trace, self.queue.now_us(), describe(at, &input));
        }
        let before = Observed::of(replica);
        replica.step(input, output);
        self.carry_out(at, before)
    }

    fn carry_out(&mut self, at: usize, before: Observed) -> Result<(), Violation> {
        let now_us = self.queue.now_us();
        let output = &mut self.output;
        let node = &mut self.nodes[at];
        let replica = node.replica.as_ref().expect("it has just taken a step");
        let elected = output.elected.take();
        let disk = node.disk.durable();
        self.oracle.stepped(&before, replica, disk, &output.messages, elected)?;
        self.tally.elections += u64::from(elected.is_some());
        self.tally.suspicions += output.suspicions.drain(..).count() as u64;
        let life = node.life;
        if let Some(write) = output.take_write() {
            if let Some(trace) = &mut self.trace {
                let records: Vec<String> = write.records.iter().map(|r| r.to_string()).collect();
                note(trace, now_us, format!("n{} writes {}", at + 1, records.join("; ")));
            }
            write.records.iter().for_each(|record| {
                use node::protocol::Record;
                let installed = matches!(record, Record::Sync { snapshot: true, .. });
                self.tally.snapshots_installed += u64::from(installed);
            });
            let slow = node.slow_disk_until_us > now_us;
            let took = self.random.u64(self.plan.sync_us.clone()) * if slow { 20 } else { 1 };
            node.synced_at_us = node.synced_at_us.max(now_us + took);
            if slow {
                node.slow_disk_until_us = now_us;
                self.tally.effective(Fault::SlowDisk);
            }
            if let Some(down_us) = node.ambush_us.take() {
                let delay = self.random.u64(0..=2 * took);
                self.queue.after(delay, Event::Ambush { node: at, life, down_us });
            }
            let _ = node.disk.append(write);
            self.queue.after(node.synced_at_us - now_us, Event::Synced { node: at, life });
        }
        for save in output.saves.drain(..) {
            self.tally.snapshots_taken += 1;
            let (index, image) = (save.index, save.content.image());
            let took = self.random.u64(self.plan.save_us.clone());
            self.queue.after(took, Event::Saved { node: at, life, index, image });
        }
        for timer in output.timers.drain(..) {
            if !std::mem::replace(&mut node.armed[timer as usize], true) {
                let period = match timer {
                    Timer::Heartbeat => self.plan.tick_us,
                    Timer::Retransmit => self.plan.retransmit_us,
                };
                let period = period * 100 / node.clock_percent;
                let jitter = self.random.u64(0..=period / 8);
                self.queue.after(period + jitter, Event::Timeout { node: at, life, timer });
            }
        }
        for answer in output.answers.drain(..) {
            let client = answer.client as usize;
            // Clients and nodes speak over the same kind of network.
            if self.random.u64(0..1000) >= self.plan.network.loss || self.calm {
                let delay = self.random.u64(self.plan.network.delay_us.clone());
                let (id, outcome) = (answer.number, answer.outcome);
                self.queue.after(delay, Event::Answer { client, id, outcome });
            }
        }
        for envelope in output.messages.drain(..) {
            let to = usize::from(envelope.to.0) - 1;
            let (random, tally, queue) = (&mut self.random, &mut self.tally, &mut self.queue);
            self.links.send((at, to), envelope, now_us, random, tally, |delay, envelope| {
                queue.after(delay, Event::Deliver(envelope));
            });
        }
        Ok(())
    }

    fn begin_life(
        &mut self,
        at: usize,
        replica: Replica<Store>,
        output: Output<Store>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        node.life += 1;
        node.armed = [false; 2];
        node.synced_at_us = 0;
        self.oracle.started(&replica)?;
        let before = Observed::of(&replica);
        node.replica = Some(replica);
        self.output = output;
        self.carry_out(at, before)
    }

    /// Kills a node: what it had not synced may be lost.
    pub(super) fn crash(&mut self, at: usize) -> Result<(), Violation> {
        self.sweep()?;
        let node = &mut self.nodes[at];
        node.replica = None;
        node.life += 1;
        (node.paused_until_us, node.ambush_us) = (0, None);
        node.mailbox.clear();
        let crash = node.disk.crash(&mut self.random);
        let crash = crash.map_err(|error| format!("n{} wrote: {error}", at + 1))?;
        self.tally.crashes += 1;
        self.tally.records_lost += crash.lost as u64;
        self.tally.records_torn += u64::from(crash.torn);
        self.note(|| {
            let torn = if crash.torn { ", torn" } else { "" };
            let (kept, lost) = (crash.kept, crash.lost);
            format!("n{} crashes; unsynced records: {kept} kept, {lost} lost{torn}", at + 1)
        });
        Ok(())
    }

    /// Starts a node from its disk, unless it runs already.
    fn restart(&mut self, at: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        if node.replica.is_some() {
            return Ok(());
        }
        let damaged = node.disk.damaged;
        let mut output = Output::default();
        let initial = Store::with_limits(self.plan.sessions);
        let config = self.plan.config(at);
        let started = node.disk.replay().and_then(|(durable, image)| {
            Replica::recover(config, initial, durable, image, &mut output)
                .map_err(Refused::Contradiction)
        });
        match started {
            Ok(_) if damaged => Err(format!("n{} starts from a damaged disk", at + 1)),
            Err(refused) if !damaged => Err(format!("n{} cannot start: {refused}", at + 1)),
            Err(refused) => {
                self.tally.refused += 1;
                self.note(|| format!("n{} refuses to start: {refused}", at + 1));
                Ok(())
            }
            Ok(replica) => {
                self.tally.restarts += 1;
                self.note(|| format!("n{} restarts: {:?}", at + 1, replica.status()));
                self.begin_life(at, replica, output)
            }
        }
    }

    fn sweep(&mut self) -> Result<(), Violation> {
        let replicas: Vec<&Replica<Store>> =
            self.nodes.iter().filter_map(|node| node.replica.as_ref()).collect();
        let disks: Vec<&Durable> = self.nodes.iter().map(|node| node.disk.durable()).collect();
        self.oracle.sweep(&replicas, &disks)
    }

    // --- Clients -------------------------------------------------------------------------------

    fn answered(
        &mut self,
        client: usize,
        id: u64,
        outcome: Outcome<Reply>,
    ) -> Result<(), Violation> {
        let hint = match &outcome {
            Outcome::Redirect(Some(node)) => Some(usize::from(node.0) - 1),
            Outcome::Redirect(None) | Outcome::Busy | Outcome::Reply(_) => None,
        };
        if let Some(trace) = &mut self.trace {
            note(trace, self.queue.now_us(), format!("c{client} <- #{id} {outcome:?}"));
        }
        let expired = matches!(outcome, Outcome::Reply(Reply::Expired));
        self.tally.expired += u64::from(expired);
        let now = self.queue.now_us();
        let (step, note) = self.clients[client].answered((id, outcome), now, &mut self.ids)?;
        if matches!(step, Step::Again) {
            let pause = self.random.u64(100..5_000);
            self.queue.after(pause, Event::Again { client, hint });
        }
        self.go_on(client, step, note)
    }

    fn go_on(&mut self, client: usize, step: Step, note: Option<Note>) -> Result<(), Violation> {
        if let Some((_, operation)) = &note {
            self.tally.indeterminate += u64::from(operation.completed.is_none());
        }
        self.oracle.history.extend(note);
        match step {
            Step::Ask { target, id, attempt, read, body } => {
                let patience = self.plan.patience_us;
                self.queue.after(patience, Event::OutOfPatience { client, id, attempt });
                if self.random.u64(0..1000) >= self.plan.network.loss || self.calm {
                    let delay = self.random.u64(self.plan.network.delay_us.clone());
                    self.queue.after(delay, Event::Ask { node: target, client, id, read, body });
                }
            }
            Step::Rest => self.rest(client),
            Step::Again | Step::Idle => {}
        }
        Ok(())
    }

    fn rest(&mut self, client: usize) {
        let think = self.random.u64(self.plan.think_us.clone());
        self.queue.after(think, Event::Begin(client));
    }

    /// Adds a line to the trace, if there is one.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        let now_us = self.queue.now_us();
        if let Some(trace) = &mut self.trace {
            note(trace, now_us, line());
        }
    }
}

impl Node {
    fn new() -> Node {
        Node {
            replica: None,
            disk: Disk::default(),
            life: 0,
            armed: [false; 2],
            paused_until_us: 0,
            mailbox: Vec::new(),
            unnoticed_pause: None,
            slow_disk_until_us: 0,
            clock_percent: 100,
            ambush_us: None,
            synced_at_us: 0,
        }
    }
}

fn note(trace: &mut VecDeque<String>, now_us: u64, line: String) {
    if trace.len() == TRACE_LINES {
        trace.pop_front();
    }
    trace.push_back(format!("{:>10.3} ms  {line}", now_us as f64 / 1000.0));
}

fn describe(at: usize, input: &Input<'_>) -> String {
    let node = at + 1;
    match input {
        Input::Message(envelope) => envelope.to_string(),
        Input::Timeout(timer) => format!("n{node} {timer:?}"),
        Input::Request(request) => {
            let Request { client, number, body, .. } = request;
            match body {
                Body::Read(key) => {
                    format!("c{client} -> n{node} #{number} get {}", key.escape_ascii())
                }
                Body::Write(entry) => match node::kv::Command::decode(entry) {
                    Ok(command) => format!("c{client} -> n{node} #{number} {command}"),
                    Err(error) => format!("c{client} -> n{node} #{number} {error}"),
                },
            }
        }
        Input::Synced(_) => format!("n{node} synced"),
        Input::SnapshotSaved { index, .. } => format!("n{node} saved snapshot {index}"),
    }
}
