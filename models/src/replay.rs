//! Trace conformance: the core is fed, step for step, what a real node fed it, and must do the same
//! again. So what the models search and the simulator runs is what the node runs; and whatever made
//! a node's step depend on more than the replica and the input shows as a difference.

use crate::guard::guarded;
use crate::report::grouped;
use clap::Args;
use node::cli::BAD_ARGUMENTS;
use node::kv::Store;
use node::protocol::{
    Body, Config, Content, Durable, GroupId, Image, Index, Input, Output, Replica, Request, Synced,
};
use node::trace::{self, Line, Outcome, Traced};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

/// Which trace.
#[derive(Args)]
pub struct Replay {
    /// What `node --trace FILE` wrote, in one life or several
    trace: PathBuf,
}

/// How much of a trace was replayed.
#[derive(Default)]
struct Covered {
    starts: u64,
    steps: u64,
    /// Numbers of lines that a kill of the node left unfinished.
    torn: Vec<u64>,
}

/// Why a replay ends early.
enum Stop {
    /// The file is not what it should be.
    Unusable(String),
    /// The core did otherwise than the node.
    Differs(String),
}

impl Replay {
    /// Replays the trace, tells the verdict, and returns the exit code.
    pub fn run(&self) -> ExitCode {
        let path = self.trace.display();
        let replayed = match File::open(&self.trace) {
            Ok(file) => replay(BufReader::new(file)),
            Err(error) => Err((0, Stop::Unusable(format!("cannot be opened: {error}")))),
        };
        match replayed {
            Ok(covered) => {
                println!("{covered}");
                ExitCode::SUCCESS
            }
            Err((number, Stop::Differs(what))) => {
                println!("{path}:{number}: {what}");
                ExitCode::FAILURE
            }
            Err((0, Stop::Unusable(why))) => {
                eprintln!("{path}: {why}");
                ExitCode::from(BAD_ARGUMENTS)
            }
            Err((number, Stop::Unusable(why))) => {
                eprintln!("{path}:{number}: {why}");
                ExitCode::from(BAD_ARGUMENTS)
            }
        }
    }
}

/// Replays all lives of a node. Fails with the number of a line,
/// zero if no line is to blame.
fn replay(mut file: impl BufRead) -> Result<Covered, (u64, Stop)> {
    let (mut covered, mut replicas) = (Covered::default(), BTreeMap::new());
    // Half a line is a node's last; what comes next, if anything, is another life.
    let mut torn: Option<(u64, String)> = None;
    let (mut is_begun, mut is_ended) = (false, true);
    for number in 1.. {
        let at = |stop| (number, stop);
        let mut text = Vec::new();
        let read = file.read_until(b'\n', &mut text).map_err(|error| (0, unreadable(&error)))?;
        if read == 0 {
            break;
        }
        is_ended = text.pop_if(|byte| *byte == b'\n').is_some();
        let line = std::str::from_utf8(&text).map_err(|_| "no text".to_owned());
        let line = line.and_then(Line::parse);
        if let Some((number, why)) = torn.take() {
            if !matches!(line, Ok(Line::Begin { .. })) {
                return Err((number, Stop::Unusable(why)));
            }
            covered.torn.push(number);
        }
        match line {
            Ok(Line::Begin { .. }) => {
                is_begun = true;
                replicas.clear();
            }
            Ok(line) if is_begun => {
                covered.count(&line);
                let followed = guarded(|| Ok(follow(line, &mut replicas)));
                followed.unwrap_or_else(|panic| Err(Stop::Differs(panic))).map_err(at)?;
            }
            Err(why) if is_begun => torn = Some((number, why)),
            Ok(_) => return Err((0, Stop::Unusable("no trace: it has no first line".to_owned()))),
            Err(why) => return Err((0, Stop::Unusable(format!("no trace: {why}")))),
        }
    }
    match torn {
        Some((number, why)) if is_ended => return Err((number, Stop::Unusable(why))),
        last => covered.torn.extend(last.map(|(number, _)| number)),
    }
    match covered.steps {
        0 => Err((0, Stop::Unusable("holds no whole step: nothing was replayed".to_owned()))),
        _ => Ok(covered),
    }
}

fn unreadable(error: &io::Error) -> Stop {
    Stop::Unusable(format!("cannot be read: {error}"))
}

/// The replicas of one life of the node.
type Replicas = BTreeMap<GroupId, Replayed>;

/// A replica that is led through what another did.
struct Replayed {
    replica: Replica<Store>,
    output: Output<Store>,
    /// All writes handed out so far.
    writes: Vec<Synced>,
    /// Snapshots not reported durable so far.
    saves: BTreeMap<Index, Content<Store>>,
}

/// Does what the line says was done, and compares.
fn follow(line: Line, replicas: &mut Replicas) -> Result<(), Stop> {
    let unknown = |group: GroupId| {
        Stop::Unusable(format!("group {} was not started in this life of the node", group.0))
    };
    match line {
        Line::Begin { .. } => Ok(()),
        Line::Start { config, durable, image } => {
            let group = config.group;
            let started = Replayed::start(config, durable, image)?;
            replicas.insert(group, started);
            Ok(())
        }
        Line::Write { group, recorded } => {
            replicas.get_mut(&group).ok_or_else(|| unknown(group))?.write(&recorded)
        }
        Line::Step { group, input, recorded } => {
            replicas.get_mut(&group).ok_or_else(|| unknown(group))?.step(input, &recorded)
        }
    }
}

impl Replayed {
    fn start(
        config: Config,
        durable: Option<Durable>,
        image: Option<trace::Image>,
    ) -> Result<Replayed, Stop> {
        let mut output = Output::default();
        let initial = Store::default();
        let replica = match durable {
            None => Replica::create(config, initial, &mut output),
            Some(durable) => {
                let image = image.map(Image::new);
                let recovered = Replica::recover(config, initial, durable, image, &mut output);
                // A node that this happens to does not run, so it has no trace.
                recovered.map_err(|contradiction| Stop::Differs(contradiction.to_string()))?
            }
        };
        Ok(Replayed { replica, output, writes: Vec::new(), saves: BTreeMap::new() })
    }

    fn write(&mut self, recorded: &Outcome) -> Result<(), Stop> {
        let write = self.output.take_write();
        let records = write.as_ref().map_or(&[][..], |write| &write.records);
        compare("a write", recorded, &trace::written(records))?;
        // Whether it is durable is for the trace to say.
        self.writes.extend(write.map(|write| write.unsynced.synced()));
        Ok(())
    }

    fn step(&mut self, input: Traced, recorded: &Outcome) -> Result<(), Stop> {
        let content;
        let input = match input {
            Traced::Message(envelope) => Input::Message(envelope),
            Traced::Timeout(timer) => Input::Timeout(timer),
            Traced::Synced(number) => {
                let synced = self.writes.get(number);
                let never = || Stop::Unusable(format!("write {number} was never handed out"));
                Input::Synced(*synced.ok_or_else(never)?)
            }
            Traced::Saved { index, digest } => self.saved(index, digest)?,
            Traced::Request { client, number, content: bytes, is_read, more } => {
                content = bytes;
                let body = if is_read { Body::Read(&content) } else { Body::Write(&content) };
                Input::Request(Request { client, number, body, more })
            }
        };
        let told = told(&input);
        let outcome = trace::step(&mut self.replica, input, &mut self.output);
        let Output { messages, answers, timers, saves, suspicions, .. } = &mut self.output;
        self.saves.extend(saves.drain(..).map(|save| (save.index, save.content)));
        messages.clear();
        answers.clear();
        timers.clear();
        suspicions.clear();
        compare(&told, recorded, &outcome)
    }

    fn saved(&mut self, index: Index, digest: u64) -> Result<Input<'static>, Stop> {
        let content = self.saves.remove(&index);
        let never = || Stop::Unusable(format!("snapshot {index} was never asked for"));
        let image = content.ok_or_else(never)?.image();
        if trace::digest(&image) != digest {
            let what = format!("snapshot {index} has other bytes than the node's");
            return Err(Stop::Differs(what));
        }
        Ok(Input::SnapshotSaved { index, image })
    }
}

fn told(input: &Input<'_>) -> String {
    match input {
        Input::Message(envelope) => envelope.to_string(),
        Input::Timeout(timer) => format!("{timer:?}"),
        Input::Request(request) => format!("request {}/{}", request.client, request.number),
        Input::Synced(_) => "synced".to_owned(),
        Input::SnapshotSaved { index, .. } => format!("snapshot {index} saved"),
    }
}

/// Differs, in a few lines for a reader, unless both are equal.
fn compare(after: &str, recorded: &Outcome, replayed: &Outcome) -> Result<(), Stop> {
    if recorded == replayed {
        return Ok(());
    }
    let line = |name, outcome: &Outcome| {
        let Outcome { words, digest } = outcome;
        format!("\n  {name}  {digest:016x}  {}", words.join("; "))
    };
    let node = line("the node", recorded);
    let core = line("the core", replayed);
    Err(Stop::Differs(format!("the output differs, after {after}{node}{core}")))
}

impl Covered {
    fn count(&mut self, line: &Line) {
        match line {
            Line::Start { .. } => self.starts += 1,
            Line::Step { .. } => self.steps += 1,
            Line::Begin { .. } | Line::Write { .. } => {}
        }
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Covered { starts, steps, torn } = self;
        let replicas = if *starts == 1 { "replica" } else { "replicas" };
        let (starts, steps) = (grouped(*starts), grouped(*steps));
        write!(f, "{steps} steps of {starts} {replicas} replayed, all outputs equal")?;
        for number in torn {
            write!(f, "\nline {number} is cut off: the node was killed while it wrote")?;
        }
        Ok(())
    }
}
