//! Operations drawn as intervals, one a line.
//!
//! ```text
//! process  operation   answer  invoked (s)  completed (s) * does not fit, > never completed
//!       0  write k7 a  ok         0.001000       0.002500   |----|
//!       2  write k7 b  ok         0.006000       0.009000             |----|
//!       4  read k7     a          0.219000       0.221000 *                     |----|
//! ```
//! The drawing shows which event came first, and not by how much: to scale, the operations that
//! matter would be dots.

use std::ops::Range;

use super::Teller;
use crate::history::{Operation, Rank};
use crate::linearizability::{Evidence, Violation};

/// More lines tell nobody anything; the proof has all of them.
const ROWS_MAX: usize = 24;

/// Longer cells leave no room for the rest.
const CELL_COLUMNS_MAX: usize = 40;

/// Fewer columns than that show no order.
const BAR_COLUMNS_MIN: usize = 16;

/// More columns for one operation are of no use.
const STEP_COLUMNS_MAX: usize = 9;

/// The core of `violation`, by invocation.
pub(super) fn draw(teller: &Teller<'_>, violation: &Violation, columns: usize) -> String {
    let whole = &violation.core;
    let shown = shown(violation, ROWS_MAX);
    let core = &whole[shown.clone()];
    let head = head(teller, core);
    let rows: Vec<Cells> = core.iter().map(|one| row(teller, one, whole)).collect();
    let widths = [0, 1, 2, 3, 4].map(|cell| {
        let rows = std::iter::once(&head).chain(&rows);
        rows.map(|row| row[cell].chars().count()).max().unwrap_or(0)
    });
    let marks = ranks(core);
    let left = line(&head, &widths).chars().count() + 3;
    let room = columns.saturating_sub(left).max(BAR_COLUMNS_MIN);
    let step = (room / marks.len().max(1)).clamp(1, STEP_COLUMNS_MAX);
    let mut drawn = line(&head, &widths) + " * does not fit, > never completed";
    for (index, (evidence, row)) in shown.zip(core.iter().zip(&rows)) {
        let mark = if index == violation.accused { '*' } else { ' ' };
        let bar = bar(&evidence.operation, &marks, step);
        drawn.push_str(&format!("\n{} {mark} {bar}", line(row, &widths)));
    }
    if core.len() < whole.len() {
        drawn.push_str(&format!("\nand {} more", whole.len() - core.len()));
    }
    drawn
}

/// Which operations of a core are shown, if no more than `rows_max` are: the end of a long one is where
/// it becomes impossible.
pub(crate) fn shown(violation: &Violation, rows_max: usize) -> Range<usize> {
    let count = violation.core.len();
    let first = count.saturating_sub(rows_max).min(violation.accused);
    first..count.min(first + rows_max)
}

/// What is told of an operation: process, operation, answer, invocation, completion.
type Cells = [String; 5];

fn head(teller: &Teller<'_>, core: &[Evidence]) -> Cells {
    let events = &teller.history.events;
    let is_timed = core.iter().any(|one| events.time(one.operation.invoke).is_some());
    let [invoked, completed] = match is_timed {
        true => ["invoked (s)", "completed (s)"],
        false => ["invoked", "completed"],
    };
    ["process", "operation", "answer", invoked, completed].map(String::from)
}

pub(super) fn row(teller: &Teller<'_>, evidence: &Evidence, core: &[Evidence]) -> Cells {
    let operation = &evidence.operation;
    let events = &teller.history.events;
    let moment = |rank: Rank| match (events.time(rank), events.line(rank)) {
        (Some(time), _) => format!("{:.6}", time as f64 / 1e9),
        (None, Some(line)) => format!("line {line}"),
        (None, None) => format!("#{rank}"),
    };
    let completed = if operation.is_indeterminate() {
        String::from("never")
    } else {
        moment(operation.complete)
    };
    let mut answer = teller.answer(operation);
    if let Some(witness) = evidence.shown_by.and_then(|index| core.get(index)) {
        answer.push_str(&format!(", seen by {}", witness.operation.process));
    }
    let counts_as = &evidence.counts_as;
    if counts_as.action != operation.action {
        answer.push_str(&format!(" (as {})", teller.call(counts_as)));
    } else if counts_as.is_indeterminate() && !operation.is_indeterminate() {
        answer.push_str(" (too late)");
    }
    [
        operation.process.to_string(),
        cut(teller.call(operation)),
        cut(answer),
        moment(operation.invoke),
        completed,
    ]
}

fn cut(text: String) -> String {
    match text.char_indices().nth(CELL_COLUMNS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The cells in columns of these widths: the process and the moments to the right.
fn line([process, call, answer, invoked, completed]: &Cells, widths: &[usize; 5]) -> String {
    let [a, b, c, d, e] = widths;
    format!("{process:>a$}  {call:<b$}  {answer:<c$}  {invoked:>d$}  {completed:>e$}")
}

/// The events of the core in order.
pub(crate) fn ranks(core: &[Evidence]) -> Vec<Rank> {
    let events = core.iter().flat_map(|evidence| {
        let Operation { invoke, complete, .. } = evidence.operation;
        [invoke, complete]
    });
    let mut ranks: Vec<Rank> = events.collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}

fn bar(operation: &Operation, ranks: &[Rank], step: usize) -> String {
    let column = |rank: Rank| step * ranks.partition_point(|&before| before < rank);
    let (start, end) = (column(operation.invoke), column(operation.complete));
    let inner = "-".repeat((end - start).saturating_sub(1));
    let last = if operation.is_indeterminate() { '>' } else { '|' };
    format!("{}|{inner}{last}", " ".repeat(start))
}
