//! The parts of a turn: a datagram comes in; the replicas act; datagrams go out.

use super::clients::Clients;
use super::groups::Groups;
use super::service::{Service, Verdict};
use super::status::{self, Links, Process};
use crate::config::Cluster;
use crate::protocol::{NodeId, Outcome};
use crate::socket::{Socket, Traffic};
use crate::wire::{
    Answer, CLIENT, Dropped, Drops, Inbox, Keys, Packer, Packet, PacketKind, Response, Tokens,
    challenge,
};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::debug;

/// Everything of a node but its socket.
pub struct Driver {
    /// Which node this is, and since when.
    pub process: Process,
    keys: Keys,
    tokens: Tokens,
    datagram_bytes: usize,
    service: Service,
    /// The replicas.
    pub groups: Groups,
    peers: Vec<Peer>,
    clients: Clients,
    /// Challenges to be sent, and whereto.
    challenges: Vec<(SocketAddr, Vec<u8>)>,
    /// What was dropped, and why.
    pub drops: Drops,
    /// As of the end of the last turn.
    traffic: Traffic,
}

/// Another node.
struct Peer {
    node: NodeId,
    address: SocketAddr,
    packer: Packer,
    inbox: Inbox,
}

impl Driver {
    /// A node that has heard from nobody yet. `token_key`: see [`Tokens::new`].
    pub fn new(
        process: Process,
        cluster: &Cluster,
        secret: &[u8],
        token_key: [u8; blake3::KEY_LEN],
        groups: Groups,
    ) -> Driver {
        let Process { node, boot, .. } = process;
        let keys = Keys::new(secret, cluster.tag(), node, cluster.nodes.iter().map(|n| n.id));
        let datagram_bytes = cluster.limits.datagram_bytes;
        let others = cluster.nodes.iter().filter(|other| other.id != node);
        let peers = others.map(|other| Peer {
            node: other.id,
            address: other.address,
            packer: Packer::new(&keys, other.id, boot, 0, datagram_bytes),
            inbox: Inbox::default(),
        });
        Driver {
            process,
            peers: peers.collect(),
            keys,
            tokens: Tokens::new(token_key),
            datagram_bytes,
            service: Service::new(cluster),
            groups,
            clients: Clients::new(),
            challenges: Vec::new(),
            drops: Drops::default(),
            traffic: Traffic::default(),
        }
    }

    /// Sets the time for what follows.
    pub fn begin_turn(&mut self, now: Instant) {
        self.groups.begin_turn(now);
    }

    /// Takes a datagram, from anybody.
    pub fn datagram(&mut self, datagram: &[u8], from: SocketAddr) {
        let keys = &self.keys;
        match Packet::open(datagram, keys).map(|packet| (packet.kind, packet)) {
            Ok((PacketKind::Node, packet)) => {
                let at = self.peers.binary_search_by_key(&packet.source, |peer| peer.node);
                let peer = &mut self.peers[at.expect("keys are of peers and clients only")];
                let (groups, mut malformed) = (&mut self.groups, 0);
                peer.inbox.receive(&packet, &mut self.drops, |frame| {
                    match frame.envelope(&packet) {
                        Ok(envelope) => groups.message(envelope),
                        Err(_) => malformed += 1,
                    }
                });
                (0..malformed).for_each(|_| self.drops.count(Dropped::Malformed));
            }
            Ok((PacketKind::Request, packet)) => self.requests(&packet, from),
            Ok((PacketKind::Response | PacketKind::Challenge, _)) => {
                self.drops.count(Dropped::Malformed);
            }
            Err(reason) => {
                debug!(%from, reason = reason.name(), bytes = datagram.len(), "dropped a datagram");
                self.drops.count(reason);
            }
        }
    }

    /// Has the replicas act. After an error the node must stop.
    pub fn act(&mut self) -> io::Result<()> {
        self.groups.act()
    }

    /// Sends what this turn wants sent.
    pub fn send(&mut self, socket: &mut Socket) {
        let Driver { groups, peers, clients, .. } = self;
        groups.drain(
            |envelope| {
                let at = peers.binary_search_by_key(&envelope.to, |peer| peer.node);
                let peer = &mut peers[at.expect("replicas speak to members only")];
                peer.packer.message(envelope).expect("replicas cut what they send");
            },
            |group, given| {
                let answer = match given.outcome {
                    Outcome::Reply(reply) => Answer::Reply(reply),
                    Outcome::Redirect(node) => Answer::Redirect(node),
                    Outcome::Busy => Answer::Busy,
                };
                clients.answer(given.client, given.number, group, answer);
            },
        );
        let run_max = socket.run_max();
        for Peer { address, packer, .. } in peers.iter_mut().filter(|p| !p.packer.is_empty()) {
            packer.seal(run_max).for_each(|run| socket.send(*address, &run));
        }
        clients.flush(run_max, |address, run| socket.send(address, run));
        for (address, datagram) in self.challenges.drain(..) {
            socket.send_one(address, &datagram);
        }
        self.traffic = socket.traffic;
    }

    /// Takes a client's packet.
    fn requests(&mut self, packet: &Packet<'_>, from: SocketAddr) {
        let now = self.process.started.elapsed();
        let epoch = now.as_secs() / Tokens::EPOCH_S;
        let Driver { keys, process, datagram_bytes, drops, groups, service, traffic, .. } = self;
        if let Err(reason) = self.tokens.verify(packet, from, epoch) {
            drops.count(reason);
            debug!(%from, "challenged a client at an address not verified yet");
            let (token, mut datagram) = (self.tokens.token(from, epoch), Vec::new());
            challenge(keys, process.boot, token, &mut datagram);
            self.challenges.push((from, datagram));
            return;
        }
        let clients_count = self.clients.count();
        // The address may have had a packer before, which was given up.
        let number = now.as_micros() as u64;
        let fresh = || Packer::new(keys, CLIENT, process.boot, number, *datagram_bytes);
        let (reassembly, mut responder) = self.clients.at(from, fresh);
        for frame in packet.frames() {
            let frame = match reassembly.whole(packet.boot, frame) {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(reason) => {
                    drops.count(reason);
                    continue;
                }
            };
            let Ok(request) = frame.request() else {
                drops.count(Dropped::Malformed);
                continue;
            };
            let (client, number) = (request.client, request.number);
            let mut give =
                |group, answer| responder.give(Response { client, number, group, answer });
            match service.judge(&request, groups) {
                Verdict::Ask(at, body) => groups.request(at, responder.later(client), number, body),
                Verdict::Answer(group, answer) => give(group, answer),
                Verdict::Status => {
                    let links = Links { traffic: *traffic, drops, clients: clients_count };
                    let json = status::report(process, groups, &links);
                    give(request.group, Answer::Status(json.as_bytes()));
                }
            }
        }
    }
}
