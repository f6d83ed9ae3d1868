//! Histories as EDN: one collection of maps, or maps one after another.
//!
//! ```text
//! [{:process 0, :type :invoke, :f :cas, :value [1 2]}   ; comments
//!  #jepsen.history.Op{:index 1, :process 0, :type :ok, :f :cas, :value [1 2], :time 82150}]
//! ```
//! Only the outermost collection is followed here, so that a file need not fit into memory; each
//! map in it is read by the reader of the crate.

use std::borrow::Cow;
use std::io::Read;

use clojure_reader::edn::{self, Edn};
use clojure_reader::error::{Code, Error};
use memchr::{memchr, memchr_iter};

use super::ReadError;
use super::event::{Datum, Event, Kind, Process};
use super::window::Window;

/// Hands every event and its line to `take`.
pub(super) fn read(
    window: &mut Window<impl Read>,
    mut take: impl FnMut(u64, Event<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut outermost = Outermost::None;
    let mut is_end = false;
    loop {
        let line = window.line();
        let text = valid(window.unread(), line)?;
        let mut forms = Forms { rest: text, line, is_end };
        while let Some((line, form)) = forms.next(&mut outermost)? {
            take(line, event(&form).map_err(|why| ReadError::malformed(line, why))?)?;
        }
        let (consumed, lines) = (text.len() - forms.rest.len(), forms.line - line);
        window.consume(consumed, lines);
        if is_end {
            break;
        }
        is_end = !window.fill()?;
    }
    if !window.unread().is_empty() {
        return Err(ReadError::malformed(window.line(), "the file ends within a character"));
    }
    match outermost {
        Outermost::Open { line, closed_by } => {
            let why = format!("the collection that begins here never ends: no {closed_by:?}");
            Err(ReadError::malformed(line, why))
        }
        Outermost::None | Outermost::Closed => Ok(()),
    }
}

/// The text of `bytes`, but for a character that is not there as a whole yet.
fn valid(bytes: &[u8], line: u64) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).or_else(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        if error.error_len().is_some() {
            let line = line + memchr_iter(b'\n', valid).count() as u64;
            return Err(ReadError::malformed(line, "no UTF-8"));
        }
        debug_assert!(rest.len() < 4);
        Ok(std::str::from_utf8(valid).expect("so far it is valid"))
    })
}

/// The collection of all events, if there is one.
enum Outermost {
    None,
    Open { line: u64, closed_by: char },
    Closed,
}

/// The forms in a part of a file.
struct Forms<'a> {
    /// Not looked at yet.
    rest: &'a str,
    /// Of the beginning of `rest`.
    line: u64,
    /// Whether `rest` is all there is.
    is_end: bool,
}

/// A form cut off so close to the end of what is read may be right when more of it is.
const CUT_OFF_BYTES: usize = 64 << 10;

impl<'a> Forms<'a> {
    /// The next event and its line; `None` if there is none, or only a part of one.
    fn next(&mut self, outermost: &mut Outermost) -> Result<Option<(u64, Edn<'a>)>, ReadError> {
        loop {
            self.skip(self.rest.len() - self.rest.trim_start_matches(is_space).len());
            let Some(first) = self.rest.chars().next() else { return Ok(None) };
            match (first, &*outermost) {
                (';', _) => match memchr(b'\n', self.rest.as_bytes()) {
                    Some(end) => self.skip(end + 1),
                    None if self.is_end => self.skip(self.rest.len()),
                    None => return Ok(None),
                },
                ('[' | '(', Outermost::None) => {
                    let closed_by = if first == '[' { ']' } else { ')' };
                    *outermost = Outermost::Open { line: self.line, closed_by };
                    self.skip(1);
                }
                (_, Outermost::Open { closed_by, .. }) if first == *closed_by => {
                    *outermost = Outermost::Closed;
                    self.skip(1);
                }
                (_, Outermost::Closed) => {
                    return Err(self.wrong(format!("expected nothing more, found {first:?}")));
                }
                ('#', _) if self.rest.starts_with("#_") => match self.form(2)? {
                    Some((_, length)) => self.skip(length),
                    None => return Ok(None),
                },
                ('{' | '#', _) => {
                    let line = self.line;
                    let Some((form, length)) = self.form(0)? else { return Ok(None) };
                    self.skip(length);
                    return Ok(Some((line, form)));
                }
                _ => {
                    let why = format!("expected a map of :process, :type, ..., found {first:?}");
                    return Err(self.wrong(why));
                }
            }
        }
    }

    /// The form that begins at `from`, and where it ends; `None` if it is not there as a whole.
    fn form(&self, from: usize) -> Result<Option<(Edn<'a>, usize)>, ReadError> {
        let text = &self.rest[from..];
        match edn::read(text) {
            Ok((form, rest)) => Ok(Some((form, self.rest.len() - rest.len()))),
            Err(error) => {
                let at = error.ptr.unwrap_or(0).min(text.len());
                let is_cut = error.code == Code::UnexpectedEOF || text.len() - at < CUT_OFF_BYTES;
                if is_cut && !self.is_end {
                    return Ok(None);
                }
                let line = self.line + error.line.map_or(0, |line| line as u64 - 1);
                Err(ReadError::malformed(line, told(&error)))
            }
        }
    }

    fn wrong(&self, why: String) -> ReadError {
        ReadError::malformed(self.line, why)
    }

    fn skip(&mut self, count: usize) {
        let (passed, rest) = self.rest.split_at(count);
        self.line += memchr_iter(b'\n', passed.as_bytes()).count() as u64;
        self.rest = rest;
    }
}

fn is_space(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

/// What the crate found wrong, for people.
fn told(error: &Error) -> String {
    match &error.code {
        Code::UnexpectedEOF => String::from("the file ends within a value"),
        Code::HashMapDuplicateKey => String::from("a map that names a key twice"),
        Code::SetDuplicateKey => String::from("a set that holds a value twice"),
        Code::UnmatchedDelimiter(delimiter) => format!("{delimiter:?} closes nothing"),
        Code::InvalidNumber => String::from("no number, or none of 64 bits"),
        code => format!("no EDN: {code:?}, at column {}", error.column.unwrap_or(0)),
    }
}

/// One value that stands alone; nothing may follow it.
pub(super) fn value(text: &str) -> Result<Datum<'_>, String> {
    match first_value(text)? {
        (value, "") => Ok(value),
        (_, rest) => Err(format!("expected nothing after a value, found {rest:?}")),
    }
}

/// The value at the beginning of `text`, and what follows it.
pub(super) fn first_value(text: &str) -> Result<(Datum<'_>, &str), String> {
    let (form, rest) = edn::read(text).map_err(|error| format!("{text:?}: {}", told(&error)))?;
    Ok((datum(&form)?, rest.trim_start_matches(is_space)))
}

/// The fields of an event.
fn event<'a>(form: &Edn<'a>) -> Result<Event<'a>, String> {
    let fields = match form {
        Edn::Map(fields) => fields,
        // A record, whatever its type.
        Edn::Tagged(_, record) => return event(record),
        other => return Err(format!("expected a map of :process, :type, ..., found {other}")),
    };
    let field = |name: &'static str| fields.get(&Edn::key(name)).map_or(Ok(Datum::Nil), datum);
    let process = process(field("process")?)?;
    let kind = kind(&field("type")?)?;
    let function = function(field("f")?, &process)?;
    let time = match field("time")? {
        Datum::Nil => None,
        Datum::Int(time) => Some(time),
        other => return Err(format!(":time is {other}; expected nanoseconds")),
    };
    let (key, value, error) = (field("key")?, field("value")?, field("error")?);
    Ok(Event { process, kind, function, key, value, error, time })
}

/// Who did it: a client is a number, and anything else has a name.
pub(super) fn process(datum: Datum<'_>) -> Result<Process<'_>, String> {
    match datum {
        Datum::Int(number) if number >= 0 => Ok(Process::Client(number as u64)),
        Datum::Symbol(name) | Datum::String(name) if name.contains(char::is_alphabetic) => {
            Ok(Process::Other(name))
        }
        other => Err(format!(":process is {other}; expected a number from 0, or a keyword")),
    }
}

/// What happened.
pub(super) fn kind(datum: &Datum<'_>) -> Result<Kind, String> {
    let kind = datum.name().and_then(Kind::named);
    kind.ok_or_else(|| format!(":type is {datum}; expected :invoke, :ok, :fail or :info"))
}

/// What was done.
pub(super) fn function<'a>(
    datum: Datum<'a>,
    process: &Process<'_>,
) -> Result<Cow<'a, str>, String> {
    match datum {
        Datum::Symbol(Cow::Borrowed(name)) => Ok(name.strip_prefix(':').unwrap_or(name).into()),
        Datum::Symbol(Cow::Owned(mut name)) => {
            if name.starts_with(':') {
                name.remove(0);
            }
            Ok(name.into())
        }
        Datum::String(name) => Ok(name),
        // What is no client may do what has no name.
        _ if matches!(process, Process::Other(_)) => Ok("".into()),
        other => Err(format!(":f is {other}; expected a keyword, as in :f :read")),
    }
}

/// Deeper nesting has no meaning in a register, and would exhaust the stack.
const NESTED_MAX: usize = 32;

fn datum<'a>(form: &Edn<'a>) -> Result<Datum<'a>, String> {
    nested(form, NESTED_MAX)
}

fn nested<'a>(form: &Edn<'a>, more: usize) -> Result<Datum<'a>, String> {
    let Some(more) = more.checked_sub(1) else {
        return Err(format!("a value nested more than {NESTED_MAX} deep"));
    };
    let spelling = |part: &Edn<'a>| nested(part, more).map(|part| part.to_string());
    Ok(match form {
        Edn::Nil => Datum::Nil,
        Edn::Int(number) => Datum::Int(*number),
        Edn::Str(text) => Datum::String(text.clone()),
        Edn::Key(name) => Datum::Symbol(format!(":{name}").into()),
        Edn::Symbol(name) => Datum::Symbol(name.clone()),
        // A vector and a list of equal parts are equal in Clojure.
        Edn::Vector(parts) | Edn::List(parts) => {
            Datum::List(parts.iter().map(|part| nested(part, more)).collect::<Result<_, _>>()?)
        }
        Edn::Set(parts) => {
            let parts: Vec<String> = parts.iter().map(spelling).collect::<Result<_, _>>()?;
            Datum::Symbol(format!("#{{{}}}", parts.join(" ")).into())
        }
        Edn::Map(fields) => {
            let field = |(name, value)| Ok(format!("{} {}", spelling(name)?, spelling(value)?));
            let fields: Vec<String> = fields.iter().map(field).collect::<Result<_, String>>()?;
            Datum::Symbol(format!("{{{}}}", fields.join(", ")).into())
        }
        Edn::Tagged(tag, value) => Datum::Symbol(format!("#{tag} {}", spelling(value)?).into()),
        Edn::Bool(value) => Datum::Symbol(if *value { "true" } else { "false" }.into()),
        // What is left has no parts.
        other => Datum::Symbol(other.to_string().into()),
    })
}
