//! Histories as text: Jepsen's history.txt, and the same lines in a log.
//!
//! ```text
//! 3  :invoke  :cas  [1 2]
//! INFO  jepsen.util - 3  :info  :cas  :timed-out
//! 2026-11-22 10:00:00,123  INFO  [jepsen worker 3] jepsen.util: 3  :ok  :read  nil
//! ```
//! An event is process, type, f, value, and perhaps an error, all in EDN, with tabs or spaces between.
//! Other lines of a log are no events, but they must be whole log lines.

use std::io::Read;

use super::ReadError;
use super::edn;
use super::event::{Datum, Event, Process};
use super::window::Window;

/// Hands every event of a history.txt and its line to `take`.
pub(super) fn read(
    window: &mut Window<impl Read>,
    mut take: impl FnMut(u64, Event<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    while let Some(line) = window.next_line()? {
        let text = line.text()?.trim();
        if !text.is_empty() {
            let event = event(text).map_err(|why| ReadError::malformed(line.number, why))?;
            take(line.number, event)?;
        }
    }
    Ok(())
}

/// Hands every event of a log and its line to `take`. Returns how many lines were no events.
pub(super) fn read_log(
    window: &mut Window<impl Read>,
    mut take: impl FnMut(u64, Event<'_>) -> Result<(), ReadError>,
) -> Result<u64, ReadError> {
    let mut others = 0;
    while let Some(line) = window.next_line()? {
        let text = line.text()?.trim();
        if text.is_empty() {
            continue;
        }
        let malformed = |why: String| ReadError::malformed(line.number, why);
        match message(text).map_err(malformed)? {
            Some(message) => take(line.number, event(message).map_err(malformed)?)?,
            None => others += 1,
        }
    }
    Ok(others)
}

/// The logger that writes events, and nothing else.
const LOGGER: &str = "jepsen.util";

/// Whether this is a line of a log.
pub(super) fn is_log_line(text: &str) -> bool {
    message(text).is_ok()
}

/// What a log line of the one logger says; `None` if it is another's.
fn message(text: &str) -> Result<Option<&str>, String> {
    let is_level = |word: &str| matches!(word, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR");
    let separator = |(before, _): &(&str, &str)| before.split_whitespace().any(is_level);
    // Old versions of Jepsen write " - ", new ones ": "; a date has colons, but no space after them.
    let split = [text.split_once(" - "), text.split_once(": ")];
    let (before, message) = split.into_iter().flatten().find(separator).ok_or_else(|| {
        let example = format!("INFO  {LOGGER} - 3\t:invoke\t:read\tnil");
        format!("expected a log line, as in {example:?}; of other output, keep {LOGGER} only")
    })?;
    Ok(before.ends_with(LOGGER).then_some(message))
}

/// Process, type, f, value and perhaps an error.
fn event(text: &str) -> Result<Event<'_>, String> {
    let (process, rest) = word(text);
    let (kind, rest) = word(rest);
    let (function, rest) = word(rest);
    if rest.is_empty() {
        let example = "3\t:ok\t:read\tnil";
        return Err(format!("expected process, type, f and value, as in {example:?}"));
    }
    let process = edn::process(edn::value(process)?)?;
    let kind = edn::kind(&edn::value(kind)?)?;
    let function = edn::function(edn::value(function)?, &process)?;
    // What the nemesis says, and errors, are written for people, and only sometimes in EDN.
    let spoken = |text: &'_ str| Datum::Symbol(text.to_string().into());
    let (value, error) = match &process {
        Process::Other(_) => (spoken(rest), Datum::Nil),
        Process::Client(_) => match edn::first_value(rest)? {
            (value, "") => (value, Datum::Nil),
            (value, error) => (value, edn::value(error).unwrap_or_else(|_| spoken(error))),
        },
    };
    Ok(Event { process, kind, function, key: Datum::Nil, value, error, time: None })
}

/// The first word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_of_both_ages_say_the_same() {
        let said = Ok(Some("3\t:ok\t:read\tnil"));
        assert_eq!(message("INFO  jepsen.util - 3\t:ok\t:read\tnil"), said);
        let new = "2026-11-22 10:00:00,123\tINFO\t[worker 3] jepsen.util: 3\t:ok\t:read\tnil";
        assert_eq!(message(new), said);
        assert_eq!(message("INFO  jepsen.core - Worker 3 starting"), Ok(None));
        assert!(message("INFO  jepsen.ut").is_err());
        assert!(message("\tat java.lang.Thread.run").is_err());
    }

    #[test]
    fn a_line_without_a_value_is_cut_off() {
        assert!(event("3\t:ok\t:write\t4").is_ok());
        let why = r#"expected process, type, f and value, as in "3\t:ok\t:read\tnil""#;
        assert_eq!(event("3\t:ok\t:write"), Err(why.to_string()));
    }

    #[test]
    fn errors_and_faults_need_not_be_edn() {
        let timeout = event("3 :info :cas [1 2] indeterminate: Command timed out)").expect("fine");
        assert_eq!(timeout.value.to_string(), "[1 2]");
        assert_eq!(timeout.error.to_string(), "indeterminate: Command timed out)");
        let fault = event(":nemesis :info :start Cut off {:n1 #{:n2").expect("fine");
        assert_eq!(fault.process, Process::Other(":nemesis".into()));
        let mismatch = event("3 :fail :cas [1 2] [:mismatch 3]").expect("fine");
        assert_eq!(mismatch.error.to_string(), "[:mismatch 3]");
    }
}
