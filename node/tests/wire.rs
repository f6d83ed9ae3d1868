//! The wire as others see it. `REWRITE=1 cargo test -p node --test wire` writes the golden files
//! anew: a change of one is a change of the format, and the commit says so.

#[path = "wire/golden.rs"]
mod golden;
#[path = "wire/properties.rs"]
mod properties;
#[path = "wire/random.rs"]
mod random;
#[path = "wire/rules.rs"]
mod rules;
#[path = "wire/samples.rs"]
mod samples;

use node::protocol::{Envelope, GroupId, Message};
use node::wire::{
    Answer, CLIENT, Frame, Keys, Malformed, NodeId, Packer, Packet, PacketKind, Question, Request,
    Response, Run,
};

const SECRET: &[u8] = b"a secret of this cluster";
const CLUSTER: u64 = 0x1122_3344_5566_7788;
const GROUP: GroupId = GroupId(3);
const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);

/// Any message, whoever sends it: the sender and the receiver follow from it.
#[derive(Clone, PartialEq, Debug)]
enum Any {
    /// From node 1 to node 2.
    Node(Message),
    /// From a client to node 1.
    Request(AnyQuestion),
    /// From node 1 to a client.
    Response(AnyAnswer),
}

/// [`Question`], owned.
#[derive(Clone, PartialEq, Debug)]
enum AnyQuestion {
    Write(Vec<u8>),
    Read(Vec<u8>),
    Status,
    Route(Option<Vec<u8>>),
}

/// [`Answer`], owned where it is borrowed.
#[derive(Clone, PartialEq, Debug)]
enum AnyAnswer {
    Plain(Answer<'static>),
    Status(Vec<u8>),
    Table(Vec<u8>),
}

/// Names of the client and its request in all tests.
const NAMES: (u64, u64) = (0xc11e, 42);

impl Any {
    fn kind(&self) -> PacketKind {
        match self {
            Any::Node(_) => PacketKind::Node,
            Any::Request(_) => PacketKind::Request,
            Any::Response(_) => PacketKind::Response,
        }
    }

    /// Puts it into a packer for its kind.
    fn pack(&self, packer: &mut Packer) {
        let ((client, number), group) = (NAMES, GROUP);
        match self {
            Any::Node(message) => {
                let message = message.clone();
                packer.message(&Envelope { group, from: N1, to: N2, message })
            }
            Any::Request(question) => {
                let question = match question {
                    AnyQuestion::Write(entry) => Question::Write(entry),
                    AnyQuestion::Read(key) => Question::Read(key),
                    AnyQuestion::Status => Question::Status,
                    AnyQuestion::Route(key) => Question::Route(key.as_deref()),
                };
                packer.request(&Request { client, number, group, question })
            }
            Any::Response(answer) => {
                let answer = match answer {
                    AnyAnswer::Plain(answer) => answer.clone(),
                    AnyAnswer::Status(json) => Answer::Status(json),
                    AnyAnswer::Table(table) => Answer::Table(table),
                };
                packer.response(&Response { client, number, group, answer })
            }
        }
        .expect("tests know the limit");
    }

    /// Reads a whole message of a packet; another group, client or number is not expected.
    fn read(packet: &Packet<'_>, frame: &Frame<'_>) -> Result<Any, Malformed> {
        let ((client, number), group) = (NAMES, GROUP);
        match packet.kind {
            PacketKind::Node => {
                let Envelope { group: of, from, to, message } = frame.envelope(packet)?;
                let known = (of, from, to) == (group, N1, N2);
                if known { Ok(Any::Node(message)) } else { Err(Malformed) }
            }
            PacketKind::Request => {
                let request = frame.request()?;
                let question = match request.question {
                    Question::Write(entry) => AnyQuestion::Write(entry.to_vec()),
                    Question::Read(key) => AnyQuestion::Read(key.to_vec()),
                    Question::Status => AnyQuestion::Status,
                    Question::Route(key) => AnyQuestion::Route(key.map(<[u8]>::to_vec)),
                };
                let expected = Request { client, number, group, question: request.question };
                if request == expected { Ok(Any::Request(question)) } else { Err(Malformed) }
            }
            PacketKind::Response => {
                let response = frame.response()?;
                let answer = match response.answer {
                    Answer::Status(json) => AnyAnswer::Status(json.to_vec()),
                    Answer::Table(table) => AnyAnswer::Table(table.to_vec()),
                    Answer::Reply(reply) => AnyAnswer::Plain(Answer::Reply(reply)),
                    Answer::Redirect(node) => AnyAnswer::Plain(Answer::Redirect(node)),
                    Answer::WrongGroup { table_version } => {
                        AnyAnswer::Plain(Answer::WrongGroup { table_version })
                    }
                    Answer::Busy => AnyAnswer::Plain(Answer::Busy),
                    Answer::TooLarge { size_bytes_max } => {
                        AnyAnswer::Plain(Answer::TooLarge { size_bytes_max })
                    }
                };
                let names = (response.client, response.number, response.group);
                let known = names == (client, number, group);
                if known { Ok(Any::Response(answer)) } else { Err(Malformed) }
            }
            PacketKind::Challenge => Err(Malformed),
        }
    }
}

/// Source and destination of packets of this kind.
fn ends(kind: PacketKind) -> (NodeId, NodeId) {
    match kind {
        PacketKind::Node => (N1, N2),
        PacketKind::Request => (CLIENT, N1),
        PacketKind::Response | PacketKind::Challenge => (N1, CLIENT),
    }
}

fn keys(node: NodeId) -> Keys {
    Keys::new(SECRET, CLUSTER, node, [N1, N2])
}

/// A packer for messages of this kind, in boot 5.
fn packer(kind: PacketKind, datagram_bytes: usize) -> Packer {
    let (from, to) = ends(kind);
    Packer::new(&keys(from), to, 5, 0, datagram_bytes)
}

/// All that was packed, sealed, datagram by datagram.
fn sealed(packer: &mut Packer) -> Vec<Vec<u8>> {
    let runs: Vec<Run> = packer.seal(64).collect();
    runs.iter().flat_map(Run::datagrams).map(<[u8]>::to_vec).collect()
}

/// Gives a packet the tag that belongs to it, as the documentation of the format describes it.
fn retag(datagram: &mut [u8]) {
    let Some((body, tag)) = datagram.split_last_chunk_mut::<16>() else { return };
    let Some(ends) = body.get(6..10) else { return };
    let key = blake3::derive_key("Quorate wire 1, packet tags", &[ends, SECRET].concat());
    tag.copy_from_slice(&blake3::keyed_hash(&key, body).as_bytes()[..16]);
}
