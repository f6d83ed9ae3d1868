//! The socket, and what is known of each node behind it: its address, our token there, its fragments.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Cluster, Secret};
use crate::socket::{Socket, Traffic};
use crate::wire::{
    CLIENT, Keys, MESSAGE_BYTES_MAX, NodeId, Packer, Packet, PacketKind, Question, Reassembly,
    Request, Response, Token,
};

/// Incomplete messages to hold of each node: the largest answers that come at a time, and copies.
const PARTIAL_MAX: usize = 64;

/// Datagrams to send in a row of messages that take several: a node's receive buffer, as Linux has
/// it by default, holds some 90.
const BURST: usize = 32;
/// Time enough for a node to read a burst.
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// What a request takes of a datagram besides its key or entry, with room to spare.
const OVERHEAD_BYTES: usize = 128;

/// A socket to all nodes. It sees what answers any of them, early or late, in one place.
pub(super) struct Link {
    socket: Socket,
    keys: Keys,
    client: u64,
    /// By ascending id.
    peers: Vec<Peer>,
    /// Requests up to this size share datagrams.
    small_bytes: usize,
    /// Datagrams of long messages, since the last pause.
    in_row: usize,
}

struct Peer {
    node: NodeId,
    address: SocketAddr,
    token: Token,
    packer: Packer,
    reassembly: Reassembly,
}

/// What came from a node.
pub(super) enum Event<'a> {
    /// It wants a token, and has given us a new one: what we sent was dropped.
    Challenge,
    Response(Response<'a>),
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
        let datagram_bytes = cluster.limits.datagram_bytes;
        let peers = cluster.nodes.iter().map(|node| Peer {
            node: node.id,
            address: if has_v6 { to_v6(node.address) } else { node.address },
            token: Token::NONE,
            packer: Packer::new(&keys, node.id, boot, 0, datagram_bytes),
            reassembly: Reassembly::new(PARTIAL_MAX * MESSAGE_BYTES_MAX, PARTIAL_MAX),
        });
        let peers = peers.collect();
        Ok(Link {
            socket: Socket::bind((any, 0).into())?,
            keys,
            client,
            peers,
            small_bytes: datagram_bytes - OVERHEAD_BYTES,
            in_row: 0,
        })
    }

    /// The name under which our requests go.
    pub fn client(&self) -> u64 {
        self.client
    }

    /// Packs a request, to be sent with others by [`Link::flush`]; sends a long one at once. Returns
    /// whether it has a token: without one it is surely not executed.
    /// Panics on a node the cluster has not, and on a request of which the parts are too large.
    pub fn send(&mut self, node: NodeId, request: &Request<'_>) -> bool {
        let at = self.peers.binary_search_by_key(&node, |peer| peer.node);
        let peer = &mut self.peers[at.expect("only nodes of the cluster are asked")];
        let size_bytes = match request.question {
            Question::Write(bytes) | Question::Read(bytes) | Question::Route(Some(bytes)) => {
                bytes.len()
            }
            Question::Status | Question::Route(None) => 0,
        };
        let is_long = size_bytes > self.small_bytes;
        if is_long {
            peer.flush(&mut self.socket);
        }
        peer.packer.request(request).expect("its parts were checked");
        if is_long {
            for run in peer.packer.seal(BURST.min(self.socket.run_max())) {
                self.socket.send(peer.address, &run);
                self.in_row += run.contents.len().div_ceil(run.datagram_bytes);
                if self.in_row >= BURST {
                    thread::sleep(BURST_PAUSE);
                    self.in_row = 0;
                }
            }
        }
        peer.token != Token::NONE
    }

    /// Sends what was packed. What cannot be sent is like what is lost on the way.
    pub fn flush(&mut self) {
        for peer in &mut self.peers {
            peer.flush(&mut self.socket);
        }
    }

    /// Hands out what has come. Nonsense is dropped; a response seen twice is handed out twice.
    pub fn receive(&mut self, mut take: impl FnMut(NodeId, Event<'_>)) {
        let Link { socket, keys, peers, client, .. } = self;
        // The address is not asked for: who made the tag is the node.
        socket.receive(|datagram, _| {
            let Ok(packet) = Packet::open(datagram, keys) else { return };
            let at = peers.binary_search_by_key(&packet.source, |peer| peer.node);
            let peer = &mut peers[at.expect("only nodes of the cluster have keys")];
            if packet.kind == PacketKind::Challenge {
                let token = packet.token.unwrap_or_default();
                // Each datagram is challenged: the first one makes us send again.
                if token != peer.token {
                    peer.token = token;
                    peer.packer.present(token);
                    take(peer.node, Event::Challenge);
                }
            }
            for frame in packet.frames() {
                let Ok(Some(whole)) = peer.reassembly.whole(packet.boot, frame) else { continue };
                match whole.response() {
                    Ok(response) if response.client == *client => {
                        take(peer.node, Event::Response(response));
                    }
                    _ => {}
                }
            }
        });
    }

    /// What passed through the socket.
    pub fn traffic(&self) -> Traffic {
        self.socket.traffic
    }

    /// Waits until something has come, or until then at the latest.
    pub fn wait(&mut self, until: Instant) -> Result<(), io::ErrorKind> {
        if self.socket.has_more() {
            return Ok(());
        }
        let timeout = until.saturating_duration_since(Instant::now());
        match self.socket.wait(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            waited => waited.map_err(|error| error.kind()),
        }
    }
}

impl Peer {
    fn flush(&mut self, socket: &mut Socket) {
        if !self.packer.is_empty() {
            let runs = self.packer.seal(socket.run_max());
            runs.for_each(|run| socket.send(self.address, &run));
        }
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
