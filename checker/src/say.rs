//! What is said to people, who may have gone: as behind `head`, which reads no further.
//!
//! That nobody listens is no failure of ours, and must not cost a run its verdict, nor its exit code.

use std::fmt;
use std::io::{self, ErrorKind, StdoutLock, Write};

/// Standard output, for as long as anybody listens. Errors are those of a full disk and the like.
pub struct Out(StdoutLock<'static>);

impl Out {
    /// Nobody else prints meanwhile.
    pub fn lock() -> Out {
        Out(io::stdout().lock())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        heard_or_not(self.0.write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        heard_or_not(self.0.flush())
    }
}

/// Writes to standard output.
pub fn out(text: impl fmt::Display) -> io::Result<()> {
    let mut out = Out::lock();
    write!(out, "{text}").and_then(|()| out.flush())
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
