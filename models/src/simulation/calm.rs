//! After the storm. First faults that last: some links never work again, some disk never finishes a
//! write; as long as one healthy node reaches a healthy majority, clients must get their answers.
//! Then everything heals, and all must agree. Both within bounded time.

use super::client::Client;
use super::node::Node;
use super::oracle::Violation;
use super::plan::Fault;
use super::world::World;
use node::protocol::Replica;

/// With some faults lasting, every client must be answered within so many election timeouts.
const LASTING_TIMEOUTS_MAX: u64 = 15;
/// With everything healed, all replicas must agree, and every client be answered, within so many.
const CALM_TIMEOUTS_MAX: u64 = 10;

impl World {
    /// Ends the storm, but for what a majority must be able to live with for ever.
    pub(super) fn endure(&mut self) -> Result<(), Violation> {
        self.end_faults()?;
        let nodes = self.plan.nodes;
        let up = self.nodes.iter().filter(|node| node.replica.is_some()).count();
        let spare = up.saturating_sub(self.plan.limits.members.quorum());
        if spare > 0 && self.random.bool() {
            let stuck = self.random.usize(0..nodes);
            self.nodes[stuck].stuck_disk = true;
            self.tally.effective(Fault::StuckDisk);
            self.tally.injected(Fault::StuckDisk);
            self.note(|| format!("nemesis: the disk of n{} is stuck", stuck + 1));
        }
        let all = (0..nodes * nodes).map(|pair| (pair / nodes, pair % nodes));
        let cuts: Vec<_> =
            all.filter(|(a, b)| a != b).filter(|_| self.random.u8(0..10) < 3).collect();
        if self.random.bool() && self.has_hub(&cuts) {
            self.note(|| format!("nemesis: cuts {cuts:?} for long, counting nodes from 0"));
            self.cut(Fault::LinkGraph, |a, b| cuts.contains(&(a, b)));
        }
        self.finish_clients();
        let answered = |world: &World| match world.clients.iter().all(Client::is_done) {
            true => None,
            false => Some("a client still waits for its answer"),
        };
        self.tally.endured_us_max = self.wait(LASTING_TIMEOUTS_MAX, answered)?;
        Ok(())
    }

    /// Ends every fault and brings back whoever can come back; then all must agree in time.
    pub(super) fn calm(&mut self) -> Result<(), Violation> {
        self.note(|| "nemesis: heals everything".to_string());
        self.nodes.iter_mut().for_each(|node| node.stuck_disk = false);
        self.end_faults()?;
        self.finish_clients();
        self.tally.recovery_us_max = self.wait(CALM_TIMEOUTS_MAX, World::missing)?;
        self.sweep()
    }

    /// Heals links and nodes. Disks stay stuck that are.
    fn end_faults(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.links.heal();
        (self.plan.sync_us, self.plan.save_us) = (50..300, 100..1_000);
        (self.plan.think_us, self.plan.patience_us) = (0..2_000, 20_000);
        for node in 0..self.plan.nodes {
            let healed = &mut self.nodes[node];
            (healed.paused_until_us, healed.slow_disk_until_us) = (0, 0);
            healed.clock_percent = None;
            self.resume(node);
            self.restart(node)?;
        }
        Ok(())
    }

    /// Every client finishes what is under way and does one more operation.
    fn finish_clients(&mut self) {
        self.clients.iter_mut().for_each(Client::finish);
        (0..self.clients.len()).for_each(|client| self.rest(client));
    }

    /// Whether some healthy node reaches, both ways, a majority of healthy nodes.
    fn has_hub(&self, cuts: &[(usize, usize)]) -> bool {
        let healthy = |at: usize| self.nodes[at].replica.is_some() && !self.nodes[at].stuck_disk;
        let linked = |a: usize, b: usize| !cuts.contains(&(a, b)) && !cuts.contains(&(b, a));
        let all = 0..self.plan.nodes;
        all.clone().filter(|hub| healthy(*hub)).any(|hub| {
            let reached = all.clone().filter(|node| healthy(*node) && linked(hub, *node));
            reached.count() >= self.plan.limits.members.quorum()
        })
    }

    /// Lets time pass until nothing is missing. Returns how long that took.
    fn wait(
        &mut self,
        timeouts_max: u64,
        missing: impl Fn(&World) -> Option<&'static str>,
    ) -> Result<u64, Violation> {
        let begun_us = self.queue.now_us();
        let limit_us = timeouts_max * self.plan.election_timeout_us();
        while let Some(missing) = missing(self) {
            if self.queue.now_us() > begun_us + limit_us {
                let states = self.states();
                return Err(format!("after {timeouts_max} election timeouts, {missing}:{states}"));
            }
            // Agreement is looked for now and then: looking costs more than an event.
            for _ in 0..16 {
                self.next()?;
            }
        }
        Ok(self.queue.now_us() - begun_us)
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
}
