//! Entries on their way. Bytes are shared, not copied: the batch a leader sealed is the same
//! allocation in its log, in the record for the disk and in the message to each follower; and one
//! that came in a datagram is copied out of it once.

use super::interface::Malformed;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Entries in the making. Its buffers are kept from one sealing to the next.
/// Invariant: `ends` holds one number an entry, laid out as in [`Entries`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Batch {
    ends: Vec<u8>,
    bytes: Vec<u8>,
}

/// Where an entry ends among the bytes of its batch, little-endian.
type End = [u8; size_of::<u32>()];

fn offset(end: End) -> usize {
    u32::from_le_bytes(end) as usize
}

impl Batch {
    /// Most bytes in one batch, so that offsets fit 32 bits with room to spare.
    pub const SIZE_BYTES_MAX: usize = 1 << 30;

    /// Adds one entry. Panics above [`Batch::SIZE_BYTES_MAX`] (callers bound their batches).
    pub fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        assert!(self.bytes.len() <= Self::SIZE_BYTES_MAX, "a batch outgrew its offsets");
        self.ends.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
    }

    /// Takes the entries out, in one allocation of their own, and leaves the batch empty.
    pub fn seal(&mut self) -> Entries {
        let count = self.len() as u32;
        self.ends.extend_from_slice(&self.bytes);
        let packed = Arc::from(self.ends.as_slice());
        self.ends.clear();
        self.bytes.clear();
        Entries { packed, count, from: 0, to: count }
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.ends.len() / size_of::<End>()
    }

    /// Bytes of all entries together.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// A run of consecutive entries: a view of a shared batch, compared and hashed by content.
/// The batch is one allocation, laid out for messages and files too:
/// ```text
///   where each of the `count` entries ends   u32 each, never descending; the last ends the bytes
///   the entries, one behind the other        bytes
/// ```
/// Invariant: `from <= to <= count`.
#[derive(Clone)]
pub struct Entries {
    packed: Arc<[u8]>,
    count: u32,
    from: u32,
    to: u32,
}

impl Entries {
    /// No entries.
    pub fn none() -> Entries {
        Batch::default().seal()
    }

    /// Copies `entries` into a batch of their own.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Entries {
        let mut batch = Batch::default();
        entries.into_iter().for_each(|entry| batch.push(entry));
        batch.seal()
    }

    /// Copies the `count` entries that `encode` wrote. Total: what it would not write is malformed.
    pub fn decode(count: u32, packed: &[u8]) -> Result<Entries, Malformed> {
        let ends_bytes = (count as usize).checked_mul(size_of::<End>()).ok_or(Malformed)?;
        let (ends, bytes) = packed.split_at_checked(ends_bytes).ok_or(Malformed)?;
        let (ends, _) = ends.as_chunks();
        let ascending = ends.is_sorted_by(|a, b| offset(*a) <= offset(*b));
        let size_bytes = ends.last().map_or(0, |end| offset(*end));
        if !ascending || size_bytes != bytes.len() || size_bytes > Batch::SIZE_BYTES_MAX {
            return Err(Malformed);
        }
        Ok(Entries { packed: Arc::from(packed), count, from: 0, to: count })
    }

    /// Appends the entries of this run, in the layout above, to `bytes`.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        if self.len() == self.count as usize {
            return bytes.extend_from_slice(&self.packed);
        }
        let (from, to) = (self.from as usize, self.to as usize);
        let (start, end) = (self.start(from), self.start(to));
        let (ends, entries) = self.parts();
        for end in &ends[from..to] {
            bytes.extend_from_slice(&((offset(*end) - start) as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&entries[start..end]);
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The entry at `position`, counted from the start of this run. Panics beyond its end.
    pub fn get(&self, position: usize) -> &[u8] {
        assert!(position < self.len());
        let at = self.from as usize + position;
        &self.parts().1[self.start(at)..self.start(at + 1)]
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.between(0, self.len())
    }

    /// The entries `from..to` of this run, sharing its bytes. Panics beyond its end.
    pub fn slice(&self, from: usize, to: usize) -> Entries {
        assert!(from <= to && to <= self.len());
        let start = self.from;
        Entries { from: start + from as u32, to: start + to as u32, ..self.clone() }
    }

    /// The entries behind the first `count` of this run. Panics beyond its end.
    pub(super) fn skip(self, count: usize) -> Entries {
        assert!(count <= self.len());
        Entries { from: self.from + count as u32, ..self }
    }

    /// Bytes of the entries together.
    pub fn size_bytes(&self) -> usize {
        self.prefix_bytes(self.len())
    }

    /// Bytes of the first `count` entries together.
    pub(super) fn prefix_bytes(&self, count: usize) -> usize {
        let from = self.from as usize;
        self.start(from + count) - self.start(from)
    }

    /// The entries `from..to` of this run. Panics beyond its end.
    pub(super) fn between(&self, from: usize, to: usize) -> impl Iterator<Item = &[u8]> + '_ {
        assert!(from <= to && to <= self.len());
        let (from, to) = (self.from as usize + from, self.from as usize + to);
        let (ends, bytes) = self.parts();
        let mut start = self.start(from);
        ends[from..to].iter().map(move |end| {
            let end = offset(*end);
            let entry = &bytes[start..end];
            start = end;
            entry
        })
    }

    /// The two parts of the whole batch: where entries end, and their bytes.
    fn parts(&self) -> (&[End], &[u8]) {
        let (ends, bytes) = self.packed.split_at(size_of::<End>() * self.count as usize);
        (ends.as_chunks().0, bytes)
    }

    /// Where the entry `at` of the whole batch begins, and the one before it ends.
    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { offset(self.parts().0[at - 1]) }
    }

    /// The end of the longest part of `from..to`, from its start, that fits `bytes_max`.
    pub(super) fn fitting(&self, from: usize, to: usize, bytes_max: usize) -> usize {
        let limit = self.prefix_bytes(from).saturating_add(bytes_max);
        if self.prefix_bytes(to) <= limit {
            return to;
        }
        let limit = limit + self.start(self.from as usize);
        let ends = &self.parts().0[self.from as usize..][from..to];
        from + ends.partition_point(|end| offset(*end) <= limit)
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Entries) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

impl Hash for Entries {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|entry| entry.escape_ascii().to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;

    fn encoded(entries: &Entries) -> Vec<u8> {
        let mut bytes = Vec::new();
        entries.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_sealed_batch_begins_anew() {
        let mut batch = Batch::default();
        batch.push(b"a");
        assert_eq!(batch.seal(), Entries::of([b"a".as_slice()]));
        assert_eq!(batch, Batch::default());
        batch.push(b"bc");
        assert_eq!(batch.seal(), Entries::of([b"bc".as_slice()]));
    }

    #[test]
    fn any_part_of_a_batch_is_decoded_as_it_was_encoded() {
        let whole = Entries::of([b"ab".as_slice(), b"", b"c", b"", b"def"]);
        for (from, to) in (0..=5).flat_map(|to| (0..=to).map(move |from| (from, to))) {
            let part = whole.slice(from, to);
            assert_eq!(encoded(&part), encoded(&Entries::of(part.iter())));
            assert_eq!(Entries::decode(part.len() as u32, &encoded(&part)), Ok(part));
        }
    }

    #[test]
    fn what_nobody_encoded_is_malformed() {
        let cases: [(u32, &[u8]); 7] = [
            (0, b"x"),
            (1, &[0, 0, 0]),
            (1, &[2, 0, 0, 0, b'x']),
            (1, &[0, 0, 0, 0, b'x']),
            (2, &[2, 0, 0, 0, 1, 0, 0, 0, b'x']),
            (2, &[9, 0, 0, 0, 1, 0, 0, 0, b'x']),
            (u32::MAX, &[0; 16]),
        ];
        for (count, bytes) in cases {
            assert_eq!(Entries::decode(count, bytes), Err(Malformed), "{count} in {bytes:?}");
        }
    }

    #[test]
    fn decoding_is_total_and_whatever_it_accepts_is_encoded_the_same() {
        let mut random = Random::seeded();
        let mut accepted = 0;
        for _ in 0..20_000 {
            let entries: Vec<_> = (0..1 + random.below(4)).map(|_| random.bytes(6)).collect();
            let entries = Entries::of(entries.iter().map(Vec::as_slice));
            let bytes = random.damaged(&encoded(&entries));
            if let Ok(decoded) = Entries::decode(entries.len() as u32, &bytes) {
                assert_eq!(decoded.iter().map(<[u8]>::len).sum::<usize>(), decoded.size_bytes());
                assert_eq!(encoded(&decoded), bytes);
                accepted += 1;
            }
        }
        assert!(accepted > 0, "a change within an entry goes unnoticed");
    }
}
