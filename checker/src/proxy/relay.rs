//! The thread of the proxy: from socket to socket, and what waits in between.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use node::wire::NodeId;
use socket2::SockRef;

use super::WAKER;
use super::link::{Counts, Endpoint, Link};
use super::trap::{Sprung, Trap};
use super::weather::{Fate, HELD_MAX, Lane, Parcel, Weather};

/// Asked of the kernel, which may give less.
const BUFFER_BYTES: usize = 4 << 20;
/// Datagrams of one socket in a turn; then it is the others' turn.
const TURN_MAX: usize = 64;
/// Most datagrams that wait at a time, over all links.
const WAITING_MAX: usize = 1 << 16;
/// So many clients may have a socket of their own at a time, or two of each group if that is more: the
/// one that speaks, and the one that retired before it. With fewer, clients would take each other's,
/// and most answers would find nobody.
const CLIENTS_KEPT: usize = 256;

/// The link of a datagram, by number.
type LaneId = usize;

/// How a datagram leaves: by which socket, to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Route {
    by: Token,
    to: SocketAddr,
}

/// All links.
pub(super) struct Lanes {
    numbers: BTreeMap<Link, LaneId>,
    lanes: Vec<Lane<Route>>,
    trap: Option<Trap>,
    stopped: bool,
}

impl Lanes {
    /// Every endpoint with every node, both ways; clients do not speak to clients.
    pub fn new(ends: &[Endpoint], seed: u64) -> Lanes {
        let is_node = |end: Endpoint| matches!(end, Endpoint::Node(_));
        let pairs = ends.iter().flat_map(|from| ends.iter().map(|to| (*from, *to)));
        let pairs = pairs.filter(|(from, to)| from != to && (is_node(*from) || is_node(*to)));
        let links = pairs.map(|(from, to)| Link { from, to });
        let numbers: BTreeMap<Link, LaneId> = links.zip(0..).collect();
        let mut random = Rng::with_seed(seed);
        let lanes = numbers.iter().map(|_| Lane::new(random.fork())).collect();
        Lanes { numbers, lanes, trap: None, stopped: false }
    }

    pub fn links(&self) -> impl Iterator<Item = Link> {
        self.numbers.keys().copied()
    }

    pub fn set(&mut self, link: Link, weather: Weather) {
        self.lanes[self.numbers[&link]].set(weather);
    }

    pub fn weather(&self, link: Link) -> Weather {
        self.lanes[self.numbers[&link]].weather
    }

    pub fn counters(&self) -> BTreeMap<Link, Counts> {
        self.numbers.iter().map(|(link, lane)| (*link, self.lanes[*lane].counts)).collect()
    }

    pub fn set_trap(&mut self, leader: NodeId, voters: usize) {
        self.trap = Some(Trap::new(leader, voters));
    }

    pub fn take_trap(&mut self) {
        self.trap = None;
    }

    pub fn sprung(&mut self) -> Option<Sprung> {
        self.trap.as_mut()?.sprung()
    }

    /// Whether this datagram goes into the trap: then it passes, and nothing after it.
    fn is_caught(&mut self, link: Link, bytes: &[u8]) -> bool {
        let is_cut = self.weather(link).cut;
        let Some(trap) = self.trap.as_mut().filter(|_| !is_cut) else { return false };
        let is_caught = trap.takes(link, bytes);
        if is_caught {
            self.set(link.back(), Weather::CUT);
        }
        is_caught
    }

    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

/// A socket of the proxy's, and who is behind it.
struct Side {
    socket: UdpSocket,
    kind: SideKind,
    /// Datagrams may be waiting; the kernel says so only once.
    ready: bool,
}

#[derive(Clone, Copy)]
enum SideKind {
    /// What `end` takes for the node.
    Face { end: Endpoint, node: NodeId },
    /// What nodes take for a client of the group.
    Client { group: u32, address: SocketAddr, heard: u64 },
}

/// A datagram on its way, or held back.
enum Waiting {
    Parcel { parcel: Parcel<Route>, is_copy: bool },
    Held { number: u64 },
}

pub(super) struct Relay {
    poll: Poll,
    lanes: Arc<Mutex<Lanes>>,
    nodes: BTreeMap<NodeId, SocketAddr>,
    sides: BTreeMap<Token, Side>,
    faces: BTreeMap<(Endpoint, NodeId), Token>,
    clients: HashMap<(u32, SocketAddr), Token>,
    /// How many of them there may be; then the one that was silent for longest gives its socket up.
    clients_max: usize,
    next_token: Token,
    /// By when it is due; of equals, the one that came first.
    waiting: BTreeMap<(Instant, u64), (LaneId, Waiting)>,
    /// Grows with everything that comes or waits.
    clock: u64,
}

impl Relay {
    pub fn bind(
        poll: Poll,
        nodes: &[(NodeId, SocketAddr)],
        ends: &[Endpoint],
        lanes: Arc<Mutex<Lanes>>,
    ) -> io::Result<Relay> {
        let groups = ends.iter().filter(|end| matches!(end, Endpoint::Client(_))).count();
        let mut relay = Relay {
            poll,
            lanes,
            nodes: nodes.iter().copied().collect(),
            sides: BTreeMap::new(),
            faces: BTreeMap::new(),
            clients: HashMap::new(),
            clients_max: CLIENTS_KEPT.max(2 * groups),
            next_token: Token(WAKER.0 + 1),
            waiting: BTreeMap::new(),
            clock: 0,
        };
        for (node, _) in nodes {
            for end in ends.iter().filter(|end| **end != Endpoint::Node(*node)) {
                let face = relay.open(*node, SideKind::Face { end: *end, node: *node })?;
                relay.faces.insert((*end, *node), face);
            }
        }
        Ok(relay)
    }

    /// The address of each face.
    pub fn faces(&self) -> io::Result<BTreeMap<(Endpoint, NodeId), SocketAddr>> {
        let address = |token| self.sides[token].socket.local_addr();
        self.faces.iter().map(|(face, token)| Ok((*face, address(token)?))).collect()
    }

    pub fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut datagram = vec![0; 1 << 16];
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                polled => polled.expect("the arguments are sound"),
            }
            for event in &events {
                if let Some(side) = self.sides.get_mut(&event.token()) {
                    side.ready = true;
                }
            }
            let lanes = self.lanes.clone();
            let mut lanes = lanes.lock().expect("nobody panics with it");
            if lanes.stopped {
                break;
            }
            self.receive(&mut lanes, &mut datagram);
            self.depart(&mut lanes);
        }
    }

    /// How long to wait for datagrams. None if nothing else is to be done.
    fn timeout(&self) -> Option<Duration> {
        if self.sides.values().any(|side| side.ready) {
            return Some(Duration::ZERO);
        }
        let ((due, _), _) = self.waiting.first_key_value()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Takes what has come in at every socket, in turns.
    fn receive(&mut self, lanes: &mut Lanes, buffer: &mut [u8]) {
        let ready = self.sides.iter().filter(|(_, side)| side.ready).map(|(token, _)| *token);
        for token in ready.collect::<Vec<Token>>() {
            for _ in 0..TURN_MAX {
                // A client that came meanwhile may have taken the place of this one.
                let Some(side) = self.sides.get_mut(&token) else { break };
                match side.socket.recv_from(buffer) {
                    Ok((size_bytes, from)) => {
                        self.datagram(lanes, token, from, &buffer[..size_bytes]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Nothing is left; or a node that is down refused, as on any network.
                    Err(error) => {
                        side.ready = error.kind() != io::ErrorKind::WouldBlock;
                        break;
                    }
                }
            }
        }
    }

    fn datagram(&mut self, lanes: &mut Lanes, at: Token, from: SocketAddr, bytes: &[u8]) {
        self.clock += 1;
        // Who is no party to this link has lost its way; nobody knows it.
        let Some((link, route)) = self.route(at, from) else { return };
        let lane = lanes.numbers[&link];
        if lanes.is_caught(link, bytes) {
            lanes.lanes[lane].counts.received += 1;
            self.send(&mut lanes.lanes[lane], route, bytes, false);
            return lanes.set(link, Weather::CUT);
        }
        if lanes.lanes[lane].pass(route, bytes) {
            self.send(&mut lanes.lanes[lane], route, bytes, false);
            return;
        }
        let mut fates = Vec::new();
        lanes.lanes[lane].take(route, bytes, &mut fates);
        for fate in fates {
            match fate {
                Fate::Send { parcel, after, is_copy } if after.is_zero() => {
                    self.send(&mut lanes.lanes[lane], parcel.route, &parcel.bytes, is_copy);
                }
                Fate::Send { parcel, is_copy, .. } if self.waiting.len() >= WAITING_MAX => {
                    drop(parcel);
                    lanes.lanes[lane].counts.crowded += u64::from(!is_copy);
                }
                Fate::Send { parcel, after, is_copy } => {
                    self.wait(lane, Instant::now() + after, Waiting::Parcel { parcel, is_copy });
                }
                Fate::Hold { number } => {
                    self.wait(lane, Instant::now() + HELD_MAX, Waiting::Held { number });
                }
            }
        }
    }

    /// The link of what `from` sent to one of our sockets, and how it leaves.
    fn route(&mut self, at: Token, from: SocketAddr) -> Option<(Link, Route)> {
        match self.sides[&at].kind {
            SideKind::Face { end: Endpoint::Node(end), node } => {
                let by = self.faces[&(Endpoint::Node(node), end)];
                let to = self.nodes[&node];
                (from == self.nodes[&end]).then_some((Link::between(end, node), Route { by, to }))
            }
            SideKind::Face { end: end @ Endpoint::Client(group), node } => {
                let by = self.client(group, from, node)?;
                let to = self.nodes[&node];
                Some((Link { from: end, to: Endpoint::Node(node) }, Route { by, to }))
            }
            SideKind::Client { group, address, .. } => {
                let (node, _) = self.nodes.iter().find(|(_, address)| **address == from)?;
                let to = Endpoint::Client(group);
                let by = self.faces[&(to, *node)];
                let link = Link { from: Endpoint::Node(*node), to };
                Some((link, Route { by, to: address }))
            }
        }
    }

    /// The socket that stands for a client. None if the system has none left.
    fn client(&mut self, group: u32, address: SocketAddr, node: NodeId) -> Option<Token> {
        let now = self.clock;
        if let Some(token) = self.clients.get(&(group, address)) {
            let side = self.sides.get_mut(token).expect("both are kept together");
            side.kind = SideKind::Client { group, address, heard: now };
            return Some(*token);
        }
        if self.clients.len() == self.clients_max {
            self.forget_a_client();
        }
        let token = self.open(node, SideKind::Client { group, address, heard: now }).ok()?;
        self.clients.insert((group, address), token);
        Some(token)
    }

    fn forget_a_client(&mut self) {
        let heard = |token: &Token| match self.sides[token].kind {
            SideKind::Client { heard, .. } => heard,
            SideKind::Face { .. } => unreachable!("a face is no client's"),
        };
        let oldest = self.clients.iter().min_by_key(|(_, token)| heard(token));
        let (client, token) = oldest.map(|(client, token)| (*client, *token)).expect("not empty");
        self.clients.remove(&client);
        self.sides.remove(&token);
    }

    /// A socket that can reach the node.
    fn open(&mut self, node: NodeId, kind: SideKind) -> io::Result<Token> {
        let any = match self.nodes[&node] {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        };
        let mut socket = UdpSocket::bind(any)?;
        SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES)?;
        let token = self.next_token;
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.next_token = Token(token.0 + 1);
        self.sides.insert(token, Side { socket, kind, ready: false });
        Ok(token)
    }

    fn wait(&mut self, lane: LaneId, due: Instant, waiting: Waiting) {
        self.clock += 1;
        self.waiting.insert((due, self.clock), (lane, waiting));
    }

    /// Sends what is due.
    fn depart(&mut self, lanes: &mut Lanes) {
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > Instant::now() {
                break;
            }
            let (lane, waiting) = first.remove();
            let lane = &mut lanes.lanes[lane];
            match waiting {
                Waiting::Parcel { parcel, is_copy } => {
                    self.send(lane, parcel.route, &parcel.bytes, is_copy);
                }
                Waiting::Held { number } => {
                    if let Some(parcel) = lane.release(number) {
                        self.send(lane, parcel.route, &parcel.bytes, false);
                    }
                }
            }
        }
    }

    fn send(&self, lane: &mut Lane<Route>, route: Route, bytes: &[u8], is_copy: bool) {
        // The socket of a client that was forgotten is gone, and so is what was to leave by it.
        let side = self.sides.get(&route.by);
        let sent = side
            .is_some_and(|side| !lane.weather.cut && side.socket.send_to(bytes, route.to).is_ok());
        let counts = &mut lane.counts;
        match (is_copy, sent, lane.weather.cut) {
            (true, _, _) => {}
            (false, true, _) => counts.passed += 1,
            (false, false, true) => counts.cut += 1,
            (false, false, false) => counts.crowded += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    /// Between a node and so many groups of clients.
    fn relay(groups: u32) -> Relay {
        let nodes = [(NODE, SocketAddr::from((Ipv4Addr::LOCALHOST, 9)))];
        let ends = (0..groups).map(Endpoint::Client).chain([Endpoint::Node(NODE)]);
        let ends: Vec<Endpoint> = ends.collect();
        let lanes = Arc::new(Mutex::new(Lanes::new(&ends, 1)));
        let poll = Poll::new().expect("a poll");
        Relay::bind(poll, &nodes, &ends, lanes).expect("sockets on loopback")
    }

    fn client(port: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16))
    }

    #[test]
    fn clients_that_are_forgotten_leave_nothing_behind() {
        let mut relay = relay(1);
        let first = relay.client(0, client(1), NODE);
        for port in 2..=CLIENTS_KEPT + 10 {
            relay.clock += 1;
            relay.client(0, client(port), NODE).expect("a socket");
            relay.clock += 1;
            assert_eq!(relay.client(0, client(1), NODE), first, "who speaks is kept");
        }
        assert_eq!((relay.clients.len(), relay.sides.len()), (CLIENTS_KEPT, CLIENTS_KEPT + 1));
    }

    #[test]
    fn no_client_takes_the_socket_of_one_of_another_group() {
        let groups = CLIENTS_KEPT as u32 / 2 + 10;
        let mut relay = relay(groups);
        let mut speak = |group: u32, number: usize| {
            relay.clock += 1;
            relay.client(group, client(1 + 2 * group as usize + number), NODE).expect("a socket")
        };
        let first: Vec<Token> = (0..groups).map(|group| speak(group, 0)).collect();
        for group in 0..groups {
            speak(group, 1);
        }
        let again: Vec<Token> = (0..groups).map(|group| speak(group, 0)).collect();
        assert_eq!(first, again);
    }
}
