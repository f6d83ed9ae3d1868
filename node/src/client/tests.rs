//! The clients against nodes of one thread each that follow a script.

mod pipeline;

use std::net::UdpSocket;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::wire::{
    self, Answer, CLIENT, Command, DATAGRAM_BYTES_MAX, Keys, PAIR_BYTES_MAX, Packer, Packet,
    Question, Reassembly, Reply, Request, Response, SessionId, Tokens, challenge,
};

/// What a node was asked: the client's question, owned and in words.
type Asked = String;

/// A request as it came to a node.
struct Heard {
    node: u16,
    /// The number of the datagram that brought it, among all that came to the node.
    datagram: usize,
    asked: Asked,
    /// Of a command.
    acknowledged: u64,
}

/// What a node answers to its `nth` verified request, if it does.
type Script = fn(node: u16, nth: usize, asked: &str) -> Option<Answer<'static>>;

/// Nodes that answer by a script, and a client of theirs.
struct Scripted {
    client: Client,
    heard: mpsc::Receiver<Heard>,
}

/// Starts `nodes` nodes, each in a thread. The threads end with the process.
fn scripted(nodes: u16, answer: Script, timeout_ms: u64) -> Scripted {
    scripted_with_loss(nodes, answer, timeout_ms, usize::MAX)
}

/// Of the datagrams to a node, each `lost`-th does not arrive.
fn scripted_with_loss(nodes: u16, answer: Script, timeout_ms: u64, lost: usize) -> Scripted {
    let (cluster, heard) = serving(nodes, answer, lost);
    let timeout = Duration::from_millis(timeout_ms);
    let client = Client::connect(&cluster, None, timeout).expect("a socket");
    Scripted { client, heard }
}

/// The nodes alone.
fn serving(nodes: u16, answer: Script, lost: usize) -> (Cluster, mpsc::Receiver<Heard>) {
    let sockets: Vec<UdpSocket> =
        (0..nodes).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
    let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
    let listed: Vec<String> = (1..)
        .zip(&sockets)
        .map(|(id, socket)| format!(r#"{{"id": {id}, "address": "{}"}}"#, address(socket)))
        .collect();
    let text = format!(r#"{{"cluster": "scripted", "nodes": [{}]}}"#, listed.join(", "));
    let cluster = Cluster::parse(Path::new("cluster.json"), text.as_bytes()).expect("valid");

    let (tell, heard) = mpsc::channel();
    for (node, socket) in cluster.nodes.iter().zip(sockets) {
        let (id, tag, tell) = (node.id, cluster.tag(), tell.clone());
        thread::spawn(move || serve(&socket, id, tag, answer, lost, &tell));
    }
    (cluster, heard)
}

fn serve(
    socket: &UdpSocket,
    id: NodeId,
    cluster: u64,
    answer: Script,
    lost: usize,
    tell: &mpsc::Sender<Heard>,
) {
    let keys = Keys::new(&[], cluster, id, []);
    let tokens = Tokens::new([id.0 as u8; 32]);
    let mut packer = Packer::new(&keys, CLIENT, 1, 0, wire::DATAGRAM_BYTES);
    let mut reassembly = Reassembly::default();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    let (mut requests, mut received) = (0, 0);
    while let Ok((size_bytes, address)) = socket.recv_from(&mut datagram) {
        received += 1;
        if received % lost == 0 {
            continue;
        }
        let packet = Packet::open(&datagram[..size_bytes], &keys).expect("clients send packets");
        if tokens.verify(&packet, address, 0).is_err() {
            let mut reply = Vec::new();
            challenge(&keys, 1, tokens.token(address, 0), &mut reply);
            socket.send_to(&reply, address).expect("loopback");
            continue;
        }
        for frame in packet.frames() {
            let Some(whole) = reassembly.whole(packet.boot, frame).expect("sound") else {
                continue;
            };
            let Request { client, number, group, question } = whole.request().expect("sound");
            let (asked, acknowledged) = in_words(question);
            let answer = answer(id.0, requests, &asked);
            let heard = Heard { node: id.0, datagram: received, asked, acknowledged };
            if tell.send(heard).is_err() {
                return;
            }
            if let Some(answer) = answer {
                packer.response(&Response { client, number, group, answer }).expect("small");
            }
            requests += 1;
        }
        for run in packer.seal(1) {
            socket.send_to(run.contents, address).expect("loopback");
        }
    }
}

/// The question, and what it acknowledges.
fn in_words(question: Question<'_>) -> (Asked, u64) {
    match question {
        Question::Write(entry) => {
            let command = Command::decode(entry).expect("a command");
            (command.to_string(), command.acknowledged)
        }
        Question::Read(key) => (format!("get {}", String::from_utf8_lossy(key)), 0),
        Question::Status => ("status".to_owned(), 0),
        Question::Route(_) => ("route".to_owned(), 0),
    }
}

impl Scripted {
    fn asked(&self) -> Vec<(u16, Asked)> {
        self.heard.try_iter().map(|heard| (heard.node, heard.asked)).collect()
    }
}

fn told(node: u16, asked: &str) -> (u16, Asked) {
    (node, asked.to_owned())
}

fn opened(id: u64) -> Option<Answer<'static>> {
    Some(Answer::Reply(Reply::Opened(SessionId(id))))
}

fn reply(reply: Reply) -> Option<Answer<'static>> {
    Some(Answer::Reply(reply))
}

fn found(value: &[u8]) -> Reply {
    Reply::Found(value.into())
}

#[test]
fn a_session_is_opened_once_and_its_commands_are_numbered() {
    let answer = |_, nth, _: &str| if nth == 0 { opened(7) } else { reply(Reply::Put) };
    let mut it = scripted(1, answer, 5_000);
    assert_eq!(it.client.put(b"k", b"1"), Outcome::Ok(()));
    assert_eq!(it.client.put(b"k", b"2"), Outcome::Ok(()));
    let expected = ["open", "s7#1 put k=1", "s7#2 put k=2"].map(|asked| told(1, asked));
    assert_eq!(it.asked(), expected);
}

#[test]
fn a_lost_reply_leads_to_the_same_command_again_elsewhere() {
    let answer = |node, nth, _: &str| match (node, nth) {
        (1, 0) => opened(7),
        (1, _) => None,
        _ => reply(Reply::Put),
    };
    let mut it = scripted(2, answer, 5_000);
    assert_eq!(it.client.put(b"k", b"1"), Outcome::Ok(()));
    let expected = [told(1, "open"), told(1, "s7#1 put k=1"), told(2, "s7#1 put k=1")];
    assert_eq!(it.asked(), expected);
}

#[test]
fn redirects_are_followed_and_the_leader_is_remembered() {
    let answer = |node, _, _: &str| match node {
        1 => Some(Answer::Redirect(Some(NodeId(3)))),
        _ => reply(found(b"v")),
    };
    let mut it = scripted(3, answer, 5_000);
    assert_eq!(it.client.get(b"k"), Outcome::Ok(Arc::from(&b"v"[..])));
    assert_eq!(it.client.get(b"k"), Outcome::Ok(Arc::from(&b"v"[..])));
    assert_eq!(it.asked(), [told(1, "get k"), told(3, "get k"), told(3, "get k")]);
}

#[test]
fn an_eviction_is_repaired_at_the_first_sending_only() {
    let answer = |_, nth, _: &str| match nth {
        0 => opened(7),
        1 => reply(Reply::Expired),
        2 => opened(9),
        3 => reply(Reply::Put),
        4 => None,
        _ => reply(Reply::Expired),
    };
    let mut it = scripted(1, answer, 5_000);
    assert_eq!(it.client.put(b"k", b"1"), Outcome::Ok(()));
    assert_eq!(it.client.put(b"k", b"2"), Outcome::Indeterminate(Why::Expired));
    let expected = ["open", "s7#1 put k=1", "open", "s9#1 put k=1", "s9#2 put k=2", "s9#2 put k=2"];
    assert_eq!(it.asked(), expected.map(|asked| told(1, asked)));
}

#[test]
fn silence_is_never_a_failure() {
    let mut it = scripted(2, |_, _, _| None, 400);
    assert_eq!(it.client.get(b"k"), Outcome::Indeterminate(Why::NoAnswer));
    assert_eq!(it.client.put(b"k", b"v"), Outcome::Indeterminate(Why::NoSession));
    assert_eq!(it.client.status(NodeId(2)), Outcome::Indeterminate(Why::NoAnswer));
    let mut it = scripted(1, |_, nth, _: &str| if nth == 0 { opened(7) } else { None }, 400);
    assert_eq!(it.client.put(b"k", b"v"), Outcome::Indeterminate(Why::NoAnswer));
}

#[test]
fn definite_failures_say_what_is_there() {
    let answer = |_, nth, _: &str| match nth {
        0 => opened(7),
        1 => reply(Reply::Mismatch(b"x"[..].into())),
        2 => reply(Reply::NotFound),
        3 => reply(Reply::NotFound),
        _ => Some(Answer::TooLarge { size_bytes_max: 10 }),
    };
    let mut it = scripted(1, answer, 5_000);
    let mismatch = Failure::Mismatch(Arc::from(&b"x"[..]));
    assert_eq!(it.client.cas(b"k", Some(b"a"), b"b"), Outcome::Fail(mismatch));
    assert_eq!(it.client.cas(b"k", Some(b"a"), b"b"), Outcome::Fail(Failure::Missing));
    assert_eq!(it.client.get(b"k"), Outcome::Fail(Failure::Missing));
    let too_large = |size_bytes_max| Outcome::Fail(Failure::TooLarge { size_bytes_max });
    assert_eq!(it.client.put(b"k", b"more than ten"), too_large(10));
    assert_eq!(it.asked().len(), 5);
    let limit = PAIR_BYTES_MAX - 1;
    assert_eq!(it.client.put(b"k", &vec![0; limit + 1]), too_large(limit));
    assert_eq!(
        it.client.get(&vec![0; 1025]),
        Outcome::Fail(Failure::TooLarge { size_bytes_max: 1024 })
    );
    assert!(it.asked().is_empty(), "refused before anything is sent");
}

#[test]
fn the_largest_values_travel_in_fragments() {
    let answer = |_, nth, _: &str| match nth {
        0 => opened(7),
        _ => reply(Reply::Swapped(vec![b'n'; PAIR_BYTES_MAX - 1].into())),
    };
    // No attempt arrives whole, but the fragments of two complete each other.
    let mut it = scripted_with_loss(1, answer, 5_000, 11);
    let (old, new) = (vec![b'o'; PAIR_BYTES_MAX - 1], vec![b'n'; PAIR_BYTES_MAX - 1]);
    assert!(it.client.cas(b"k", Some(&old), &new) == Outcome::Ok(new.into()));
}

#[test]
fn an_answer_to_something_else_is_no_answer_to_this() {
    let answer = |_, nth, _: &str| if nth == 0 { opened(7) } else { reply(Reply::Deleted) };
    let mut it = scripted(1, answer, 5_000);
    assert_eq!(it.client.put(b"k", b"v"), Outcome::Indeterminate(Why::NoMeaning));
    let mut it = scripted(1, |_, _, _| Some(Answer::Status(b"{}")), 5_000);
    assert_eq!(it.client.status(NodeId(1)), Outcome::Ok("{}".to_owned()));
    assert_eq!(it.client.get(b"k"), Outcome::Indeterminate(Why::NoMeaning));
}
