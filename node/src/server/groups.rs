//! The replicas of this node, their timers, and the disk they share.

use super::saver::{Saved, Saver};
use super::timers::Timers;
use crate::kv::{Reply, Store};
use crate::protocol::{
    Answer, Body, Envelope, GroupId, Input, NodeId, Output, Replica, Request, Synced, Unsynced,
};
use crate::trace::Trace;
use crate::wal::{Wal, WriteNumber};
use std::collections::VecDeque;
use std::io;
use std::time::Instant;
use tracing::{Level, debug, enabled, info, trace, warn};

/// Every replica of this node. A group is its position here, where it has no [`GroupId`].
/// Invariant: `touched` has the groups whose `is_touched` is set, each once.
pub struct Groups {
    groups: Vec<Group>,
    /// By group id: the position, if a replica is here.
    positions: Vec<Option<usize>>,
    /// Those that took a step since their output was last looked at.
    touched: Vec<usize>,
    timers: Timers,
    wal: Wal,
    saver: Saver,
    /// Taken from outputs, appended to the log, not yet handed to the disk.
    appended: Vec<(usize, Unsynced)>,
    /// Under way to the disk, oldest first.
    unsynced: VecDeque<(WriteNumber, usize, Unsynced)>,
    now: Instant,
    /// Where every step is written down, if somebody asked for it.
    trace: Option<Trace>,
}

/// A replica and what it wants.
pub struct Group {
    id: GroupId,
    replica: Replica<Store>,
    output: Output<Store>,
    /// The last write known to be durable.
    synced: Synced,
    is_touched: bool,
    /// It took a request that said more would follow.
    expects_more: bool,
    /// The role that was logged last.
    logged: &'static str,
}

impl Group {
    /// A replica whose first write is durable.
    pub fn new(replica: Replica<Store>, output: Output<Store>, synced: Synced) -> Group {
        let id = replica.config().group;
        let (is_touched, expects_more, logged) = (false, false, "");
        Group { id, replica, output, synced, is_touched, expects_more, logged }
    }

    /// The replica.
    pub fn replica(&self) -> &Replica<Store> {
        &self.replica
    }

    /// Tells of a change of role. It costs a status for each turn: for those who look closely only.
    fn log_role(&mut self) {
        let status = self.replica.status();
        if std::mem::replace(&mut self.logged, status.phase) != status.phase {
            let (role, promised) = (status.phase, status.promised);
            debug!(group = self.id.0, role, %promised, decided = status.decided.0, "changed role");
        }
    }
}

impl Groups {
    /// Starts the replicas. `partitions`: how many groups the cluster has. `trace`: with the starts
    /// of these replicas and their first writes.
    pub fn new(
        groups: Vec<Group>,
        partitions: u32,
        timers: Timers,
        wal: Wal,
        saver: Saver,
        trace: Option<Trace>,
    ) -> Groups {
        let mut positions = vec![None; partitions as usize];
        for (at, group) in groups.iter().enumerate() {
            positions[group.id.0 as usize] = Some(at);
        }
        let (touched, appended, unsynced) = (Vec::new(), Vec::new(), VecDeque::new());
        let now = Instant::now();
        let mut groups = Groups {
            groups,
            positions,
            touched,
            timers,
            wal,
            saver,
            appended,
            unsynced,
            now,
            trace,
        };
        for at in 0..groups.groups.len() {
            let synced = groups.groups[at].synced;
            groups.step(at, Input::Synced(synced));
        }
        groups
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    /// Where the replica of a group is, if it is here.
    pub fn position(&self, group: GroupId) -> Option<usize> {
        self.positions.get(group.0 as usize).copied().flatten()
    }

    /// The replica of a group, if it is here.
    pub fn replica(&self, group: GroupId) -> Option<&Replica<Store>> {
        Some(&self.groups[self.position(group)?].replica)
    }

    /// The log they share.
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Instant {
        self.timers.next().expect("every replica keeps its heartbeat running")
    }

    /// Sets the time for what follows.
    pub fn begin_turn(&mut self, now: Instant) {
        self.now = now;
    }

    /// A peer's message. Those of groups that are not here are dropped.
    pub fn message(&mut self, envelope: Envelope) {
        if let Some(at) = self.position(envelope.group) {
            let Envelope { group, from, message: what, .. } = &envelope;
            trace!(group = group.0, from = from.0, %what, "received");
            self.step(at, Input::Message(envelope));
        }
    }

    /// A client's request; others may follow in this turn.
    pub fn request(&mut self, at: usize, client: u64, number: u64, body: Body<'_>) {
        self.groups[at].expects_more = true;
        self.step(at, Input::Request(Request { client, number, body, more: true }));
    }

    /// Does what is due, hands the disk what there is to write, and tells the replicas what became
    /// durable. After an error the node must stop.
    pub fn act(&mut self) -> io::Result<()> {
        while let Some((at, timer)) = self.timers.fire(self.now) {
            self.step(at, Input::Timeout(timer));
        }
        while let Some(Saved { group, index, image }) = self.saver.saved()? {
            debug!(group = group.0, index = index.0, bytes = image.bytes().len(), "snapshot saved");
            let at = self.position(group).expect("only our replicas save");
            self.step(at, Input::SnapshotSaved { index, image });
        }
        self.settle();
        // A log that is written at once is durable at once, and what depends on it goes out with
        // this turn. It ends because no replica writes for ever on the news of its writes.
        while self.write()? {}
        while let Some((group, needed)) = self.wal.snapshot_named()? {
            self.saver.retire(group, needed);
        }
        // A turn takes no step after this.
        self.trace.as_mut().map_or(Ok(()), Trace::flush)
    }

    /// Hands out the messages and answers of this turn, and does what else is wanted.
    pub fn drain(
        &mut self,
        mut send: impl FnMut(&Envelope),
        mut answer: impl FnMut(GroupId, Answer<Reply>),
    ) {
        for at in self.touched.drain(..) {
            if enabled!(Level::DEBUG) {
                self.groups[at].log_role();
            }
            let Group { id, output, is_touched, .. } = &mut self.groups[at];
            *is_touched = false;
            for envelope in output.messages.drain(..) {
                let Envelope { to, message: what, .. } = &envelope;
                trace!(group = id.0, to = to.0, %what, "sent");
                send(&envelope);
            }
            output.answers.drain(..).for_each(|given| answer(*id, given));
            output.saves.drain(..).for_each(|save| self.saver.save(*id, save));
            output.timers.drain(..).for_each(|timer| self.timers.start(at, timer, self.now));
            if let Some(ballot) = output.elected.take() {
                info!(group = id.0, %ballot, "elected");
            }
            for suspicion in output.suspicions.drain(..) {
                let NodeId(peer) = suspicion.peer;
                match suspicion.suspected {
                    true => warn!(group = id.0, peer, "suspected"),
                    false => info!(group = id.0, peer, "trusted again"),
                }
            }
        }
    }

    /// Leaves a log of which all is durable.
    pub fn close(self) -> io::Result<()> {
        self.wal.close()
    }

    fn step(&mut self, at: usize, input: Input<'_>) {
        let group = &mut self.groups[at];
        group.expects_more &= matches!(input, Input::Request(_));
        match &mut self.trace {
            None => group.replica.step(input, &mut group.output),
            Some(trace) => trace.step(&mut group.replica, input, &mut group.output),
        }
        if !std::mem::replace(&mut group.is_touched, true) {
            self.touched.push(at);
        }
    }

    /// Tells those who expect more requests that none follows: any input does, and old news changes
    /// nothing else.
    fn settle(&mut self) {
        for place in 0..self.touched.len() {
            let at = self.touched[place];
            let Group { expects_more, synced, .. } = self.groups[at];
            if expects_more {
                self.step(at, Input::Synced(synced));
            }
        }
    }

    /// Hands over what there is to write, and tells what became durable. Returns whether there was
    /// such news, which may have made more to write.
    fn write(&mut self) -> io::Result<bool> {
        for at in &self.touched {
            let Group { id, output, .. } = &mut self.groups[*at];
            if let Some(write) = output.take_write() {
                if let Some(trace) = &mut self.trace {
                    trace.write(*id, &write);
                }
                self.wal.append(*id, &write.records);
                self.appended.push((*at, write.unsynced));
                output.recycle(write.records);
            }
        }
        if !self.appended.is_empty() {
            let number = self.wal.write()?;
            let writes = self.appended.drain(..).map(|(at, unsynced)| (number, at, unsynced));
            self.unsynced.extend(writes);
        }
        let durable = self.wal.durable()?;
        let mut news = false;
        while let Some((_, at, unsynced)) =
            self.unsynced.pop_front_if(|(number, ..)| *number <= durable)
        {
            let synced = unsynced.synced();
            self.groups[at].synced = synced;
            self.step(at, Input::Synced(synced));
            news = true;
        }
        Ok(news)
    }
}
