//! What became of a request: three possibilities, and no fourth.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "it may not have happened"]
pub enum Outcome<T> {
    /// It happened, exactly once, and this is the answer.
    Ok(T),
    /// It surely changed nothing, and never will.
    Fail(Failure),
    /// Nobody knows. A write may have happened, or may yet happen at any later time.
    Indeterminate(Why),
}

/// A definite no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The key has no value.
    Missing,
    /// The key has this value, and not the one expected.
    Mismatch(Arc<[u8]>),
    /// A key or value is above a limit.
    TooLarge {
        /// The limit.
        size_bytes_max: usize,
    },
}

/// Why nobody knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// No answer in time.
    NoAnswer,
    /// No session could be opened in time. The write was never sent, or surely refused.
    NoSession,
    /// The session was evicted, after the write was sent more than once.
    Expired,
    /// An answer came that is none to what was asked: the node differs in version or limits.
    NoMeaning,
    /// Our own socket failed.
    Socket(io::ErrorKind),
}

impl<T> Outcome<T> {
    /// The outcome of a request answered by what does not belong to it.
    pub(super) fn without_meaning<U>(self) -> Outcome<U> {
        match self {
            Outcome::Ok(_) => Outcome::Indeterminate(Why::NoMeaning),
            Outcome::Fail(failure) => Outcome::Fail(failure),
            Outcome::Indeterminate(why) => Outcome::Indeterminate(why),
        }
    }
}

impl From<io::ErrorKind> for Why {
    fn from(kind: io::ErrorKind) -> Why {
        Why::Socket(kind)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Missing => write!(f, "the key is missing"),
            Failure::Mismatch(value) => {
                write!(f, "the key has the value {}", String::from_utf8_lossy(value))
            }
            Failure::TooLarge { size_bytes_max } => {
                write!(f, "too large: here, the limit is {size_bytes_max} bytes")
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoAnswer => write!(f, "no answer in time"),
            Why::NoSession => write!(f, "no session could be opened in time"),
            Why::Expired => write!(f, "the session was evicted between two attempts"),
            Why::NoMeaning => write!(f, "a node answered what was not asked"),
            Why::Socket(kind) => write!(f, "our socket failed: {kind}"),
        }
    }
}
