//! What nodes said, on the clock of the run.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::Error;

/// The end of every log is shown.
const LAST_LINES: usize = 10;

/// The latest warnings and errors are shown.
const WARNINGS: usize = 20;

/// So many lines of one node are shown around a violation, those nearest to where it shows.
const AROUND: usize = 60;

/// What follows in a line is cut.
const CHARS_MAX: usize = 400;

/// What one node said.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Log {
    pub node: u16,
    /// Where it is, relative to the folder.
    pub path: String,
    /// The latest warnings and errors that are not among the last lines.
    pub warnings: Vec<Line>,
    /// How many warnings and errors there are in all.
    pub warnings_count: usize,
    /// The last lines.
    pub last: Vec<Line>,
    /// Those around the violation, if there is one.
    #[serde(skip)]
    pub around: Vec<Line>,
    /// How many more of those there are.
    #[serde(skip)]
    pub around_more: usize,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Line {
    /// In the log, from 1.
    pub number: u64,
    /// Nanoseconds since the run began, negative before it; that of the line above if it has none.
    pub time_ns: Option<i64>,
    pub is_warning: bool,
    /// Without its time.
    pub text: String,
}

/// A stretch of a run around a violation, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Around {
    pub from: i64,
    pub to: i64,
    /// Where it shows: what is nearest to it matters most.
    pub shows: i64,
}

/// Reads the log of each node; of one that has none there is nothing to show.
/// `begun`: when the run began, by the clock of the logs.
pub(super) fn read(
    folder: &Path,
    nodes: u16,
    begun: SystemTime,
    around: Option<Around>,
) -> Result<Vec<Log>, Error> {
    let mut logs = Vec::new();
    for node in 1..=nodes {
        let path = PathBuf::from("nodes").join(node.to_string()).join("node.log");
        let file = folder.join(&path);
        if !file.exists() {
            continue;
        }
        let failed = |error| Error::io(&file, error);
        let input = BufReader::new(File::open(&file).map_err(failed)?);
        let mut log = scan(input, begun, around).map_err(failed)?;
        (log.node, log.path) = (node, path.to_string_lossy().into_owned());
        logs.push(log);
    }
    Ok(logs)
}

/// Reads a log without keeping more of it than is shown, or may be.
fn scan(input: impl BufRead, begun: SystemTime, around: Option<Around>) -> io::Result<Log> {
    let mut log = Log::default();
    let mut time_ns = None;
    for (number, line) in (1..).zip(input.split(b'\n')) {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        let (time, text) = dated(text.trim_end(), begun);
        time_ns = time.or(time_ns);
        let is_warning = ["WARN", "ERROR"].iter().any(|level| text.starts_with(level));
        let line = Line { number, time_ns, is_warning, text: cut(text) };
        if let Some(Around { from, to, shows }) = around
            && time_ns.is_some_and(|time| (from..=to).contains(&time))
        {
            log.around.push(line.clone());
            if log.around.len() > AROUND {
                let time = |index: usize| log.around[index].time_ns.unwrap_or(0).abs_diff(shows);
                let last = log.around.len() - 1;
                log.around.remove(if time(0) > time(last) { 0 } else { last });
                log.around_more += 1;
            }
        }
        if is_warning {
            log.warnings_count += 1;
            push_last(&mut log.warnings, line.clone(), WARNINGS);
        }
        push_last(&mut log.last, line, LAST_LINES);
    }
    let first = log.last.first().map_or(0, |line| line.number);
    log.warnings.retain(|line| line.number < first);
    Ok(log)
}

/// When a line was written, relative to `begun`, and what it says.
fn dated(line: &str, begun: SystemTime) -> (Option<i64>, &str) {
    let Some((date, text)) = line.split_once(' ') else { return (None, line) };
    let Ok(time) = humantime::parse_rfc3339(date) else { return (None, line) };
    let since = match time.duration_since(begun) {
        Ok(after) => after.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    };
    (Some(since), text.trim_start())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

fn push_last(lines: &mut Vec<Line>, line: Line, max: usize) {
    if lines.len() == max {
        lines.remove(0);
    }
    lines.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> String {
        format!("2026-01-02T03:04:{second:02}.500000Z")
    }

    fn of(text: &str, around: Option<Around>) -> Log {
        let begun = humantime::parse_rfc3339(&at(10)).expect("a date");
        scan(text.as_bytes(), begun, around).expect("it can be read")
    }

    #[test]
    fn lines_are_told_by_the_clock_of_the_run() {
        let log = of(&format!("{}  INFO a\nno date\n{}  WARN b=\"c\"\n", at(9), at(12)), None);
        let told: Vec<_> = log.last.iter().map(|line| (line.time_ns, &line.text[..])).collect();
        let second = 1_000_000_000;
        assert_eq!(
            told,
            [
                (Some(-second), "INFO a"),
                (Some(-second), "no date"),
                (Some(2 * second), "WARN b=\"c\"")
            ]
        );
        assert_eq!((log.warnings_count, log.warnings.len()), (1, 0), "it is shown already");
    }

    #[test]
    fn of_a_long_log_the_end_the_warnings_and_what_is_near_are_kept() {
        let mut text = format!("{} ERROR early\n", at(10));
        for second in 10..50 {
            for number in 0..10 {
                text += &format!("{}  INFO {number}\n", at(second));
            }
        }
        let second = 1_000_000_000;
        let around = Around { from: 0, to: 30 * second, shows: 20 * second };
        let log = of(&text, Some(around));
        assert_eq!((log.last.len(), log.warnings[0].text.as_str()), (10, "ERROR early"));
        assert_eq!((log.around.len(), log.around_more), (60, 311 - 60));
        let near = |line: &Line| {
            line.time_ns.is_some_and(|t| t.abs_diff(around.shows) <= 3 * second as u64)
        };
        assert!(log.around.iter().all(near), "{:?}", log.around);
    }
}
