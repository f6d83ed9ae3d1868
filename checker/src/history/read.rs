//! Files into histories.

use std::fmt;
use std::io::{self, Read};

use clap::ValueEnum;

use super::event::{Datum, Event};
use super::pairing::Pairs;
use super::window::Window;
use super::{History, Pairing, edn, jsonl, text};

/// How a history is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// One collection of maps, or maps one after another
    Edn,
    /// One JSON object a line
    Jsonl,
    /// A log with lines of jepsen.util
    Log,
    /// Jepsen's history.txt
    Text,
}

/// Why there is no history.
#[derive(Debug)]
pub enum ReadError {
    /// The file could not be read.
    Io(io::Error),
    /// What it says makes no sense.
    Malformed {
        /// Where, from 1.
        line: u64,
        /// What was found and what was expected, in one sentence: whoever wrote the file is the
        /// only one who can do anything about it.
        why: String,
    },
}

/// Reads a history to its end.
/// `format`: found out from the first lines if it is not given.
pub fn read(
    input: impl Read,
    format: Option<Format>,
    pairing: &Pairing,
) -> Result<History, ReadError> {
    let mut window = Window::new(input);
    let mut pairs = Pairs::new(pairing);
    let take = |line: u64, event: Event<'_>| pairs.take(line, event);
    let format = match format {
        Some(format) => Some(format),
        None => detect(&mut window)?,
    };
    match format {
        Some(Format::Edn) => edn::read(&mut window, take)?,
        Some(Format::Jsonl) => jsonl::read(&mut window, take)?,
        Some(Format::Text) => text::read(&mut window, take)?,
        Some(Format::Log) => {
            let others = text::read_log(&mut window, take)?;
            pairs.add_others(others);
        }
        // Nothing is written there in any format.
        None => {}
    }
    Ok(pairs.into_history())
}

/// The bytes of a value as [`super::Values`] know it, spelt as in EDN or JSON; a plain word is a string,
/// and `nil` or `null`, which is `None`, a missing value. An error says what is wrong with `text`.
pub fn value(text: &str) -> Result<Option<Vec<u8>>, String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_".contains(c);
    let is_word = |word: &str| word.starts_with(char::is_alphabetic) && word.chars().all(is_plain);
    let datum = match edn::value(text)? {
        Datum::Symbol(word) if word == "null" => Datum::Nil,
        Datum::Symbol(word) if is_word(&word) && !is_bool(&word) => Datum::String(word),
        datum => datum,
    };
    Ok(datum.bytes(&mut Vec::new()).map(<[u8]>::to_vec))
}

fn is_bool(word: &str) -> bool {
    matches!(word, "true" | "false")
}

/// How much of a file may be comments and empty lines before anything tells its format.
const PREAMBLE_BYTES_MAX: usize = 1 << 20;

/// The format of what is to be read; `None` if there is nothing.
fn detect(window: &mut Window<impl Read>) -> Result<Option<Format>, ReadError> {
    let mut is_end = false;
    loop {
        let unread = window.unread();
        let mut lines = unread.split_inclusive(|&byte| byte == b'\n').zip(1u64..);
        let telling = lines.find(|(line, _)| {
            let line = line.trim_ascii();
            !line.is_empty() && !line.starts_with(b";")
        });
        let is_enough = is_end || unread.len() > PREAMBLE_BYTES_MAX;
        match telling {
            Some((line, number)) if is_enough || line.ends_with(b"\n") => {
                return format_of(line, number).map(Some);
            }
            None if is_end => return Ok(None),
            _ => is_end = !window.fill()?,
        }
    }
}

/// The format of a file by its first line that is neither empty nor a comment.
fn format_of(line: &[u8], number: u64) -> Result<Format, ReadError> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    let expected = "expected EDN, JSON lines, a log of jepsen.util or a history.txt";
    match text.as_bytes() {
        [b'{', rest @ ..] if rest.trim_ascii_start().starts_with(b"\"") => Ok(Format::Jsonl),
        [b'[', rest @ ..] if rest.trim_ascii_start().starts_with(b"{\"") => {
            let why = "a JSON array; expected one object a line, as `jq -c '.[]'` writes them";
            Err(ReadError::malformed(number, why))
        }
        [b'{' | b'[' | b'(' | b'#', ..] => Ok(Format::Edn),
        _ if text::is_log_line(text) => Ok(Format::Log),
        [b'0'..=b'9' | b':', ..] if text.split_whitespace().nth(1).is_some_and(is_kind) => {
            Ok(Format::Text)
        }
        _ => {
            let start: String = text.chars().take(20).collect();
            Err(ReadError::malformed(number, format!("{expected}, found {start:?}")))
        }
    }
}

fn is_kind(word: &str) -> bool {
    matches!(word, ":invoke" | ":ok" | ":fail" | ":info")
}

impl ReadError {
    pub(super) fn malformed(line: u64, why: impl Into<String>) -> ReadError {
        ReadError::Malformed { line, why: why.into() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "{error}"),
            ReadError::Malformed { line, why } => write!(f, "line {line}: {why}"),
        }
    }
}

impl std::error::Error for ReadError {}
