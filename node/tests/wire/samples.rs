//! One message of each kind, with the fields its golden file shows.

use super::{Any, AnyAnswer, AnyQuestion};
use node::protocol::{Ballot, Entries, Index, Leading, Message, NodeId, Report, Round};
use node::wire::{Answer, Command, Operation, Reply, SessionId};

/// A message and the layout of its content: name and size of each field, `*` for the rest.
pub struct Sample {
    pub file: &'static str,
    pub layout: &'static str,
    pub message: Any,
}

const B5: Ballot = Ballot { round: 5, priority: 7, node: NodeId(1) };
const B4: Ballot = Ballot { round: 4, priority: 0, node: NodeId(2) };
const ROUND: Round = Round { boot: 9, number: 100 };
const REPORT: Report = Report {
    promised: B5,
    accepted_ballot: B4,
    accepted: Index(300),
    decided: Index(200),
    first: Index(100),
};

/// One of each kind of frame, but for fragments and tokens.
pub fn all() -> Vec<Sample> {
    [nodes(), requests(), responses()].into_iter().flatten().collect()
}

/// Part of a larger batch: its ends count from the first entry that is sent.
fn entries() -> Entries {
    Entries::of([&b"gone"[..], b"a", b"", b"bcd"]).slice(1, 4)
}

fn nodes() -> Vec<Sample> {
    let of = |file, layout, message| Sample { file, layout, message: Any::Node(message) };
    let report = "promised ballot 11, accepted ballot 11, accepted 8, decided 8, first 8";
    let (ballot, accepted_ballot, round) = (B5, B4, ROUND);
    let (index, from, end, first) = (Index(300), Index(300), Index(303), Index(100));
    vec![
        of("prepare", "ballot 11", Message::Prepare { ballot }),
        of("promise", report, Message::Promise(REPORT)),
        of("hello", report, Message::Hello(REPORT)),
        of("nack", "promised ballot 11", Message::Nack { promised: B5 }),
        of(
            "accept-sync",
            "ballot 11, adopted ballot 11, from 8, end 8, first 8",
            Message::AcceptSync { ballot, adopted_ballot: B4, from, end, first },
        ),
        of(
            "accept",
            "ballot 11, index 8, decided 8, count 4, end of entry 4, end 4, end 4, entries *",
            Message::Accept { ballot, index, entries: entries(), decided: Index(200) },
        ),
        of("accepted", "ballot 11, accepted 8", Message::Accepted { ballot, accepted: end }),
        of("decide", "ballot 11, decided 8", Message::Decide { ballot, decided: end }),
        of(
            "pull",
            "ballot 11, accepted ballot 11, from 8, end 8",
            Message::Pull { ballot, accepted_ballot, from, end },
        ),
        of(
            "pulled",
            "ballot 11, accepted ballot 11, index 8, count 4, \
             end of entry 4, end 4, end 4, entries *",
            Message::Pulled { ballot, accepted_ballot, index, entries: entries(), last: true },
        ),
        of(
            "snapshot-pull",
            "accepted ballot 11, offset 8, index 8",
            Message::SnapshotPull { accepted_ballot, index: Some(index), offset: 4096 },
        ),
        of(
            "snapshot-pull-newest",
            "accepted ballot 11, offset 8",
            Message::SnapshotPull { accepted_ballot, index: None, offset: 0 },
        ),
        of(
            "snapshot-piece",
            "index 8, size 8, digest 8, offset 8, bytes *",
            Message::SnapshotPiece {
                index,
                size_bytes: 5000,
                digest: 0xd1_6e57,
                offset: 4096,
                bytes: b"piece"[..].into(),
                last: false,
            },
        ),
        of("confirm", "ballot 11, round 16", Message::Confirm { ballot, round }),
        of("confirmed", "ballot 11, round 16", Message::Confirmed { ballot, round }),
        of(
            "heartbeat",
            "round 16, leading ballot 11, accepted 8, decided 8",
            Message::HeartbeatRequest {
                round,
                leading: Some(Leading { ballot, accepted: end, decided: index }),
            },
        ),
        of("heartbeat-of-follower", "round 16", Message::HeartbeatRequest { round, leading: None }),
        of(
            "heartbeat-reply",
            "round 16, ballot 11, leader's ballot 11",
            Message::HeartbeatReply { round, ballot: B4, leader: B5, connected: true, happy: true },
        ),
    ]
}

fn requests() -> Vec<Sample> {
    let of = |file, layout, question| Sample { file, layout, message: Any::Request(question) };
    let operation = Operation::Put { key: b"k1", value: b"a" };
    let command = Command { session: SessionId(6), number: 2, acknowledged: 1, operation };
    let mut entry = Vec::new();
    command.encode(&mut entry);
    vec![
        of("write", "client 8, number 8, entry *", AnyQuestion::Write(entry)),
        of("read", "client 8, number 8, key *", AnyQuestion::Read(b"k1".to_vec())),
        of("status-request", "client 8, number 8", AnyQuestion::Status),
        of("route-of-key", "client 8, number 8, key *", {
            AnyQuestion::Route(Some(b"k1".to_vec()))
        }),
        of("route-table", "client 8, number 8", AnyQuestion::Route(None)),
    ]
}

fn responses() -> Vec<Sample> {
    let of = |file, layout, answer| Sample { file, layout, message: Any::Response(answer) };
    let plain = |file, layout, answer| of(file, layout, AnyAnswer::Plain(answer));
    let found = Answer::Reply(Reply::Found(b"a"[..].into()));
    let opened = Answer::Reply(Reply::Opened(SessionId(6)));
    let size_bytes_max = 1 << 16;
    vec![
        plain("reply-found", "client 8, number 8, reply 1, value *", found),
        plain("reply-opened", "client 8, number 8, reply 1, session 8", opened),
        plain("redirect", "client 8, number 8, node 2", Answer::Redirect(Some(NodeId(2)))),
        plain("redirect-unknown", "client 8, number 8, no node 2", Answer::Redirect(None)),
        plain("wrong-group", "client 8, number 8, table version 8", {
            Answer::WrongGroup { table_version: 4 }
        }),
        plain("busy", "client 8, number 8", Answer::Busy),
        plain("too-large", "client 8, number 8, limit 4", Answer::TooLarge { size_bytes_max }),
        of("status", "client 8, number 8, JSON *", AnyAnswer::Status(b"{}".to_vec())),
        of("table", "client 8, number 8, table *", AnyAnswer::Table(b"table".to_vec())),
    ]
}
