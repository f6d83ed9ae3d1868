//! The oracles: they see every step, remember what was ever decided, and speak up at once.

use crate::hash::WordHasher;
use checker::check::{Operation, Verdict, check};
use checker::linearizability::Bounds;
use node::kv::Store;
use node::protocol::invariants::{self, Observed};
use node::protocol::{Ballot, Durable, Envelope, Index, NodeId, Replica};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// What went wrong, for the reader.
pub type Violation = String;

/// All that was ever decided, by anyone, crashed or not.
#[derive(Default)]
pub struct Oracle {
    /// A hash of each decided entry, and the ballot under which someone first knew it was decided:
    /// it was chosen under that ballot or a lower one.
    chosen: Vec<(u64, Ballot)>,
    /// The digest of the state after so many entries.
    digests: BTreeMap<Index, u64>,
    leaders: BTreeMap<Ballot, NodeId>,
    /// When the operations that contradict each other were complete.
    pub contradiction_us: Option<u64>,
    /// What the clients did, by key.
    pub history: Vec<(u8, Operation<Option<u64>>)>,
}

/// When the search for a linearization gives up. Not by time: the same seed has the same verdict.
const BOUNDS: Bounds = Bounds { configurations: 3_000_000, memory_bytes: 1 << 30, time: None };

impl Oracle {
    /// Judges one step of one replica.
    pub fn stepped(
        &mut self,
        before: &Observed,
        replica: &Replica<Store>,
        disk: &Durable,
        sent: &[Envelope],
        elected: Option<Ballot>,
    ) -> Result<(), Violation> {
        let after = Observed::of(replica);
        if let Some(name) = invariants::broken(&invariants::OF_A_STEP, &(*before, after)) {
            return Err(format!("{name}: {before:?}, then {after:?}"));
        }
        if let Some(envelope) = invariants::unvouched(disk, sent) {
            return Err(format!("sent before it was true on the sender's disk: {envelope}"));
        }
        if after.decided > before.decided {
            self.decided(replica, before.decided.max(after.first), after.decided)?;
        }
        if after.applied != before.applied {
            self.applied(replica, after.applied)?;
        }
        match elected {
            Some(ballot) => self.elected(replica, ballot),
            None => Ok(()),
        }
    }

    /// Judges a replica that has just started from its disk.
    pub fn started(&mut self, replica: &Replica<Store>) -> Result<(), Violation> {
        let now = Observed::of(replica);
        self.decided(replica, now.first, now.decided)?;
        self.applied(replica, now.applied)
    }

    /// Judges all replicas and disks together.
    pub fn sweep(&self, replicas: &[&Replica<Store>], disks: &[&Durable]) -> Result<(), Violation> {
        for replica in replicas {
            if let Some(name) = invariants::broken(&invariants::of_a_replica(), *replica) {
                return Err(format!("{name}: {:?}", replica.status()));
            }
        }
        if let Some(name) = invariants::broken_pair(replicas) {
            return Err(name.to_string());
        }
        if !invariants::chosen_entries_last(disks, replicas) {
            return Err("a chosen entry is in every later leader's log".to_string());
        }
        Ok(())
    }

    /// Judges the clients' operations. True if the search gave up.
    pub fn judge_history(&mut self) -> Result<bool, Violation> {
        let verdict = check(std::mem::take(&mut self.history), None, &BOUNDS)
            .map_err(|unproven| unproven.to_string())?;
        if let Verdict::Invalid { operations, .. } = &verdict {
            self.contradiction_us = operations.iter().filter_map(|done| done.completed).max();
            return Err(format!("not linearizable (times in microseconds): {verdict}"));
        }
        Ok(verdict != Verdict::Valid)
    }

    /// How many entries were decided.
    pub fn decided_count(&self) -> u64 {
        self.chosen.len() as u64
    }

    fn decided(&mut self, of: &Replica<Store>, from: Index, to: Index) -> Result<(), Violation> {
        let (node, under) = (of.config().node, of.status().accepted_ballot);
        for (at, entry) in (from.0..to.0).zip(of.log().iter(from, to)) {
            let entry = hash(entry);
            match self.chosen.get(at as usize) {
                Some((chosen, _)) if *chosen == entry => {}
                Some(_) => return Err(format!("{node} decides another entry at {at} than before")),
                None if at as usize == self.chosen.len() => self.chosen.push((entry, under)),
                None => return Err(format!("{node} decides {at}, and nobody the entry before")),
            }
        }
        Ok(())
    }

    fn applied(&mut self, replica: &Replica<Store>, applied: Index) -> Result<(), Violation> {
        use node::protocol::StateMachine;
        let digest = replica.machine().digest();
        let first = *self.digests.entry(applied).or_insert(digest);
        match first == digest {
            true => Ok(()),
            false => {
                let node = replica.config().node;
                Err(format!("{node} has another state after {applied} entries than others had"))
            }
        }
    }

    fn elected(&mut self, leader: &Replica<Store>, ballot: Ballot) -> Result<(), Violation> {
        let node = leader.config().node;
        if let Some(other) = self.leaders.insert(ballot, node) {
            return Err(format!("{ballot} leads twice: {other}, then {node}"));
        }
        let log = leader.log();
        let before = self.chosen.iter().zip(0..).skip(log.first().0 as usize);
        for ((entry, _), at) in before.filter(|((_, under), _)| *under < ballot) {
            if at >= log.accepted().0 || hash(log.get(Index(at))) != *entry {
                return Err(format!(
                    "leader {node} of {ballot} lacks entry {at}, which was chosen"
                ));
            }
        }
        Ok(())
    }
}

fn hash(entry: &[u8]) -> u64 {
    let mut hasher = WordHasher::default();
    hasher.write(entry);
    hasher.finish()
}
