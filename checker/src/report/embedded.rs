//! What the scripts of the page get: JSON that stands in the page and cannot end the element it
//! stands in, whatever strangers wrote into their values.

use std::io;

use serde::Serialize;

use super::Error;
use super::leaders::Leaders;
use super::operations::Words;
use super::page::{Findings, invoked_in};
use super::rates::Rates;
use super::stored::{Fault, Test};
use crate::run::{CONTRADICTED, FINAL_READERS};

/// The JSON of these findings, in which `<` is spelt `\u003c`: outside of strings there is none.
pub(super) fn json(findings: &Findings<'_>) -> Result<String, Error> {
    let Findings { test, results, spans, violations, choice, .. } = findings;
    let operations = Columns::of(findings);
    let accused = violations.first().and_then(|one| invoked_in(one.accused, spans));
    let run = Run {
        end_us: findings.end_ns.div_ceil(1_000),
        lanes: lanes(test),
        operations: operations.map_err(|error| Error::io(&findings.history, error))?,
        core: findings.core.iter().filter_map(|&index| choice.place(index)).collect(),
        accused: accused.and_then(|index| choice.place(index)),
        faults: results.faults.iter().map(Band::of).collect(),
        rates: &findings.rates,
        leaders: &findings.leaders,
    };
    Ok(serde_json::to_string(&run).expect("plain columns").replace('<', "\\u003c"))
}

/// All of it. Times are microseconds since the run began.
#[derive(Serialize)]
struct Run<'a> {
    end_us: u64,
    /// The name of each lane.
    lanes: Vec<String>,
    operations: Columns,
    /// Places in `operations` of those that are impossible.
    core: Vec<usize>,
    /// That of the one which does not fit, in the first violation.
    accused: Option<usize>,
    faults: Vec<Band<'a>>,
    rates: &'a Rates,
    leaders: &'a Leaders,
}

/// Operations, column by column: half the size of a list of objects.
#[derive(Default, Serialize)]
struct Columns {
    lane: Vec<u64>,
    process: Vec<u64>,
    /// As `Kind` and `Outcome` number them.
    kind: Vec<u8>,
    outcome: Vec<u8>,
    begun: Vec<u64>,
    took: Vec<u64>,
    call: Vec<String>,
    answer: Vec<String>,
}

/// As long as a fault lasted.
#[derive(Serialize)]
struct Band<'a> {
    from: u64,
    /// None: it was not healed.
    to: Option<u64>,
    what: &'a str,
}

impl Columns {
    fn of(findings: &Findings<'_>) -> io::Result<Columns> {
        let mut columns = Columns::default();
        let mut words = Words::of(&findings.history)?;
        for span in findings.choice.shown.iter().map(|&index| &findings.spans[index]) {
            let (call, answer) = words.tell(span)?;
            columns.lane.push(lane(span.process, &findings.test));
            columns.process.push(span.process);
            columns.kind.push(span.kind as u8);
            columns.outcome.push(span.outcome as u8);
            columns.begun.push(span.begun / 1_000);
            columns.took.push(span.ended.div_ceil(1_000) - span.begun / 1_000);
            columns.call.push(call);
            columns.answer.push(answer);
        }
        Ok(columns)
    }
}

impl Band<'_> {
    fn of(fault: &Fault) -> Band<'_> {
        let to = fault.healed_ns.map(|ns| ns / 1_000);
        Band { from: fault.begun_ns / 1_000, to, what: &fault.what }
    }
}

/// One lane for each client, whose processes retire one after another, and one for each node through
/// which all was read at last.
fn lanes(test: &Test) -> Vec<String> {
    let clients = (0..test.concurrency).map(|client| format!("client {client}"));
    clients.chain((1..=test.nodes).map(|node| format!("final n{node}"))).collect()
}

/// The lane of a process: its number tells the place. Who reads what a process was told besides its
/// answer, is at the place of that.
fn lane(process: u64, test: &Test) -> u64 {
    let process = process.checked_sub(CONTRADICTED).unwrap_or(process);
    match process.checked_sub(FINAL_READERS) {
        None => process % u64::from(test.concurrency.max(1)),
        Some(reader) => u64::from(test.concurrency) + reader % u64::from(test.nodes.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_tells_the_lane() {
        let test = json!({
            "command": "", "seed": 1, "nodes": 3, "time_limit_ms": 1, "concurrency": 6, "rate": 0,
            "keys": 1, "nemesis": [], "partitions": 1,
        });
        let test: Test = serde_json::from_value(test).expect("that of a run");
        assert_eq!(lanes(&test).len(), 9);
        for (process, expected) in [(4, 4), (16, 4), (FINAL_READERS + 2, 8), (CONTRADICTED + 16, 4)]
        {
            assert_eq!(lane(process, &test), expected, "{process}");
        }
    }
}
