//! The command lines of both programs, read into a valid plan. No file is opened here.

mod manual;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{RangedI64ValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::{self, ID_MAX, NODES_MAX, PARTITIONS_MAX};
use crate::protocol::{Members, NodeId};

/// The command line was no valid one.
pub const BAD_ARGUMENTS: u8 = 254;

/// What the program `node` shall do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NodePlan {
    /// Run a node.
    Run(Run),
    /// Make the files of a new cluster.
    Init(config::Init),
}

/// How a node runs.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Run {
    /// Which node of the cluster file this is
    #[arg(long, value_name = "ID", value_parser = node_id())]
    pub id: NodeId,
    /// The cluster file
    #[arg(long, value_name = "FILE")]
    pub cluster: PathBuf,
    /// The folder of this node's log and snapshots; created if it is not there
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// When a write counts as durable
    #[arg(long, value_name = "WHEN", default_value = "always")]
    pub sync: Sync,
    /// How log lines on standard error look
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The least severe log lines to write
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: LogLevel,
    /// Write every step of the replicas to this file, for `models replay`; it grows fast
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// When a write counts as durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Sync {
    /// Once the disk has it: survives power loss
    Always,
    /// Once the operating system has it: survives kill -9, not power loss
    Os,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// For machines, one object a line
    Json,
}

/// The least severe log lines to write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub enum LogLevel {
    /// Nothing at all
    Off,
    /// Why the node ends
    Error,
    /// Peers that are suspected, and what the machine refuses
    Warn,
    /// Starts, elections, and what was dropped in all
    Info,
    /// Changes of role, snapshots, datagrams from strangers, new clients
    Debug,
    /// Each message between replicas
    Trace,
}

/// What the program `kv` shall do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KvPlan {
    /// How to reach the cluster and answer.
    pub options: KvOptions,
    /// What to ask; without, the user wants a console.
    pub request: Option<Request>,
}

/// How `kv` reaches the cluster and answers.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct KvOptions {
    /// The cluster file
    #[arg(long, value_name = "FILE", default_value = "cluster.json", global = true)]
    pub cluster: PathBuf,
    /// How long to try before the outcome counts as indeterminate
    #[arg(long, value_name = "N", default_value_t = 5000, global = true,
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout_ms: u64,
    /// Answer with one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
}

impl KvOptions {
    /// Whether they leave alone what a console has settled when it began.
    pub fn is_of_a_console(&self) -> bool {
        let KvLine { options, .. } = KvLine::parse_from(["kv"]);
        *self == KvOptions { json: self.json, ..options }
    }
}

/// One request. Keys and values are any bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Request {
    /// The value of a key.
    Get { key: Vec<u8> },
    /// Give a key a value.
    Put { key: Vec<u8>, value: Vec<u8> },
    /// Give a key the value `new` if it has the value `old`, or if it is missing and `old` is none.
    Cas { key: Vec<u8>, old: Option<Vec<u8>>, new: Vec<u8> },
    /// Take a key out.
    Delete { key: Vec<u8> },
    /// The state of a node, or of all.
    Status { node: Option<NodeId> },
    /// Where a key is held, or the whole table.
    Route { key: Option<Vec<u8>> },
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

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Stop {
        Stop(error)
    }
}

impl fmt::Display for Stop {
    /// Help is for people, and stays as it is; an error is one line, as all our errors are: what is
    /// wrong and what was perhaps meant, without the usage that `--help` begins with.
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

/// Reads the command line of `node`, the program's name included.
pub fn node(arguments: impl IntoIterator<Item = OsString>) -> Result<NodePlan, Stop> {
    let line = NodeLine::try_parse_from(arguments)?;
    match (line.command, line.run) {
        (Some(NodeCommand::Init(init)), _) => Ok(NodePlan::Init(init.plan())),
        (None, run) => Ok(NodePlan::Run(run.expect("without a command, its flags are required"))),
    }
}

/// Reads the command line of `kv`, the program's name included.
pub fn kv(arguments: impl IntoIterator<Item = OsString>) -> Result<KvPlan, Stop> {
    let KvLine { options, command } = KvLine::try_parse_from(arguments)?;
    let request = command.map(KvCommand::request).transpose()?;
    Ok(KvPlan { options, request })
}

/// The grammar of `node`, for manuals and completions.
pub fn node_command() -> clap::Command {
    NodeLine::command()
}

/// The grammar of `kv`, likewise.
pub fn kv_command() -> clap::Command {
    KvLine::command()
}

/// Run a node of Quorate, the replicated key-value store, or make the files of a new cluster
///
/// A cluster is a few nodes that hold the same keys: of three, any two serve when the third is gone.
/// A node runs until it is told to stop, by SIGTERM or SIGINT. Started again with the same folder, it
/// goes on where it was: what it has acknowledged is not lost, whatever ended it. Its log goes to
/// standard error. Clients are `kv`, and the crate's `node::client`.
#[derive(Parser)]
#[command(name = "node", version, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true, after_help = manual::NODE_CODES)]
#[command(after_long_help = [manual::NODE, manual::NODE_CODES].concat())]
struct NodeLine {
    #[command(flatten)]
    run: Option<Run>,
    #[command(subcommand)]
    command: Option<NodeCommand>,
}

#[derive(Subcommand)]
enum NodeCommand {
    Init(InitLine),
}

/// Make a cluster file for nodes on this machine, and a fresh secret beside it
///
/// Prints the path of the cluster file. For several machines, write their addresses into it, and copy
/// both files to all of them. Existing files are never overwritten.
#[derive(Args)]
#[command(after_help = manual::INIT)]
struct InitLine {
    /// How many nodes; their ids count from 1
    #[arg(long, value_name = "N", value_parser = up_to(NODES_MAX as i64))]
    nodes: u32,
    /// The folder for cluster.json and cluster.secret; created if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How many replication groups share the keys
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = up_to(PARTITIONS_MAX.into()))]
    partitions: u32,
    /// Replicas of each group [default: all nodes for one partition, else 3]
    #[arg(long, value_name = "R", value_parser = up_to(Members::MAX as i64))]
    replication: Option<u32>,
    /// The port of node 1, others follow [default: ports that are free now]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    base_port: Option<u16>,
    /// The name of the cluster
    #[arg(long, value_name = "NAME", default_value = "local")]
    name: String,
}

impl InitLine {
    fn plan(self) -> config::Init {
        config::Init {
            dir: self.dir,
            name: self.name,
            nodes: self.nodes as u16,
            partitions: self.partitions,
            replication: self.replication.map(|replicas| replicas as usize),
            base_port: self.base_port,
        }
    }
}

/// Ask a Quorate cluster: read, write, compare and set, and see how it is
///
/// Without a command, it is a console: the same commands, one a line, with a history. Keys and values
/// are any bytes.
#[derive(Parser)]
#[command(name = "kv", version, after_help = manual::KV_CODES)]
#[command(after_long_help = [manual::KV, manual::KV_CODES].concat())]
struct KvLine {
    #[command(flatten)]
    options: KvOptions,
    #[command(subcommand)]
    command: Option<KvCommand>,
}

#[derive(Subcommand)]
enum KvCommand {
    /// Print the value of a key
    #[command(after_help = manual::KV_CODES)]
    Get {
        /// Whose value
        key: OsString,
    },
    /// Give a key a value
    #[command(after_help = manual::KV_CODES)]
    Put {
        /// Whose value; it need not be there
        key: OsString,
        /// The new value, in place of any old one
        #[arg(allow_hyphen_values = true)]
        value: OsString,
    },
    /// Give a key the value NEW if it has the value OLD, else say which it has
    #[command(override_usage = CAS_USAGE, after_help = manual::CAS)]
    Cas {
        /// NEW follows KEY at once: set it if the key is missing
        #[arg(long)]
        absent: bool,
        /// Whose value
        key: OsString,
        /// The value it must have; with --absent: NEW
        #[arg(allow_hyphen_values = true)]
        old: OsString,
        /// The value it gets
        #[arg(allow_hyphen_values = true)]
        new: Option<OsString>,
    },
    /// Take a key out, if it is there
    #[command(after_help = manual::KV_CODES)]
    Delete {
        /// Which
        key: OsString,
    },
    /// Show the state of a node, or of all nodes; with --json, as the nodes themselves tell it
    #[command(after_help = manual::STATUS)]
    Status {
        /// Its id, as in 2 or n2 [default: all nodes]
        #[arg(value_parser = node_name)]
        node: Option<NodeId>,
    },
    /// Show which group holds a key and who leads it, or the whole table
    #[command(after_help = manual::KV_CODES)]
    Route {
        /// Any, whether it is there or not [default: the table of all groups]
        key: Option<OsString>,
    },
}

const CAS_USAGE: &str = "kv cas [OPTIONS] KEY OLD NEW\n       kv cas [OPTIONS] --absent KEY NEW";

impl KvCommand {
    fn request(self) -> Result<Request, clap::Error> {
        let bytes = OsString::into_vec;
        Ok(match self {
            KvCommand::Get { key } => Request::Get { key: bytes(key) },
            KvCommand::Put { key, value } => Request::Put { key: bytes(key), value: bytes(value) },
            KvCommand::Cas { absent, key, old, new } => {
                let (old, new) = match (absent, new) {
                    (true, None) => (None, old),
                    (false, Some(new)) => (Some(old), new),
                    (true, Some(_)) => {
                        return Err(wrong_values("with --absent, only NEW follows KEY"));
                    }
                    (false, None) => {
                        let error = "OLD and NEW follow KEY; if it is to be missing, say --absent";
                        return Err(wrong_values(error));
                    }
                };
                Request::Cas { key: bytes(key), old: old.map(bytes), new: bytes(new) }
            }
            KvCommand::Delete { key } => Request::Delete { key: bytes(key) },
            KvCommand::Status { node } => Request::Status { node },
            KvCommand::Route { key } => Request::Route { key: key.map(bytes) },
        })
    }
}

/// A usage error of `kv cas` that the grammar alone cannot find.
fn wrong_values(why: &str) -> clap::Error {
    let mut command = KvLine::command();
    let cas = command.find_subcommand_mut("cas").expect("it is defined above");
    cas.error(ErrorKind::WrongNumberOfValues, why)
}

fn up_to(most: i64) -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=most)
}

fn node_id() -> impl TypedValueParser<Value = NodeId> {
    clap::value_parser!(u16).range(1..=i64::from(ID_MAX)).map(NodeId)
}

/// A node as we print it, or its bare id.
fn node_name(name: &str) -> Result<NodeId, String> {
    let id = name.strip_prefix('n').unwrap_or(name).parse().ok();
    let id = id.filter(|id| (1..=ID_MAX).contains(id));
    id.map(NodeId).ok_or_else(|| format!("a node is called 1 or n1, up to {ID_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammars_are_sound() {
        NodeLine::command().debug_assert();
        KvLine::command().debug_assert();
    }

    #[test]
    fn nodes_go_by_the_names_that_we_print() {
        for name in ["2", "n2", "02"] {
            assert_eq!(node_name(name), Ok(NodeId(2)), "{name}");
        }
        for name in ["", "n", "0", "n0", "nn1", "-1", "65535", "all"] {
            assert!(node_name(name).is_err(), "{name}");
        }
    }
}
