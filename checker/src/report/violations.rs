//! The smallest impossible sets of operations, as the page shows them.

use serde::Serialize;

use super::logs::{Around, Log};
use crate::explain::{self, Teller};
use crate::history::{History, Rank};
use crate::linearizability::{Evidence, Verdict, Violation};
use crate::verify::Judged;

/// The explanations of more would bury the first.
const VIOLATIONS_MAX: usize = 3;

/// More rows tell nobody anything; `checker verify --proof` has all of them.
const ROWS_MAX: usize = 40;

/// How long before a violation its story begins, and how long after it ends, in nanoseconds.
const BEFORE_NS: i64 = 3_000_000_000;
const AFTER_NS: i64 = 1_000_000_000;

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shows {
    /// `key k3: stale read: process 4's …`.
    pub sentence: String,
    pub rows: Vec<Row>,
    /// Rows left out.
    pub rows_more: usize,
    /// When its first operation was invoked and the last one answered, in nanoseconds.
    pub from_ns: u64,
    pub to_ns: u64,
    /// The lines of the invocations of all of them.
    #[serde(skip)]
    pub lines: Vec<u32>,
    /// The line of that which does not fit.
    #[serde(skip)]
    pub accused: u32,
}

/// One operation of such a set.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub process: String,
    pub call: String,
    pub answer: String,
    pub invoked: String,
    pub completed: String,
    pub is_accused: bool,
    pub is_against: bool,
    pub is_open: bool,
    /// Where its bar begins and how long it is, in percent: by which event came first, and not to
    /// scale, or the operations that matter would be dots.
    pub left: f64,
    pub width: f64,
}

/// The first violations, and how many more there are.
pub(super) fn of(judged: &Judged<'_>) -> (Vec<Shows>, u64) {
    let (mut shown, mut more) = (Vec::new(), 0);
    for (key, verdict) in judged.history.keys.iter().zip(&judged.verdicts) {
        let Ok(Verdict::Invalid { violations, omitted }) = verdict else { continue };
        let teller = Teller { history: &judged.history, key };
        for violation in violations {
            match shown.len() < VIOLATIONS_MAX {
                true => shown.push(tell(&teller, violation)),
                false => more += 1,
            }
        }
        more += omitted;
    }
    (shown, more)
}

/// Why the rest is not known, or the checker is wrong; one sentence a key.
pub(super) fn doubts(judged: &Judged<'_>) -> Vec<String> {
    let keys = judged.history.keys.iter().zip(&judged.verdicts);
    let doubts = keys.filter_map(|(key, verdict)| {
        let why = match verdict {
            Ok(Verdict::Unknown(undecided)) => undecided.to_string(),
            Err(unproven) => unproven.to_string(),
            Ok(_) => return None,
        };
        let teller = Teller { history: &judged.history, key };
        Some(format!("{}{why}", teller.name()))
    });
    doubts.collect()
}

fn tell(teller: &Teller<'_>, violation: &Violation) -> Shows {
    let Violation { core, accused, against, .. } = violation;
    let history = teller.history;
    let ns = |rank: Rank| history.events.time(rank).map_or(0, |time| time.max(0) as u64);
    let when = |one: &Evidence| match one.operation.is_indeterminate() {
        true => (ns(one.operation.invoke), ns(one.operation.invoke)),
        false => (ns(one.operation.invoke), ns(one.operation.complete)),
    };
    let line = |one: &Evidence| history.events.line(one.operation.invoke).unwrap_or(0);
    let shown = explain::shown(violation, ROWS_MAX);
    let ranks = explain::ranks(&core[shown.clone()]);
    let row = |index: usize| {
        let [process, call, answer, invoked, completed] = teller.row(&core[index], core);
        let operation = &core[index].operation;
        let share = |rank: Rank| {
            let place = ranks.partition_point(|&before| before < rank);
            (place as f64 / (ranks.len() - 1).max(1) as f64 * 1000.0).round() / 10.0
        };
        let left = share(operation.invoke);
        Row {
            process,
            call,
            answer,
            invoked,
            completed,
            is_accused: index == *accused,
            is_against: Some(index) == *against,
            is_open: operation.is_indeterminate(),
            left,
            width: share(operation.complete) - left,
        }
    };
    Shows {
        sentence: format!("{}{}", teller.name(), teller.sentence(violation)),
        rows_more: core.len() - shown.len(),
        rows: shown.map(row).collect(),
        from_ns: core.iter().map(|one| when(one).0).min().unwrap_or(0),
        to_ns: core.iter().map(|one| when(one).1).max().unwrap_or(0),
        lines: core.iter().map(line).collect(),
        accused: line(&core[*accused]),
    }
}

/// One thing that happened around a violation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Moment {
    pub time_ns: i64,
    /// A node, the nemesis, or a process.
    pub who: String,
    pub what: String,
    /// `node`, `warning`, `fault` or `core`: how it looks.
    pub class: &'static str,
}

impl Shows {
    /// When its story begins and ends.
    pub fn around(&self) -> Around {
        let (from, to) = (self.from_ns as i64, self.to_ns as i64);
        Around { from: from - BEFORE_NS, to: to + AFTER_NS, shows: to }
    }

    /// What nodes, the nemesis and the operations themselves did around it, by time; and how many
    /// lines of nodes were left out.
    pub fn story(&self, history: &History, logs: &[Log]) -> (Vec<Moment>, usize) {
        let Around { from, to, .. } = self.around();
        let mut story = Vec::new();
        for log in logs {
            let said = log.around.iter().map(|line| Moment {
                time_ns: line.time_ns.unwrap_or(from),
                who: format!("node {}", log.node),
                what: line.text.clone(),
                class: if line.is_warning { "warning" } else { "node" },
            });
            story.extend(said);
        }
        let faults = history.faults.iter().filter_map(|fault| {
            let time_ns = fault.time.filter(|time| (from..=to).contains(time))?;
            let what = fault.what.strip_prefix("note ").unwrap_or(&fault.what);
            let what = what.to_string();
            Some(Moment { time_ns, who: String::from("nemesis"), what, class: "fault" })
        });
        story.extend(faults);
        for row in &self.rows {
            let who = format!("process {}", row.process);
            let mut add = |time: &str, what: String| {
                let Ok(seconds) = time.parse::<f64>() else { return };
                let time_ns = (seconds * 1e9) as i64;
                story.push(Moment { time_ns, who: who.clone(), what, class: "core" });
            };
            add(&row.invoked, format!("invokes {}", row.call));
            add(&row.completed, format!("{} → {}", row.call, row.answer));
        }
        story.sort_by_key(|moment| moment.time_ns);
        (story, logs.iter().map(|log| log.around_more).sum())
    }
}
