//! The proxy between real sockets of this machine: who hears whom, where, and what is counted.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use checker::proxy::{Counts, Endpoint, Link, Proxy, Weather};
use node::wire::NodeId;

/// For what takes milliseconds on a quiet machine.
const TIMEOUT: Duration = Duration::from_secs(30);
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const CLIENTS: Endpoint = Endpoint::Client(0);

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(TIMEOUT)).expect("it is not zero");
    socket
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("it is bound")
}

/// Two nodes, and two groups of clients.
struct Rig {
    a: UdpSocket,
    b: UdpSocket,
    proxy: Proxy,
}

impl Rig {
    fn new(seed: u64) -> Rig {
        let (a, b) = (socket(), socket());
        let proxy = Proxy::start(&[(A, address(&a)), (B, address(&b))], 2, seed);
        Rig { a, b, proxy: proxy.expect("sockets on loopback") }
    }

    fn in_weather(seed: u64, weather: Weather) -> Rig {
        let rig = Rig::new(seed);
        rig.proxy.set(Link::between(A, B), weather);
        rig
    }

    /// Of the link from a to b.
    fn counts(&self) -> Counts {
        self.proxy.counters()[&Link::between(A, B)]
    }

    fn send(&self, datagram: &[u8]) {
        let to = self.proxy.address(Endpoint::Node(A), B);
        self.a.send_to(datagram, to).expect("loopback takes it");
    }

    /// Waits until nothing waits on the link from a to b; returns its counts.
    fn settled(&self, sent: u64) -> Counts {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let counts = self.counts();
            let Counts { received, passed, cut, lost, crowded, .. } = counts;
            if received == sent && received == passed + cut + lost + crowded {
                return counts;
            }
            assert!(Instant::now() < deadline, "{sent} sent: {counts:?}");
            std::thread::yield_now();
        }
    }

    /// Sends numbered datagrams from a to b, few at a time, so that no buffer overflows; returns
    /// what came.
    fn through(&self, numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
        let mut came = Vec::new();
        let before = self.counts();
        let arrived = |counts: Counts| counts.passed + counts.duplicated + counts.replayed;
        for number in numbers.clone() {
            self.send(&numbered(number));
            let sent = u64::from(number - numbers.start + 1);
            if sent % 32 == 0 || number + 1 == numbers.end {
                let counts = self.settled(before.received + sent);
                while came.len() as u64 + arrived(before) < arrived(counts) {
                    came.push(receive(&self.b).0);
                }
            }
        }
        came
    }
}

/// With something to damage behind the number.
fn numbered(number: u32) -> Vec<u8> {
    [&number.to_le_bytes()[..], &[7; 60]].concat()
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (size_bytes, from) = socket.recv_from(&mut buffer).expect("something comes");
    (buffer[..size_bytes].to_vec(), from)
}

/// Whether nothing is there. It has arrived already, if it was sent before something that has.
fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).expect("it is ours");
    let silent = socket.recv_from(&mut [0]).is_err();
    socket.set_nonblocking(false).expect("it is ours");
    silent
}

#[test]
fn each_node_hears_the_other_where_it_reaches_it() {
    let Rig { a, b, proxy } = Rig::new(1);
    let face_of_b = proxy.address(Endpoint::Node(A), B);
    let face_of_a = proxy.address(Endpoint::Node(B), A);
    a.send_to(b"question", face_of_b).expect("loopback takes it");
    assert_eq!(receive(&b), (b"question".to_vec(), face_of_a));
    b.send_to(b"answer", face_of_a).expect("loopback takes it");
    assert_eq!(receive(&a), (b"answer".to_vec(), face_of_b));
}

#[test]
fn clients_are_answered_by_the_face_they_asked() {
    let Rig { a, b, proxy } = Rig::new(1);
    let clients = [socket(), socket(), socket()];
    let mut seen = Vec::new();
    for (number, client) in (0..).zip(&clients) {
        // The last one is of another group.
        let group = Endpoint::Client(number / 2);
        for (name, node) in [(A, &a), (B, &b)] {
            let face = proxy.address(group, name);
            client.send_to(&[number as u8], face).expect("loopback takes it");
            let (datagram, from) = receive(node);
            assert_eq!(datagram, [number as u8]);
            seen.push(from);
        }
    }
    // Later and in another order, as answers come.
    for (at, from) in seen.iter().enumerate().rev() {
        let node = if at % 2 == 0 { &a } else { &b };
        node.send_to(&[at as u8], from).expect("loopback takes it");
    }
    for (at, _) in seen.iter().enumerate().rev() {
        let group = Endpoint::Client(at as u32 / 4);
        let face = proxy.address(group, if at % 2 == 0 { A } else { B });
        assert_eq!(receive(&clients[at / 2]), (vec![at as u8], face));
    }
    seen.dedup();
    assert_eq!(seen.len(), clients.len(), "each client has one address, for both nodes");
}

#[test]
fn weather_of_clients_is_theirs_alone() {
    let Rig { a, proxy, .. } = Rig::new(1);
    let link = Link { from: CLIENTS, to: Endpoint::Node(A) };
    proxy.set(link, Weather::CUT);
    let client = socket();
    client.send_to(b"cut off", proxy.address(CLIENTS, A)).expect("loopback takes it");
    client.send_to(b"heard", proxy.address(Endpoint::Client(1), A)).expect("loopback takes it");
    assert_eq!(receive(&a).0, b"heard");
    proxy.heal();
    client.send_to(b"healed", proxy.address(CLIENTS, A)).expect("loopback takes it");
    assert_eq!(receive(&a).0, b"healed");
    assert_eq!(proxy.counters()[&link].cut, 1);
}

#[test]
fn more_clients_come_than_have_room() {
    let Rig { a, proxy, .. } = Rig::new(1);
    let face = proxy.address(CLIENTS, A);
    let ask = |client: &UdpSocket| {
        client.send_to(b"question", face).expect("loopback takes it");
        let (_, from) = receive(&a);
        a.send_to(b"answer", from).expect("loopback takes it");
        assert_eq!(receive(client).0, b"answer");
    };
    let clients: Vec<UdpSocket> = (0..300).map(|_| socket()).collect();
    clients.iter().for_each(ask);
    ask(&clients[0]);
}

#[test]
fn a_stranger_at_a_face_is_not_taken_for_the_node() {
    let rig = Rig::new(1);
    let face = rig.proxy.address(Endpoint::Node(A), B);
    socket().send_to(b"I am a", face).expect("loopback takes it");
    rig.send(b"I am");
    assert_eq!(receive(&rig.b).0, b"I am");
    assert!(is_silent(&rig.b));
    assert_eq!(rig.counts().received, 1);
}

#[test]
fn the_seed_says_which_of_a_thousand_are_lost_and_which_doubled() {
    let weather = Weather { loss: 100, burst_max: 4, duplicate: 200, ..Weather::CLEAR };
    let runs = [7, 7, 8].map(|seed| {
        let rig = Rig::in_weather(seed, weather);
        let came = rig.through(0..1000);
        assert!(is_silent(&rig.b));
        (came, rig.counts())
    });
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].0, runs[2].0);
    let (came, counts) = &runs[0];
    let mut numbers = came.clone();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, 1000 - counts.lost);
    assert_eq!((came.len() - numbers.len()) as u64, counts.duplicated);
    assert!(counts.lost > 100 && counts.duplicated > 80, "{counts:?}");
}

#[test]
fn after_a_cut_nothing_passes_not_even_what_waits() {
    let rig = Rig::in_weather(1, Weather { delay_ms: 500, ..Weather::CLEAR });
    for number in 0..20 {
        rig.send(&numbered(number));
    }
    let deadline = Instant::now() + TIMEOUT;
    while rig.counts().received < 20 {
        assert!(Instant::now() < deadline, "all wait");
        std::thread::yield_now();
    }
    rig.proxy.set(Link::between(A, B), Weather::CUT);
    let passed = rig.counts().passed;
    let counts = rig.settled(20);
    assert_eq!((counts.passed, counts.cut), (passed, 20 - passed));
    rig.proxy.heal();
    rig.send(b"healed");
    (0..passed).for_each(|_| assert_ne!(receive(&rig.b).0, b"healed"));
    assert_eq!(receive(&rig.b).0, b"healed");
}

#[test]
fn a_cut_is_one_way() {
    let rig = Rig::in_weather(1, Weather::CUT);
    rig.send(b"nobody hears this");
    rig.settled(1);
    rig.b.send_to(b"heard", rig.proxy.address(Endpoint::Node(B), A)).expect("loopback takes it");
    assert_eq!(receive(&rig.a).0, b"heard");
    assert!(is_silent(&rig.b));
}

#[test]
fn what_is_delayed_comes_no_sooner() {
    let rig = Rig::in_weather(1, Weather { delay_ms: 20, jitter_ms: 10, ..Weather::CLEAR });
    for number in 0..20 {
        let sent = Instant::now();
        rig.send(&numbered(number));
        assert_eq!(receive(&rig.b).0, numbered(number));
        assert!(sent.elapsed() >= Duration::from_millis(20));
    }
    assert_eq!(rig.counts().delayed, 20);
}

#[test]
fn order_changes_and_nothing_is_missing() {
    let rig = Rig::in_weather(1, Weather { reorder: 200, ..Weather::CLEAR });
    let came = rig.through(0..500);
    let mut sorted = came.clone();
    sorted.sort_by_key(|datagram| u32::from_le_bytes(*datagram.first_chunk().expect("a number")));
    assert_ne!(came, sorted);
    assert_eq!(sorted, (0..500).map(numbered).collect::<Vec<_>>());
    assert!(rig.counts().reordered > 50);
}

#[test]
fn as_many_are_damaged_as_are_counted() {
    let rig = Rig::in_weather(1, Weather { corrupt: 300, ..Weather::CLEAR });
    let came = rig.through(0..500);
    let damaged = (0..).zip(&came).filter(|(number, came)| **came != numbered(*number)).count();
    let shorter = came.iter().filter(|came| came.len() < 64).count();
    assert_eq!((came.len(), damaged as u64), (500, rig.counts().corrupted));
    assert!(damaged > 100 && shorter > 10 && shorter < damaged);
}

#[test]
fn old_datagrams_come_again() {
    let rig = Rig::new(1);
    let before = rig.through(0..100);
    rig.proxy.set(Link::between(A, B), Weather { replay: 500, ..Weather::CLEAR });
    let came = rig.through(100..200);
    let replayed = came.len() as u64 - 100;
    assert_eq!(replayed, rig.counts().replayed);
    assert!(came.iter().any(|datagram| before.contains(datagram)));
}

#[test]
fn every_datagram_is_accounted_for_and_healing_ends_it_all() {
    let storm = Weather {
        loss: 100,
        burst_max: 5,
        duplicate: 100,
        replay: 100,
        reorder: 100,
        corrupt: 100,
        delay_ms: 1,
        jitter_ms: 5,
        ..Weather::CLEAR
    };
    let rig = Rig::in_weather(1, storm);
    for number in 0..500 {
        rig.send(&numbered(number));
        if number % 32 == 0 {
            rig.settled(u64::from(number) + 1);
            while !is_silent(&rig.b) {}
        }
    }
    let counts = rig.settled(500);
    let each = [counts.lost, counts.duplicated, counts.replayed, counts.reordered];
    assert!(each.iter().chain([&counts.corrupted, &counts.delayed]).all(|count| *count > 20));
    rig.proxy.heal();
    while !is_silent(&rig.b) {}
    // Copies may still be on their way; the last word is clear.
    rig.send(b"healed");
    while receive(&rig.b).0 != b"healed" {}
    assert_eq!(rig.proxy.weather(Link::between(A, B)), Weather::CLEAR);
}
