//! The socket, and what is known of each node behind it: its address, our token there, its fragments.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Cluster, Secret};
use crate::wire::{
    self, CLIENT, DATAGRAM_BYTES_MAX, GroupId, Keys, MESSAGE_BYTES_MAX, NodeId, Packer, Packet,
    PacketKind, Reassembly, Reply, Request, Token,
};

/// Incomplete messages to hold of each node: copies of the one answer that we wait for.
const PARTIAL_MAX: usize = 8;

/// Datagrams to send in a row: a node's receive buffer, as Linux has it by default, holds some 90.
const BURST: usize = 32;
/// Time enough for a node to read a burst.
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// A socket to all nodes. It sees what answers any of them, early or late, in one place.
pub(super) struct Link {
    socket: UdpSocket,
    keys: Keys,
    client: u64,
    peers: BTreeMap<NodeId, Peer>,
    /// What came in one datagram and is not taken yet.
    events: VecDeque<Event>,
    datagram: Vec<u8>,
}

struct Peer {
    address: SocketAddr,
    token: Token,
    packer: Packer,
    /// The datagrams of the request of this number, sealed with the present token.
    sealed: Option<(u64, Vec<Vec<u8>>)>,
    reassembly: Reassembly,
}

/// What came from a node.
pub(super) enum Event {
    /// It wants a token, and has given us a new one: what we sent was dropped.
    Challenge(NodeId),
    Response(NodeId, Response),
}

/// [`wire::Response`], owned. Who is asked does not matter: it is us.
pub(super) struct Response {
    pub number: u64,
    pub group: GroupId,
    pub answer: Answer,
}

/// [`wire::Answer`], owned, without what clients have no use for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Reply(Reply),
    Redirect(Option<NodeId>),
    WrongGroup,
    Busy,
    TooLarge {
        size_bytes_max: u32,
    },
    Status(Vec<u8>),
    /// Nobody here asks for the table: we have it.
    Table,
}

impl Link {
    pub fn new(cluster: &Cluster, secret: Option<&Secret>) -> io::Result<Link> {
        let ids = cluster.nodes.iter().map(|node| node.id);
        let secret = secret.map_or(&[][..], |secret| secret.bytes());
        let keys = Keys::new(secret, cluster.tag(), CLIENT, ids);
        let (client, boot) = (lot()?, lot()?);

        let has_v6 = cluster.nodes.iter().any(|node| node.address.is_ipv6());
        let any: IpAddr = match has_v6 {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        let peer = |node: &crate::config::Node| Peer {
            address: if has_v6 { to_v6(node.address) } else { node.address },
            token: Token::NONE,
            packer: Packer::new(&keys, node.id, boot, 0, cluster.limits.datagram_bytes),
            sealed: None,
            reassembly: Reassembly::new(PARTIAL_MAX * MESSAGE_BYTES_MAX, PARTIAL_MAX),
        };
        let peers = cluster.nodes.iter().map(|node| (node.id, peer(node))).collect();
        Ok(Link {
            socket: UdpSocket::bind((any, 0))?,
            keys,
            client,
            peers,
            events: VecDeque::new(),
            // One more than allowed, so that what is longer is seen to be.
            datagram: vec![0; DATAGRAM_BYTES_MAX + 1],
        })
    }

    /// The name under which our requests go.
    pub fn client(&self) -> u64 {
        self.client
    }

    /// Sends a request, and returns whether with a token: without one it is surely not executed.
    /// Panics on a node the cluster has not, and on a request of which the parts are too large.
    pub fn send(&mut self, node: NodeId, request: &Request<'_>) -> bool {
        let peer = self.peers.get_mut(&node).expect("only nodes of the cluster are asked");
        let address = peer.address;
        for (count, datagram) in (1..).zip(peer.sealed(request)) {
            // What cannot be sent is like what is lost on the way: the search goes on elsewhere.
            let _ = self.socket.send_to(datagram, address);
            if count % BURST == 0 {
                thread::sleep(BURST_PAUSE);
            }
        }
        peer.token != Token::NONE
    }

    /// The next event, or nothing if there is none until then.
    pub fn receive(&mut self, until: Instant) -> Result<Option<Event>, io::ErrorKind> {
        use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left)).map_err(|error| error.kind())?;
            match self.socket.recv_from(&mut self.datagram).map_err(|error| error.kind()) {
                // The address is not asked for: who made the tag is the node.
                Ok((size_bytes, _)) => self.take(size_bytes),
                Err(WouldBlock | TimedOut | Interrupted | ConnectionRefused) => {}
                Err(kind) => return Err(kind),
            }
        }
    }

    /// Takes what is in a datagram. Nonsense is dropped; a response seen twice does no harm.
    fn take(&mut self, size_bytes: usize) {
        let Link { keys, peers, datagram, events, client, .. } = self;
        let Ok(packet) = Packet::open(&datagram[..size_bytes], keys) else { return };
        let peer = peers.get_mut(&packet.source).expect("only nodes of the cluster have keys");
        if packet.kind == PacketKind::Challenge {
            let token = packet.token.unwrap_or_default();
            // Each datagram of a long message is challenged: the first one makes us send again.
            if token != peer.token {
                peer.token = token;
                peer.packer.present(token);
                peer.sealed = None;
                events.push_back(Event::Challenge(packet.source));
            }
        }
        for frame in packet.frames() {
            let Ok(Some(whole)) = peer.reassembly.whole(packet.boot, frame) else { continue };
            match whole.response() {
                Ok(response) if response.client == *client => {
                    let response = Response::from(&response);
                    events.push_back(Event::Response(packet.source, response));
                }
                _ => {}
            }
        }
    }
}

impl Peer {
    /// The datagrams of a request; the same when it is sent again. So the fragments of one attempt
    /// complete those of another: of a hundred, some are lost each time.
    fn sealed(&mut self, request: &Request<'_>) -> &[Vec<u8>] {
        if self.sealed.as_ref().is_none_or(|(number, _)| *number != request.number) {
            self.packer.request(request).expect("its parts were checked");
            let datagrams = self.packer.seal(1).map(|run| run.contents.to_vec()).collect();
            self.sealed = Some((request.number, datagrams));
        }
        let (_, datagrams) = self.sealed.as_ref().expect("made above");
        datagrams
    }
}

impl From<&wire::Response<'_>> for Response {
    fn from(response: &wire::Response<'_>) -> Response {
        let answer = match &response.answer {
            wire::Answer::Reply(reply) => Answer::Reply(reply.clone()),
            wire::Answer::Redirect(node) => Answer::Redirect(*node),
            wire::Answer::WrongGroup { .. } => Answer::WrongGroup,
            wire::Answer::Busy => Answer::Busy,
            wire::Answer::TooLarge { size_bytes_max } => {
                Answer::TooLarge { size_bytes_max: *size_bytes_max }
            }
            wire::Answer::Status(json) => Answer::Status(json.to_vec()),
            wire::Answer::Table(_) => Answer::Table,
        };
        Response { number: response.number, group: response.group, answer }
    }
}

/// A number that nobody else has.
fn lot() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// As a socket for both families wants it.
fn to_v6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}
