//! A relay in front of a node that keeps copies of what it carries to it, and may treat it as badly
//! as a network may.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::size::Random;

/// Most datagrams kept; the oldest give way.
const KEPT_MAX: usize = 20_000;

/// Where the kind of a packet stands, and that of a client's; see `wire.rs`.
const KIND: usize = 4;
const REQUEST: u8 = 2;

/// What happens to datagrams on their way to a node, of a hundred each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weather {
    pub lost: u64,
    pub repeated: u64,
    /// Overtaken by up to [`LATE_MAX`] others.
    pub late: u64,
    pub damaged: u64,
}

const LATE_MAX: u64 = 60;

/// A relay; it ends when it is dropped.
pub struct Tap {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    socket: UdpSocket,
    node: SocketAddr,
    stop: AtomicBool,
    kept: Mutex<VecDeque<Vec<u8>>>,
}

impl Tap {
    pub fn in_front_of(node: SocketAddr) -> Tap {
        // It has no use for a random number.
        Tap::in_weather(node, Weather::default(), Random::of(0))
    }

    pub fn in_weather(node: SocketAddr, weather: Weather, random: Random) -> Tap {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("it is not zero");
        let address = socket.local_addr().expect("bound");
        let (stop, kept) = Default::default();
        let shared = Arc::new(Shared { socket, node, stop, kept });
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || relay(&theirs, weather, random));
        Tap { address, shared, thread: Some(thread) }
    }

    /// Sends a datagram to the node, from where those come that it carries.
    pub fn send(&self, datagram: &[u8]) {
        self.shared.socket.send_to(datagram, self.shared.node).expect("loopback takes it");
    }

    /// Forgets the copies so far.
    pub fn forget(&self) {
        self.shared.kept.lock().expect("nobody panics with it").clear();
    }

    /// Copies of the datagrams carried to the node, the oldest first.
    pub fn kept(&self) -> Vec<Vec<u8>> {
        self.shared.kept.lock().expect("nobody panics with it").iter().cloned().collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the relay has failed");
    }
}

fn relay(shared: &Shared, weather: Weather, mut random: Random) {
    let Shared { socket, node, .. } = shared;
    let (mut client, mut carried, mut late) = (None, 0, Vec::new());
    let mut datagram = [0; 1 << 16];
    while !shared.stop.load(Ordering::Relaxed) {
        // Nothing came, or a node that is down refused: as on any network.
        let Ok((size_bytes, from)) = socket.recv_from(&mut datagram) else { continue };
        let datagram = &mut datagram[..size_bytes];
        if from == *node {
            // Nodes answer clients only: what is for a peer goes to where that one listens.
            client.map(|client| socket.send_to(datagram, client));
            continue;
        }
        shared.keep(datagram);
        if datagram.get(KIND) == Some(&REQUEST) {
            client = Some(from);
        }
        carried += 1;
        let Weather { lost, repeated, late: delayed, damaged } = weather;
        let lot = random.below(100);
        if lot < lost + delayed {
            if lot >= lost {
                late.push((carried + 1 + random.below(LATE_MAX), datagram.to_vec()));
            }
        } else {
            let rest = lot - lost - delayed;
            if rest < damaged && !datagram.is_empty() {
                let at = random.below(datagram.len() as u64) as usize;
                datagram[at] ^= 1 << random.below(8);
            }
            let copies = if (damaged..damaged + repeated).contains(&rest) { 2 } else { 1 };
            (0..copies).for_each(|_| drop(socket.send_to(datagram, node)));
        }
        for (_, datagram) in late.extract_if(.., |(due, _)| *due <= carried) {
            let _ = socket.send_to(&datagram, node);
        }
    }
}

impl Shared {
    fn keep(&self, datagram: &[u8]) {
        let mut kept = self.kept.lock().expect("nobody panics with it");
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(datagram.to_vec());
    }
}
