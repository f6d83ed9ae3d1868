//! The way back: nodes wake up, and faults are healed, in so far as no other holds the same.

use std::io;

use node::wire::NodeId;

use super::super::active::Active;
use super::super::plan::Fault;
use super::{Nemesis, What};
use crate::proxy::Link;

impl Nemesis<'_> {
    pub(super) fn heal_due(&mut self, now_ms: u64) -> io::Result<()> {
        let due = |active: &Active| active.heal_ms <= now_ms;
        while let Some(at) = self.active.iter().position(due) {
            self.heal(at)?;
        }
        Ok(())
    }

    /// Nodes that are suspended go on; that they are cut off lasts.
    pub(super) fn wake_due(&mut self, now_ms: u64) -> io::Result<()> {
        for at in 0..self.active.len() {
            if self.active[at].wakes_ms.take_if(|wakes_ms| *wakes_ms <= now_ms).is_some() {
                self.resume(&self.active[at].nodes.clone())?;
            }
        }
        Ok(())
    }

    /// Lets nodes go on that no fault holds any more. Tries all even if one fails.
    fn resume(&mut self, nodes: &[NodeId]) -> io::Result<()> {
        let held = |active: &Active, node| active.holds_down(node) || active.holds_still(node);
        let mut result = Ok(());
        for &node in nodes {
            if !self.active.iter().any(|active| held(active, node)) {
                result = result.and(self.cluster.resume(node));
            }
        }
        result
    }

    /// Heals what is left, the latest first. Goes on after an error, and returns the first.
    pub(super) fn heal_all(&mut self) -> io::Result<()> {
        let mut healed = Ok(());
        while let Some(last) = self.active.len().checked_sub(1) {
            healed = healed.and(self.heal(last));
        }
        self.proxy.heal();
        healed
    }

    /// Heals a fault, in so far as no other holds the same node or link. Tries all of it even if a
    /// part fails.
    fn heal(&mut self, at: usize) -> io::Result<()> {
        self.notice();
        let healed = self.active.remove(at);
        let mut links: Vec<Link> = healed.links.keys().copied().collect();
        if healed.is_trap_set {
            self.proxy.take_trap();
            // It may have cut some of them already.
            links = self.proxy.links();
        }
        self.apply(&links);
        let mut result = Ok(());
        for &node in &healed.nodes {
            let is_down = self.active.iter().any(|other| other.holds_down(node));
            let clock = self.active.iter().rev().find_map(|other| other.clock_of(node));
            let done = match healed.fault {
                // Voters run again already, unless something failed.
                Fault::Kill(_) | Fault::RestartAll | Fault::KillVoters if !is_down => {
                    self.cluster.restart(node)
                }
                Fault::Pause(_) | Fault::Suspend(_) => self.resume(&[node]),
                Fault::Clock { .. } => self.cluster.set_clock(node, clock.unwrap_or(100), 0),
                _ => Ok(()),
            };
            result = result.and(done);
        }
        let touched = healed.touched(&self.proxy.counters());
        self.tell(healed.step, What::Healed { touched });
        result
    }
}
