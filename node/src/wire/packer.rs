//! Puts messages for one peer into datagrams: as many into each as fit, large ones in fragments.
//!
//! ```text
//! bytes   [header frame frame .. tag][header frame .. tag][header frame ..
//! ends                               ^                   ^                  one open packet
//! ```

use super::client::{Request, Response};
use super::fields::Writer;
use super::frame::{Head, kind};
use super::keys::{Key, Keys};
use super::packet::{Header, PacketKind, seal};
use super::token::Token;
use super::{
    DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, FRAGMENT_BYTES_MIN, FRAGMENT_HEADER_BYTES,
    FRAME_HEADER_BYTES, HEADER_BYTES, MESSAGE_BYTES_MAX, TAG_BYTES, TOKEN_FRAME_BYTES, message,
};
use crate::config::first_word;
use crate::protocol::{Envelope, GroupId, NodeId};
use std::fmt;

/// Packs messages from us to one peer, for a client: to one address. Its buffers stay with it, so
/// that after a while nothing is allocated.
/// Invariant: `ends` ascends; behind its last is one open packet, or nothing.
#[derive(Clone)]
pub struct Packer {
    header: Header,
    key: Key,
    token: Token,
    datagram_bytes: usize,
    /// Of the next packet.
    number: u64,
    /// All packets since the last seal, one behind the other, the closed ones with room for a tag.
    bytes: Vec<u8>,
    /// Where each closed packet ends.
    ends: Vec<usize>,
    /// A content that did not fit, until it is elsewhere.
    aside: Vec<u8>,
    /// What is there was handed out, and makes room for the next.
    sealed: bool,
}

/// Sealed datagrams of equal size, one behind the other; only the last may be smaller. It is what
/// one system call sends where the kernel cuts it (UDP GSO).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run<'a> {
    /// The datagrams.
    pub contents: &'a [u8],
    /// Size of each.
    pub datagram_bytes: usize,
}

/// A message above [`MESSAGE_BYTES_MAX`], which no receiver would take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TooLarge {
    /// Size of its content.
    pub size_bytes: usize,
}

impl Packer {
    /// Packs for `to`, in datagrams of at most `datagram_bytes`.
    /// `boot`: how often we have started; of a client, a number drawn by lot.
    /// `number`: one never reached towards this receiver in this boot. Zero for the first packer;
    /// for one made anew after another was given up, microseconds since the start will do.
    /// Panics if `keys` do not know `to`, or on a size outside of `DATAGRAM_BYTES_MIN` to `_MAX`.
    pub fn new(keys: &Keys, to: NodeId, boot: u64, number: u64, datagram_bytes: usize) -> Packer {
        assert!((DATAGRAM_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&datagram_bytes));
        let (source, cluster) = (keys.node, keys.cluster);
        let kind = PacketKind::between(source, to);
        Packer {
            header: Header { kind, source, destination: to, cluster, boot },
            key: keys.link(to).expect("keys are made for all peers").outbound,
            token: Token::NONE,
            datagram_bytes,
            number,
            bytes: Vec::new(),
            ends: Vec::new(),
            aside: Vec::new(),
            sealed: false,
        }
    }

    /// Returns `token` with all later packets. For clients, which got it in a challenge.
    pub fn present(&mut self, token: Token) {
        self.token = token;
    }

    /// Packs a message from this node to that. Panics if it is from or to another.
    pub fn message(&mut self, envelope: &Envelope) -> Result<(), TooLarge> {
        let Envelope { group, from, to, message } = envelope;
        assert_eq!((*from, *to), (self.header.source, self.header.destination), "misdirected");
        self.pack(PacketKind::Node, *group, |bytes| message::encode(message, bytes))
    }

    /// Packs a client's request. Panics if we are no client.
    pub fn request(&mut self, request: &Request<'_>) -> Result<(), TooLarge> {
        self.pack(PacketKind::Request, request.group, |bytes| request.encode(bytes))
    }

    /// Packs a response to a client. Panics if the peer is none.
    pub fn response(&mut self, response: &Response<'_>) -> Result<(), TooLarge> {
        self.pack(PacketKind::Response, response.group, |bytes| response.encode(bytes))
    }

    /// Whether nothing waits to be sealed.
    pub fn is_empty(&self) -> bool {
        self.sealed || (self.ends.is_empty() && !self.has_frames())
    }

    /// Seals what was packed since the last time and hands it out, at most `datagrams_max` (one, if
    /// datagrams are sent one by one) in a run. It stays until the next message is packed.
    pub fn seal(&mut self, datagrams_max: usize) -> impl Iterator<Item = Run<'_>> {
        assert!(datagrams_max > 0);
        if self.sealed {
            self.clear();
        }
        match self.has_frames() {
            true => self.close(),
            false => self.bytes.truncate(self.start()),
        }
        let mut start = 0;
        for end in &self.ends {
            seal(&mut self.bytes[start..*end], self.number, &self.key);
            self.number += 1;
            start = *end;
        }
        self.sealed = true;
        Runs { bytes: &self.bytes, start: 0, ends: &self.ends, datagrams_max }
    }

    fn pack(
        &mut self,
        kind: PacketKind,
        group: GroupId,
        encode: impl FnOnce(&mut Vec<u8>) -> (u8, u8),
    ) -> Result<(), TooLarge> {
        assert_eq!(kind, self.header.kind, "not for this peer");
        if self.sealed {
            self.clear();
        }
        if self.bytes.len() == self.start() {
            self.open();
        }
        // Most messages fit: they are written where they stay, and their length is filled in.
        let at = self.bytes.len();
        let content = at + FRAME_HEADER_BYTES;
        self.bytes.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        let (kind, flags) = encode(&mut self.bytes);
        let (head, size_bytes) = (Head { kind, flags, group }, self.bytes.len() - content);
        if self.bytes.len() + TAG_BYTES <= self.start() + self.datagram_bytes {
            self.bytes[at..content].copy_from_slice(&head.encode(size_bytes));
            return Ok(());
        }
        self.aside.clear();
        self.aside.extend_from_slice(&self.bytes[content..]);
        self.bytes.truncate(at);
        if size_bytes > MESSAGE_BYTES_MAX {
            return Err(TooLarge { size_bytes });
        }
        let empty = self.datagram_bytes - self.prologue() - TAG_BYTES - FRAME_HEADER_BYTES;
        if size_bytes <= empty {
            self.close();
            self.open();
            head.put(&self.aside, &mut self.bytes);
        } else {
            self.cut(head);
        }
        Ok(())
    }

    /// Packs what was put aside in fragments, the first into what is left of the open packet.
    fn cut(&mut self, whole: Head) {
        let head = Head { kind: kind::FRAGMENT, ..whole };
        // Named by what it is, not by when it was sent: of a hundred fragments some are lost each
        // time, and those of one attempt complete those of another.
        let mut hash = blake3::Hasher::new();
        hash.update(&whole.encode(0)).update(&self.aside);
        let number = first_word(&hash);
        let mut offset = 0;
        while offset < self.aside.len() {
            let end = self.start() + self.datagram_bytes - TAG_BYTES;
            let taken = self.bytes.len() + FRAME_HEADER_BYTES + FRAGMENT_HEADER_BYTES;
            let (room, left) = (end.saturating_sub(taken), self.aside.len() - offset);
            if room < left.min(FRAGMENT_BYTES_MIN) {
                self.close();
                self.open();
                continue;
            }
            let piece = &self.aside[offset..offset + room.min(left)];
            Writer(&mut self.bytes)
                .bytes(&head.encode(FRAGMENT_HEADER_BYTES + piece.len()))
                .u64(number)
                .u32(offset as u32)
                .u32(self.aside.len() as u32)
                .u8(whole.kind)
                .bytes(piece);
            offset += piece.len();
        }
    }

    /// Where the open packet starts.
    fn start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// What stands in front of the first message.
    fn prologue(&self) -> usize {
        HEADER_BYTES + if self.header.kind.has_token() { TOKEN_FRAME_BYTES } else { 0 }
    }

    fn has_frames(&self) -> bool {
        self.bytes.len() > self.start() + self.prologue()
    }

    fn open(&mut self) {
        self.header.put(&mut self.bytes);
        if self.header.kind.has_token() {
            self.token.put(&mut self.bytes);
        }
    }

    fn close(&mut self) {
        self.bytes.extend_from_slice(&[0; TAG_BYTES]);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.sealed = false;
    }
}

/// Groups datagrams into runs.
struct Runs<'a> {
    bytes: &'a [u8],
    start: usize,
    ends: &'a [usize],
    datagrams_max: usize,
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        /// Most that IP carries in one datagram, and so the most a kernel takes to cut.
        const RUN_BYTES_MAX: usize = 65_507;
        let start = self.start;
        let mut end = *self.ends.first()?;
        let datagram_bytes = end - start;
        let mut count = 1;
        for next in self.ends[1..].iter().take(self.datagrams_max - 1) {
            let size_bytes = next - end;
            let was_smaller = end - start < count * datagram_bytes;
            if was_smaller || size_bytes > datagram_bytes || next - start > RUN_BYTES_MAX {
                break;
            }
            (count, end) = (count + 1, *next);
        }
        self.ends = &self.ends[count..];
        self.start = end;
        Some(Run { contents: &self.bytes[start..end], datagram_bytes })
    }
}

impl<'a> Run<'a> {
    /// The datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.contents.chunks(self.datagram_bytes)
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes; the limit is {MESSAGE_BYTES_MAX}", self.size_bytes)
    }
}

impl std::error::Error for TooLarge {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;
    use crate::wire::{Answer, CLIENT, DATAGRAM_BYTES};

    fn node() -> Packer {
        let keys = Keys::new(b"", 0, NodeId(1), []);
        Packer::new(&keys, CLIENT, 0, 0, DATAGRAM_BYTES)
    }

    fn pack(packer: &mut Packer, size_bytes: usize) -> Result<(), TooLarge> {
        let json = vec![b'x'; size_bytes];
        let (group, answer) = (GroupId(0), Answer::Status(&json));
        packer.response(&Response { client: 1, number: 2, group, answer })
    }

    #[test]
    fn nothing_is_sealed_twice_and_nothing_empty() {
        let mut packer = node();
        assert!(packer.is_empty() && packer.seal(9).next().is_none());
        pack(&mut packer, 10).unwrap();
        assert!(!packer.is_empty() && packer.seal(9).next().is_some());
        assert!(packer.is_empty() && packer.seal(9).next().is_none());
        assert!(pack(&mut packer, MESSAGE_BYTES_MAX).is_err());
        assert!(packer.is_empty() && packer.seal(9).next().is_none());
        assert_eq!(packer.number, 1);
    }

    #[test]
    fn after_a_while_nothing_is_allocated() {
        let mut packer = node();
        let mut random = Random::seeded();
        let mut capacities = (0, 0, 0);
        for round in 0..400 {
            let count = if round % 100 == 0 { 40 } else { random.below(40) };
            (0..count).for_each(|_| pack(&mut packer, 5_000).unwrap());
            (0..count).for_each(|_| pack(&mut packer, random.below(100) as usize).unwrap());
            let _ = packer.seal(64).count();
            let now = (packer.bytes.capacity(), packer.ends.capacity(), packer.aside.capacity());
            assert!(round == 0 || now == capacities);
            capacities = now;
        }
    }

    #[test]
    fn runs_are_what_a_kernel_can_cut() {
        let mut random = Random::seeded();
        for _ in 0..300 {
            let mut packer = node();
            let large = random.below(2) == 0;
            for _ in 0..random.below(60) {
                let size_bytes = random.below(if large { 9_000 } else { 1_100 });
                pack(&mut packer, size_bytes as usize).unwrap();
            }
            let one_by_one: Vec<_> = packer.clone().seal(1).map(|r| r.contents.to_vec()).collect();
            let runs: Vec<_> = packer.seal(8).collect();
            assert!(runs.iter().flat_map(Run::datagrams).eq(one_by_one.iter().map(Vec::as_slice)));
            for run in &runs {
                assert!(run.datagrams().count() <= 8 && run.datagram_bytes <= DATAGRAM_BYTES);
            }
        }
    }
}
