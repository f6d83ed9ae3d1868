//! A simulated node: a replica, its disk, its clock, and what the simulator does with its outputs.

use super::disk::{Disk, Refused};
use super::oracle::Violation;
use super::plan::Fault;
use super::world::{Event, World};
use node::kv::Store;
use node::protocol::invariants::Observed;
use node::protocol::{Answer, Envelope, Input, Output, Record, Replica, Save, Timer, Write};

/// One node: its disk survives it.
#[derive(Default)]
pub struct Node {
    pub(super) replica: Option<Replica<Store>>,
    pub(super) disk: Disk,
    /// Counts starts, so that what was meant for a former life is not delivered to the next.
    pub(super) life: u64,
    /// Which timers run.
    pub(super) armed: [bool; 2],
    pub(super) paused_until_us: u64,
    /// What waits for the end of a pause.
    pub(super) mailbox: Vec<Event>,
    /// A pause for which nothing has had to wait yet.
    pub(super) unnoticed_pause: Option<Fault>,
    pub(super) slow_disk_until_us: u64,
    /// No write becomes durable any more.
    pub(super) stuck_disk: bool,
    /// How fast the clock runs; none is true time.
    pub(super) clock_percent: Option<u64>,
    /// Dies as soon as it writes something, and is down for so long.
    pub(super) ambush_us: Option<u64>,
    /// When the last write under way will be durable.
    synced_at_us: u64,
}

impl World {
    /// One step of one replica, and everything it asks for.
    pub(super) fn step(&mut self, at: usize, input: Input<'_>) -> Result<(), Violation> {
        let Some(replica) = &mut self.nodes[at].replica else { return Ok(()) };
        self.trace.input(self.queue.now_us(), at, &input);
        let before = Observed::of(replica);
        replica.step(input, &mut self.output);
        self.carry_out(at, before)
    }

    /// Does what a driver does with the output of a step, after the oracles have seen it.
    fn carry_out(&mut self, at: usize, before: Observed) -> Result<(), Violation> {
        let mut output = std::mem::take(&mut self.output);
        let node = &self.nodes[at];
        let replica = node.replica.as_ref().expect("it has just taken a step");
        let (disk, elected) = (node.disk.durable(), output.elected.take());
        self.oracle.stepped(&before, replica, disk, &output.messages, elected)?;
        self.tally.elections += u64::from(elected.is_some());
        self.tally.suspicions += output.suspicions.drain(..).count() as u64;
        if let Some(write) = output.take_write() {
            self.write(at, write);
        }
        output.saves.drain(..).for_each(|save| self.save(at, save));
        output.timers.drain(..).for_each(|timer| self.arm(at, timer));
        output.answers.drain(..).for_each(|answer| self.answer(answer));
        output.messages.drain(..).for_each(|envelope| self.send(at, envelope));
        self.output = output;
        Ok(())
    }

    fn write(&mut self, at: usize, write: Write) {
        let (now_us, node) = (self.queue.now_us(), &mut self.nodes[at]);
        self.trace.note(now_us, || {
            let records: Vec<String> = write.records.iter().map(Record::to_string).collect();
            format!("n{} writes {}", at + 1, records.join("; "))
        });
        for record in &write.records {
            let installed = matches!(record, Record::Sync { snapshot: true, .. });
            self.tally.snapshots_installed += u64::from(installed);
        }
        let mut took_us = self.random.u64(self.plan.sync_us.clone());
        if std::mem::take(&mut node.slow_disk_until_us) > now_us {
            took_us *= 20;
            self.tally.effective(Fault::SlowDisk);
        }
        let life = node.life;
        if let Some(down_us) = node.ambush_us.take() {
            let delay = self.random.u64(0..=2 * took_us);
            self.queue.after(delay, Event::Ambush { node: at, life, down_us });
        }
        // Writes become durable in order, however fast the later one would be alone.
        node.synced_at_us = node.synced_at_us.max(now_us + took_us);
        node.disk.append(write);
        self.queue.after(node.synced_at_us - now_us, Event::Synced { node: at, life });
    }

    fn save(&mut self, at: usize, save: Save<Store>) {
        self.tally.snapshots_taken += 1;
        let (index, image, life) = (save.index, save.content.image(), self.nodes[at].life);
        let took_us = self.random.u64(self.plan.save_us.clone());
        self.queue.after(took_us, Event::Saved { node: at, life, index, image });
    }

    fn arm(&mut self, at: usize, timer: Timer) {
        let node = &mut self.nodes[at];
        if std::mem::replace(&mut node.armed[timer as usize], true) {
            return;
        }
        let period_us = match timer {
            Timer::Heartbeat => self.plan.tick_us,
            Timer::Retransmit => self.plan.retransmit_us,
        };
        let period_us = period_us * 100 / node.clock_percent.unwrap_or(100);
        let jitter_us = self.random.u64(0..=period_us / 8);
        let life = node.life;
        self.queue.after(period_us + jitter_us, Event::Timeout { node: at, life, timer });
    }

    fn send(&mut self, at: usize, envelope: Envelope) {
        let (to, now_us) = (usize::from(envelope.to.0) - 1, self.queue.now_us());
        let (random, tally, queue) = (&mut self.random, &mut self.tally, &mut self.queue);
        self.links.send((at, to), envelope, now_us, random, tally, |delay, envelope| {
            queue.after(delay, Event::Deliver(envelope));
        });
    }

    fn answer(&mut self, answer: Answer<node::kv::Reply>) {
        // Clients and nodes speak over the same kind of network.
        if self.client_loses() {
            return;
        }
        let delay_us = self.random.u64(self.plan.network.delay_us.clone());
        let (client, id, outcome) = (answer.client as usize, answer.number, answer.outcome);
        self.queue.after(delay_us, Event::Answer { client, id, outcome });
    }

    // --- Life and death ------------------------------------------------------------------------

    /// Switches on a node that never was before.
    pub(super) fn create(&mut self, at: usize) -> Result<(), Violation> {
        let mut output = Output::default();
        let initial = Store::with_limits(self.plan.sessions);
        let replica = Replica::create(self.plan.config(at), initial, &mut output);
        self.begin_life(at, replica, output)
    }

    /// Starts a node from its disk, unless it runs already. A damaged disk must be refused, a sound
    /// one must not.
    pub(super) fn restart(&mut self, at: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        if node.replica.is_some() {
            return Ok(());
        }
        let (damaged, mut output) = (node.disk.damaged, Output::default());
        let (config, initial) = (self.plan.config(at), Store::with_limits(self.plan.sessions));
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

    fn begin_life(
        &mut self,
        at: usize,
        replica: Replica<Store>,
        output: Output<Store>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        node.life += 1;
        (node.armed, node.synced_at_us) = ([false; 2], 0);
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

    /// Hands a node what waited for it, if its pause is over.
    pub(super) fn resume(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.paused_until_us <= self.queue.now_us() {
            node.mailbox.drain(..).for_each(|event| self.queue.after(0, event));
        }
    }
}
