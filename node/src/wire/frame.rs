//! A frame: one message, or a fragment of one, as it lies in a packet.

use super::client::{Request, Response};
use super::fields::Writer;
use super::packet::Packet;
use super::{CLIENT, FRAME_HEADER_BYTES, message};
use crate::bytes::Reader;
use crate::protocol::{Envelope, GroupId, Malformed};

/// The kinds of frames; see the table in [`wire`](super).
pub(super) mod kind {
    pub const FRAGMENT: u8 = 0;

    pub const PREPARE: u8 = 1;
    pub const PROMISE: u8 = 2;
    pub const HELLO: u8 = 3;
    pub const NACK: u8 = 4;
    pub const ACCEPT_SYNC: u8 = 5;
    pub const ACCEPT: u8 = 6;
    pub const ACCEPTED: u8 = 7;
    pub const DECIDE: u8 = 8;
    pub const PULL: u8 = 9;
    pub const PULLED: u8 = 10;
    pub const SNAPSHOT_PULL: u8 = 11;
    pub const SNAPSHOT_PIECE: u8 = 12;
    pub const CONFIRM: u8 = 13;
    pub const CONFIRMED: u8 = 14;
    pub const HEARTBEAT: u8 = 15;
    pub const HEARTBEAT_REPLY: u8 = 16;

    pub const TOKEN: u8 = 32;
    pub const WRITE: u8 = 33;
    pub const READ: u8 = 34;
    pub const STATUS: u8 = 35;
    pub const ROUTE: u8 = 36;

    pub const REPLY: u8 = 64;
    pub const REDIRECT: u8 = 65;
    pub const WRONG_GROUP: u8 = 66;
    pub const BUSY: u8 = 67;
    pub const TOO_LARGE: u8 = 68;
    pub const STATUS_REPORT: u8 = 69;
    pub const TABLE: u8 = 70;
}

/// What a frame says of its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub kind: u8,
    pub flags: u8,
    pub group: GroupId,
}

/// One frame of a packet, or a whole message put together from fragments. Nothing is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    pub(super) head: Head,
    pub(super) content: &'a [u8],
}

impl Head {
    /// The bytes in front of a content of `size_bytes`. Panics from 64 KiB on.
    pub fn encode(self, size_bytes: usize) -> [u8; FRAME_HEADER_BYTES] {
        let size_bytes = u16::try_from(size_bytes).expect("a frame is smaller than a datagram");
        let ([a, b], [c, d, e, f]) = (size_bytes.to_le_bytes(), self.group.0.to_le_bytes());
        [a, b, self.kind, self.flags, c, d, e, f]
    }

    /// Appends a frame.
    pub fn put(self, content: &[u8], bytes: &mut Vec<u8>) {
        Writer(bytes).bytes(&self.encode(content.len())).bytes(content);
    }
}

impl<'a> Frame<'a> {
    /// Takes the next frame off.
    pub(super) fn take(from: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
        let size_bytes = from.u16()?;
        let head = Head { kind: from.u8()?, flags: from.u8()?, group: from.group()? };
        Ok(Frame { head, content: from.take(usize::from(size_bytes))? })
    }

    /// The replication group it is about.
    pub fn group(&self) -> GroupId {
        self.head.group
    }

    /// Reads a message from one node to another. `packet`: the one in which the frame, or its last
    /// fragment, came. The counts in it are unchecked; a replica does that.
    pub fn envelope(&self, packet: &Packet<'_>) -> Result<Envelope, Malformed> {
        let (from, to) = (packet.source, packet.destination);
        if from == CLIENT || to == CLIENT {
            return Err(Malformed);
        }
        let message = message::decode(self.head.kind, self.head.flags, self.content)?;
        Ok(Envelope { group: self.head.group, from, to, message })
    }

    /// Reads a client's request.
    pub fn request(&self) -> Result<Request<'a>, Malformed> {
        Request::decode(self)
    }

    /// Reads a node's response to a client.
    pub fn response(&self) -> Result<Response<'a>, Malformed> {
        Response::decode(self)
    }
}
