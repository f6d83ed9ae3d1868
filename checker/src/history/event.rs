//! One event as it was recorded: an invocation, a completion, or something that was no client's.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use super::values::NO_STRING;

/// One entry of a recorded history, in Jepsen's form, whatever the format of the file.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Event<'a> {
    pub process: Process<'a>,
    pub kind: Kind,
    /// What was done; a plain name, without a colon.
    pub function: Cow<'a, str>,
    /// The key, where it stands beside the value.
    pub key: Datum<'a>,
    pub value: Datum<'a>,
    pub error: Datum<'a>,
    /// Nanoseconds since some moment.
    pub time: Option<i64>,
}

/// Who did it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Process<'a> {
    Client(u64),
    /// Not a client: the nemesis, which injects faults.
    Other(Cow<'a, str>),
}

/// What happened to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// What a field held.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Datum<'a> {
    #[default]
    Nil,
    Int(i64),
    String(Cow<'a, str>),
    /// Anything else that has no parts we ask for, as it is spelt: keywords, fractions, maps.
    Symbol(Cow<'a, str>),
    List(Vec<Datum<'a>>),
}

impl Kind {
    pub fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "invoke" => Kind::Invoke,
            "ok" => Kind::Ok,
            "fail" => Kind::Fail,
            "info" => Kind::Info,
            _ => return None,
        })
    }
}

impl<'a> Datum<'a> {
    /// A keyword or a string, without a colon: JSON knows no keywords.
    pub fn name(&self) -> Option<&str> {
        match self {
            Datum::Symbol(name) => Some(name.strip_prefix(':').unwrap_or(name)),
            Datum::String(name) => Some(name.strip_prefix(':').unwrap_or(name)),
            _ => None,
        }
    }

    /// The two parts of a list of two; anything else comes back.
    pub fn pair(self) -> Result<[Datum<'a>; 2], Datum<'a>> {
        match self {
            Datum::List(parts) => parts.try_into().map_err(Datum::List),
            other => Err(other),
        }
    }

    /// The bytes of a value of this kind, as `Values` keeps them; `None` if it is nil.
    /// `scratch`: where they are put together if they do not stand anywhere yet.
    pub fn bytes<'b>(&'b self, scratch: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        match self {
            Datum::Nil => None,
            Datum::String(text) => Some(text.as_bytes()),
            other => {
                scratch.clear();
                scratch.push(NO_STRING);
                write!(scratch, "{other}").expect("a vector takes any bytes");
                Some(scratch)
            }
        }
    }
}

/// The same spelling for equal data, another one for different data.
impl fmt::Display for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Nil => f.write_str("nil"),
            Datum::Int(number) => write!(f, "{number}"),
            Datum::String(text) => write!(f, "{text:?}"),
            Datum::Symbol(spelling) => f.write_str(spelling),
            Datum::List(parts) => {
                f.write_str("[")?;
                for (index, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if index == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}
