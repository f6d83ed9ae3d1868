//! Speaks the wire to one node at a time, from one socket: no search, no retry with another node.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use node::wire::{
    Answer, CLIENT, DATAGRAM_BYTES_MAX, GroupId, Keys, MESSAGE_BYTES_MAX, NodeId, Packer, Packet,
    PacketKind, Question, Reassembly, Reply, Request,
};

use crate::nodes::{Nodes, TIMEOUT};

/// A client that can be sent to a certain node.
pub struct Caller {
    pub socket: UdpSocket,
    keys: Keys,
    peers: BTreeMap<NodeId, Peer>,
    number: u64,
    heard: VecDeque<(NodeId, u64, Heard)>,
}

struct Peer {
    address: SocketAddr,
    packer: Packer,
    reassembly: Reassembly,
}

/// What a node answers, for a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Reply(Reply),
    Redirect(GroupId, Option<NodeId>),
    WrongGroup(GroupId),
    Status(String),
    Other(String),
}

/// Names this client, where nobody else has a name.
pub const NAME: u64 = 7;

impl Caller {
    pub fn new(nodes: &Nodes) -> Caller {
        let keys = client_keys(nodes);
        let size_bytes = nodes.cluster.limits.datagram_bytes;
        let peers = nodes.cluster.nodes.iter().map(|node| {
            let packer = Packer::new(&keys, node.id, 1, 0, size_bytes);
            let reassembly = Reassembly::new(2 * MESSAGE_BYTES_MAX, 4);
            (node.id, Peer { address: node.address, packer, reassembly })
        });
        let peers = peers.collect();
        let any = SocketAddr::from(([0; 4], 0));
        let socket = UdpSocket::bind(any).expect("a socket");
        Caller { socket, keys, peers, number: 0, heard: VecDeque::new() }
    }

    /// The datagrams of a question, with the token that this node has given us, if it has.
    pub fn sealed(&mut self, to: NodeId, group: GroupId, question: Question<'_>) -> Vec<Vec<u8>> {
        self.number += 1;
        let request = Request { client: NAME, number: self.number, group, question };
        let packer = &mut self.peers.get_mut(&to).expect("a member").packer;
        packer.request(&request).expect("small enough");
        packer.seal(1).map(|run| run.contents.to_vec()).collect()
    }

    /// Sends a question once; its answer has the number that is returned.
    pub fn send(&mut self, to: NodeId, group: GroupId, question: Question<'_>) -> u64 {
        for datagram in self.sealed(to, group, question) {
            self.socket.send_to(&datagram, self.peers[&to].address).expect("loopback takes it");
        }
        self.number
    }

    /// Asks until there is an answer.
    pub fn ask(&mut self, to: NodeId, group: GroupId, question: Question<'_>) -> Heard {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let number = self.send(to, group, question);
            if let Some(heard) = self.answer(number, Duration::from_millis(300)) {
                return heard;
            }
            assert!(Instant::now() < deadline, "{to} does not answer");
        }
    }

    /// The answer to a question that was sent, if it comes in time.
    pub fn answer(&mut self, number: u64, within: Duration) -> Option<Heard> {
        let until = Instant::now() + within;
        loop {
            while let Some((_, of, heard)) = self.heard.pop_front() {
                if of == number {
                    return Some(heard);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).expect("it is not zero");
            let mut datagram = [0; DATAGRAM_BYTES_MAX];
            match self.socket.recv_from(&mut datagram) {
                // With a token the question can be sent again at once.
                Ok((size_bytes, _)) if self.take(&datagram[..size_bytes]) => return None,
                Ok(_) => {}
                Err(error) => {
                    let kinds =
                        [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];
                    assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
        }
    }

    /// What a node says of itself.
    pub fn status(&mut self, to: NodeId) -> serde_json::Value {
        match self.ask(to, GroupId(0), Question::Status) {
            Heard::Status(json) => serde_json::from_str(&json).expect("JSON"),
            other => panic!("{to} answers {other:?}"),
        }
    }

    /// Throws away whatever answers have come.
    pub fn swallow(&mut self) {
        self.socket.set_nonblocking(true).expect("sockets can");
        while self.socket.recv(&mut [0; 1 << 16]).is_ok() {}
        self.socket.set_nonblocking(false).expect("sockets can");
    }

    /// Takes a datagram. Returns whether it was a challenge.
    fn take(&mut self, datagram: &[u8]) -> bool {
        let packet = Packet::open(datagram, &self.keys).expect("nodes send nothing else");
        let peer = self.peers.get_mut(&packet.source).expect("a member");
        if packet.kind == PacketKind::Challenge {
            peer.packer.present(packet.token.expect("challenges have one"));
            return true;
        }
        for frame in packet.frames() {
            let whole = peer.reassembly.whole(packet.boot, frame).expect("sound fragments");
            let Some(whole) = whole else { continue };
            let response = whole.response().expect("nodes send nothing else");
            assert_eq!(response.client, NAME);
            let heard = match response.answer {
                Answer::Reply(reply) => Heard::Reply(reply),
                Answer::Redirect(node) => Heard::Redirect(response.group, node),
                Answer::WrongGroup { .. } => Heard::WrongGroup(response.group),
                Answer::Status(json) => Heard::Status(String::from_utf8_lossy(json).into_owned()),
                other => Heard::Other(format!("{other:?}")),
            };
            self.heard.push_back((packet.source, response.number, heard));
        }
        false
    }
}

/// The keys of any client of this cluster.
pub fn client_keys(nodes: &Nodes) -> Keys {
    let secret = nodes.secret.as_ref().map_or(&[][..], |secret| secret.bytes());
    Keys::new(secret, nodes.cluster.tag(), CLIENT, nodes.ids())
}
