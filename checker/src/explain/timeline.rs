//! Operations drawn as intervals, one a line.
//!
//! ```text
//! process  operation     answer   invoked    completed
//!       2  write k7 a    ok       0.000102   0.000348   |-------|
//!       2  write k7 b    ok       0.000411   0.000602             |-------|
//!       4  read k7       a        0.210870   0.211003                       |-------|
//! ```

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

/// The core of `violation`, by invocation. `>` has no end, `*` is where it became impossible.
pub(super) fn draw(teller: &Teller<'_>, violation: &Violation, columns: usize) -> String {
    let shown = violation.core.len().min(ROWS_MAX);
    let core = &violation.core[..shown];
    let cells: Vec<[String; 5]> = core.iter().map(|one| row(teller, one, core)).collect();
    let head = ["process", "operation", "answer", "invoked", "completed"].map(String::from);
    let width = |cell: usize| {
        let cells = std::iter::once(&head).chain(&cells);
        cells.map(|row| row[cell].chars().count()).max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut drawn = line(&head, &widths);
    let left = line(&head, &widths).chars().count();
    let marks = ranks(core);
    let room = columns.saturating_sub(left + 3).max(BAR_COLUMNS_MIN);
    let step = (room / marks.len().max(1)).clamp(1, STEP_COLUMNS_MAX);
    drawn.truncate(drawn.trim_end().len());
    for (index, (evidence, cells)) in core.iter().zip(&cells).enumerate() {
        let accusation = if index == violation.accused { "*" } else { " " };
        let bar = bar(&evidence.operation, &marks, step);
        drawn.push_str(&format!("\n{} {accusation} {bar}", line(cells, &widths)));
        drawn.truncate(drawn.trim_end().len());
    }
    if shown < violation.core.len() {
        drawn.push_str(&format!("\nand {} more", violation.core.len() - shown));
    }
    drawn
}

fn row(teller: &Teller<'_>, evidence: &Evidence, core: &[Evidence]) -> [String; 5] {
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
fn line([process, call, answer, invoked, completed]: &[String; 5], widths: &[usize; 5]) -> String {
    let [a, b, c, d, e] = widths;
    format!("{process:>a$}  {call:<b$}  {answer:<c$}  {invoked:>d$}  {completed:>e$}")
}

/// The events of the core in order: the drawing shows which came first, and not how much.
fn ranks(core: &[Evidence]) -> Vec<Rank> {
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
