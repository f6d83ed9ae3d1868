//! The messages between replicas as contents of frames.

use super::fields::Writer;
use super::frame::kind;
use crate::bytes::Reader;
use crate::protocol::{Entries, Malformed, Message};

/// The piece is the last of an answer.
const LAST: u8 = 1;
/// A snapshot's index is given.
const INDEXED: u8 = 1;
/// The asker leads.
const LEADING: u8 = 1;
const CONNECTED: u8 = 1;
const HAPPY: u8 = 2;

/// Appends the content of the frame; returns its kind and flags.
pub(crate) fn encode(message: &Message, bytes: &mut Vec<u8>) -> (u8, u8) {
    let to = Writer(bytes);
    match message {
        Message::Prepare { ballot } => {
            to.ballot(ballot);
            (kind::PREPARE, 0)
        }
        Message::Promise(report) => {
            to.report(report);
            (kind::PROMISE, 0)
        }
        Message::Hello(report) => {
            to.report(report);
            (kind::HELLO, 0)
        }
        Message::Nack { promised } => {
            to.ballot(promised);
            (kind::NACK, 0)
        }
        Message::AcceptSync { ballot, adopted_ballot, from, end, first } => {
            to.ballot(ballot).ballot(adopted_ballot).index(from).index(end).index(first);
            (kind::ACCEPT_SYNC, 0)
        }
        Message::Accept { ballot, index, entries, decided } => {
            put_entries(to.ballot(ballot).index(index).index(decided), entries);
            (kind::ACCEPT, 0)
        }
        Message::Accepted { ballot, accepted } => {
            to.ballot(ballot).index(accepted);
            (kind::ACCEPTED, 0)
        }
        Message::Decide { ballot, decided } => {
            to.ballot(ballot).index(decided);
            (kind::DECIDE, 0)
        }
        Message::Pull { ballot, accepted_ballot, from, end } => {
            to.ballot(ballot).ballot(accepted_ballot).index(from).index(end);
            (kind::PULL, 0)
        }
        Message::Pulled { ballot, accepted_ballot, index, entries, last } => {
            put_entries(to.ballot(ballot).ballot(accepted_ballot).index(index), entries);
            (kind::PULLED, flag(*last, LAST))
        }
        Message::SnapshotPull { accepted_ballot, index, offset } => {
            let to = to.ballot(accepted_ballot).u64(*offset);
            index.as_ref().map(|index| to.index(index));
            (kind::SNAPSHOT_PULL, flag(index.is_some(), INDEXED))
        }
        Message::SnapshotPiece { index, size_bytes, digest, offset, bytes, last } => {
            to.index(index).u64(*size_bytes).u64(*digest).u64(*offset).bytes(bytes);
            (kind::SNAPSHOT_PIECE, flag(*last, LAST))
        }
        Message::Confirm { ballot, round } => {
            to.ballot(ballot).round(round);
            (kind::CONFIRM, 0)
        }
        Message::Confirmed { ballot, round } => {
            to.ballot(ballot).round(round);
            (kind::CONFIRMED, 0)
        }
        Message::HeartbeatRequest { round, leading } => {
            let to = to.round(round);
            leading.as_ref().map(|leading| to.leading(leading));
            (kind::HEARTBEAT, flag(leading.is_some(), LEADING))
        }
        Message::HeartbeatReply { round, ballot, leader, connected, happy } => {
            to.round(round).ballot(ballot).ballot(leader);
            (kind::HEARTBEAT_REPLY, flag(*connected, CONNECTED) | flag(*happy, HAPPY))
        }
    }
}

/// Reads back exactly what `encode` writes. Allocates for entries and pieces of snapshots only.
pub(crate) fn decode(kind: u8, flags: u8, content: &[u8]) -> Result<Message, Malformed> {
    let mut from = Reader(content);
    let from = &mut from;
    let known_flags = match kind {
        kind::PULLED | kind::SNAPSHOT_PIECE => LAST,
        kind::SNAPSHOT_PULL => INDEXED,
        kind::HEARTBEAT => LEADING,
        kind::HEARTBEAT_REPLY => CONNECTED | HAPPY,
        _ => 0,
    };
    if flags & !known_flags != 0 {
        return Err(Malformed);
    }
    let has = |flag| flags & flag != 0;
    // Fields of a struct expression are evaluated as written: their order here is the layout.
    let message = match kind {
        kind::PREPARE => Message::Prepare { ballot: from.ballot()? },
        kind::PROMISE => Message::Promise(from.report()?),
        kind::HELLO => Message::Hello(from.report()?),
        kind::NACK => Message::Nack { promised: from.ballot()? },
        kind::ACCEPT_SYNC => Message::AcceptSync {
            ballot: from.ballot()?,
            adopted_ballot: from.ballot()?,
            from: from.index()?,
            end: from.index()?,
            first: from.index()?,
        },
        kind::ACCEPT => Message::Accept {
            ballot: from.ballot()?,
            index: from.index()?,
            decided: from.index()?,
            entries: take_entries(from)?,
        },
        kind::ACCEPTED => Message::Accepted { ballot: from.ballot()?, accepted: from.index()? },
        kind::DECIDE => Message::Decide { ballot: from.ballot()?, decided: from.index()? },
        kind::PULL => Message::Pull {
            ballot: from.ballot()?,
            accepted_ballot: from.ballot()?,
            from: from.index()?,
            end: from.index()?,
        },
        kind::PULLED => Message::Pulled {
            ballot: from.ballot()?,
            accepted_ballot: from.ballot()?,
            index: from.index()?,
            entries: take_entries(from)?,
            last: has(LAST),
        },
        kind::SNAPSHOT_PULL => Message::SnapshotPull {
            accepted_ballot: from.ballot()?,
            offset: from.u64()?,
            index: has(INDEXED).then(|| from.index()).transpose()?,
        },
        kind::SNAPSHOT_PIECE => Message::SnapshotPiece {
            index: from.index()?,
            size_bytes: from.u64()?,
            digest: from.u64()?,
            offset: from.u64()?,
            bytes: from.rest().into(),
            last: has(LAST),
        },
        kind::CONFIRM => Message::Confirm { ballot: from.ballot()?, round: from.round()? },
        kind::CONFIRMED => Message::Confirmed { ballot: from.ballot()?, round: from.round()? },
        kind::HEARTBEAT => Message::HeartbeatRequest {
            round: from.round()?,
            leading: has(LEADING).then(|| from.leading()).transpose()?,
        },
        kind::HEARTBEAT_REPLY => Message::HeartbeatReply {
            round: from.round()?,
            ballot: from.ballot()?,
            leader: from.ballot()?,
            connected: has(CONNECTED),
            happy: has(HAPPY),
        },
        _ => return Err(Malformed),
    };
    from.end().map(|()| message)
}

fn put_entries(to: Writer<'_>, entries: &Entries) {
    let count = u32::try_from(entries.len()).expect("a batch counts its entries in 32 bits");
    entries.encode(to.u32(count).0);
}

fn take_entries(from: &mut Reader<'_>) -> Result<Entries, Malformed> {
    let count = from.u32()?;
    Entries::decode(count, from.rest())
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}
