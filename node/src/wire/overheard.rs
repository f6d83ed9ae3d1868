//! What anybody on the way sees of packets between nodes: they are sealed, not secret.

use super::frame::{Frame, kind};
use super::packet::PacketKind;
use super::{HEADER_BYTES, MAGIC, TAG_BYTES, message};
use crate::bytes::Reader;
use crate::protocol::{GroupId, Message};

/// A vow on its way. Counts of entries are the sender's word for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overheard {
    /// The sender follows the receiver from now on, and has accepted so many entries.
    Promise(GroupId, u64),
    /// The sender has accepted so many entries of the receiver's.
    Accepted(GroupId, u64),
}

/// The vows in a packet from node to node, in order; none in any other datagram. The seal is not
/// looked at.
pub fn overhear(datagram: &[u8]) -> impl Iterator<Item = Overheard> {
    let split = datagram.split_first_chunk::<HEADER_BYTES>();
    let frames = split.filter(|(header, _)| {
        header.starts_with(&MAGIC.to_le_bytes()) && header[4] == PacketKind::Node.code()
    });
    let frames = frames.map_or(&[][..], |(_, sealed)| sealed);
    let mut from = Reader(&frames[..frames.len().saturating_sub(TAG_BYTES)]);
    std::iter::from_fn(move || Frame::take(&mut from).ok()).filter_map(|frame| vow(&frame))
}

fn vow(frame: &Frame<'_>) -> Option<Overheard> {
    // Most frames are none, and need not be read.
    if ![kind::PROMISE, kind::ACCEPTED].contains(&frame.head.kind) {
        return None;
    }
    let group = frame.group();
    match message::decode(frame.head.kind, frame.head.flags, frame.content).ok()? {
        Message::Promise(report) => Some(Overheard::Promise(group, report.accepted.0)),
        Message::Accepted { accepted, .. } => Some(Overheard::Accepted(group, accepted.0)),
        _ => None,
    }
}
