//! The command line of `checker run`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Plan, manual, unusual};
use crate::nemesis::Kind;
use crate::run;
use crate::verify::quoted;

/// Test a cluster: start it, load it, break it, judge it
///
/// Starts nodes as processes of this machine, with a proxy on every link between them and their
/// clients; injects faults from a plan drawn from the seed; heals all; reads every key; and judges
/// whether all that clients saw is linearizable. Needs no root and no network. Nothing is left
/// running, however it ends; Ctrl-C ends the load early, and what there is is judged.
#[derive(Args)]
#[command(name = "run", after_long_help = manual::RUN)]
pub(super) struct RunLine {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = NODES,
          value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,

    /// Seconds of load
    #[arg(long, value_name = "S", default_value_t = TIME_LIMIT_S,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time_limit: u64,

    /// Clients at a time; with n behind the number, for each node. Every other client only reads, and
    /// only from one node
    #[arg(long, value_name = "C", default_value = "2n", value_parser = concurrency)]
    concurrency: Concurrency,

    /// Operations a second over all clients; 0 is as fast as they complete
    #[arg(long, value_name = "R", default_value_t = RATE)]
    rate: u32,

    /// How many keys
    #[arg(long, value_name = "K", default_value_t = KEYS,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    keys: u64,

    /// Faults, as a list of kill, pause, partition, loss, delay, duplicate, reorder, corrupt, clock
    /// and restart-all; or all, which leaves clock out where there is no libfaketime; or none
    #[arg(long, value_name = "KINDS", default_value = NEMESIS, value_parser = kinds)]
    nemesis: Kinds,

    /// Seconds from the beginning of a fault to that of the next, about
    #[arg(long, value_name = "S", default_value_t = INTERVAL_S, value_parser = interval)]
    nemesis_interval: f64,

    /// How many replication groups share the keys
    #[arg(long, value_name = "P", default_value_t = PARTITIONS,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    partitions: u32,

    /// What operations and faults are drawn from [default: drawn by lot, and printed]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Repeat the run that left this folder in the store: its operations and faults, when they were
    #[arg(long, value_name = "FOLDER", conflicts_with_all = TO_BE_REPEATED)]
    replay: Option<PathBuf>,

    /// Drop faults of the run to replay, as long as some violation still shows
    #[arg(long, requires = "replay")]
    shrink: bool,

    /// How often to try whether a violation still shows
    #[arg(long, value_name = "K", requires = "shrink", default_value_t = TRIES,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tries: u32,

    /// The folder for results
    #[arg(long, value_name = "DIR", default_value = STORE)]
    store: PathBuf,

    /// End the load at the first violation, and hold the nodes still to be looked at
    ///
    /// Every run is judged while it lasts; without this the run goes on. The nodes are stopped with
    /// SIGSTOP; where each of them is, is told behind the verdict. On a terminal they stay until
    /// Enter or Ctrl-C; in a pipe they are ended.
    #[arg(long, conflicts_with = "shrink")]
    stop_at_first: bool,

    /// The program to judge [default: the `node` beside this program]
    #[arg(long, value_name = "PROGRAM")]
    node_bin: Option<PathBuf>,
}

const NODES: u16 = 3;
const TIME_LIMIT_S: u64 = 30;
const RATE: u32 = 200;
const KEYS: u64 = 10;
const NEMESIS: &str = "kill,pause,partition";
const INTERVAL_S: f64 = 5.0;
const PARTITIONS: u32 = 1;
const STORE: &str = run::DEFAULT_STORE;
const TRIES: u32 = 3;

/// What the folder of an earlier run decides.
const TO_BE_REPEATED: [&str; 9] = [
    "nodes",
    "time_limit",
    "concurrency",
    "rate",
    "keys",
    "nemesis",
    "nemesis_interval",
    "partitions",
    "seed",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Concurrency {
    Total(usize),
    EachNode(usize),
}

#[derive(Clone)]
struct Kinds {
    kinds: Vec<Kind>,
    is_all: bool,
}

fn concurrency(text: &str) -> Result<Concurrency, String> {
    let (number, is_each) = match text.strip_suffix('n') {
        Some("") => ("1", true),
        Some(number) => (number, true),
        None => (text, false),
    };
    let number = number.parse().ok().filter(|number| (1..=1_000).contains(number));
    let number = number.ok_or("write a number from 1 to 1000, or one for each node, as in 2n")?;
    Ok(if is_each { Concurrency::EachNode(number) } else { Concurrency::Total(number) })
}

fn kinds(text: &str) -> Result<Kinds, String> {
    let all = Kind::value_variants();
    match text {
        "all" => return Ok(Kinds { kinds: all.to_vec(), is_all: true }),
        "none" => return Ok(Kinds { kinds: Vec::new(), is_all: false }),
        _ => {}
    }
    let kind = |name: &str| {
        all.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|kind| kind.name()).collect();
            format!("{name:?} is no fault; there are {}, all and none", names.join(", "))
        })
    };
    let mut kinds = Vec::new();
    for named in text.split(',').map(kind) {
        let named = named?;
        if !kinds.contains(&named) {
            kinds.push(named);
        }
    }
    Ok(Kinds { kinds, is_all: false })
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.ok_or_else(|| String::from("write a number of seconds from 0.1 to 3600"))
}

impl RunLine {
    pub(super) fn plan(self) -> Plan {
        let Some(folder) = &self.replay else { return Plan::Run(self.drawn()) };
        let flags = [
            Some(("replay", path(folder))),
            unusual(&self.store, &PathBuf::from(STORE)).map(|dir| ("store", path(dir))),
            self.node_bin.as_ref().map(|program| ("node-bin", path(program))),
        ];
        let command = self.stopping(command(flags.into_iter().flatten()));
        let Self { store, stop_at_first, node_bin, .. } = self;
        let folder = folder.clone();
        let replay = run::Replay { folder, store, stop_at_first, node_bin, command };
        match self.shrink {
            true => Plan::Shrink(run::Shrink { replay, tries: self.tries }),
            false => Plan::Replay(replay),
        }
    }

    fn drawn(self) -> run::Plan {
        // Not all 64 bits: it is to be read, typed, and kept by any reader of JSON.
        let seed = self.seed.unwrap_or_else(|| fastrand::u32(..).into());
        let concurrency = match self.concurrency {
            Concurrency::Total(number) => number,
            Concurrency::EachNode(number) => number * usize::from(self.nodes),
        };
        run::Plan {
            command: self.command(seed, concurrency),
            recording: None,
            nodes: self.nodes,
            time_limit: Duration::from_secs(self.time_limit),
            concurrency,
            rate: self.rate,
            keys: self.keys as usize,
            nemesis: self.nemesis.kinds,
            is_lenient: self.nemesis.is_all,
            nemesis_interval: Duration::from_secs_f64(self.nemesis_interval),
            partitions: self.partitions,
            seed,
            store: self.store,
            stop_at_first: self.stop_at_first,
            node_bin: self.node_bin,
        }
    }

    /// The command line that asks for the same.
    fn command(&self, seed: u64, concurrency: usize) -> String {
        let Kinds { kinds, is_all } = &self.nemesis;
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let kinds = match (is_all, kinds.is_empty()) {
            (true, _) => String::from("all"),
            (_, true) => String::from("none"),
            _ => kinds.join(","),
        };
        let is_usual = self.concurrency == Concurrency::EachNode(2);
        let flags = [
            Some(("seed", seed.to_string())),
            unusual(self.nodes, NODES).map(|n| ("nodes", n.to_string())),
            unusual(self.time_limit, TIME_LIMIT_S).map(|s| ("time-limit", s.to_string())),
            (!is_usual).then(|| ("concurrency", concurrency.to_string())),
            unusual(self.rate, RATE).map(|rate| ("rate", rate.to_string())),
            unusual(self.keys, KEYS).map(|keys| ("keys", keys.to_string())),
            unusual(kinds, NEMESIS.to_string()).map(|kinds| ("nemesis", kinds)),
            unusual(self.nemesis_interval, INTERVAL_S).map(|s| ("nemesis-interval", s.to_string())),
            unusual(self.partitions, PARTITIONS).map(|p| ("partitions", p.to_string())),
            unusual(&self.store, &PathBuf::from(STORE)).map(|dir| ("store", path(dir))),
            self.node_bin.as_ref().map(|program| ("node-bin", path(program))),
        ];
        self.stopping(command(flags.into_iter().flatten()))
    }

    fn stopping(&self, command: String) -> String {
        if self.stop_at_first { command + " --stop-at-first" } else { command }
    }
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn command(flags: impl Iterator<Item = (&'static str, String)>) -> String {
    let flags: Vec<String> = flags.map(|(flag, value)| format!(" --{flag} {value}")).collect();
    format!("checker run{}", flags.concat())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::cli::{Plan, checker};

    fn plan(line: &str) -> crate::run::Plan {
        match checker(line.split(' ').map(OsString::from)) {
            Ok(Plan::Run(plan)) => plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_asks_for_the_same_again() {
        assert_eq!(plan("checker run --seed 7").command, "checker run --seed 7");
        let all = "checker run --seed 7 --nodes 5 --time-limit 3 --concurrency 4 --rate 0 --keys 2 \
                   --nemesis kill,loss --nemesis-interval 0.5 --partitions 4 --store s \
                   --node-bin n --stop-at-first";
        assert_eq!(plan(all).command, all);
        let drawn = plan("checker run");
        assert_eq!(plan(&drawn.command).seed, drawn.seed);
        assert_eq!(drawn.concurrency, 6);
    }

    #[test]
    fn a_fault_that_is_named_twice_is_one() {
        let twice = plan("checker run --seed 7 --nemesis kill,loss,kill");
        assert_eq!(twice.command, "checker run --seed 7 --nemesis kill,loss");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for flags in [
            "--nodes 0",
            "--time-limit 0",
            "--concurrency n2",
            "--concurrency 0",
            "--nemesis kil",
            "--nemesis kill,",
            "--nemesis-interval 0",
            "--nemesis-interval NaN",
            "--seed x",
        ] {
            let line = format!("checker run {flags}");
            let code = checker(line.split(' ').map(OsString::from)).map_err(|stop| stop.code());
            assert!(matches!(code, Err(254)), "{flags}");
        }
    }
}
