//! What the numbers of values stand for.

use std::fmt::{self, Write};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Value;

/// All values of a history. Equal values have equal numbers.
///
/// A value is a string of bytes. One that was no string where it was recorded, such as the number
/// 4, is its spelling behind one byte that no UTF-8 contains, so that it differs from `"4"`.
#[derive(Clone, Debug)]
pub struct Values {
    hasher: DefaultHashBuilder,
    /// With half of the hash of each: a table that grows would else look up a million values.
    numbers: HashTable<(u32, Value)>,
    /// The bytes of all values, one behind the other: one allocation instead of a million.
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`, by number; the first is the missing value.
    ends: Vec<usize>,
}

/// The first byte of a value that was no string where it was recorded.
pub(super) const NO_STRING: u8 = 0xff;

impl Values {
    /// None but the missing one.
    pub fn new() -> Values {
        Values {
            hasher: DefaultHashBuilder::default(),
            numbers: HashTable::new(),
            bytes: Vec::new(),
            ends: vec![0],
        }
    }

    /// The number of a value, new if it has none.
    pub fn intern(&mut self, bytes: &[u8]) -> Value {
        let hash = self.hasher.hash_one(bytes) as u32;
        let known = self.numbers.find(spread(hash), |&(other, value)| {
            other == hash && slice(&self.bytes, &self.ends, value) == bytes
        });
        if let Some((_, value)) = known {
            return *value;
        }
        let value = Value(u32::try_from(self.ends.len()).expect("fewer than 2^32 values"));
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.numbers.insert_unique(spread(hash), (hash, value), |&(hash, _)| spread(hash));
        value
    }

    /// What a value stands for; `None` if it is missing. Panics on a number never given.
    pub fn bytes(&self, value: Value) -> Option<&[u8]> {
        (value != Value::MISSING).then(|| slice(&self.bytes, &self.ends, value))
    }

    /// A value as its reader knows it: `nil` if it is missing. Panics on a number never given.
    pub fn shown(&self, value: Value) -> Shown<'_> {
        Shown(self.bytes(value))
    }
}

/// A hash whose highest and lowest bits both vary, as the table asks for.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], value: Value) -> &'a [u8] {
    let number = value.0 as usize;
    &bytes[ends[number - 1]..ends[number]]
}

impl Default for Values {
    fn default() -> Values {
        Values::new()
    }
}

/// A value or the name of a key, for the reader: plain words as they are, other strings in quotes.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub Option<&'a [u8]>);

impl Shown<'_> {
    /// More than this of a value tells the reader nothing.
    const CHARS_MAX: usize = 40;

    /// The whole of it as JSON; what JSON cannot express is a string of its spelling.
    pub fn json(&self) -> serde_json::Value {
        let string = |bytes| serde_json::Value::from(String::from_utf8_lossy(bytes));
        match self.0 {
            None => serde_json::Value::Null,
            Some([NO_STRING, spelling @ ..]) => {
                serde_json::from_slice(spelling).unwrap_or_else(|_| string(spelling))
            }
            Some(bytes) => string(bytes),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0 else { return f.write_str("nil") };
        if let [NO_STRING, spelling @ ..] = bytes {
            return write_cut(f, &String::from_utf8_lossy(spelling));
        }
        let text = String::from_utf8_lossy(bytes);
        let is_plain = |c: char| c.is_alphanumeric() || "-_./:".contains(c);
        let is_word = text.starts_with(char::is_alphabetic) && text.chars().all(is_plain);
        // A string that reads like something else must not be taken for it.
        if is_word && !matches!(&*text, "nil" | "true" | "false") {
            return write_cut(f, &text);
        }
        f.write_char('"')?;
        write_cut(f, &text.escape_debug().to_string())?;
        f.write_char('"')
    }
}

fn write_cut(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match text.char_indices().nth(Shown::CHARS_MAX) {
        Some((end, _)) => write!(f, "{}…({} bytes)", &text[..end], text.len()),
        None => f.write_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_numbers_and_keep_their_bytes() {
        let mut values = Values::new();
        let all: Vec<Vec<u8>> = (0..1000).map(|n: u32| n.to_string().into_bytes()).collect();
        let numbers: Vec<Value> = all.iter().map(|bytes| values.intern(bytes)).collect();
        for (bytes, number) in all.iter().zip(numbers) {
            assert_eq!(values.intern(bytes), number);
            assert_eq!(values.bytes(number), Some(&bytes[..]));
        }
        assert_eq!(values.bytes(Value::MISSING), None);
        let empty = values.intern(b"");
        assert_ne!(empty, Value::MISSING);
        assert_eq!(values.bytes(empty), Some(&b""[..]));
    }

    #[test]
    fn what_differs_looks_different() {
        let shown = |bytes: &[u8]| Shown(Some(bytes)).to_string();
        assert_eq!(Shown(None).to_string(), "nil");
        assert_eq!(shown(b"nil"), "\"nil\"");
        assert_eq!(shown(b"4"), "\"4\"");
        assert_eq!(shown(b"\xff4"), "4");
        assert_eq!(shown(b"a17"), "a17");
        assert_eq!(shown(b"x 0 0 y"), "\"x 0 0 y\"");
        assert_eq!(shown(&[b'a'; 100]), format!("{}…(100 bytes)", "a".repeat(40)));
    }
}
