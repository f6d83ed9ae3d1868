//! Whatever anybody sends: random, damaged, forged and repeated datagrams at a cluster at work.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, UdpSocket};

use node::client::{Client, Failure, Outcome};
use node::protocol::{Ballot, Message};
use node::wire::{
    DATAGRAM_BYTES, DATAGRAM_BYTES_MAX, Dropped, Envelope, GroupId, Keys, NodeId, Packer, Packet,
    PacketKind,
};

use crate::caller::Caller;
use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT, eventually};
use crate::size::{Line, Random, size};
use crate::tap::Tap;

/// Datagrams sent to a node before it is asked whether it has taken them: so many fit its buffer.
const BURST: u64 = 64;

/// A cluster whose nodes reach each other through taps.
fn tapped() -> (Nodes, BTreeMap<NodeId, Tap>) {
    let mut nodes = Nodes::prepare(Shape::new(3, 2));
    let ids = nodes.ids();
    let tap = |id: &NodeId| (*id, Tap::in_front_of(nodes.address(*id)));
    let taps: BTreeMap<NodeId, Tap> = ids.iter().map(tap).collect();
    ids.iter().for_each(|id| nodes.let_see(*id, |peer| taps[&peer].address));
    nodes.start_missing();
    ids.iter().for_each(|id| drop(nodes.status(*id)));
    // What came before a node was there never arrived, and would be new to it.
    taps.values().for_each(Tap::forget);
    (nodes, taps)
}

/// The keys of a node, with which it opens what comes to it.
fn node_keys(nodes: &Nodes, id: NodeId) -> Keys {
    let secret = nodes.secret.as_ref().map_or(&[][..], |secret| secret.bytes());
    Keys::new(secret, nodes.cluster.tag(), id, nodes.ids())
}

/// A client all of whose requests come from the taps.
fn client_behind(nodes: &Nodes, taps: &BTreeMap<NodeId, Tap>) -> Client {
    let mut cluster = nodes.cluster.clone();
    for node in &mut cluster.nodes {
        node.address = taps[&node.id].address;
    }
    Client::connect(&cluster, nodes.secret.as_ref(), TIMEOUT).expect("a socket")
}

/// Some requests of all kinds and sizes through a tap, for the copies.
fn ask_through_taps(nodes: &Nodes, taps: &BTreeMap<NodeId, Tap>) {
    let mut client = client_behind(nodes, taps);
    for number in 0..40_usize {
        let (key, value) = (format!("tapped-{number}"), vec![b'v'; 97 * number]);
        assert_eq!(client.put(key.as_bytes(), &value), Outcome::Ok(()));
        assert!(client.get(key.as_bytes()) == Outcome::Ok(value.into()));
        assert!(matches!(client.route(key.as_bytes()), Outcome::Ok(_)));
    }
    nodes.ids().into_iter().for_each(|id| assert!(matches!(client.status(id), Outcome::Ok(_))));
}

/// A datagram that nobody sent so, from some that were sent.
fn damaged(random: &mut Random, sent: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = random.pick(sent).clone();
    let position = random.below(datagram.len() as u64) as usize;
    match random.below(10) {
        0 => datagram = random.bytes(1_500),
        1 => datagram[position] ^= 1 << random.below(8),
        2 => {
            for _ in 0..8 {
                let at = random.below(datagram.len() as u64) as usize;
                datagram[at] = random.word() as u8;
            }
        }
        3 => datagram.truncate(position.max(1)),
        4 => datagram.extend(random.bytes(300)),
        5 => {
            datagram.truncate(position);
            let tail = random.pick(sent);
            datagram.extend_from_slice(&tail[random.below(tail.len() as u64) as usize..]);
        }
        6 => {
            // Fields of the header, and their worst values.
            let (at, bytes) =
                *random.pick(&[(4, 1), (5, 1), (6, 2), (8, 2), (10, 8), (18, 8), (26, 8)]);
            let worst = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]);
            datagram.iter_mut().skip(at).take(bytes).for_each(|byte| *byte = worst);
        }
        7 => {}
        8 => datagram.resize(DATAGRAM_BYTES_MAX + 1 + random.below(2_000) as usize, 0),
        _ => drop(datagram.splice(position..position, random.bytes(40))),
    }
    datagram
}

/// What a node did not take, by reason; and what the kernel dropped before it saw it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Drops {
    counted: BTreeMap<String, u64>,
    by_kernel: u64,
}

impl Drops {
    fn of(nodes: &Nodes, caller: &mut Caller, id: NodeId) -> Drops {
        let status = caller.status(id);
        let counted = status["drops"].as_object().expect("counters by reason").iter();
        let counted = counted.map(|(reason, count)| (reason.clone(), count.as_u64().unwrap_or(0)));
        Drops { counted: counted.collect(), by_kernel: dropped_by_kernel(nodes.address(id)) }
    }

    fn of_all(nodes: &Nodes, caller: &mut Caller) -> BTreeMap<NodeId, Drops> {
        nodes.ids().into_iter().map(|id| (id, Drops::of(nodes, caller, id))).collect()
    }

    fn since(&self, earlier: &Drops, reason: Dropped) -> u64 {
        self.counted[reason.name()] - earlier.counted[reason.name()]
    }
}

/// The last column of the socket's line in `/proc/net/udp`.
fn dropped_by_kernel(address: SocketAddr) -> u64 {
    let SocketAddr::V4(address) = address else { panic!("tests use IPv4") };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{ip:08X}:{:04X}", address.port());
    let sockets = fs::read_to_string("/proc/net/udp").expect("Linux has it");
    let line = sockets.lines().find(|line| line.contains(&local));
    let drops = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    drops.unwrap_or_else(|| panic!("no socket at {local}"))
}

/// Why a node will drop this, sent from where nobody is known.
fn expected(datagram: &[u8], keys: &Keys) -> Dropped {
    match Packet::open(datagram, keys) {
        Err(reason) => reason,
        Ok(packet) if packet.kind == PacketKind::Request => Dropped::Unverified,
        // It is authentic, so it has been sent before.
        Ok(_) => Dropped::Replayed,
    }
}

#[test]
fn random_and_damaged_datagrams_are_dropped_and_counted() {
    let line = Line::begin("random, damaged and repeated datagrams under load");
    let mut random = Random::seeded("datagrams");
    let (mut nodes, taps) = tapped();
    let load = Load::start(&nodes, 4, TIMEOUT);
    ask_through_taps(&nodes, &taps);
    let kept = || taps.iter().map(|(id, tap)| (*id, tap.kept())).collect::<BTreeMap<_, _>>();
    let mut sent = eventually("there is traffic", || {
        Some(kept()).filter(|kept| kept.values().all(|kept| kept.len() > 1_000))
    });

    let mut caller = Caller::new(&nodes);
    let stranger = UdpSocket::bind(SocketAddr::from(([0; 4], 0))).expect("a socket");
    let before = Drops::of_all(&nodes, &mut caller);
    let mut tally = Tally::default();
    let bursts = size(20_000, 1_000_000).div_ceil(BURST);
    for burst in 0..bursts {
        let to = *random.pick(&nodes.ids());
        let keys = node_keys(&nodes, to);
        for _ in 0..BURST {
            // Most go to whom they were meant for: others look no further than the address.
            let meant_for = if random.below(8) > 0 { to } else { *random.pick(&nodes.ids()) };
            let datagram = damaged(&mut random, &sent[&meant_for]);
            stranger.send_to(&datagram, nodes.address(to)).expect("loopback takes it");
            tally.expect(to, expected(&datagram, &keys));
        }
        // It answers in order: by now it has taken all of these.
        caller.status(to);
        if burst % 1_000 == 999 {
            sent = kept();
        }
    }
    let told = tally.compare(&before, &Drops::of_all(&nodes, &mut caller));
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    nodes.ids().into_iter().for_each(|id| assert!(nodes.is_running(id), "{id} has ended"));
    line.end(
        bursts * BURST,
        format_args!("{told}; {} acknowledged, 0 wrong", summary.acknowledged),
    );
}

/// Drops that were predicted.
#[derive(Default)]
struct Tally(BTreeMap<(NodeId, Dropped), u64>);

impl Tally {
    fn expect(&mut self, id: NodeId, reason: Dropped) {
        *self.0.entry((id, reason)).or_default() += 1;
    }

    /// What was predicted has happened: to the number, unless the kernel took its share. Returns it
    /// in words.
    fn compare(&self, before: &BTreeMap<NodeId, Drops>, after: &BTreeMap<NodeId, Drops>) -> String {
        let (mut by_kernel, mut sums) = (0, BTreeMap::new());
        for (id, after) in after {
            let before = &before[id];
            // What was lost before is new to the node when it is repeated.
            let lost = after.by_kernel;
            by_kernel += lost - before.by_kernel;
            let mut missing = BTreeMap::new();
            for reason in Dropped::ALL {
                let predicted = self.0.get(&(*id, reason)).copied().unwrap_or(0);
                let counted = after.since(before, reason);
                *sums.entry(reason.name()).or_insert(0) += counted;
                missing.insert(reason.name(), predicted.saturating_sub(counted));
                // Clients that come to know a node are unverified at first, and a damaged copy may
                // overtake what it is a copy of.
                let exact = ![Dropped::Unverified, Dropped::Replayed].contains(&reason);
                let name = reason.name();
                assert!(
                    counted <= predicted || !exact,
                    "{id}: {counted} {name}, and {predicted} were sent"
                );
            }
            let sum: u64 = missing.values().sum();
            assert!(sum <= lost, "{id}: not counted {missing:?}, and the kernel dropped {lost}");
        }
        let counts = sums.iter().map(|(reason, count)| format!("{reason} {count}"));
        let counts: Vec<String> = counts.collect();
        format!("{}; by the kernel {by_kernel}", counts.join(", "))
    }
}

#[test]
fn what_is_not_for_this_node_of_this_cluster_has_no_effect() {
    let nodes = Nodes::start(Shape::new(3, 1));
    assert_eq!(nodes.client().put(b"k", b"v"), Outcome::Ok(()));
    let mut caller = Caller::new(&nodes);
    let [to, source, _] = nodes.ids()[..] else { panic!("three nodes") };
    let (tag, ids) = (nodes.cluster.tag(), nodes.ids());
    let secret = *nodes.secret.as_ref().expect("init makes one").bytes();
    let mut other_secret = secret;
    other_secret[0] ^= 1;
    let keys = |secret: &[u8], tag, node| Keys::new(secret, tag, node, ids.iter().copied());

    // A call to follow a ballot that nobody else can reach; from whom, to whom, sealed how.
    let forged = Ballot { round: u64::MAX >> 1, ..Ballot::default() };
    let prepare = |keys: &Keys, from, destination| {
        let message = Message::Prepare { ballot: forged };
        let envelope = Envelope { group: GroupId(0), from, to: destination, message };
        let mut packer = Packer::new(keys, destination, 1 << 40, 0, DATAGRAM_BYTES);
        packer.message(&envelope).expect("it is small");
        let sealed = packer.seal(1).next().map(|run| run.contents.to_vec());
        sealed.expect("one datagram")
    };
    let good = prepare(&keys(&secret, tag, source), source, to);
    let mut version = good.clone();
    version[3] += 1;
    let mut wrong_tag = good.clone();
    *wrong_tag.last_mut().expect("it is not empty") ^= 1;
    let stranger = NodeId(99);
    let cases = [
        (version, Dropped::Version),
        (prepare(&keys(&secret, tag + 1, source), source, to), Dropped::Cluster),
        (prepare(&keys(&secret, tag, source), source, ids[2]), Dropped::Destination),
        (prepare(&keys(&secret, tag, to), to, source), Dropped::Destination),
        (prepare(&keys(&secret, tag, stranger), stranger, to), Dropped::Source),
        (wrong_tag, Dropped::Tag),
        (prepare(&keys(&other_secret, tag, source), source, to), Dropped::Tag),
        (good[..good.len() / 2].to_vec(), Dropped::Malformed),
        (vec![0], Dropped::Malformed),
        (vec![], Dropped::Malformed),
    ];
    let socket = UdpSocket::bind(SocketAddr::from(([0; 4], 0))).expect("a socket");
    let before = Drops::of_all(&nodes, &mut caller);
    let mut tally = Tally::default();
    for (datagram, reason) in &cases {
        assert_eq!(expected(datagram, &node_keys(&nodes, to)), *reason);
        for _ in 0..10 {
            socket.send_to(datagram, nodes.address(to)).expect("loopback takes it");
            tally.expect(to, *reason);
        }
    }
    tally.compare(&before, &Drops::of_all(&nodes, &mut caller));
    for id in &ids {
        let promised = caller.status(*id)["groups"][0]["promised"].clone();
        assert_ne!(promised, forged.to_string(), "{id} follows a forged call");
    }
    assert_eq!(nodes.client().get(b"k"), Outcome::Ok(b"v".as_slice().into()));
}

/// Whoever sits on the path may send a client's requests again, from the address that the client has
/// proved to be at.
#[test]
fn what_a_client_sent_is_done_once_however_often_it_comes() {
    let line = Line::begin("requests repeated from the verified address of their client");
    let mut random = Random::seeded("repeated requests");
    let nodes = Nodes::start(Shape::new(3, 2));
    let tap = |id| (id, Tap::in_front_of(nodes.address(id)));
    let taps: BTreeMap<NodeId, Tap> = nodes.ids().into_iter().map(tap).collect();
    let mut client = client_behind(&nodes, &taps);
    let (mut caller, mut count, mut repeated) = (Caller::new(&nodes), 0_u64, 0);
    assert_eq!(client.put(b"count", b"0"), Outcome::Ok(()));
    for round in 0..size(20, 300) {
        for _ in 0..5 {
            let (old, new) = (count.to_string(), (count + 1).to_string());
            let swapped = client.cas(b"count", Some(old.as_bytes()), new.as_bytes());
            assert_eq!(swapped, Outcome::Ok(new.as_bytes().into()));
            assert_eq!(client.put(b"last", new.as_bytes()), Outcome::Ok(()));
            // Deleted at once: a put of the past would bring it back.
            assert_eq!(client.put(b"gone", new.as_bytes()), Outcome::Ok(()));
            assert_eq!(client.delete(b"gone"), Outcome::Ok(()));
            count += 1;
        }
        for (id, tap) in &taps {
            let mut kept = tap.kept();
            if round % 2 == 1 {
                kept.reverse();
            }
            for datagram in kept.iter().filter(|_| random.below(4) == 0).take(4 * BURST as usize) {
                tap.send(datagram);
                repeated += 1;
                if repeated % BURST == 0 {
                    caller.status(*id);
                }
            }
        }
        let text = count.to_string();
        assert_eq!(client.get(b"count"), Outcome::Ok(text.as_bytes().into()));
        assert_eq!(client.get(b"last"), Outcome::Ok(text.as_bytes().into()));
        assert_eq!(client.get(b"gone"), Outcome::Fail(Failure::Missing));
    }
    line.end(
        repeated,
        format_args!("{count} swaps, each done once; nothing of the past came back"),
    );
}

#[test]
fn what_was_sent_before_a_restart_has_no_effect_after_it() {
    let line = Line::begin("all node traffic replayed after restarts of sender and receiver");
    let (mut nodes, taps) = tapped();
    let load = Load::start(&nodes, 4, TIMEOUT);
    let socket = UdpSocket::bind(SocketAddr::from(([0; 4], 0))).expect("a socket");
    let mut caller = Caller::new(&nodes);
    let mut replayed = 0;
    for round in 0..size(3, 30) {
        load.wait_for(200);
        let ids = nodes.ids();
        let restarted = ids[round as usize % 3];
        let before: BTreeMap<NodeId, Vec<Vec<u8>>> =
            taps.iter().map(|(id, tap)| (*id, tap.kept())).collect();
        nodes.kill(restarted);
        nodes.start_node(restarted);
        caller.status(restarted);
        // To the one that has forgotten what it has seen, and to those that know a new boot of it.
        for (to, datagrams) in &before {
            for burst in datagrams.chunks(BURST as usize) {
                for datagram in burst {
                    socket.send_to(datagram, nodes.address(*to)).expect("loopback takes it");
                }
                caller.status(*to);
                replayed += burst.len() as u64;
            }
        }
    }
    load.wait_for(200);
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    nodes.ids().into_iter().for_each(|id| assert!(nodes.is_running(id), "{id} has ended"));
    line.end(replayed, format_args!("{} acknowledged, 0 wrong", summary.acknowledged));
}
