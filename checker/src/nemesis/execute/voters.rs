//! The fault that waits for a vote; see [`Fault::KillVoters`](super::Fault::KillVoters).

use std::io;

use node::wire::NodeId;

use super::super::active::{Active, cut_off};
use super::{Nemesis, What};
use crate::proxy::Sprung;

impl Nemesis<'_> {
    /// Goes on with a fault that waits for what others do.
    pub(super) fn look_into_trap(&mut self) -> io::Result<()> {
        let Some(at) = self.active.iter().position(|active| active.is_trap_set) else {
            return Ok(());
        };
        let Some(sprung) = self.proxy.sprung() else { return Ok(()) };
        match &sprung {
            Sprung::Promised { voters, .. } => self.kill_voters(at, voters)?,
            Sprung::Accepted => {
                self.active[at].is_trap_set = false;
                let later = self.active[at].later.take();
                later.into_iter().for_each(|(_, links)| self.turn(at, links));
            }
        }
        self.tell(self.active[at].step, What::Sprung(sprung));
        Ok(())
    }

    /// Kills who has promised, and puts them on the old leader's side of the cut.
    fn kill_voters(&mut self, at: usize, voters: &[NodeId]) -> io::Result<()> {
        let order = &self.plan.steps[self.active[at].step].order;
        let active = &mut self.active[at];
        // What the old leader and they do together, they and the new one must not undo.
        let (leader, now_ms) = (active.nodes.clone(), self.pace.now_ms());
        let left_ms = active.heal_ms.saturating_sub(now_ms);
        active.later = Some((now_ms + left_ms * 2 / 3, cut_off(&leader, order)));
        active.nodes.extend(voters);
        let links = cut_off(&active.nodes, order);
        let is_down = |active: &Active, node| active.holds_down(node);
        let mut killed = voters.to_vec();
        killed.retain(|voter| !self.active.iter().any(|other| is_down(other, *voter)));
        for voter in &killed {
            self.cluster.kill(*voter)?;
        }
        self.active[at].touched += killed.len() as u64;
        self.turn(at, links);
        for voter in &killed {
            self.cluster.restart(*voter)?;
        }
        Ok(())
    }
}
