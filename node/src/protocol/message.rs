//! What replicas say to each other. Every message may be lost, repeated, delayed without bound and
//! overtaken; no handler relies on order. Ranges are half-open, indexes count entries.

use super::ballot::{Ballot, GroupId, Index, NodeId, Round};
use super::entries::Entries;
use std::fmt;
use std::sync::Arc;

/// A message with its address. Replicas of other groups and strangers are not listened to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Envelope {
    /// The replication group of both ends.
    pub group: GroupId,
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The content.
    pub message: Message,
}

/// What a replica has on disk, in fixed size: the content of a promise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Report {
    /// The ballot it vowed to follow.
    pub promised: Ballot,
    /// The ballot of its latest accepted write.
    pub accepted_ballot: Ballot,
    /// How many entries it has accepted.
    pub accepted: Index,
    /// How many of them it knows to be chosen.
    pub decided: Index,
    /// The first entry it still holds; those before are in its snapshot.
    pub first: Index,
}

/// One message of the protocol.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Message {
    /// Leader → all: follow this ballot, and say what you have.
    Prepare {
        /// The sender's new leadership.
        ballot: Ballot,
    },
    /// Follower → leader: I follow `promised`, durably, and this is what I have, durably.
    Promise(Report),
    /// Follower → leader: the same, unasked: after a restart, a gap, or an unusable offer.
    Hello(Report),
    /// Anyone → a leader of the past: I promised a higher ballot.
    Nack {
        /// What the sender promised.
        promised: Ballot,
    },
    /// Leader → follower: my log is `..end`; replace yours behind `from` by pulling the rest from me.
    AcceptSync {
        /// The leadership.
        ballot: Ballot,
        /// The accepted ballot of the log the leader adopted: a log accepted under it agrees with
        /// the leader's up to `from`.
        adopted_ballot: Ballot,
        /// Where the logs may part.
        from: Index,
        /// Where the range to install ends.
        end: Index,
        /// The first entry the leader still holds; above `from` a snapshot must bridge the gap.
        first: Index,
    },
    /// Leader → follower: the entries from `index` on.
    Accept {
        /// The leadership.
        ballot: Ballot,
        /// Index of the first entry.
        index: Index,
        /// May be empty.
        entries: Entries,
        /// How many entries the leader knows to be chosen.
        decided: Index,
    },
    /// Follower → leader: so many of your entries are durable here.
    Accepted {
        /// The leadership under which they were accepted.
        ballot: Ballot,
        /// A count.
        accepted: Index,
    },
    /// Leader → follower: so many entries are chosen.
    Decide {
        /// The leadership.
        ballot: Ballot,
        /// A count.
        decided: Index,
    },
    /// Whoever completes its log → its source: send me `from..end`.
    Pull {
        /// The leadership for which the asker completes its log.
        ballot: Ballot,
        /// The accepted ballot the source must still have, or its log is another one.
        accepted_ballot: Ballot,
        /// First entry wanted.
        from: Index,
        /// End of the range wanted.
        end: Index,
    },
    /// Source → puller: some of what you asked for.
    Pulled {
        /// As in the question.
        ballot: Ballot,
        /// As in the question.
        accepted_ballot: Ballot,
        /// Index of the first entry.
        index: Index,
        /// Not empty.
        entries: Entries,
        /// The last piece of this answer: ask again if more is missing.
        last: bool,
    },
    /// Whoever completes its log → a holder: send me a piece of your snapshot.
    SnapshotPull {
        /// The accepted ballot that the log must have of which any snapshot is the beginning.
        accepted_ballot: Ballot,
        /// A snapshot that is known to be such a one; none for the newest.
        index: Option<Index>,
        /// Bytes I have.
        offset: u64,
    },
    /// Holder → asker.
    SnapshotPiece {
        /// How many entries the snapshot covers.
        index: Index,
        /// Size of the whole image.
        size_bytes: u64,
        /// Digest of the whole image.
        digest: u64,
        /// Where the piece belongs.
        offset: u64,
        /// The piece.
        bytes: Arc<[u8]>,
        /// The last piece of this answer.
        last: bool,
    },
    /// Leader → followers: do you still follow me? All reads that wait ask at once.
    Confirm {
        /// The leadership in doubt.
        ballot: Ballot,
        /// Freshness; made by the asker.
        round: Round,
    },
    /// Follower → leader: I did when your question came.
    Confirmed {
        /// As in the question.
        ballot: Ballot,
        /// As in the question.
        round: Round,
    },
    /// Everyone → everyone, each heartbeat: are you there?
    HeartbeatRequest {
        /// Freshness; made by the asker.
        round: Round,
        /// What the asker leads, if it leads.
        leading: Option<Leading>,
    },
    /// The answer.
    HeartbeatReply {
        /// As in the question.
        round: Round,
        /// The ballot with which the answering replica would lead, or does.
        ballot: Ballot,
        /// The leadership it follows.
        leader: Ballot,
        /// Whether a quorum answers it.
        connected: bool,
        /// Whether it sees that leadership alive and connected, with its own eyes.
        happy: bool,
    },
}

/// The state of a leader in its heartbeat: it makes a lost last datagram visible.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leading {
    /// The leadership.
    pub ballot: Ballot,
    /// How many entries the leader has; zero while it prepares.
    pub accepted: Index,
    /// How many it knows to be chosen.
    pub decided: Index,
}

/// Counts above this are nonsense: no log or clock gets there, and arithmetic on them stays safe.
const COUNT_MAX: u64 = 1 << 62;

impl Message {
    /// Whether all counts are within reason, so that no handler can be made to overflow.
    pub fn is_plausible(&self) -> bool {
        let ballot = |ballot: &Ballot| ballot.round <= COUNT_MAX;
        let index = |index: &Index| index.0 <= COUNT_MAX;
        let round = |round: &Round| round.number <= COUNT_MAX && round.boot <= COUNT_MAX;
        match self {
            Message::Prepare { ballot: b } | Message::Nack { promised: b } => ballot(b),
            Message::Promise(report) | Message::Hello(report) => {
                ballot(&report.promised)
                    && ballot(&report.accepted_ballot)
                    && report.accepted_ballot <= report.promised
                    && report.first <= report.accepted
                    && report.decided <= report.accepted
                    && index(&report.accepted)
            }
            Message::AcceptSync { ballot: b, adopted_ballot, from, end, first } => {
                ballot(b) && adopted_ballot < b && from <= end && first <= end && index(end)
            }
            Message::Accept { ballot: b, index: i, decided, .. } => {
                ballot(b) && index(i) && index(decided)
            }
            Message::Accepted { ballot: b, accepted: i }
            | Message::Decide { ballot: b, decided: i } => ballot(b) && index(i),
            Message::Pull { ballot: b, accepted_ballot, from, end } => {
                ballot(b) && ballot(accepted_ballot) && from <= end && index(end)
            }
            Message::Pulled { ballot: b, accepted_ballot, index: i, .. } => {
                ballot(b) && ballot(accepted_ballot) && index(i)
            }
            Message::SnapshotPull { accepted_ballot, index: i, offset } => {
                ballot(accepted_ballot) && i.as_ref().is_none_or(index) && *offset <= COUNT_MAX
            }
            Message::SnapshotPiece { index: i, size_bytes, offset, bytes, .. } => {
                index(i)
                    && *size_bytes <= COUNT_MAX
                    && offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= *size_bytes)
            }
            Message::Confirm { ballot: b, round: r }
            | Message::Confirmed { ballot: b, round: r } => ballot(b) && round(r),
            Message::HeartbeatRequest { round: r, leading } => {
                let plausible = |l: &Leading| {
                    ballot(&l.ballot) && l.decided <= l.accepted && index(&l.accepted)
                };
                round(r) && leading.as_ref().is_none_or(plausible)
            }
            Message::HeartbeatReply { round: r, ballot: b, leader, .. } => {
                round(r) && ballot(b) && ballot(leader)
            }
        }
    }

    /// The name of the message, as traces and scenarios have it.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Prepare { .. } => "prepare",
            Message::Promise(_) => "promise",
            Message::Hello(_) => "hello",
            Message::Nack { .. } => "nack",
            Message::AcceptSync { .. } => "accept-sync",
            Message::Accept { .. } => "accept",
            Message::Accepted { .. } => "accepted",
            Message::Decide { .. } => "decide",
            Message::Pull { .. } => "pull",
            Message::Pulled { .. } => "pulled",
            Message::SnapshotPull { .. } => "snapshot-pull",
            Message::SnapshotPiece { .. } => "snapshot-piece",
            Message::Confirm { .. } => "confirm",
            Message::Confirmed { .. } => "confirmed",
            Message::HeartbeatRequest { .. } => "heartbeat",
            Message::HeartbeatReply { .. } => "heartbeat-reply",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { promised, accepted_ballot, accepted, decided, first } = self;
        write!(f, "{promised} has {first}..{accepted} under {accepted_ballot}, decided {decided}")
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match self {
            Message::Prepare { ballot } => write!(f, " {ballot}"),
            Message::Promise(report) | Message::Hello(report) => write!(f, " {report}"),
            Message::Nack { promised } => write!(f, " promised {promised}"),
            Message::AcceptSync { ballot, adopted_ballot, from, end, first } => {
                write!(f, " {ballot} {from}..{end} of {adopted_ballot}, first {first}")
            }
            Message::Accept { ballot, index, entries, decided } => {
                write!(f, " {ballot} {index}..{}, decided {decided}", index.plus(entries.len()))
            }
            Message::Accepted { ballot, accepted } => write!(f, " {ballot} ..{accepted}"),
            Message::Decide { ballot, decided } => write!(f, " {ballot} ..{decided}"),
            Message::Pull { ballot, accepted_ballot, from, end } => {
                write!(f, " {from}..{end} of {accepted_ballot} for {ballot}")
            }
            Message::Pulled { ballot, accepted_ballot, index, entries, last } => {
                let (end, last) = (index.plus(entries.len()), if *last { ", last" } else { "" });
                write!(f, " {index}..{end} of {accepted_ballot} for {ballot}{last}")
            }
            Message::SnapshotPull { accepted_ballot, index: None, offset } => {
                write!(f, " newest of {accepted_ballot} from {offset}")
            }
            Message::SnapshotPull { accepted_ballot, index: Some(index), offset } => {
                write!(f, " at {index} of {accepted_ballot} from {offset}")
            }
            Message::SnapshotPiece { index, size_bytes, offset, bytes, .. } => {
                let end = offset + bytes.len() as u64;
                write!(f, " at {index}, bytes {offset}..{end} of {size_bytes}")
            }
            Message::Confirm { ballot, round } | Message::Confirmed { ballot, round } => {
                write!(f, " {ballot} round {round}")
            }
            Message::HeartbeatRequest { round, leading: None } => write!(f, " {round}"),
            Message::HeartbeatRequest {
                round,
                leading: Some(Leading { ballot, accepted, decided }),
            } => {
                write!(f, " {round} leading {ballot} accepted {accepted} decided {decided}")
            }
            Message::HeartbeatReply { round, ballot, leader, connected, happy } => {
                let connected = if *connected { "" } else { ", not connected" };
                let happy = if *happy { "" } else { ", unhappy" };
                write!(f, " {round} as {ballot} follows {leader}{connected}{happy}")
            }
        }
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {}", self.from, self.to, self.message)
    }
}
