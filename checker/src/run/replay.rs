//! What a run left in the store, read back to run it again.
//!
//! `test.json` says what was asked for and which faults were planned; `history.jsonl` says when each
//! operation began. Which operations those are is drawn from the seed once more, and must be what the
//! history has: the same keys, kinds and values, place by place. Only what a compare-and-set expects
//! is decided anew, by the same lot: the value seen last, or the one before. The very value of then
//! would hardly ever be there, once anything takes another turn, and all that follows would fail.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use node::wire::NodeId;
use serde::Deserialize;
use serde_json::Value as Json;

use super::ending::FINAL_READERS;
use super::record::value;
use super::{Error, Plan, load};
use crate::nemesis::{self, Fault, Kind};
use crate::store::{self, Folder};
use crate::workload::{Draw, Known, Operation};

/// What to repeat, and where.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The folder that the run left in the store.
    pub folder: PathBuf,
    /// Where results go.
    pub store: PathBuf,
    /// As in [`Plan`].
    pub stop_at_first: bool,
    /// The program to judge; by default the `node` beside this program.
    pub node_bin: Option<PathBuf>,
    /// The command that asks for this.
    pub command: String,
}

/// What was recorded of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// The faults, and when.
    pub schedule: nemesis::Plan,
    /// When each operation began, in nanoseconds from the beginning, by place and in order.
    pub begins: Arc<[Vec<u64>]>,
}

/// Why a folder cannot be replayed.
#[derive(Debug)]
pub struct Unfit {
    file: PathBuf,
    why: String,
}

/// `test.json`, as [`Plan::test`] writes it.
#[derive(Deserialize)]
struct Test {
    seed: u64,
    nodes: u16,
    time_limit_ms: u64,
    concurrency: usize,
    rate: u32,
    keys: usize,
    nemesis: Vec<Kind>,
    nemesis_interval_ms: u64,
    partitions: u32,
    schedule: nemesis::Plan,
}

/// What of a line of the history is looked at.
#[derive(Deserialize)]
struct Invocation {
    time: u64,
    process: u64,
    f: String,
    value: Json,
}

impl Replay {
    /// The plan of the run that left the folder, with all that was recorded of it.
    pub(super) fn plan(&self) -> Result<Plan, Error> {
        let mut plan = self.read_test().map_err(Error::Unfit)?;
        let begins = self.read_begins(&plan).map_err(Error::Unfit)?;
        let recording = plan.recording.as_mut().expect("it was read with the plan");
        recording.begins = begins.into();
        Ok(plan)
    }

    fn read_test(&self) -> Result<Plan, Unfit> {
        let file = Folder::test_in(&self.folder);
        let unfit = |why: String| Unfit { file: file.clone(), why };
        let text = fs::read(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unfit(format!("{error}: name a folder of a run")),
            _ => unfit(error.to_string()),
        })?;
        let json: Json = serde_json::from_slice(&text).map_err(|error| unfit(error.to_string()))?;
        store::check_version(&json).map_err(unfit)?;
        let test: Test = serde_json::from_value(json).map_err(|error| unfit(error.to_string()))?;
        test.check().map_err(unfit)?;
        let recording = Recording { schedule: test.schedule, begins: Arc::new([]) };
        Ok(Plan {
            nodes: test.nodes,
            time_limit: Duration::from_millis(test.time_limit_ms),
            concurrency: test.concurrency,
            rate: test.rate,
            keys: test.keys,
            nemesis: test.nemesis,
            is_lenient: false,
            nemesis_interval: Duration::from_millis(test.nemesis_interval_ms),
            partitions: test.partitions,
            seed: test.seed,
            store: self.store.clone(),
            stop_at_first: self.stop_at_first,
            node_bin: self.node_bin.clone(),
            command: self.command.clone(),
            recording: Some(recording),
        })
    }

    /// When operations began, by place. Of a run that was killed, the last line may be cut short.
    fn read_begins(&self, plan: &Plan) -> Result<Vec<Vec<u64>>, Unfit> {
        let file = Folder::history_in(&self.folder);
        let unfit = |why: String| Unfit { file: file.clone(), why };
        let mut lines =
            BufReader::new(File::open(&file).map_err(|error| unfit(error.to_string()))?);
        let known = Known::new(plan.keys);
        let mut draws: Vec<Draw> = (0..plan.concurrency).map(|at| load::draw(plan, at)).collect();
        let mut begins = vec![Vec::new(); plan.concurrency];
        let (mut line, mut number) = (String::new(), 0);
        loop {
            line.clear();
            number += 1;
            let read = lines.read_line(&mut line).map_err(|error| unfit(error.to_string()))?;
            if read == 0 || !line.ends_with('\n') {
                return Ok(begins);
            }
            if !line.contains(r#""type":"invoke""#) {
                continue;
            }
            let invocation: Invocation = serde_json::from_str(&line)
                .map_err(|error| unfit(format!("line {number} is no invocation: {error}")))?;
            if invocation.process >= FINAL_READERS {
                continue;
            }
            let place = invocation.process as usize % plan.concurrency;
            let due = draws[place].next(&known);
            if !invocation.asks_for(&due) {
                return Err(unfit(format!(
                    "line {number} is not what seed {} asks for: it is of another run",
                    plan.seed
                )));
            }
            begins[place].push(invocation.time);
        }
    }
}

/// Far behind the end of the longest load.
const STEP_MS_MAX: u64 = 1_000_000_000;

impl Invocation {
    /// What a compare-and-set expected was decided by what had been seen; all else by the seed.
    fn asks_for(&self, due: &Operation) -> bool {
        let mut asked = self.value.clone();
        let mut drawn = value(due);
        for expected in [&mut asked, &mut drawn] {
            if let Some(old) = expected.pointer_mut("/1/0") {
                old.take();
            }
        }
        self.f == due.kind().name() && asked == drawn
    }
}

impl Test {
    /// What `checker run` would not have written.
    fn check(&self) -> Result<(), String> {
        let fields = [
            ("nodes", u64::from(self.nodes), 32),
            ("time_limit_ms", self.time_limit_ms, 86_400_000),
            ("concurrency", self.concurrency as u64, 32_000),
            ("keys", self.keys as u64, 100_000),
            ("nemesis_interval_ms", self.nemesis_interval_ms, 3_600_000),
            ("partitions", self.partitions.into(), 64),
        ];
        for (field, value, most) in fields {
            if !(1..=most).contains(&value) {
                return Err(format!("{field} is {value}: write a number from 1 to {most}"));
            }
        }
        let mut last_ms = 0;
        for (number, step) in self.schedule.steps.iter().enumerate() {
            self.check_step(step, last_ms)
                .map_err(|why| format!("schedule.steps[{number}]: {why}"))?;
            last_ms = step.at_ms;
        }
        Ok(())
    }

    fn check_step(&self, step: &nemesis::Step, last_ms: u64) -> Result<(), String> {
        let nemesis::Step { at_ms, heal_ms, fault, order } = step;
        let mut nodes = order.clone();
        nodes.sort();
        if nodes != (1..=self.nodes).map(NodeId).collect::<Vec<NodeId>>() {
            return Err(format!("order must name each node from 1 to {} once", self.nodes));
        }
        if heal_ms <= at_ms || *at_ms < last_ms {
            return Err(String::from("a step must heal after it begins, and begin in order"));
        }
        if *heal_ms > STEP_MS_MAX {
            return Err(format!("heal_ms is {heal_ms}: write a number up to {STEP_MS_MAX}"));
        }
        if self.nodes == 1 && matches!(fault, Fault::Partition(_)) {
            return Err(String::from("one node has no partition"));
        }
        let is_weather = |kind: &Kind| {
            use Kind::{Corrupt, Delay, Duplicate, Loss, Reorder};
            matches!(kind, Loss | Delay | Duplicate | Reorder | Corrupt)
        };
        match fault {
            Fault::Weather { kind, .. } if !is_weather(kind) => {
                Err(format!("{} is no weather", kind.name()))
            }
            Fault::Clock { .. } if !self.nemesis.contains(&Kind::Clock) => {
                Err(String::from("a clock is set, but nemesis has no clock"))
            }
            Fault::Clock { percent, .. } if !(1..=10_000).contains(percent) => {
                Err(format!("percent is {percent}: write a number from 1 to 10000"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}
