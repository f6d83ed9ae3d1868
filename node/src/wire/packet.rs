//! The packet: its header, opening and sealing.

use super::fields::Writer;
use super::frame::{Frame, kind};
use super::keys::{self, Key, Keys};
use super::token::Token;
use super::{CLIENT, DATAGRAM_BYTES_MAX, Dropped, HEADER_BYTES, MAGIC, TAG_BYTES};
use crate::bytes::Reader;
use crate::protocol::{Malformed, NodeId};
use std::ops::Range;

/// Who speaks to whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PacketKind {
    /// A node to another.
    Node,
    /// A client to a node.
    Request,
    /// A node to a client.
    Response,
    /// A node to an address that says it is a client: prove it.
    Challenge,
}

/// An authentic packet for us, borrowed from the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Fits the source and the destination.
    pub kind: PacketKind,
    /// Who sent it; [`CLIENT`] for any client.
    pub source: NodeId,
    /// We.
    pub destination: NodeId,
    /// How often the source has started; of a client, a number drawn by lot.
    pub boot: u64,
    /// Counts the packets from the source to us since then.
    pub number: u64,
    /// Of requests and challenges: proof that the client gets what is sent to its address.
    pub token: Option<Token>,
    /// Frames, of sound lengths.
    frames: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Nothing but an authentic packet for us gets through, and what does not is
    /// not to be answered. A node's packet still has to pass the peer's [`Inbox`](super::Inbox),
    /// and a request [`Tokens::verify`](super::Tokens::verify).
    pub fn open(datagram: &'a [u8], keys: &Keys) -> Result<Packet<'a>, Dropped> {
        let mut from = Reader(datagram);
        if from.u32()? != MAGIC {
            return Err(Dropped::Version);
        }
        let (kind, reserved) = (from.u8()?, from.u8()?);
        let (source, destination, cluster) = (from.node()?, from.node()?, from.u64()?);
        let (boot, number) = (from.u64()?, from.u64()?);
        let (frames, tag) = from.rest().split_last_chunk().ok_or(Malformed)?;
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(Dropped::TooLarge);
        }
        if cluster != keys.cluster {
            return Err(Dropped::Cluster);
        }
        if destination != keys.node {
            return Err(Dropped::Destination);
        }
        let key = &keys.link(source).ok_or(Dropped::Source)?.inbound;
        let sealed = &datagram[..HEADER_BYTES + frames.len()];
        if !keys::equal(tag, &keys::tag(key, sealed)) {
            return Err(Dropped::Tag);
        }
        let kind = PacketKind::decode(kind, source, destination)?;
        let (token, frames) = kind.split_token(frames)?;
        if reserved != 0
            || !are_sound(frames)
            || (kind == PacketKind::Challenge) != frames.is_empty()
        {
            return Err(Dropped::Malformed);
        }
        Ok(Packet { kind, source, destination, boot, number, token, frames })
    }

    /// The frames in order, without the token. Some may be fragments; see
    /// [`Reassembly`](super::Reassembly).
    pub fn frames(&self) -> impl Iterator<Item = Frame<'a>> + use<'a> {
        let mut from = Reader(self.frames);
        std::iter::from_fn(move || Frame::take(&mut from).ok())
    }
}

impl PacketKind {
    /// The kind of all packets but challenges between these two.
    pub(super) fn between(source: NodeId, destination: NodeId) -> PacketKind {
        match (source, destination) {
            (CLIENT, _) => PacketKind::Request,
            (_, CLIENT) => PacketKind::Response,
            _ => PacketKind::Node,
        }
    }

    pub(super) fn code(self) -> u8 {
        match self {
            PacketKind::Node => 1,
            PacketKind::Request => 2,
            PacketKind::Response => 3,
            PacketKind::Challenge => 4,
        }
    }

    fn decode(code: u8, source: NodeId, destination: NodeId) -> Result<PacketKind, Malformed> {
        match PacketKind::between(source, destination) {
            kind if kind.code() == code => Ok(kind),
            PacketKind::Response if code == PacketKind::Challenge.code() => {
                Ok(PacketKind::Challenge)
            }
            _ => Err(Malformed),
        }
    }

    /// Whether its first frame is a token.
    pub(super) fn has_token(self) -> bool {
        matches!(self, PacketKind::Request | PacketKind::Challenge)
    }

    fn split_token(self, frames: &[u8]) -> Result<(Option<Token>, &[u8]), Malformed> {
        if !self.has_token() {
            return Ok((None, frames));
        }
        let mut from = Reader(frames);
        let frame = Frame::take(&mut from)?;
        let token = Token(frame.content.try_into().map_err(|_| Malformed)?);
        match frame.head == Token::HEAD {
            true => Ok((Some(token), from.rest())),
            false => Err(Malformed),
        }
    }
}

/// Whether frames fill the bytes exactly, and no token is among them.
fn are_sound(frames: &[u8]) -> bool {
    let mut from = Reader(frames);
    while from.end().is_err() {
        match Frame::take(&mut from) {
            Ok(frame) if frame.head.kind != kind::TOKEN => {}
            _ => return false,
        }
    }
    true
}

/// What the packets of one direction have in common.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub kind: PacketKind,
    pub source: NodeId,
    pub destination: NodeId,
    pub cluster: u64,
    pub boot: u64,
}

impl Header {
    /// Where the packet number stands.
    const NUMBER: Range<usize> = 26..HEADER_BYTES;

    /// Appends a header. Its packet number is still to come.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        let Header { kind, source, destination, cluster, boot } = *self;
        let to = Writer(bytes).u32(MAGIC).u8(kind.code()).u8(0);
        to.node(source).node(destination).u64(cluster).u64(boot).u64(0);
    }
}

/// Numbers and seals a packet, which has a header in front and room for the tag behind.
pub(super) fn seal(packet: &mut [u8], number: u64, key: &Key) {
    packet[Header::NUMBER].copy_from_slice(&number.to_le_bytes());
    let end = packet.len() - TAG_BYTES;
    let (sealed, tag) = packet.split_at_mut(end);
    tag.copy_from_slice(&keys::tag(key, sealed));
}
