//! Histories as JSON, one event a line.
//!
//! ```text
//! {"index":0,"time":82150,"process":3,"type":"invoke","f":"cas","value":["k7",["old","new"]]}
//! ```
//! Fields come in any order, others are ignored, null is what EDN calls nil. Files of our own have
//! the order above and no space, and those are read several times faster.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::ReadError;
use super::event::{Datum, Event, Kind, Process};
use super::window::Window;

/// Hands every event and its line to `take`.
pub(super) fn read(
    window: &mut Window<impl Read>,
    mut take: impl FnMut(u64, Event<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    while let Some(line) = window.next_line()? {
        let text = line.text()?;
        if text.trim_ascii().is_empty() {
            continue;
        }
        match own(text) {
            Some(event) => take(line.number, event)?,
            None => {
                let event = any(text).map_err(|why| ReadError::malformed(line.number, why))?;
                take(line.number, event)?;
            }
        }
    }
    Ok(())
}

/// A line of any order.
fn any(text: &str) -> Result<Event<'_>, String> {
    let fields: Fields = serde_json::from_str(text).map_err(|error| {
        // The parser counts lines within its input, which is one line.
        let error = error.to_string();
        error.replacen(" at line 1 column", ", at column", 1)
    })?;
    let kind = Kind::named(fields.kind.strip_prefix(':').unwrap_or(&fields.kind));
    let kind = kind
        .ok_or_else(|| format!("type is {:?}; expected invoke, ok, fail or info", fields.kind))?;
    let process = match fields.process {
        Datum::Int(number) if number >= 0 => Process::Client(number as u64),
        Datum::String(name) => Process::Other(name),
        other => {
            return Err(format!("process is {other}; expected a number from 0 or a name"));
        }
    };
    let function = match fields.function {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix(':').unwrap_or(name)),
        Cow::Owned(name) => Cow::Owned(name.strip_prefix(':').unwrap_or(&name).to_string()),
    };
    let Fields { time, key, value, error, .. } = fields;
    Ok(Event { process, kind, function, key, value, error, time })
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    process: Datum<'a>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, rename = "f")]
    function: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Datum<'a>,
    #[serde(borrow, default)]
    value: Datum<'a>,
    #[serde(borrow, default)]
    error: Datum<'a>,
    #[serde(default)]
    time: Option<i64>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Datum<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DatumVisitor)
    }
}

struct DatumVisitor;

impl<'de> Visitor<'de> for DatumVisitor {
    type Value = Datum<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Datum<'de>, E> {
        Ok(Datum::Nil)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Datum<'de>, E> {
        Ok(Datum::Symbol(if value { "true" } else { "false" }.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Datum<'de>, E> {
        Ok(Datum::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Datum<'de>, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Datum::Int(value),
            Err(_) => Datum::Symbol(value.to_string().into()),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Datum<'de>, E> {
        Ok(Datum::Symbol(format!("{value:?}").into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Datum<'de>, E> {
        Ok(Datum::String(value.to_string().into()))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Datum<'de>, E> {
        Ok(Datum::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Datum<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(part) = parts.next_element()? {
            list.push(part);
        }
        Ok(Datum::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Datum<'de>, A::Error> {
        let mut spellings = Vec::new();
        while let Some((name, value)) = fields.next_entry::<Cow<'de, str>, Datum<'de>>()? {
            spellings.push(format!("{name:?} {value}"));
        }
        // Their order means nothing, so equal maps must be spelt alike.
        spellings.sort();
        Ok(Datum::Symbol(format!("{{{}}}", spellings.join(", ")).into()))
    }
}

/// A line in the order and spelling of our own files; `None` if it is any other, right or wrong.
fn own(text: &str) -> Option<Event<'_>> {
    let mut rest = Rest(text);
    rest.literal("{\"index\":")?;
    rest.number()?;
    rest.literal(",\"time\":")?;
    let time = rest.number()?;
    rest.literal(",\"process\":")?;
    let process = match rest.string() {
        Some(name) => Process::Other(name.into()),
        None => Process::Client(rest.number()? as u64),
    };
    rest.literal(",\"type\":")?;
    let kind = Kind::named(rest.string()?)?;
    rest.literal(",\"f\":")?;
    let function = rest.string()?;
    if function.starts_with(':') {
        return None;
    }
    rest.literal(",\"value\":")?;
    let value = rest.datum(NESTED_MAX)?;
    let error = match rest.literal(",\"error\":") {
        Some(()) => rest.datum(NESTED_MAX)?,
        None => Datum::Nil,
    };
    let is_whole = rest.0 == "}";
    is_whole.then_some(Event {
        process,
        kind,
        function: function.into(),
        key: Datum::Nil,
        value,
        error,
        time: Some(time),
    })
}

/// `["key",["old","new"]]`: no file of our own has lists in more lists than that.
const NESTED_MAX: usize = 2;

/// What is left of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn literal(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// Digits in the one spelling of their number.
    fn number(&mut self) -> Option<i64> {
        let bytes = self.0.as_bytes();
        let mut number = 0;
        let mut length = 0;
        while let Some(digit @ b'0'..=b'9') = bytes.get(length) {
            number = number * 10 + i64::from(digit - b'0');
            length += 1;
            // One digit more could overflow.
            if length == 18 {
                return None;
            }
        }
        let is_unusual = length == 0
            || (bytes[0] == b'0' && length > 1)
            || matches!(bytes.get(length), Some(b'.' | b'e' | b'E'));
        self.0 = &self.0[length..];
        (!is_unusual).then_some(number)
    }

    /// A string without escapes. What it returns `None` for is left as it was.
    fn string(&mut self) -> Option<&'a str> {
        let inner = self.0.strip_prefix('"')?;
        let is_end = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
        let end = inner.as_bytes().iter().position(is_end)?;
        if inner.as_bytes()[end] != b'"' {
            return None;
        }
        self.0 = &inner[end + 1..];
        Some(&inner[..end])
    }

    fn datum(&mut self, nested_max: usize) -> Option<Datum<'a>> {
        match self.0.as_bytes().first()? {
            b'"' => Some(Datum::String(self.string()?.into())),
            b'n' => self.literal("null").map(|()| Datum::Nil),
            b'0'..=b'9' => self.number().map(Datum::Int),
            b'[' if nested_max > 0 => {
                self.literal("[")?;
                let mut parts = Vec::with_capacity(2);
                loop {
                    parts.push(self.datum(nested_max - 1)?);
                    if self.literal("]").is_some() {
                        return Some(Datum::List(parts));
                    }
                    self.literal(",")?;
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAS: &str = r#"{"index":0,"time":82150,"process":3,"type":"fail","f":"cas","value":["k7",["old","new"]],"error":["mismatch","seen"]}"#;

    #[test]
    fn a_line_of_our_own_needs_no_parser() {
        let event = own(CAS).expect("it is in our order");
        assert_eq!((&event.process, event.kind), (&Process::Client(3), Kind::Fail));
        assert_eq!(event.value.to_string(), r#"["k7" ["old" "new"]]"#);
        assert_eq!(event.error.to_string(), r#"["mismatch" "seen"]"#);
        assert_eq!(any(CAS), Ok(event));
    }

    /// Whatever is done to a line of our own: if it is still read without the parser, then the
    /// parser reads the same.
    #[test]
    fn the_short_way_reads_what_the_parser_reads() {
        let seed = std::env::var("SEED")
            .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("SEED is a number"));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let pieces = [
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "0",
            "17",
            "-",
            ".",
            "e1",
            " ",
            "é",
            "\u{1}",
            "ok",
            "info",
            "nemesis",
            "\"key\":",
            "\"type\":",
            "99999999999999999999",
        ];
        let mut short = 0;
        for _ in 0..200_000 {
            let mut line = CAS.to_string();
            for _ in 0..random.usize(0..3) {
                let mut cut = || {
                    let bounds: Vec<usize> = line.char_indices().map(|(at, _)| at).collect();
                    bounds[random.usize(..bounds.len())]
                };
                let (from, to) = (cut(), cut());
                let range = from.min(to)..from.max(to).min(from.min(to) + random.usize(0..20));
                if line.is_char_boundary(range.end) && range.start <= range.end {
                    line.replace_range(range, pieces[random.usize(..pieces.len())]);
                }
            }
            if let Some(event) = own(&line) {
                short += 1;
                assert_eq!(any(&line), Ok(event), "{line}");
            }
        }
        assert!(short > 10_000, "only {short} lines took the short way");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let why = |text: &str| any(text).expect_err("it is wrong");
        assert_eq!(
            why(r#"{"process":1,"type":"done","f":"read"}"#),
            "type is \"done\"; expected invoke, ok, fail or info"
        );
        assert_eq!(
            why(r#"{"process":-1,"type":"ok","f":"read"}"#),
            "process is -1; expected a number from 0 or a name"
        );
        assert_eq!(why(r#"{"type":"ok","f":"read"}"#), "missing field `process`, at column 24");
        assert!(why(&CAS[..50]).starts_with("EOF while parsing"));
        assert!(why(&CAS.replacen("index", "f", 1)).starts_with("invalid type: integer `0`"));
        assert!(why(&"[".repeat(100_000)).starts_with("recursion limit"));
    }

    #[test]
    fn equal_values_are_equal_in_any_spelling() {
        let value = |text: &str| {
            let line = format!(r#"{{"process":0,"type":"ok","f":"write","value":{text}}}"#);
            any(&line).expect("it is right").value.to_string()
        };
        assert_eq!(value(r#"{"a": 1, "b": [2]}"#), value(r#"{"b":[2],"a":1}"#));
        assert_eq!(value("\"\\u0061\""), value("\"a\""));
        assert_ne!(value("1"), value("\"1\""));
        assert_ne!(value("null"), value("\"nil\""));
        assert_eq!(value("18446744073709551615"), "18446744073709551615");
    }
}
