//! The simulator: whole clusters in virtual time, each run drawn from a seed and repeatable to the
//! last step. Reading order: `plan.rs` says what a seed draws, `world.rs` runs it, `network.rs`,
//! `disk.rs`, `client.rs` and `nemesis.rs` are what it is made of, `oracle.rs` judges.

mod calm;
mod client;
mod disk;
mod nemesis;
mod network;
mod node;
mod oracle;
mod partial;
mod plan;
mod queue;
mod tally;
mod trace;
mod world;

pub use partial::Scenario;
pub use plan::{Fault, Plan};
pub use tally::Tally;
pub use world::World;

use crate::guard::guarded;
use fastrand::Rng;

/// A run that went well.
pub struct Passed {
    /// What it did.
    pub tally: Tally,
    /// The same for the same seed, in every build.
    pub trace_hash: u64,
}

/// A run that found a violation.
pub struct Failed {
    /// Its seed.
    pub seed: u64,
    /// What went wrong.
    pub violation: String,
    /// When what went wrong was complete, if that was not the end of the run.
    pub at_us: Option<u64>,
    /// The last steps before that, if they were asked for.
    pub trace: Vec<String>,
}

impl Failed {
    fn of(seed: u64, violation: String, world: World) -> Failed {
        let at_us = world.oracle.contradiction_us;
        Failed { seed, violation, at_us, trace: world.trace.into_lines() }
    }
}

/// Runs one seed. A failure comes with the last steps before `traced_until_us`.
pub fn run(seed: u64, traced_until_us: u64) -> Result<Passed, Failed> {
    let mut random = Rng::with_seed(seed);
    let plan = Plan::draw(&mut random);
    let mut world = World::new(plan, random, traced_until_us);
    match guarded(|| world.run()) {
        Ok(tally) => Ok(Passed { tally, trace_hash: world.trace.hash() }),
        Err(violation) => Err(Failed::of(seed, violation, world)),
    }
}
