//! Drives the protocol core of Quorate where everything can be made to go wrong: `check` searches
//! every interleaving of a small cluster, `explore` shows them in a browser, and `simulate` runs
//! whole clusters in virtual time, drawn from seeds. `replay` repeats what a real node did.

mod campaign;
mod catalogue;
mod check;
mod clients;
mod cluster;
mod course;
mod diagram;
mod election;
mod explore;
mod guard;
mod hash;
mod letters;
mod manual;
mod memory;
mod recovery;
mod replay;
mod replication;
mod report;
mod search;
mod simulation;
mod snapshot;
mod wishes;

use campaign::campaign;
use clap::{Args, CommandFactory, Parser, Subcommand};
use manual::Manual;
use node::cli::Stop;
use replay::Replay;
use search::{Check, Explore};
use simulation::{Scenario, Tally};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// Drives the protocol core of Quorate, the very code that nodes run, through everything that
/// networks, disks and clocks may do: exhaustively within bounds, or drawn from seeds.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  models list                            what there is, with bounds and counted states
  models check all --small               the searches of the gate
  models check course                    a tour: how the protocol as taught loses decided writes
  models check replication --elections 2 --entries 2 --network lossy --memory 8000
  models explore course                  click to a lost write, in a browser, offline
  models simulate --seeds 1000           clusters in virtual time; --seed N repeats one of them
  models replay 1.trace                  what `node --trace 1.trace` did, done again

Exit codes:
    0  clean: every state was seen and all of it holds; all seeds passed; the replay agrees
    1  a violation: the path or the seed that leads to it is told; or a replay that differs
    2  truncated: a limit ended a search before all was seen, so nothing is proven
  254  bad arguments, or a trace that cannot be used; one line on standard error says why
  255  crashed";

#[derive(Subcommand)]
enum Command {
    /// Say what models there are, what they prove and within which bounds.
    List,
    /// Search every interleaving of a model within its bounds.
    Check(Check),
    /// Click through a model in a browser, with stateright's explorer.
    Explore(Explore),
    /// Run seeded clusters in virtual time: faults, then a calm in which all must be well.
    Simulate(Simulate),
    /// Feed the core what a real node, run with --trace, fed it: does it do the same again?
    Replay(Replay),
    /// Write man pages and shell completions of all programs: node, kv, checker and models.
    Manual(Manual),
}

#[derive(Args)]
struct Simulate {
    /// How many seeds to run [default: 1000, or 1 with --seed].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=SEED_MAX))]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
    seed: Option<u64>,
    /// Measure a partial partition instead of drawing faults.
    #[arg(long)]
    scenario: Option<Scenario>,
    /// Threads [default: one a core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Print the trace hash of every seed, to compare builds or machines.
    #[arg(long, conflicts_with = "scenario")]
    hashes: bool,
}

/// So that the last seed of a range is always a number.
const SEED_MAX: u64 = 1 << 62;

/// A defect of this program.
const CRASHED: u8 = 255;

/// Recovery from a partial partition must not take longer, in election timeouts.
const RECOVERY_TIMEOUTS_MAX: f64 = 4.0;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Stop::from(error).report(),
    };
    guard::silence_guarded_panics();
    // A panic has told its reason; its own exit code would be none of those in the help.
    std::panic::catch_unwind(|| cli.command.run()).unwrap_or(ExitCode::from(CRASHED))
}

impl Command {
    fn run(self) -> ExitCode {
        match self {
            Command::List => search::list(),
            Command::Check(check) => check.run(),
            Command::Explore(explore) => explore.run(),
            Command::Replay(replay) => replay.run(),
            Command::Manual(manual) => manual.write(Cli::command()),
            Command::Simulate(simulate) => simulate.run(),
        }
    }
}

impl Simulate {
    fn run(&self) -> ExitCode {
        let clean = match self.scenario {
            None => self.storms(),
            Some(scenario) => self.partitions(scenario),
        };
        ExitCode::from(if clean { 0 } else { 1 })
    }

    fn seeds(&self) -> (u64, u64) {
        let count = self.seeds.unwrap_or(if self.seed.is_some() { 1 } else { 1000 });
        (self.seed.unwrap_or(0), count)
    }

    fn jobs(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }

    /// Seeds that draw all they do. Returns whether all were clean.
    fn storms(&self) -> bool {
        let (first, count) = self.seeds();
        println!("seeds {first} to {}", first + (count - 1));
        let (begun, mut tally) = (Instant::now(), Tally::default());
        let mut hashes = BTreeMap::new();
        let run = |seed| simulation::run(seed, 0);
        let result = campaign((first, count), self.jobs(), run, |seed, passed| {
            tally.add(&passed.tally);
            if self.hashes {
                hashes.insert(seed, passed.trace_hash);
            }
        });
        for (seed, hash) in &hashes {
            println!("{seed} {hash:016x}");
        }
        if let Err((seed, failed)) = result {
            // The same seed takes the same steps; this time they are written down.
            let until_us = failed.at_us.map_or(u64::MAX, |at_us| at_us + 1);
            let traced = simulation::run(seed, until_us).err().unwrap_or(failed);
            report::failure(&traced, "");
            return false;
        }
        report::table(&tally, begun.elapsed(), self.jobs());
        println!("clean: {count} seeds, no violation");
        true
    }

    /// A partial partition, measured. Returns whether all recovered in time, undisturbed.
    fn partitions(&self, scenario: Scenario) -> bool {
        let (first, count) = self.seeds();
        println!("seeds {first} to {}", first + (count - 1));
        let (begun, mut tally) = (Instant::now(), Tally::default());
        let (mut recoveries, mut changes) = (BTreeMap::new(), BTreeMap::new());
        let run = |seed| scenario.run(seed, 0);
        let result = campaign((first, count), self.jobs(), run, |seed, measured| {
            tally.add(&measured.tally);
            recoveries.insert(seed, measured.recovery_timeouts);
            changes.insert(seed, measured.leader_changes);
        });
        let name = clap::ValueEnum::to_possible_value(&scenario).expect("no value is hidden");
        let arguments = format!(" --scenario {}", name.get_name());
        if let Err((seed, failed)) = result {
            let traced = scenario.run(seed, u64::MAX).err().unwrap_or(failed);
            report::failure(&traced, &arguments);
            return false;
        }
        report::summary(&tally, begun.elapsed(), self.jobs());
        let all: Vec<f64> = recoveries.values().copied().collect();
        report::distribution(&all, &changes.values().copied().collect::<Vec<_>>());
        let changes_max = if scenario == Scenario::Chained { 0 } else { u64::MAX };
        let good = |seed: &&u64| {
            recoveries[*seed] <= RECOVERY_TIMEOUTS_MAX && changes[*seed] <= changes_max
        };
        let passed = recoveries.keys().filter(good).count() as u64;
        let stable = if changes_max == 0 { " and without a leader change" } else { "" };
        println!(
            "recovered within {RECOVERY_TIMEOUTS_MAX} election timeouts{stable}: {passed} of {count}"
        );
        if let Some(seed) = recoveries.keys().find(|seed| !good(seed)) {
            println!("replay: cargo run --release -p models -- simulate{arguments} --seed {seed}");
        }
        passed == count
    }
}
