//! What clients ask and nodes answer, as contents of frames.

use super::PAIR_BYTES_MAX;
use super::fields::Writer;
use super::frame::{Frame, Head, kind};
use crate::bytes::Reader;
use crate::command::Reply;
use crate::protocol::{GroupId, Malformed, NodeId};

/// A route is wanted for a key.
const KEYED: u8 = 1;

/// A client's request, borrowed from the datagram that brought it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request<'a> {
    /// Names the client: drawn by lot, large enough that no two are the same.
    pub client: u64,
    /// Names the request to that client; comes back in the response. A retry may have another.
    pub number: u64,
    /// The group the client takes for the right one.
    pub group: GroupId,
    /// What is asked.
    pub question: Question<'a>,
}

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Question<'a> {
    /// Put this entry, an encoded [`Command`](super::Command), into the log of the group.
    Write(&'a [u8]),
    /// The value of this key.
    Read(&'a [u8]),
    /// How this node is. The group means nothing.
    Status,
    /// The group of this key and its leader, as a redirect; or the lookup table. The request's own
    /// group means nothing.
    Route(Option<&'a [u8]>),
}

/// A node's response to a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Response<'a> {
    /// As in the request.
    pub client: u64,
    /// As in the request.
    pub number: u64,
    /// The group it is about; the right one, where the request had a wrong one.
    pub group: GroupId,
    /// The answer.
    pub answer: Answer<'a>,
}

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer<'a> {
    /// It was executed, or read.
    Reply(Reply),
    /// Ask this node, as far as known. A write may or may not be executed; see `Outcome`.
    Redirect(Option<NodeId>),
    /// The key is not of that group. Surely not executed.
    WrongGroup {
        /// Of the lookup table of the node.
        table_version: u64,
    },
    /// Too much is under way. Surely not executed.
    Busy,
    /// The request is above a limit. Surely not executed, now or later.
    TooLarge {
        /// The limit.
        size_bytes_max: u32,
    },
    /// The state of the node, as JSON.
    Status(&'a [u8]),
    /// The lookup table.
    Table(&'a [u8]),
}

/// Whether the key with any of the values exceeds [`PAIR_BYTES_MAX`].
pub fn is_pair_too_large(key: &[u8], values: [&[u8]; 2]) -> bool {
    values.iter().any(|value| key.len() + value.len() > PAIR_BYTES_MAX)
}

impl<'a> Request<'a> {
    /// Appends the content of the frame; returns its kind and flags.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> (u8, u8) {
        let to = Writer(bytes).u64(self.client).u64(self.number);
        match self.question {
            Question::Write(entry) => {
                to.bytes(entry);
                (kind::WRITE, 0)
            }
            Question::Read(key) => {
                to.bytes(key);
                (kind::READ, 0)
            }
            Question::Status => (kind::STATUS, 0),
            Question::Route(None) => (kind::ROUTE, 0),
            Question::Route(Some(key)) => {
                to.bytes(key);
                (kind::ROUTE, KEYED)
            }
        }
    }

    /// Reads back exactly what `encode` writes. Copies nothing.
    pub(super) fn decode(frame: &Frame<'a>) -> Result<Request<'a>, Malformed> {
        let Head { kind, flags, group } = frame.head;
        let mut from = Reader(frame.content);
        let (client, number) = (from.u64()?, from.u64()?);
        let question = match (kind, flags) {
            (kind::WRITE, 0) => Question::Write(from.rest()),
            (kind::READ, 0) => Question::Read(from.rest()),
            (kind::STATUS, 0) => Question::Status,
            (kind::ROUTE, 0) => Question::Route(None),
            (kind::ROUTE, KEYED) => Question::Route(Some(from.rest())),
            _ => return Err(Malformed),
        };
        from.end().map(|()| Request { client, number, group, question })
    }
}

impl<'a> Response<'a> {
    /// Appends the content of the frame; returns its kind and flags.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> (u8, u8) {
        let to = Writer(bytes).u64(self.client).u64(self.number);
        let kind = match &self.answer {
            Answer::Reply(reply) => {
                reply.encode(to.0);
                kind::REPLY
            }
            Answer::Redirect(node) => {
                to.node(node.unwrap_or(super::CLIENT));
                kind::REDIRECT
            }
            Answer::WrongGroup { table_version } => {
                to.u64(*table_version);
                kind::WRONG_GROUP
            }
            Answer::Busy => kind::BUSY,
            Answer::TooLarge { size_bytes_max } => {
                to.u32(*size_bytes_max);
                kind::TOO_LARGE
            }
            Answer::Status(json) => {
                to.bytes(json);
                kind::STATUS_REPORT
            }
            Answer::Table(table) => {
                to.bytes(table);
                kind::TABLE
            }
        };
        (kind, 0)
    }

    /// Reads back exactly what `encode` writes. Allocates for the value of a reply only.
    pub(super) fn decode(frame: &Frame<'a>) -> Result<Response<'a>, Malformed> {
        let Head { kind, flags, group } = frame.head;
        let mut from = Reader(frame.content);
        let (client, number) = (from.u64()?, from.u64()?);
        let answer = match kind {
            kind::REPLY => Answer::Reply(Reply::decode(from.rest())?),
            kind::REDIRECT => Answer::Redirect(Some(from.node()?).filter(|n| *n != super::CLIENT)),
            kind::WRONG_GROUP => Answer::WrongGroup { table_version: from.u64()? },
            kind::BUSY => Answer::Busy,
            kind::TOO_LARGE => Answer::TooLarge { size_bytes_max: from.u32()? },
            kind::STATUS_REPORT => Answer::Status(from.rest()),
            kind::TABLE => Answer::Table(from.rest()),
            _ => return Err(Malformed),
        };
        match flags {
            0 => from.end().map(|()| Response { client, number, group, answer }),
            _ => Err(Malformed),
        }
    }
}
