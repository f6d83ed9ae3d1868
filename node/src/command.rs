//! What clients ask of the replicated map and what it answers: values, byte layout, display.
//!
//! A log entry is one command, little-endian, a byte string being its `u32` length and its bytes:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | tag: 1 open, 2 put, 3 compare-and-swap, 4 compare-and-swap of an absent key, 5 delete |
//! | 8, 8, 8 | session, number, acknowledged |
//! | ... | nothing · key, value · key, old, new · key, new · key |
//!
//! A reply is a tag byte followed by its session (`Opened`), by its value to the end, or by nothing.

use std::fmt;
use std::sync::Arc;

use crate::bytes::{Reader, Text, put_bytes};
use crate::protocol::Malformed;

/// Names a session: the position of the entry that opened it, plus one, so never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SessionId(pub u64);

impl SessionId {
    /// No session. Nothing but `Open` runs under it.
    pub const NONE: SessionId = SessionId(0);
}

/// One request of a client, borrowed from the log entry that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Command<'a> {
    /// The session that asks.
    pub session: SessionId,
    /// Names the request within its session, from one. A retry keeps it.
    pub number: u64,
    /// The client has the replies of all requests up to here and will not ask for them again.
    pub acknowledged: u64,
    /// What is to be done.
    pub operation: Operation<'a>,
}

/// What a command does to the map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Operation<'a> {
    /// Opens a session. The command's other fields mean nothing.
    Open,
    /// Gives a key a value.
    Put { key: &'a [u8], value: &'a [u8] },
    /// Gives a key the value `new` if it has the value `old`, or if it has none and `old` is none.
    Cas { key: &'a [u8], old: Option<&'a [u8]>, new: &'a [u8] },
    /// Takes a key out, if it is there.
    Delete { key: &'a [u8] },
}

impl<'a> Operation<'a> {
    /// The key, which opening a session has not; and the values, as many as there are.
    pub fn key_and_values(&self) -> (Option<&'a [u8]>, [&'a [u8]; 2]) {
        match *self {
            Operation::Open => (None, [&[]; 2]),
            Operation::Put { key, value } => (Some(key), [value, &[]]),
            Operation::Cas { key, old, new } => (Some(key), [old.unwrap_or_default(), new]),
            Operation::Delete { key } => (Some(key), [&[]; 2]),
        }
    }
}

/// The answer to a command or a read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reply {
    /// A session is open.
    Opened(SessionId),
    /// The key has the value.
    Put,
    /// The key has no value, whether or not it had one.
    Deleted,
    /// Read: the value of the key.
    Found(Arc<[u8]>),
    /// Read, or swap with an old value: the key has no value. Nothing changed.
    NotFound,
    /// The swap took place; the key now has this value.
    Swapped(Arc<[u8]>),
    /// The swap did not take place: the key has this value. Nothing changed.
    Mismatch(Arc<[u8]>),
    /// The session was evicted or never opened. The command does not run, now or later; whether it
    /// ran earlier is unknown, so the outcome is indeterminate unless this was its first sending.
    Expired,
    /// The client acknowledged this number before. The command does not run, now or later.
    Forgotten,
    /// The session has too many unacknowledged results. The command did not run *here*: another
    /// copy of it may, until its number is acknowledged. So retry it; to give up is indeterminate.
    Overfull,
    /// The entry is no command. It never ran.
    Malformed,
}

impl<'a> Command<'a> {
    /// The command that opens a session.
    pub const OPEN: Command<'static> = Command {
        session: SessionId::NONE,
        number: 0,
        acknowledged: 0,
        operation: Operation::Open,
    };

    /// Appends the layout above. Panics on a key or value of 4 GiB or more; requests are far smaller.
    pub fn encode(&self, entry: &mut Vec<u8>) {
        let (tag, fields): (u8, [Option<&[u8]>; 3]) = match self.operation {
            Operation::Open => (1, [None; 3]),
            Operation::Put { key, value } => (2, [Some(key), Some(value), None]),
            Operation::Cas { key, old: Some(old), new } => (3, [Some(key), Some(old), Some(new)]),
            Operation::Cas { key, old: None, new } => (4, [Some(key), Some(new), None]),
            Operation::Delete { key } => (5, [Some(key), None, None]),
        };
        entry.push(tag);
        for number in [self.session.0, self.number, self.acknowledged] {
            entry.extend_from_slice(&number.to_le_bytes());
        }
        fields.into_iter().flatten().for_each(|field| put_bytes(entry, field));
    }

    /// Reads back exactly what `encode` writes; anything else is malformed. Allocates nothing.
    pub fn decode(entry: &'a [u8]) -> Result<Command<'a>, Malformed> {
        let mut from = Reader(entry);
        let tag = from.u8()?;
        let (session, number, acknowledged) = (SessionId(from.u64()?), from.u64()?, from.u64()?);
        let operation = match tag {
            1 => Operation::Open,
            2 => Operation::Put { key: from.bytes()?, value: from.bytes()? },
            3 => {
                Operation::Cas { key: from.bytes()?, old: Some(from.bytes()?), new: from.bytes()? }
            }
            4 => Operation::Cas { key: from.bytes()?, old: None, new: from.bytes()? },
            5 => Operation::Delete { key: from.bytes()? },
            _ => return Err(Malformed),
        };
        from.end()?;
        Ok(Command { session, number, acknowledged, operation })
    }
}

impl Reply {
    /// Appends the layout above.
    pub fn encode(&self, image: &mut Vec<u8>) {
        image.push(self.tag());
        match self {
            Reply::Opened(session) => image.extend_from_slice(&session.0.to_le_bytes()),
            _ => image.extend_from_slice(self.value()),
        }
    }

    /// Reads back exactly what `encode` writes; anything else is malformed.
    pub fn decode(image: &[u8]) -> Result<Reply, Malformed> {
        let (&tag, content) = image.split_first().ok_or(Malformed)?;
        let mut from = Reader(content);
        let reply = match tag {
            1 => Reply::Opened(SessionId(from.u64()?)),
            2 => Reply::Put,
            3 => Reply::Deleted,
            4 => Reply::Found(from.rest().into()),
            5 => Reply::NotFound,
            6 => Reply::Swapped(from.rest().into()),
            7 => Reply::Mismatch(from.rest().into()),
            8 => Reply::Expired,
            9 => Reply::Forgotten,
            10 => Reply::Overfull,
            11 => Reply::Malformed,
            _ => return Err(Malformed),
        };
        from.end()?;
        Ok(reply)
    }

    /// Whether it says that a command ran: what a session remembers, and nothing else.
    pub fn is_result(&self) -> bool {
        use Reply::{Deleted, Mismatch, NotFound, Put, Swapped};
        matches!(self, Put | Deleted | NotFound | Swapped(_) | Mismatch(_))
    }

    /// The byte that tells the variants apart in the layout and in the digest.
    pub fn tag(&self) -> u8 {
        match self {
            Reply::Opened(_) => 1,
            Reply::Put => 2,
            Reply::Deleted => 3,
            Reply::Found(_) => 4,
            Reply::NotFound => 5,
            Reply::Swapped(_) => 6,
            Reply::Mismatch(_) => 7,
            Reply::Expired => 8,
            Reply::Forgotten => 9,
            Reply::Overfull => 10,
            Reply::Malformed => 11,
        }
    }

    /// The value it carries; empty if it carries none.
    pub fn value(&self) -> &[u8] {
        match self {
            Reply::Found(value) | Reply::Swapped(value) | Reply::Mismatch(value) => value,
            _ => &[],
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, number) = (self.session, self.number);
        match self.operation {
            Operation::Open => write!(f, "open"),
            operation => write!(f, "{session}#{number} {operation}"),
        }
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Operation::Open => write!(f, "open"),
            Operation::Put { key, value } => write!(f, "put {}={}", Text(key), Text(value)),
            Operation::Cas { key, old: Some(old), new } => {
                write!(f, "cas {} {}->{}", Text(key), Text(old), Text(new))
            }
            Operation::Cas { key, old: None, new } => {
                write!(f, "cas {} (absent)->{}", Text(key), Text(new))
            }
            Operation::Delete { key } => write!(f, "delete {}", Text(key)),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Opened(session) => write!(f, "opened {session}"),
            Reply::Put => write!(f, "put"),
            Reply::Deleted => write!(f, "deleted"),
            Reply::Found(value) => write!(f, "found {}", Text(value)),
            Reply::NotFound => write!(f, "not found"),
            Reply::Swapped(value) => write!(f, "swapped {}", Text(value)),
            Reply::Mismatch(value) => write!(f, "mismatch {}", Text(value)),
            Reply::Expired => write!(f, "expired"),
            Reply::Forgotten => write!(f, "forgotten"),
            Reply::Overfull => write!(f, "overfull"),
            Reply::Malformed => write!(f, "malformed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;

    fn random_operation<'a>(random: &mut Random, [a, b, c]: [&'a [u8]; 3]) -> Operation<'a> {
        match random.below(5) {
            0 => Operation::Open,
            1 => Operation::Put { key: a, value: b },
            2 => Operation::Cas { key: a, old: Some(b), new: c },
            3 => Operation::Cas { key: a, old: None, new: c },
            _ => Operation::Delete { key: a },
        }
    }

    #[test]
    fn decode_of_encode_is_identity_and_damage_is_refused_or_means_something_else() {
        let mut random = Random::seeded();
        for _ in 0..5_000 {
            let [a, b, c] = [random.bytes(20), random.bytes(20), random.bytes(20)];
            let command = Command {
                session: SessionId(random.below(u64::MAX)),
                number: random.below(u64::MAX),
                acknowledged: random.below(u64::MAX),
                operation: random_operation(&mut random, [&a, &b, &c]),
            };
            let mut entry = Vec::new();
            command.encode(&mut entry);
            assert_eq!(Command::decode(&entry).unwrap(), command);
            let damaged = random.damaged(&entry);
            assert_ne!(Command::decode(&damaged).ok(), Some(command));
        }
    }

    #[test]
    fn a_reply_survives_its_encoding() {
        let value: Arc<[u8]> = Arc::from(&b"a"[..]);
        let carrying = [Reply::Found, Reply::Swapped, Reply::Mismatch].map(|of| of(value.clone()));
        let bare = [Reply::Opened(SessionId(5)), Reply::Put, Reply::Deleted, Reply::NotFound];
        let refusals = [Reply::Expired, Reply::Forgotten, Reply::Overfull, Reply::Malformed];
        for reply in carrying.into_iter().chain(bare).chain(refusals) {
            let mut image = Vec::new();
            reply.encode(&mut image);
            assert_eq!(Reply::decode(&image).unwrap(), reply);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut random = Random::seeded();
        for _ in 0..20_000 {
            let mut bytes = random.bytes(60);
            if let Some(tag) = bytes.first_mut() {
                *tag %= 13;
            }
            if let Ok(command) = Command::decode(&bytes) {
                let mut again = Vec::new();
                command.encode(&mut again);
                assert_eq!(again, bytes, "one command, one encoding");
                let _ = command.to_string();
            }
            if let Ok(reply) = Reply::decode(&bytes) {
                let mut again = Vec::new();
                reply.encode(&mut again);
                assert_eq!(again, bytes, "one reply, one encoding");
                let _ = reply.to_string();
            }
        }
    }

    #[test]
    fn traces_are_readable() {
        let shown = |operation| {
            Command { session: SessionId(5), number: 2, acknowledged: 1, operation }.to_string()
        };
        let (key, old, new) = (&b"k1"[..], &b"a"[..], &b"b"[..]);
        assert_eq!(shown(Operation::Open), "open");
        assert_eq!(shown(Operation::Put { key, value: old }), "s5#2 put k1=a");
        assert_eq!(shown(Operation::Cas { key, old: Some(old), new }), "s5#2 cas k1 a->b");
        assert_eq!(shown(Operation::Cas { key, old: None, new }), "s5#2 cas k1 (absent)->b");
        assert_eq!(
            shown(Operation::Delete { key: b"\xff\n\\\xc3\xa9" }),
            "s5#2 delete \\xff\\n\\\\é"
        );
        let long = Reply::Found([b'x'; 100].as_slice().into()).to_string();
        assert_eq!(long, format!("found {}..(100 bytes)", "x".repeat(32)));
    }
}
