//! The command line, read into a valid plan. No file is opened here.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::bench;
use crate::cluster::guard;
use crate::history::{self, FailedCas, Format, Keyed, Nil, Pairing};
use crate::linearizability::{Bounds, Model};
use crate::run;
use crate::verify;

/// The command line was no valid one.
pub const BAD_ARGUMENTS: u8 = 254;

/// The program failed in what it was asked for.
pub const CRASHED: u8 = 255;

mod benching;
mod manual;
mod running;

use benching::BenchLine;
use running::RunLine;

/// What the program shall do.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Judge recorded histories.
    Verify(verify::Plan),
    /// Test a cluster.
    Run(run::Plan),
    /// Repeat a test.
    Replay(run::Replay),
    /// Find out which of its faults a failing test needs.
    Shrink(run::Shrink),
    /// Measure a cluster.
    Bench(bench::Plan),
    /// Write the report of a run again, from the folder it left.
    Report(PathBuf),
    /// Tell of many runs in a table.
    Summary(PathBuf),
    /// Become a node that dies with its parent.
    Guard(Guard),
}

/// A reason not to go on: a usage error, or that help or the version was asked for.
#[derive(Debug)]
pub struct Stop(clap::Error);

impl Stop {
    /// The exit code: 0 for help and version, else [`BAD_ARGUMENTS`].
    pub fn code(&self) -> u8 {
        if self.0.use_stderr() { BAD_ARGUMENTS } else { 0 }
    }

    /// Prints the text where it belongs, and returns the exit code.
    pub fn report(&self) -> ExitCode {
        // If neither stream takes it, nobody is there to be told.
        let _ = match self.0.use_stderr() {
            true => writeln!(io::stderr(), "{self}"),
            false => self.0.print(),
        };
        ExitCode::from(self.code())
    }
}

impl fmt::Display for Stop {
    /// Help is for people, and stays as it is; an error is one line: what is wrong and what was
    /// perhaps meant, without the usage that `--help` begins with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        if !self.0.use_stderr()
            || self.0.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        {
            return f.write_str(&text);
        }
        let is_general = |part: &&str| part.starts_with("Usage:") || part.starts_with("For more");
        for part in text.split("\n\n").take_while(|part| !is_general(part)) {
            let words: Vec<&str> = part.split_whitespace().collect();
            write!(f, "{}; ", words.join(" "))?;
        }
        write!(f, "try --help")
    }
}

/// Reads the command line, the program's name included.
pub fn checker(arguments: impl IntoIterator<Item = OsString>) -> Result<Plan, Stop> {
    let line = Line::try_parse_from(arguments).map_err(Stop)?;
    match line.command {
        Command::Verify(line) => Ok(Plan::Verify(line.plan().map_err(Stop)?)),
        Command::Run(line) => Ok(line.plan()),
        Command::Bench(line) => line.plan().map(Plan::Bench).map_err(Stop),
        Command::Report(Report { folder }) => Ok(Plan::Report(folder)),
        Command::Summary(Summary { folder }) => Ok(Plan::Summary(folder)),
        Command::Guard(guard) => Ok(Plan::Guard(guard)),
    }
}

/// The grammar, for manuals and completions.
pub fn command() -> clap::Command {
    Line::command()
}

/// The black-box checker of Quorate: breaks clusters, and judges what their clients saw
///
/// It runs the program `node` as anybody would, gets between its datagrams, and knows nothing of its
/// insides. A store is right if it is linearizable: all that its clients saw can be explained by
/// operations that took effect at once, one after the other, each between its request and its answer.
#[derive(Parser)]
#[command(name = "checker", version, after_help = manual::CODES)]
#[command(after_long_help = [manual::CHECKER, manual::CODES].concat())]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(RunLine),
    Verify(Verify),
    Bench(BenchLine),
    Report(Report),
    Summary(Summary),
    #[command(name = guard::SUBCOMMAND, hide = true)]
    Guard(Guard),
}

/// Tell of many runs in a table
///
/// One line for each run below the folder, and what each kind of fault cost: how often it came, and
/// the longest time without a successful write while it lasted, the median of all and the worst.
#[derive(Args)]
#[command(after_long_help = manual::SUMMARY)]
struct Summary {
    /// A folder of the store, or all of it
    #[arg(value_name = "FOLDER", default_value = run::DEFAULT_STORE)]
    folder: PathBuf,
}

/// Write the report of a run again, from the folder it left
///
/// `checker run` has written it already; do this if its files were moved, or its history was changed.
/// The history is judged anew. Prints where the report is: report.html, one file that needs no other.
#[derive(Args)]
#[command(after_long_help = manual::REPORT)]
struct Report {
    /// The folder of a run, such as store/latest
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// For `checker run` itself: see the module `cluster::guard`.
#[derive(Clone, Debug, Args)]
pub struct Guard {
    /// The process to die with
    pub parent: u32,
    /// What to become, with its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Judge recorded histories of any system: is each key linearizable?
///
/// A history is linearizable if each operation can be given one moment between its invocation and
/// its completion such that, carried out in the order of these moments, every operation sees what
/// its client saw. Every verdict comes with a proof, which was checked by other means before it is
/// printed: a legal order of the operations, or a few of them that are impossible by themselves.
#[derive(Args)]
#[command(after_long_help = manual::VERIFY)]
struct Verify {
    /// Recorded histories; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// How the files are written down [default: found out from the first lines]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// What operations do [default: kv-append if there are appends, else cas-register]
    #[arg(long, value_name = "MODEL", help_heading = VERDICTS)]
    model: Option<Model>,

    /// Whether there are keys, or one register
    ///
    /// auto goes by the first operation of a client: there are keys if it has a field `key`, or if
    /// its value is a pair; for a cas, if it is a pair whose second part is one, as in
    /// ["key", ["old", "new"]]. From then on, an operation that is otherwise is an error.
    #[arg(long, value_name = "WHETHER", default_value = "auto", help_heading = VERDICTS)]
    keyed: Keyed,

    /// What each key holds at first, as in EDN or JSON; nil is missing, a plain word a string
    /// [default: nil, and "" for kv-append]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true, help_heading = VERDICTS)]
    initial: Option<String>,

    /// What a read says that returned nil: that the key is missing, or anything
    #[arg(long, value_name = "MEANING", default_value = "missing", help_heading = VERDICTS)]
    nil: Nil,

    /// What a cas says that failed without telling what it found: nothing, so that it is dropped, or
    /// that the key had another value than the old one
    #[arg(long, value_name = "MEANING", default_value = "dropped", help_heading = VERDICTS)]
    failed_cas: FailedCas,

    /// Print one JSON object for each file
    #[arg(long)]
    json: bool,

    /// Write the proof of every key to this file, as one JSON object for each history
    #[arg(long, value_name = "PROOF")]
    proof: Option<PathBuf>,

    /// How many configurations may be looked at to judge one key
    #[arg(long, value_name = "N", default_value_t = Bounds::default().configurations,
          help_heading = BOUNDS, value_parser = clap::value_parser!(u64).range(1..))]
    max_configurations: u64,

    /// How much memory the search may take for one key, in MiB
    #[arg(long, value_name = "MIB", default_value_t = Bounds::default().memory_bytes >> 20,
          help_heading = BOUNDS, value_parser = clap::value_parser!(u64).range(1..1 << 40))]
    max_memory_mib: u64,

    /// How long the search may take for one key, in seconds; 0 is as long as it likes
    #[arg(long, value_name = "S", help_heading = BOUNDS,
          default_value_t = Bounds::default().time.map_or(0, |time| time.as_secs()))]
    max_time_s: u64,
}

const VERDICTS: &str = "Options that decide verdicts";
const BOUNDS: &str = "Bounds, beyond which a verdict is unknown";

impl Verify {
    fn plan(self) -> Result<verify::Plan, clap::Error> {
        let twice = self.files.iter().filter(|file| file.as_os_str() == "-").count() > 1;
        if twice {
            return Err(usage("standard input can be read once: give - only once"));
        }
        if self.proof.as_deref().is_some_and(|proof| self.files.iter().any(|file| file == proof)) {
            return Err(usage("--proof would overwrite a history: give another file"));
        }
        let initial = self.initial.as_deref().map(history::value).transpose();
        let initial = initial.map_err(|why| usage(&format!("--initial: {why}")))?;
        Ok(verify::Plan {
            switches: self.switches(),
            format: self.format,
            model: self.model,
            initial,
            pairing: Pairing { keyed: self.keyed, nil: self.nil, failed_cas: self.failed_cas },
            bounds: Bounds {
                configurations: self.max_configurations,
                memory_bytes: self.max_memory_mib << 20,
                time: (self.max_time_s > 0).then(|| Duration::from_secs(self.max_time_s)),
            },
            json: self.json,
            proof: self.proof,
            files: self.files,
        })
    }

    /// The options that may change a verdict and are not the defaults, as one would type them.
    fn switches(&self) -> Vec<String> {
        let bounds = Bounds::default();
        let time_s = bounds.time.map_or(0, |time| time.as_secs());
        let usual = Pairing::default();
        let initial = self.initial.as_deref().map(verify::quoted);
        [
            self.format.map(|format| ("format", name(&format))),
            self.model.map(|model| ("model", name(&model))),
            unusual(self.keyed, usual.keyed).map(|keyed| ("keyed", name(&keyed))),
            initial.map(|initial| ("initial", initial)),
            unusual(self.nil, usual.nil).map(|nil| ("nil", name(&nil))),
            unusual(self.failed_cas, usual.failed_cas)
                .map(|meaning| ("failed-cas", name(&meaning))),
            unusual(self.max_configurations, bounds.configurations)
                .map(|n| ("max-configurations", n.to_string())),
            unusual(self.max_memory_mib, bounds.memory_bytes >> 20)
                .map(|mib| ("max-memory-mib", mib.to_string())),
            unusual(self.max_time_s, time_s).map(|s| ("max-time-s", s.to_string())),
        ]
        .into_iter()
        .flatten()
        .map(|(flag, value)| format!("--{flag} {value}"))
        .collect()
    }
}

/// An option if it is not the default.
fn unusual<T: PartialEq>(given: T, usual: T) -> Option<T> {
    (given != usual).then_some(given)
}

fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value().expect("no value is hidden");
    value.get_name().to_string()
}

impl ValueEnum for Model {
    fn value_variants<'a>() -> &'a [Model] {
        &[Model::CasRegister, Model::KvAppend]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Model::CasRegister => {
                PossibleValue::new("cas-register").help("Read, write, cas and delete whole values")
            }
            Model::KvAppend => PossibleValue::new("kv-append").help("The same, and append to them"),
        })
    }
}

/// A usage error that the grammar alone cannot find.
fn usage(why: &str) -> clap::Error {
    Line::command().error(ErrorKind::ValueValidation, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn a_report_is_of_one_folder() {
        let plan = |line: &str| checker(line.split(' ').map(OsString::from));
        let folder = match plan("checker report store/latest") {
            Ok(Plan::Report(folder)) => folder,
            other => panic!("{other:?}"),
        };
        assert_eq!(folder, PathBuf::from("store/latest"));
        for line in ["checker report", "checker report a b", "checker report --json a"] {
            assert!(plan(line).is_err(), "{line}");
        }
    }

    #[test]
    fn switches_are_what_is_not_the_default() {
        let plan = |line: &str| match checker(line.split(' ').map(OsString::from)) {
            Ok(Plan::Verify(plan)) => plan.switches.join(" "),
            other => panic!("{other:?}"),
        };
        assert_eq!(plan("checker verify FILE"), "");
        let all = "--format log --model kv-append --keyed no --initial 0 --nil any --failed-cas \
                   constraint --max-configurations 1 --max-memory-mib 2 --max-time-s 3";
        assert_eq!(plan(&format!("checker verify {all} FILE")), all);
    }

    #[test]
    fn initial_values_are_edn_or_json() {
        let initial = |text: &str| {
            let words = ["checker", "verify", "--initial", text, "FILE"].map(OsString::from);
            match checker(words) {
                Ok(Plan::Verify(plan)) => plan.initial.expect("it was given"),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(initial("nil"), None);
        assert_eq!(initial("null"), None);
        assert_eq!(initial("\"\""), Some(vec![]));
        assert_eq!(initial("word"), Some(b"word".to_vec()));
        assert_eq!(initial("\"4\""), Some(b"4".to_vec()));
        assert_eq!(initial("-4"), Some(b"\xff-4".to_vec()));
        let unreadable = ["checker", "verify", "--initial", "[1", "FILE"].map(OsString::from);
        assert_eq!(checker(unreadable).expect_err("it has no end").code(), BAD_ARGUMENTS);
    }
}
