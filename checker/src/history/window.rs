//! The part of a file that is being read.

use std::io::{ErrorKind, Read};

use memchr::memchr;

use super::ReadError;

/// A file read front to back. Holds a part of it, and never less than is being looked at.
pub(super) struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    /// What is read but not consumed is `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Of `buffer[start]`, from 1.
    line: u64,
}

/// A line, without its end.
pub(super) struct Line<'a> {
    pub number: u64,
    pub bytes: &'a [u8],
}

/// Large enough to read at the speed of the disk, small enough to stay in the processor's cache.
const BUFFER_BYTES: usize = 256 << 10;

/// No event of a register is that long; a file without ends of lines is no history.
const EVENT_BYTES_MAX: usize = 16 << 20;

impl<R: Read> Window<R> {
    pub fn new(input: R) -> Window<R> {
        Window { input, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, line: 1 }
    }

    /// What is read but not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads more behind [`Self::unread`]. False at the end of the file.
    pub fn fill(&mut self) -> Result<bool, ReadError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            if self.end >= EVENT_BYTES_MAX {
                let why = format!("one event of more than {} MiB", EVENT_BYTES_MAX >> 20);
                return Err(ReadError::malformed(self.line, why));
            }
            self.buffer.resize(2 * self.end, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
    }

    /// The line of the first unread byte, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Goes on behind the first `count` unread bytes, which hold `lines` ends of lines.
    pub fn consume(&mut self, count: usize, lines: u64) {
        self.start += count;
        self.line += lines;
        assert!(self.start <= self.end, "only what was read can be consumed");
    }

    /// The next line; `None` at the end of the file.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        let mut searched = 0;
        let (length, ends) = loop {
            match memchr(b'\n', &self.unread()[searched..]) {
                Some(at) => break (searched + at, 1),
                None => searched = self.unread().len(),
            }
            if !self.fill()? {
                break (searched, 0);
            }
        };
        let (number, start) = (self.line, self.start);
        if length + ends == 0 {
            return Ok(None);
        }
        self.consume(length + ends, ends as u64);
        Ok(Some(Line { number, bytes: &self.buffer[start..start + length] }))
    }
}

impl<'a> Line<'a> {
    /// The line as text, without the carriage return of another world.
    pub fn text(&self) -> Result<&'a str, ReadError> {
        let bytes = self.bytes.strip_suffix(b"\r").unwrap_or(self.bytes);
        std::str::from_utf8(bytes).map_err(|error| {
            let why = format!("no UTF-8 at byte {} of the line", error.valid_up_to() + 1);
            ReadError::malformed(self.number, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of this size.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(into.len());
            self.0.read(&mut into[..count])
        }
    }

    fn lines(input: impl Read) -> Vec<(u64, Vec<u8>)> {
        let mut window = Window::new(input);
        let mut lines = Vec::new();
        while let Some(line) = window.next_line().expect("memory can be read") {
            lines.push((line.number, line.bytes.to_vec()));
        }
        lines
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo\r\nthree";
        let expected = [(1, "one"), (2, ""), (3, "two\r"), (4, "three")]
            .map(|(number, text)| (number, text.as_bytes().to_vec()));
        for size in [1, 2, 3, 100] {
            assert_eq!(lines(Drops(text, size)), expected);
        }
        assert_eq!(lines(&b""[..]), []);
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_read_and_an_endless_one_refused() {
        let long = vec![b'x'; 3 * BUFFER_BYTES];
        assert_eq!(lines(&long[..]), [(1, long.clone())]);
        let mut window = Window::new(std::io::repeat(0));
        assert!(matches!(window.next_line(), Err(ReadError::Malformed { line: 1, .. })));
    }
}
