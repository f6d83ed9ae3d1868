//! A network between real nodes and clients that does as it is told: a UDP proxy in one thread.
//!
//! ```text
//!              face a>b         face b>a
//!   node a ◄──────────► proxy ◄──────────► node b      a knows b as face a>b only
//!
//!              face g>b         a socket of the client's own
//!   client ◄──────────► proxy ◄──────────► node b      and b knows the client as that socket
//! ```
//! Each node and each group of clients sees every node at a loopback address of its own, the
//! *face*. What comes in at the face `a>b` travels on the link from a to b, and leaves by the face
//! `b>a`: so b hears a from the same address where it reaches a. A client has any address; it gets
//! a socket of its own on the other side, as behind a NAT, and its answers come from the face that
//! it asked.
//!
//! Every link has its own [`Weather`] and its own lots, drawn from the seed in order of arrival:
//! the n-th datagram of a link has the same fate in each run in which the weather was the same so far.

mod link;
mod relay;
mod trap;
mod weather;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use mio::{Poll, Token, Waker};
use node::wire::NodeId;

pub use link::{Counts, Endpoint, Link};
use relay::{Lanes, Relay};
pub use trap::Sprung;
pub use weather::{OVERTAKEN_MAX, Weather};

/// Wakes the relay to let it end.
const WAKER: Token = Token(0);

/// The proxy of one cluster. It ends when it is dropped.
pub struct Proxy {
    faces: BTreeMap<(Endpoint, NodeId), SocketAddr>,
    lanes: Arc<Mutex<Lanes>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy between nodes that listen, or will, at these addresses, and the groups of
    /// clients from 0 to `groups`. All links are clear. An error is that of a socket or the thread.
    pub fn start(nodes: &[(NodeId, SocketAddr)], groups: u32, seed: u64) -> io::Result<Proxy> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let ends = nodes.iter().map(|(node, _)| Endpoint::Node(*node));
        let ends: Vec<Endpoint> = ends.chain((0..groups).map(Endpoint::Client)).collect();
        let lanes = Arc::new(Mutex::new(Lanes::new(&ends, seed)));
        let relay = Relay::bind(poll, nodes, &ends, lanes.clone())?;
        let faces = relay.faces()?;
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(|| relay.run())?;
        Ok(Proxy { faces, lanes, waker, thread: Some(thread) })
    }

    /// Where `from` reaches a node. Panics if there is no such endpoint, or if it is that node.
    pub fn address(&self, from: Endpoint, to: NodeId) -> SocketAddr {
        self.faces[&(from, to)]
    }

    /// Every link there is.
    pub fn links(&self) -> Vec<Link> {
        self.lanes().links().collect()
    }

    /// Changes the weather on a link; it holds for every datagram from now on, and a cut also for
    /// those that wait. Panics if there is no such link.
    pub fn set(&self, link: Link, weather: Weather) {
        self.lanes().set(link, weather);
    }

    /// The weather on a link. Panics if there is no such link.
    pub fn weather(&self, link: Link) -> Weather {
        self.lanes().weather(link)
    }

    /// Lies in wait for an election that does without the leader: the first promise to a candidate
    /// passes, and so do the next ones to the same candidate until there are `voters`; then their
    /// links with it are cut. After [`Proxy::sprung`] told of it, what each of them next accepts
    /// from the old leader passes, and then their links with that one are cut.
    /// Only one such trap is set at a time.
    pub fn set_trap(&self, leader: NodeId, voters: usize) {
        self.lanes().set_trap(leader, voters);
    }

    /// Takes the trap away, whatever it has caught. What it cut stays cut.
    pub fn take_trap(&self) {
        self.lanes().take_trap();
    }

    /// What the trap caught, each once.
    pub fn sprung(&self) -> Option<Sprung> {
        self.lanes().sprung()
    }

    /// Clears the weather everywhere and takes the trap away. What waits still arrives in its time.
    pub fn heal(&self) {
        let mut lanes = self.lanes();
        lanes.take_trap();
        for link in lanes.links().collect::<Vec<Link>>() {
            lanes.set(link, Weather::CLEAR);
        }
    }

    /// What became of the datagrams of each link so far.
    pub fn counters(&self) -> BTreeMap<Link, Counts> {
        self.lanes().counters()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("the relay does not panic")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Ok(mut lanes) = self.lanes.lock() {
            lanes.stop();
        }
        // If it cannot be woken, any datagram will do so.
        let _ = self.waker.wake();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the relay has panicked");
    }
}
