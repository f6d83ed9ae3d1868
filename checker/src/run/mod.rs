//! `checker run`: one test of a real cluster, from start to verdict.
//!
//! ```text
//!   boot ─► load, while the nemesis breaks things ─► heal ─► read every key ─► replicas equal? ─► judge
//!            └── history.jsonl ◄──────────────────────────────┘
//! ```
//! The seed decides which operations are asked for and which faults are planned. It does not decide
//! how threads, sockets and disks take turns: the same seed is the same test, not the same run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use node::wire::NodeId;
use serde_json::json;

use crate::cluster::clocks::Library;
use crate::cluster::{self, Nodes, Site};
use crate::nemesis::{self, Kind};
use crate::proxy::{Endpoint, Proxy};
use crate::store::{self, Folder};
use crate::{report, say, verify};

mod ending;
mod error;
mod faults;
mod interrupts;
mod live;
mod load;
mod observer;
mod outcome;
mod record;
mod replay;
mod shrink;
mod status_line;
mod told;

use ending::Ending;
use error::NO_CLOCKS;
use load::Loaded;
use observer::Observer;

pub(crate) use ending::FINAL_READERS;
pub use error::Error;
pub(crate) use interrupts::Interrupts;
pub use live::{Live, Sighting};
pub use outcome::Outcome;
pub(crate) use record::CONTRADICTED;
pub use record::{Counts, Fault, Recorder};
pub use replay::{Recording, Replay, Unfit};
pub use shrink::{Shrink, shrink};
pub(crate) use status_line::StatusLine;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: u16,
    /// How long to load the cluster.
    pub time_limit: Duration,
    /// How many clients at a time.
    pub concurrency: usize,
    /// Operations a second over all clients; 0 is as fast as they complete.
    pub rate: u32,
    /// How many keys.
    pub keys: usize,
    /// Which faults.
    pub nemesis: Vec<Kind>,
    /// Those that this machine cannot do are left out.
    pub is_lenient: bool,
    /// About how long from the beginning of a fault to the next.
    pub nemesis_interval: Duration,
    /// How many replication groups.
    pub partitions: u32,
    /// What operations and faults are drawn from.
    pub seed: u64,
    /// Where results go.
    pub store: PathBuf,
    /// Whether the first violation ends the load, with the nodes held still to be looked at.
    pub stop_at_first: bool,
    /// The program to judge; by default the `node` beside this program.
    pub node_bin: Option<PathBuf>,
    /// The command that asks for this test.
    pub command: String,
    /// What of an earlier run is repeated: not drawn from the seed, but as it was.
    pub recording: Option<Recording>,
}

/// All that a run consists of.
struct Scene<'a> {
    plan: &'a Plan,
    schedule: nemesis::Plan,
    nodes: &'a Nodes,
    proxy: &'a Proxy,
    recorder: &'a Recorder,
}

/// Where results go if nothing else is asked for.
pub const DEFAULT_STORE: &str = "store";

/// How long nodes may take until all of them answer.
pub(crate) const BOOT: Duration = Duration::from_secs(20);

/// A run that has come to its end.
struct Finished {
    outcome: Outcome,
    folder: Folder,
    /// When the first violation shows in the history, in nanoseconds from its beginning.
    shows_at_ns: Option<u64>,
    /// The verdict, and how to repeat it.
    verdict: String,
    /// Why it is so, and where to look.
    reasons: String,
    /// Nodes that are frozen, to be looked at.
    held: Option<Nodes>,
}

/// Runs a test, prints what was found, and returns it. Must be called from the main thread: nodes
/// die with the thread that starts them.
pub fn run(plan: &Plan) -> Result<Outcome, Error> {
    say::aside(format_args!("seed {}", plan.seed));
    let interrupts = Interrupts::watch().map_err(Error::io("signals"))?;
    let Finished { outcome, verdict, reasons, held, .. } = carry_out(plan, &interrupts)?;
    let told = say::out(format_args!("{verdict}{reasons}"));
    told.map_err(Error::io("standard output"))?;
    if let Some(nodes) = held {
        let held = say::heard_or_not(live::hold(&nodes, &interrupts));
        held.map_err(Error::io("standard error"))?;
    }
    Ok(outcome)
}

/// Runs a test as an earlier run was, as [`run`] does.
pub fn replay(replay: &Replay) -> Result<Outcome, Error> {
    run(&replay.plan()?)
}

fn carry_out(plan: &Plan, interrupts: &Interrupts) -> Result<Finished, Error> {
    let (plan, clocks) = &plan.with_clocks()?;
    let program = program(plan.node_bin.as_deref())?;
    let ids: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
    let options = plan.faults(&ids);
    if let Some(why) = options.refusal() {
        return Err(Error::Impossible(why));
    }
    let folder = Folder::create(&plan.store, &plan.name()).map_err(Error::io("the store"))?;
    let (nodes, proxy) = prepare(plan, &ids, program, clocks.clone(), &folder)?;
    let schedule = match &plan.recording {
        Some(recording) => recording.schedule.clone(),
        None => nemesis::draw(plan.seed, &options),
    };
    folder.write_test(&plan.test(&schedule)).map_err(Error::io("the store"))?;
    let is_unwanted = || interrupts.came();
    nodes.start_all_unless(BOOT, &is_unwanted).map_err(Error::Cluster)?;

    let history = folder.history();
    let recorder = Recorder::create(&history).map_err(Error::file(&history))?;
    let scene = Scene { plan, schedule, nodes: &nodes, proxy: &proxy, recorder: &recorder };
    let observer = Observer::start(&nodes, recorder.begun(), &folder.leaders());
    let observer = observer.map_err(Error::io("the record of leaders"))?;
    let loaded = load::run(&scene, interrupts)?;
    if recorder.has_failed() {
        // Nothing could be judged, however well it ends.
        recorder.finish().map_err(Error::file(&history))?;
    }
    let ending = match scene.is_to_freeze() {
        true => Ending::default(),
        false => ending::end(&scene, interrupts)?,
    };
    observer.finish().map_err(Error::io("the record of leaders"))?;
    // The last answers, and final reads, may have shown it too.
    let is_frozen = scene.is_to_freeze();
    if is_frozen {
        nodes.freeze();
    }
    recorder.finish().map_err(Error::file(&history))?;
    let held = is_frozen.then_some(nodes);
    judge(plan, folder, &recorder, &loaded, &ending, held)
}

/// The network and the files of a cluster; nothing of it runs yet but the proxy.
fn prepare(
    plan: &Plan,
    ids: &[NodeId],
    program: PathBuf,
    clocks: Option<Library>,
    folder: &Folder,
) -> Result<(Nodes, Proxy), Error> {
    let addresses = cluster::free_addresses(ids.len()).map_err(Error::io("addresses"))?;
    let site = Site {
        dir: folder.nodes(),
        program,
        partitions: plan.partitions,
        clocks,
        nodes: ids.iter().copied().zip(addresses).collect(),
        arguments: Vec::new(),
    };
    // Each client is a group of its own, and so is who reads at last through each node.
    let groups = (plan.concurrency + ids.len()) as u32;
    let proxy = Proxy::start(&site.nodes, groups, plan.seed).map_err(Error::io("the proxy"))?;
    let view = |from, to| proxy.address(Endpoint::Node(from), to);
    let nodes = Nodes::prepare(site, view).map_err(Error::Cluster)?;
    Ok((nodes, proxy))
}

/// Judges what was recorded, and writes down and words what was found. `held`: nodes that are frozen.
fn judge(
    plan: &Plan,
    folder: Folder,
    recorder: &Recorder,
    loaded: &Loaded,
    ending: &Ending,
    held: Option<Nodes>,
) -> Result<Finished, Error> {
    let (verifying, history) = (verify::Plan::of_own(), folder.history());
    let name = history.to_string_lossy();
    let judged = verify::judge(&verifying, &history, &name).map_err(Error::History)?;
    let facts = outcome::Facts {
        counts: recorder.counts(),
        faults: recorder.faults(),
        asked_for_faults: !plan.nemesis.is_empty(),
        quarrels: recorder.with_live(|live| live.quarrels(&judged)),
        is_frozen: held.is_some(),
    };
    let outcome = Outcome::of(&facts, loaded, ending, judged.finding);
    let report = told::Report { plan, folder: &folder, outcome: &outcome, judged: &judged };
    let results = report.results(&verifying, recorder, ending);
    folder.write_results(&results).map_err(Error::io("the store"))?;
    let (verdict, mut reasons) = (report.verdict(), report.reasons(recorder));
    match report::write(folder.path(), &judged) {
        Ok(file) => reasons.push_str(&format!("  report: {}\n", file.display())),
        // The verdict stands, and is not hidden by that.
        Err(error) => say::aside(format_args!("checker: no report: {error}")),
    }
    let shows_at_ns = judged.shows_at_ns();
    Ok(Finished { outcome, folder, shows_at_ns, verdict, reasons, held })
}

impl Scene<'_> {
    /// Whether something was seen that is to be looked at in the act.
    fn is_to_freeze(&self) -> bool {
        self.plan.stop_at_first && self.recorder.with_live(|live| !live.sightings().is_empty())
    }
}

/// The program of a node: this one, or the `node` beside our own.
pub(crate) fn program(node_bin: Option<&Path>) -> Result<PathBuf, Error> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("node"));
    let program = node_bin.map(Path::to_path_buf).map_or_else(beside, Ok);
    let program = program.map_err(Error::io("the program of a node"))?;
    // Relative names must hold in the guard too, and a name without a folder is no search.
    let absolute = program.canonicalize().ok().filter(|program| program.is_file());
    absolute.ok_or(Error::NoProgram(program))
}

impl Plan {
    /// The plan as this machine can carry it out, and what sets clocks if that is needed.
    fn with_clocks(&self) -> Result<(Plan, Option<Library>), Error> {
        let mut plan = self.clone();
        if !plan.nemesis.contains(&Kind::Clock) {
            return Ok((plan, None));
        }
        let library = Library::find();
        if library.is_none() && !plan.is_lenient {
            return Err(Error::NoClocks);
        }
        if library.is_none() {
            say::aside(format_args!("clock is left out: {NO_CLOCKS}"));
            plan.nemesis.retain(|kind| *kind != Kind::Clock);
        }
        Ok((plan, library))
    }

    fn faults(&self, ids: &[NodeId]) -> nemesis::Options {
        nemesis::Options {
            kinds: self.nemesis.clone(),
            interval_ms: self.nemesis_interval.as_millis() as u64,
            time_limit_ms: self.time_limit.as_millis() as u64,
            nodes: ids.to_vec(),
        }
    }

    /// What runs like this are called in the store.
    fn name(&self) -> String {
        let names: Vec<&str> = self.nemesis.iter().map(|kind| kind.name()).collect();
        if names.is_empty() { String::from("calm") } else { names.join("+") }
    }

    /// The command that repeats the run that left this folder.
    fn replay_command(&self, folder: &Folder) -> String {
        let path = |path: &Path| verify::quoted(&path.to_string_lossy());
        let store = (self.store != Path::new(DEFAULT_STORE)).then_some(("store", &self.store));
        let program = self.node_bin.as_ref().map(|program| ("node-bin", program));
        let flags = store.into_iter().chain(program);
        let flags: String =
            flags.map(|(flag, value)| format!(" --{flag} {}", path(value))).collect();
        let stop = if self.stop_at_first { " --stop-at-first" } else { "" };
        format!("checker run --replay {}{flags}{stop}", path(folder.path()))
    }

    /// Everything needed to repeat it.
    fn test(&self, schedule: &nemesis::Plan) -> serde_json::Value {
        json!({
            "version": store::VERSION,
            "command": self.command,
            "seed": self.seed,
            "nodes": self.nodes,
            "time_limit_ms": self.time_limit.as_millis() as u64,
            "concurrency": self.concurrency,
            "rate": self.rate,
            "keys": self.keys,
            "nemesis": self.nemesis.iter().map(|kind| kind.name()).collect::<Vec<&str>>(),
            "nemesis_interval_ms": self.nemesis_interval.as_millis() as u64,
            "partitions": self.partitions,
            "stop_at_first": self.stop_at_first,
            "is_replay": self.recording.is_some(),
            "schedule": schedule,
        })
    }
}
