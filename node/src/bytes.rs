//! Byte strings and numbers as the store lays them out: little-endian, a string after its `u32`
//! length. Reading is total: it never panics, copies nothing and allocates nothing.

use std::fmt::{self, Write};

use crate::protocol::Malformed;

/// Appends a byte string: its length, then its bytes.
pub(crate) fn put_bytes(image: &mut Vec<u8>, bytes: &[u8]) {
    let size_bytes = u32::try_from(bytes.len()).expect("requests are bounded far below 4 GiB");
    image.extend_from_slice(&size_bytes.to_le_bytes());
    image.extend_from_slice(bytes);
}

/// What is left of an image to read. Every read is checked, and nothing is copied.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let size_bytes = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        self.take(size_bytes)
    }

    pub fn take(&mut self, size_bytes: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(size_bytes).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    pub fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// Shows bytes in a trace: text as it is, other bytes escaped, long strings cut.
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 32;
        for chunk in self.0[..self.0.len().min(SHOWN_BYTES)].utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\\' => write!(f, "\\\\")?,
                    _ if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                    _ => f.write_char(letter)?,
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        match self.0.len() {
            0..=SHOWN_BYTES => Ok(()),
            size_bytes => write!(f, "..({size_bytes} bytes)"),
        }
    }
}

#[cfg(test)]
pub(crate) mod random {
    use fastrand::Rng;

    /// What tests draw. Prints its seed; takes another from `SEED=`.
    pub(crate) struct Random(Rng);

    impl Random {
        pub(crate) fn seeded() -> Random {
            let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
            println!("SEED={seed}");
            Random(Rng::with_seed(seed))
        }

        pub(crate) fn below(&mut self, bound: u64) -> u64 {
            self.0.u64(..bound)
        }

        pub(crate) fn bytes(&mut self, size_max: u64) -> Vec<u8> {
            (0..self.below(size_max + 1)).map(|_| self.below(256) as u8).collect()
        }

        /// One byte changed, lost or added, anywhere.
        pub(crate) fn damaged(&mut self, image: &[u8]) -> Vec<u8> {
            let mut image = image.to_vec();
            let position = self.below(image.len() as u64) as usize;
            match self.below(3) {
                0 => image[position] ^= 1 << self.below(8),
                1 => image.truncate(position),
                _ => image.insert(position, self.below(256) as u8),
            }
            image
        }
    }
}
