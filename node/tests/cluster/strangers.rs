//! Addresses that have proved nothing, and members of the cluster that speak nonsense.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use node::client::Outcome;
use node::wire::{
    Command, GroupId, NodeId, Operation, Packer, Question, Request, SessionId, Tokens,
};

use crate::caller::{Caller, NAME, client_keys};
use crate::nodes::{Nodes, Shape};
use crate::size::{Line, Random, size};

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::from(([0; 4], 0))).expect("a socket");
    socket.set_nonblocking(true).expect("sockets can");
    socket
}

/// Takes all that lies in a socket; returns its bytes and datagrams.
fn taken(socket: &UdpSocket) -> (u64, u64) {
    let (mut sum, mut count, mut buffer) = (0, 0, [0; 1 << 16]);
    loop {
        match socket.recv(&mut buffer) {
            Ok(size_bytes) => (sum, count) = (sum + size_bytes as u64, count + 1),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (sum, count),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Requests of every kind and of all sizes, from one to many in a datagram, sealed as any client
/// can seal them, with a token that is none of this address.
fn requests(nodes: &Nodes, random: &mut Random, to: NodeId) -> Vec<Vec<u8>> {
    let size_bytes = *random.pick(&[512, 600, 1_200, 1_472, 4_000, 8_900]);
    let mut packer = Packer::new(&client_keys(nodes), to, random.word(), 0, size_bytes);
    if random.below(2) == 0 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&random.word().to_le_bytes());
        let address = SocketAddr::from(([127, 0, 0, 1], random.word() as u16));
        packer.present(Tokens::new(key).token(address, 0));
    }
    for number in 0..1 + random.below(6) {
        let value_bytes_max = *random.pick(&[10, 1_000, 20_000]);
        let (key, value) = (random.bytes(64), random.bytes(value_bytes_max));
        let (session, mut entry) = (SessionId(random.below(5)), Vec::new());
        let operation = Operation::Put { key: &key, value: &value };
        Command { session, number, acknowledged: 0, operation }.encode(&mut entry);
        let open = {
            let mut open = Vec::new();
            Command::OPEN.encode(&mut open);
            open
        };
        let question = match random.below(7) {
            0 => Question::Status,
            1 => Question::Route(None),
            2 => Question::Route(Some(&key)),
            3 => Question::Read(b"large"),
            4 => Question::Read(&key),
            5 => Question::Write(&open),
            _ => Question::Write(&entry),
        };
        let group = GroupId(random.below(2) as u32);
        let request = Request { client: NAME, number, group, question };
        packer.request(&request).expect("small enough");
    }
    packer.seal(1).map(|run| run.contents.to_vec()).collect()
}

#[test]
fn an_unverified_address_never_gets_more_bytes_than_it_sent() {
    let line = Line::begin("requests from an unverified address, answers against questions");
    let mut random = Random::seeded("amplification");
    let nodes = Nodes::start(Shape::new(3, 1));
    // What an amplifier would like to be asked for.
    assert_eq!(nodes.client().put(b"large", &[b'x'; 60_000]), Outcome::Ok(()));
    let (mut caller, to) = (Caller::new(&nodes), nodes.leader(b"large"));
    let (mut sent, mut sent_bytes, mut heard, mut heard_bytes) = (0, 0, 0, 0);
    let (mut ratio_max, mut smallest) = (0_f64, u64::MAX);
    while sent < size(1_000, 100_000) {
        for datagram in requests(&nodes, &mut random, to) {
            let stranger = socket();
            stranger.send_to(&datagram, nodes.address(to)).expect("loopback takes it");
            // Challenges go out last in a turn: after the second answer they have gone.
            (0..2).for_each(|_| drop(caller.status(to)));
            let (bytes, count) = taken(&stranger);
            let asked_bytes = datagram.len() as u64;
            assert!(bytes <= asked_bytes, "{bytes} bytes for {asked_bytes}: {datagram:02x?}");
            assert_eq!(count, 1, "a challenge, and nothing else");
            (sent, sent_bytes) = (sent + 1, sent_bytes + asked_bytes);
            (heard, heard_bytes) = (heard + count, heard_bytes + bytes);
            smallest = smallest.min(asked_bytes);
            ratio_max = ratio_max.max(bytes as f64 / asked_bytes as f64);
        }
    }
    let result = format!(
        "{sent_bytes} bytes in, {heard_bytes} out in {heard} challenges; at worst {ratio_max:.2} \
         bytes out for one in (a question of {smallest})"
    );
    line.end(sent, result);
}

/// The tag of a packet, made from what `wire.rs` says of it: the tests cannot seal otherwise what no
/// node or client would send.
fn seal(nodes: &Nodes, packet: &mut [u8]) {
    let secret = nodes.secret.as_ref().expect("init makes one").bytes();
    let key = blake3::derive_key("Quorate wire 1, packet tags", &[&packet[6..10], secret].concat());
    let (sealed, tag) = packet.split_at_mut(packet.len() - 16);
    tag.copy_from_slice(&blake3::keyed_hash(&key, sealed).as_bytes()[..16]);
}

/// Who has the secret may speak nonsense; the node does not fall over it.
#[test]
fn authentic_nonsense_of_clients_is_survived() {
    /// Before the first frame of a request: header and token.
    const BEFORE: usize = 34 + 24;
    let line = Line::begin("authentic nonsense of a verified client");
    let mut random = Random::seeded("nonsense");
    let mut nodes = Nodes::start(Shape::new(3, 2));
    let (mut caller, count) = (Caller::new(&nodes), size(5_000, 500_000));
    // From here on it has a token of each; and answers to nonsense mean nothing to it.
    nodes.ids().into_iter().for_each(|id| drop(caller.status(id)));
    for (sent, to) in (0..count).zip(nodes.ids().into_iter().cycle()) {
        let value = random.bytes(3_000);
        let operation = Operation::Put { key: b"k", value: &value };
        let (session, mut entry) = (SessionId(1 + random.below(9)), Vec::new());
        Command { session, number: sent, acknowledged: 0, operation }.encode(&mut entry);
        let question = *random.pick(&[
            Question::Write(&entry),
            Question::Read(b"k"),
            Question::Route(Some(b"k")),
            Question::Status,
        ]);
        for mut packet in caller.sealed(to, GroupId(random.below(3) as u32), question) {
            let end = packet.len() - 16;
            match random.below(4) {
                0 => packet.truncate(BEFORE + 16 + random.below((end - BEFORE) as u64) as usize),
                1 => drop(packet.splice(end..end, random.bytes(60))),
                _ => (0..1 + random.below(4)).for_each(|_| {
                    let at = BEFORE + random.below((end - BEFORE) as u64) as usize;
                    packet[at] = *random.pick(&[0, 1, 32, 127, 128, 255]);
                }),
            }
            seal(&nodes, &mut packet);
            caller.socket.send_to(&packet, nodes.address(to)).expect("loopback takes it");
        }
        if sent % 32 == 0 {
            assert!(nodes.is_running(to), "{to} has ended");
            caller.swallow();
        }
    }
    nodes.ids().into_iter().for_each(|id| assert!(nodes.is_running(id), "{id} has ended"));
    let mut client = nodes.client();
    assert_eq!(client.put(b"k", b"sound"), Outcome::Ok(()));
    assert_eq!(client.get(b"k"), Outcome::Ok(b"sound".as_slice().into()));
    let malformed = nodes.ids().into_iter().map(|id| {
        let status = nodes.status(id);
        assert_eq!(status["drops"]["tag"], 0, "these were authentic");
        status["drops"]["malformed"].as_u64().expect("a number")
    });
    let malformed: u64 = malformed.sum();
    assert!(malformed > count / 10, "{malformed} malformed of {count}");
    line.end(
        count,
        format_args!("{malformed} dropped as malformed, others answered; all nodes up"),
    );
}
