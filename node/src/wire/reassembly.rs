//! Puts fragments of one peer's messages together. They may come in any order, more than once, or
//! never; memory is bounded, and grows only by bytes that came.

use super::frame::{Frame, Head, kind};
use super::{Dropped, FRAGMENT_BYTES_MIN, MESSAGE_BYTES_MAX};
use crate::bytes::Reader;
use std::collections::VecDeque;

/// The incomplete messages of one peer; of a client, of one verified address.
/// Invariant: `size_bytes` is the sum over `partial`, and at most `size_bytes_max`.
pub struct Reassembly {
    size_bytes_max: usize,
    count_max: usize,
    size_bytes: usize,
    /// Oldest first.
    partial: VecDeque<Partial>,
    /// Buffers of the message finished last, for the next to begin.
    spare: Partial,
    /// The message finished last.
    whole: Vec<u8>,
}

/// Invariant: `pieces` ascend and do not overlap, and their contents fill `bytes`.
#[derive(Default)]
struct Partial {
    /// Of the sender; a message number means nothing without it.
    boot: u64,
    number: u64,
    head: Option<Head>,
    total: usize,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

/// A part of a message.
struct Piece {
    /// In the message.
    offset: usize,
    size_bytes: usize,
    /// In the buffer, where pieces stand in the order of coming.
    at: usize,
}

impl Default for Reassembly {
    /// For a peer that may have a window of the largest messages under way.
    fn default() -> Reassembly {
        Reassembly::new(2 << 20, 64)
    }
}

impl Reassembly {
    /// Holds at most so many bytes, of so many incomplete messages, and what was finished last.
    /// Panics if the largest message would not fit.
    pub fn new(size_bytes_max: usize, count_max: usize) -> Reassembly {
        assert!(size_bytes_max >= MESSAGE_BYTES_MAX && count_max > 0);
        Reassembly {
            size_bytes_max,
            count_max,
            size_bytes: 0,
            partial: VecDeque::new(),
            spare: Partial::default(),
            whole: Vec::new(),
        }
    }

    /// Bytes of incomplete messages.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Gives back a frame that is no fragment, or the message that a fragment completes, or nothing
    /// yet. `boot`: that of the packet.
    pub fn whole<'a>(
        &'a mut self,
        boot: u64,
        frame: Frame<'a>,
    ) -> Result<Option<Frame<'a>>, Dropped> {
        if frame.head.kind != kind::FRAGMENT {
            return Ok(Some(frame));
        }
        let mut from = Reader(frame.content);
        let (number, offset, total) = (from.u64()?, from.u32()? as usize, from.u32()? as usize);
        let head = Head { kind: from.u8()?, ..frame.head };
        let piece = from.rest();
        if total > MESSAGE_BYTES_MAX {
            return Err(Dropped::TooLarge);
        }
        // Of 32 bits each, so the sum cannot overflow.
        let end = offset + piece.len();
        if end > total || piece.is_empty() || (piece.len() < FRAGMENT_BYTES_MIN && end < total) {
            return Err(Dropped::Malformed);
        }
        let known = self.partial.iter().rposition(|p| (p.boot, p.number) == (boot, number));
        let at = known.unwrap_or_else(|| self.begin(boot, number, head, total));
        let partial = &mut self.partial[at];
        if (partial.head, partial.total) != (Some(head), total) {
            return Err(Dropped::Malformed);
        }
        self.size_bytes += partial.insert(offset, piece);
        if self.partial[at].bytes.len() < total {
            self.evict();
            return Ok(None);
        }
        self.finish(at);
        Ok(Some(Frame { head, content: &self.whole }))
    }

    /// Makes room for a new message, with the buffers of an old one. Returns its position.
    fn begin(&mut self, boot: u64, number: u64, head: Head, total: usize) -> usize {
        let mut partial = std::mem::take(&mut self.spare);
        partial.bytes.clear();
        partial.pieces.clear();
        let Partial { bytes, pieces, .. } = partial;
        self.partial.push_back(Partial { boot, number, head: Some(head), total, bytes, pieces });
        self.partial.len() - 1
    }

    /// Moves the finished message at `at` to `whole`.
    fn finish(&mut self, at: usize) {
        let mut partial = self.partial.remove(at).expect("it was found there");
        self.size_bytes -= partial.bytes.len();
        if partial.pieces.is_sorted_by_key(|piece| piece.at) {
            std::mem::swap(&mut self.whole, &mut partial.bytes);
        } else {
            self.whole.clear();
            for Piece { at, size_bytes, .. } in &partial.pieces {
                self.whole.extend_from_slice(&partial.bytes[*at..at + size_bytes]);
            }
        }
        self.spare = partial;
    }

    /// Forgets the oldest until what is left is within bounds. Its sender will repeat it.
    fn evict(&mut self) {
        while self.size_bytes > self.size_bytes_max || self.partial.len() > self.count_max {
            let oldest = self.partial.pop_front().expect("nothing is within all bounds");
            self.size_bytes -= oldest.bytes.len();
            self.spare = oldest;
        }
    }
}

impl Partial {
    /// Adds what is not there yet of a piece: a message that is sent again may be cut elsewhere.
    /// Returns how many bytes that is.
    fn insert(&mut self, offset: usize, content: &[u8]) -> usize {
        let (mut from, end, before_bytes) = (offset, offset + content.len(), self.bytes.len());
        while from < end {
            let at = self.pieces.partition_point(|piece| piece.offset <= from);
            let known = at.checked_sub(1).map_or(0, |before| {
                let Piece { offset, size_bytes, .. } = self.pieces[before];
                offset + size_bytes
            });
            if known > from {
                from = known;
                continue;
            }
            let until = self.pieces.get(at).map_or(end, |next| next.offset.min(end));
            let piece = Piece { offset: from, size_bytes: until - from, at: self.bytes.len() };
            self.pieces.insert(at, piece);
            self.bytes.extend_from_slice(&content[from - offset..until - offset]);
            from = until;
        }
        self.bytes.len() - before_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;
    use crate::protocol::GroupId;
    use std::collections::BTreeMap;

    const WHOLE: Head = Head { kind: 69, flags: 0, group: GroupId(3) };

    /// The content of a fragment.
    fn fragment(number: u64, offset: usize, total: usize, piece: &[u8]) -> Vec<u8> {
        let (offset, total) = ((offset as u32).to_le_bytes(), (total as u32).to_le_bytes());
        [&number.to_le_bytes()[..], &offset, &total, &[WHOLE.kind], piece].concat()
    }

    fn give(
        reassembly: &mut Reassembly,
        boot: u64,
        content: &[u8],
    ) -> Result<Option<Vec<u8>>, Dropped> {
        let head = Head { kind: kind::FRAGMENT, ..WHOLE };
        let whole = reassembly.whole(boot, Frame { head, content })?;
        Ok(whole.map(|frame| {
            assert_eq!(frame.head, WHOLE);
            frame.content.to_vec()
        }))
    }

    #[test]
    fn messages_survive_any_order_and_duplicates_but_no_loss() {
        let mut random = Random::seeded();
        for _ in 0..200 {
            let mut reassembly = Reassembly::default();
            let (mut messages, mut fragments) = (BTreeMap::new(), Vec::new());
            for number in 0..20 {
                let size_bytes = 1 + random.below(5_000) as usize;
                let message: Vec<u8> = (0..size_bytes).map(|_| random.below(256) as u8).collect();
                let piece_bytes = FRAGMENT_BYTES_MIN + random.below(1_000) as usize;
                let lost = random.below(4) == 0;
                for (at, piece) in message.chunks(piece_bytes).enumerate().skip(lost.into()) {
                    let content = fragment(number, at * piece_bytes, size_bytes, piece);
                    (0..1 + random.below(2)).for_each(|_| fragments.push(content.clone()));
                }
                if !lost {
                    messages.insert(message, number);
                }
            }
            for at in (1..fragments.len()).rev() {
                fragments.swap(at, random.below(at as u64 + 1) as usize);
            }
            let mut finished = BTreeMap::new();
            for content in fragments {
                let number = u64::from_le_bytes(*content.first_chunk().unwrap());
                if let Some(whole) = give(&mut reassembly, 5, &content).unwrap() {
                    finished.insert(whole, number);
                }
            }
            assert_eq!(finished, messages);
        }
    }

    #[test]
    fn memory_is_bounded_whatever_comes_and_the_oldest_goes_first() {
        let mut random = Random::seeded();
        let mut reassembly = Reassembly::new(MESSAGE_BYTES_MAX, 4);
        for _ in 0..20_000 {
            let piece = vec![0; random.below(2_000) as usize];
            let (number, offset) = (random.below(8), random.below(140_000) as usize);
            let total = random.below(150_000) as usize;
            let _ = give(&mut reassembly, 0, &fragment(number, offset, total, &piece));
            let held: usize = reassembly.partial.iter().map(|p| p.bytes.len()).sum();
            assert_eq!(held, reassembly.size_bytes());
            assert!(held <= MESSAGE_BYTES_MAX && reassembly.partial.len() <= 4);
        }
        for number in 100..105 {
            give(&mut reassembly, 0, &fragment(number, 0, 200, &[1; 100])).unwrap();
        }
        assert_eq!(give(&mut reassembly, 0, &fragment(100, 100, 200, &[1; 100])), Ok(None));
        let last = give(&mut reassembly, 0, &fragment(104, 100, 200, &[2; 100])).unwrap();
        assert_eq!(last, Some([[1; 100], [2; 100]].concat()));
    }

    #[test]
    fn pieces_of_different_boots_or_messages_are_never_mixed() {
        let mut reassembly = Reassembly::default();
        let mut give = |boot, content: &[u8]| give(&mut reassembly, boot, content);
        assert_eq!(give(1, &fragment(7, 0, 200, &[1; 100])), Ok(None));
        assert_eq!(give(2, &fragment(7, 100, 200, &[2; 100])), Ok(None));
        assert_eq!(give(1, &fragment(7, 100, 201, &[2; 101])), Err(Dropped::Malformed));
        let whole = [[1; 100], [2; 100]].concat();
        assert_eq!(give(1, &fragment(7, 100, 200, &[2; 100])), Ok(Some(whole)));
    }

    #[test]
    fn attempts_that_were_cut_differently_complete_each_other() {
        let mut random = Random::seeded();
        for _ in 0..300 {
            let size_bytes = 2_000 + random.below(20_000) as usize;
            let message: Vec<u8> = (0..size_bytes).map(|_| random.below(256) as u8).collect();
            let mut reassembly = Reassembly::default();
            let whole = (0..1_000).find_map(|_| {
                let first = FRAGMENT_BYTES_MIN + random.below(1_000) as usize;
                let (head, tail) = message.split_at(first);
                let rest = (first..).step_by(1_100).zip(tail.chunks(1_100));
                let mut pieces: Vec<(usize, &[u8])> = [(0, head)].into_iter().chain(rest).collect();
                // Two of three are lost in each attempt, and one overtakes all others.
                pieces.retain(|_| random.below(3) == 0);
                let overtaking = random.below(2) as usize % pieces.len().max(1);
                pieces.rotate_left(overtaking);
                pieces.into_iter().find_map(|(offset, piece)| {
                    let content = fragment(9, offset, size_bytes, piece);
                    give(&mut reassembly, 1, &content).expect("sound")
                })
            });
            assert!(whole.is_some_and(|whole| whole == message));
            assert_eq!(reassembly.size_bytes(), 0);
        }
    }

    #[test]
    fn what_nobody_sends_is_refused() {
        let mut reassembly = Reassembly::default();
        let mut give = |content: &[u8]| give(&mut reassembly, 0, content).unwrap_err();
        assert_eq!(give(&fragment(0, 0, MESSAGE_BYTES_MAX + 1, &[0; 99])), Dropped::TooLarge);
        assert_eq!(give(&fragment(0, 0, 90, &[0; 91])), Dropped::Malformed);
        assert_eq!(give(&fragment(0, usize::MAX, 90, &[0; 91])), Dropped::Malformed);
        assert_eq!(give(&fragment(0, 0, 100, &[])), Dropped::Malformed);
        assert_eq!(give(&fragment(0, 0, 100, &[0; 63])), Dropped::Malformed, "too many pieces");
        assert_eq!(give(&fragment(0, 0, 100, &[])[..16]), Dropped::Malformed);
        assert_eq!(reassembly.size_bytes(), 0);
    }
}
