//! What a run left in its folder, besides its history and its logs.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Error;
use crate::store;

/// What was asked for: `test.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Test {
    pub command: String,
    pub seed: u64,
    pub nodes: u16,
    pub time_limit_ms: u64,
    pub concurrency: u16,
    pub rate: u32,
    pub keys: u64,
    pub nemesis: Vec<String>,
    pub partitions: u32,
    /// Faults were not drawn as the command says, but read from an earlier run.
    #[serde(default)]
    pub is_replay: bool,
}

/// What was found: `results.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Results {
    pub verdict: String,
    pub reasons: Vec<String>,
    /// The command that repeats this very run, as far as one can be repeated.
    pub replay: String,
    pub ended_early: bool,
    /// The beginning of the run, by the clock of the logs.
    pub begun_at: String,
    pub replicas_compared: bool,
    pub faults: Vec<Fault>,
    pub history: OfHistory,
}

/// What was found in the history alone.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OfHistory {
    pub verdict: String,
}

/// A fault, as it went. Times are nanoseconds since the run began.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Fault {
    pub kind: String,
    pub what: String,
    pub begun_ns: u64,
    pub healed_ns: Option<u64>,
    pub touched: u64,
    pub written_ns: Option<u64>,
    pub unwritten_ns: u64,
}

/// What a node said, or that it said nothing, from this time on: `leaders.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sighting {
    pub time: u64,
    pub node: u16,
    /// None: it did not answer.
    pub group: Option<u64>,
    #[serde(default)]
    pub leads: bool,
    #[serde(default)]
    pub ballot: String,
}

/// Reads what was asked for. Of another version, it is an error.
pub(super) fn test(folder: &Path) -> Result<Test, Error> {
    let file = folder.join(store::TEST);
    let test: Json = json(&file, &text(&file)?)?;
    store::check_version(&test).map_err(|why| Error::malformed(&file, why))?;
    serde_json::from_value(test).map_err(|error| Error::malformed(&file, error))
}

/// Reads what was found.
pub(super) fn results(folder: &Path) -> Result<Results, Error> {
    let file = folder.join(store::RESULTS);
    json(&file, &text(&file)?)
}

/// Reads who was seen to lead; nothing if that was not recorded.
pub(super) fn sightings(folder: &Path) -> Result<Vec<Sighting>, Error> {
    let file = folder.join(store::LEADERS);
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = text(&file)?;
    // A line without its end was being written when the run was killed.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let mut sightings =
        whole.map(|line| json(&file, line)).collect::<Result<Vec<Sighting>, _>>()?;
    // Threads of several nodes write, each after it has looked at the clock.
    sightings.sort_by_key(|sighting| sighting.time);
    Ok(sightings)
}

fn text(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|error| Error::io(file, error))
}

fn json<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::malformed(file, error))
}
