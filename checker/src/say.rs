//! What is said to people, who may have gone: as behind `head`, which reads no further.
//!
//! That nobody listens is no failure of ours, and must not cost a run its verdict, nor its exit code.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Writes to standard output. An error is that of a full disk and the like, not of a closed pipe.
pub fn out(text: impl fmt::Display) -> io::Result<()> {
    heard_or_not(write!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()))
}

/// Writes a line to standard error. If that fails, there is nobody to tell.
pub fn aside(line: impl fmt::Display) {
    // In one piece, so that lines of threads do not mix.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// What was written, or would have been if anybody still read it.
pub(crate) fn heard_or_not(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_no_failure() {
        assert!(heard_or_not(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(heard_or_not(Err(ErrorKind::StorageFull.into())).is_err());
    }
}
