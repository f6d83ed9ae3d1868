//! The command line of `checker bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use node::wire::PAIR_BYTES_MAX;

use super::{manual, usage};
use crate::bench::{self, KEY_BYTES, Own, Subject};

/// Measure a cluster: how fast it is, and what that costs
///
/// Starts nodes as processes of this machine, without a proxy and without faults, and has clients put
/// and get. Prints how many operations a second there were, how long they took, the processor time of
/// each process, and the datagrams, bytes and syncs of each node. Nothing is left running; Ctrl-C ends
/// it early, and what there is is told.
#[derive(Args)]
#[command(name = "bench", after_long_help = manual::BENCH)]
pub(super) struct BenchLine {
    /// How many clients, each with a thread and a socket of its own
    #[arg(long, value_name = "C", default_value_t = 1, help_heading = LOAD,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,

    /// Operations that each client may have in flight [default: 16; 1000 with --rate; 1 with --baseline]
    #[arg(long, value_name = "N", help_heading = LOAD,
          value_parser = clap::value_parser!(u16).range(1..=8_000))]
    in_flight: Option<u16>,

    /// Operations a second over all clients, due whatever became of those before [default: another as
    /// soon as one has ended]
    #[arg(long, value_name = "R", help_heading = LOAD,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,

    /// Reads among the operations, in percent; the others are puts
    #[arg(long, value_name = "PERCENT", default_value_t = 50, help_heading = LOAD,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    reads: u8,

    /// How many keys, each as likely as the others
    #[arg(long, value_name = "K", default_value_t = 10_000, help_heading = LOAD,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    keys: u64,

    /// Bytes of a value; a key has 16
    #[arg(long, value_name = "BYTES", default_value_t = 16, help_heading = LOAD,
          value_parser = clap::value_parser!(u32).range(0..=VALUE_BYTES_MAX))]
    value_size: u32,

    /// Seconds to measure
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = duration, help_heading = LOAD)]
    duration: f64,

    /// Seconds of the same load before that, which do not count
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = warm_up, help_heading = LOAD)]
    warm_up: f64,

    /// Measure a cluster that runs, by its cluster file; keys that begin with bench- are overwritten,
    /// and stay
    #[arg(long, value_name = "FILE", help_heading = CLUSTER, conflicts_with_all = OF_OUR_OWN)]
    cluster: Option<PathBuf>,

    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = CLUSTER,
          value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,

    /// How many replication groups share the keys
    #[arg(long, value_name = "P", default_value_t = 1, help_heading = CLUSTER,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    partitions: u32,

    /// When a write counts as durable
    #[arg(long, value_name = "WHEN", default_value = "always", help_heading = CLUSTER)]
    sync: Sync,

    /// The folder for results, logs and data [default: a temporary one, which goes away]
    #[arg(long, value_name = "DIR", help_heading = CLUSTER)]
    store: Option<PathBuf>,

    /// The program of a node [default: the `node` beside this program]
    #[arg(long, value_name = "PROGRAM", help_heading = CLUSTER)]
    node_bin: Option<PathBuf>,

    /// Compare with the machine itself, one operation at a time: four datagrams one after the other,
    /// as a write needs them, and an append with fdatasync
    #[arg(long, help_heading = CLUSTER)]
    baseline: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const LOAD: &str = "The load";
const CLUSTER: &str = "The cluster";

/// What makes no sense for a cluster that runs already.
const OF_OUR_OWN: [&str; 6] = ["nodes", "partitions", "sync", "store", "node_bin", "baseline"];

const VALUE_BYTES_MAX: i64 = (PAIR_BYTES_MAX - KEY_BYTES) as i64;

#[derive(Clone, Copy, ValueEnum)]
enum Sync {
    /// Once the disk has it
    Always,
    /// Once the operating system has it
    Os,
}

fn duration(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| String::from("write a number of seconds from 0.1 to 86400"))
}

fn warm_up(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| String::from("write a number of seconds from 0 to 86400"))
}

impl BenchLine {
    pub(super) fn plan(self) -> Result<bench::Plan, clap::Error> {
        let in_flight = self.in_flight.unwrap_or(match (self.baseline, self.rate) {
            (true, _) => 1,
            (false, Some(_)) => 1_000,
            (false, None) => 16,
        });
        if self.baseline && (self.clients, in_flight, self.rate) != (1, 1, None) {
            return Err(usage(
                "--baseline is compared with one operation at a time: leave --clients, --in-flight \
                 and --rate away",
            ));
        }
        Ok(bench::Plan {
            clients: self.clients.into(),
            in_flight: in_flight.into(),
            rate: self.rate,
            keys: self.keys,
            value_bytes: self.value_size as usize,
            reads_percent: self.reads,
            duration: Duration::from_secs_f64(self.duration),
            warm_up: Duration::from_secs_f64(self.warm_up),
            json: self.json,
            subject: self.subject(),
        })
    }

    fn subject(self) -> Subject {
        if let Some(file) = self.cluster {
            return Subject::Running(file);
        }
        Subject::Own(Own {
            nodes: self.nodes,
            partitions: self.partitions,
            sync: match self.sync {
                Sync::Always => "always",
                Sync::Os => "os",
            },
            store: self.store,
            node_bin: self.node_bin,
            baseline: self.baseline,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::bench::{self, Subject};
    use crate::cli::{Plan, checker};

    fn plan(flags: &str) -> Result<bench::Plan, String> {
        let words = ["checker", "bench"].into_iter().chain(flags.split_whitespace());
        match checker(words.map(OsString::from)) {
            Ok(Plan::Bench(plan)) => Ok(plan),
            Ok(other) => panic!("{flags}: {other:?}"),
            Err(stop) => {
                assert_eq!(stop.code(), 254, "{flags}");
                Err(stop.to_string())
            }
        }
    }

    #[test]
    fn how_many_are_in_flight_depends_on_what_is_measured() {
        let in_flight = |flags| plan(flags).expect("it is valid").in_flight;
        assert_eq!(in_flight(""), 16);
        assert_eq!(in_flight("--rate 10"), 1_000);
        assert_eq!(in_flight("--baseline"), 1);
        assert_eq!(in_flight("--rate 10 --in-flight 7"), 7);
    }

    #[test]
    fn a_running_cluster_is_taken_as_it_is() {
        let running = plan("--cluster c.json --reads 0").expect("it is valid").subject;
        assert!(matches!(running, Subject::Running(file) if file.ends_with("c.json")));
        for flags in ["--nodes 3", "--partitions 1", "--sync os", "--store s", "--node-bin n"] {
            let why = plan(&format!("--cluster c.json {flags}")).expect_err(flags);
            assert!(why.contains("--cluster") && why.lines().count() == 1, "{why}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for flags in [
            "--clients 0",
            "--in-flight 0",
            "--in-flight 8001",
            "--rate 0",
            "--reads 101",
            "--reads -1",
            "--keys 0",
            "--value-size 65521",
            "--duration 0",
            "--duration NaN",
            "--warm-up -1",
            "--nodes 0",
            "--sync never",
            "--baseline --clients 2",
            "--baseline --rate 10",
            "--baseline --cluster c.json",
            "more",
        ] {
            let why = plan(flags).expect_err(flags);
            assert_eq!(why.lines().count(), 1, "{flags}: {why}");
        }
    }
}
