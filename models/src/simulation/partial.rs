//! The three partial partitions of Omni-Paxos (EuroSys 2023, section 2), measured: how long until a
//! write is decided again, and whether leaders change for no reason.

use super::plan::{Fault, Network, Plan};
use super::world::World;
use super::{Failed, Tally};
use crate::guard::guarded;
use fastrand::Rng;
use node::protocol::Ballot;
use node::session::Limits;

/// A partition that leaves every node alive and reachable, but not from everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Scenario {
    /// Five nodes; every link but those of one hub is cut, the leader keeps only its link to it.
    QuorumLoss,
    /// Five nodes; the leader is cut off, the others see only one hub, whose log is behind.
    Constrained,
    /// Three nodes; the link between the leader and one follower is cut, the rest stays.
    Chained,
}

/// What one seed measured.
pub struct Measured {
    /// From the cut to the next decided write, in election timeouts.
    pub recovery_timeouts: f64,
    /// Leaderships that began after the cut.
    pub leader_changes: u64,
    /// What the run did.
    pub tally: Tally,
}

/// Quiet running before the cut.
const BEFORE_US: u64 = 1_000_000;
/// How long the cut lasts.
const AFTER_US: u64 = 5_000_000;

impl Scenario {
    /// Runs one seed.
    pub fn run(self, seed: u64, traced_until_us: u64) -> Result<Measured, Failed> {
        let mut random = Rng::with_seed(seed);
        let plan = self.plan(&mut random);
        let mut world = World::new(plan, random, traced_until_us);
        match guarded(|| self.measure(&mut world)) {
            Ok(measured) => Ok(measured),
            Err(violation) => Err(Failed::of(seed, violation, world)),
        }
    }

    /// A healthy cluster under steady load; the seed draws delays.
    fn plan(self, random: &mut Rng) -> Plan {
        let mut plan = Plan::draw(random);
        plan.nodes = if self == Scenario::Chained { 3 } else { 5 };
        plan.limits = Plan::limits(plan.nodes);
        // A short log, because the oracles compare whole logs.
        (plan.limits.snapshot_every, plan.limits.keep) = (500, 100);
        plan.priorities = vec![0; plan.nodes];
        plan.sessions = Limits::default();
        let delay_us = 50..random.u64(100..2_000);
        plan.network = Network { delay_us, loss: 0, duplicate: 0, replay: 0 };
        (plan.sync_us, plan.save_us) = (50..500, 500..5_000);
        plan.clients = 12;
        (plan.think_us, plan.patience_us, plan.attempts_max) = (0..2_000, 10_000, u32::MAX);
        plan.faults = vec![];
        plan
    }

    fn measure(self, world: &mut World) -> Result<Measured, String> {
        world.start()?;
        world.run_until(BEFORE_US)?;
        let leader = world.leader().ok_or("no leader before the cut")?;
        let others: Vec<usize> = (0..world.plan.nodes).filter(|node| *node != leader).collect();
        let hub = others[world.random.usize(0..others.len())];
        if self == Scenario::Constrained {
            world.cut(Fault::Hub, |a, b| (a == leader && b == hub) || (a == hub && b == leader));
            world.run_until(BEFORE_US + 300_000)?;
        }
        world.cut(Fault::Hub, |a, b| match self {
            Scenario::QuorumLoss => a != hub && b != hub,
            Scenario::Constrained => a == leader || b == leader || (a != hub && b != hub),
            Scenario::Chained => a.min(b) == leader.min(hub) && a.max(b) == leader.max(hub),
        });
        self.recovery(world)
    }

    /// Waits for a write that was decided under a leadership that can still decide.
    fn recovery(self, world: &mut World) -> Result<Measured, String> {
        let cut_us = world.now_us();
        let elections = world.elections();
        let before = world.highest_leadership();
        let able = |ballot: Option<Ballot>| self == Scenario::Chained || ballot > before;
        let (mut base, mut recovered_us) = (None, None);
        while world.now_us() < cut_us + AFTER_US {
            world.next()?;
            let decided = world.decided_count();
            if recovered_us.is_none() && able(world.highest_leadership()) {
                let base = *base.get_or_insert(decided);
                recovered_us = (decided > base).then(|| world.now_us());
            }
        }
        let timeout_us = world.plan.election_timeout_us() as f64;
        let recovered_us = recovered_us.ok_or("nothing was decided for 5 s after the cut")?;
        Ok(Measured {
            recovery_timeouts: (recovered_us - cut_us) as f64 / timeout_us,
            leader_changes: world.elections() - elections,
            tally: world.tally(),
        })
    }
}
