//! The clients: who they are, and how answers find back to them.

use crate::protocol::GroupId;
use crate::wire::{Answer, MESSAGE_BYTES_MAX, Packer, Reassembly, Response, Run, TooLarge};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// Most addresses kept; one more takes the place of the one heard longest ago.
const LINKS_MAX: usize = 4096;
/// Most requests remembered; of older ones the answer is lost, and the client will ask again.
const CALLERS_MAX: usize = 1 << 18;
/// Most messages of one client that may lie here incomplete.
const INCOMPLETE_MAX: usize = 16;

/// The addresses of verified clients, and the requests that wait for an answer.
pub struct Clients {
    links: Vec<Link>,
    places: HashMap<SocketAddr, usize>,
    callers: Callers,
    /// Links with something to send; those given up meanwhile, and doubles, do no harm.
    waiting: Vec<usize>,
    /// Grows with each packet, to tell who was heard longest ago.
    clock: u64,
}

/// One address.
struct Link {
    address: SocketAddr,
    packer: Packer,
    reassembly: Reassembly,
    heard: u64,
}

/// Who asked what, by a number that the replicas return with the answer.
#[derive(Default)]
struct Callers {
    recent: VecDeque<Caller>,
    /// The number of the first in `recent`.
    first: u64,
}

#[derive(Clone, Copy)]
struct Caller {
    link: usize,
    address: SocketAddr,
    client: u64,
}

/// How answers to one client are given: borrowed from [`Clients`], the reassembly left out.
pub struct Responder<'a> {
    callers: &'a mut Callers,
    place: usize,
    address: SocketAddr,
    packer: &'a mut Packer,
    waiting: &'a mut Vec<usize>,
}

impl Clients {
    /// No clients yet.
    pub fn new() -> Clients {
        Clients {
            links: Vec::new(),
            places: HashMap::new(),
            callers: Callers::default(),
            waiting: Vec::new(),
            clock: 0,
        }
    }

    /// How many addresses are known.
    pub fn count(&self) -> usize {
        self.links.len()
    }

    /// The client at a verified address. `fresh`: makes its packer, if it was not known.
    pub fn at(
        &mut self,
        address: SocketAddr,
        fresh: impl FnOnce() -> Packer,
    ) -> (&mut Reassembly, Responder<'_>) {
        self.clock += 1;
        let place = match self.places.get(&address) {
            Some(place) => *place,
            None => self.add(address, fresh()),
        };
        let Link { address, packer, reassembly, heard } = &mut self.links[place];
        *heard = self.clock;
        let (callers, waiting) = (&mut self.callers, &mut self.waiting);
        (reassembly, Responder { callers, place, address: *address, packer, waiting })
    }

    /// Gives a replica's answer to whoever asked, if it is still known.
    pub fn answer(&mut self, call: u64, number: u64, group: GroupId, answer: Answer<'_>) {
        let Some(Caller { link: place, address, client }) = self.callers.of(call) else { return };
        let link = &mut self.links[place];
        if link.address == address {
            let (callers, waiting) = (&mut self.callers, &mut self.waiting);
            let mut responder =
                Responder { callers, place, address, packer: &mut link.packer, waiting };
            responder.give(Response { client, number, group, answer });
        }
    }

    /// Hands out all datagrams that wait.
    pub fn flush(&mut self, run_max: usize, mut send: impl FnMut(SocketAddr, &Run<'_>)) {
        for place in self.waiting.drain(..) {
            let Link { address, packer, .. } = &mut self.links[place];
            if !packer.is_empty() {
                packer.seal(run_max).for_each(|run| send(*address, &run));
            }
        }
    }

    fn add(&mut self, address: SocketAddr, packer: Packer) -> usize {
        let reassembly = Reassembly::new(2 * MESSAGE_BYTES_MAX, INCOMPLETE_MAX);
        let link = Link { address, packer, reassembly, heard: self.clock };
        let place = if self.links.len() < LINKS_MAX {
            self.links.push(link);
            self.links.len() - 1
        } else {
            let oldest = self.links.iter().enumerate().min_by_key(|(_, link)| link.heard);
            let (place, _) = oldest.expect("there are links");
            self.places.remove(&self.links[place].address);
            self.links[place] = link;
            place
        };
        self.places.insert(address, place);
        place
    }
}

impl Callers {
    fn of(&self, call: u64) -> Option<Caller> {
        self.recent.get(call.checked_sub(self.first)? as usize).copied()
    }

    fn remember(&mut self, caller: Caller) -> u64 {
        if self.recent.len() == CALLERS_MAX {
            self.recent.pop_front();
            self.first += 1;
        }
        self.recent.push_back(caller);
        self.first + self.recent.len() as u64 - 1
    }
}

impl Responder<'_> {
    /// Remembers that this client asked. Returns what [`Clients::answer`] needs.
    pub fn later(&mut self, client: u64) -> u64 {
        self.callers.remember(Caller { link: self.place, address: self.address, client })
    }

    /// Answers at once.
    pub fn give(&mut self, response: Response<'_>) {
        if self.packer.is_empty() {
            self.waiting.push(self.place);
        }
        if let Err(TooLarge { size_bytes }) = self.packer.response(&response) {
            // Values are bounded when they come in, and a status is cut to size.
            tracing::error!(size_bytes, "an answer is too large to be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::NodeId;
    use crate::wire::{CLIENT, DATAGRAM_BYTES, Keys};

    fn packer() -> Packer {
        Packer::new(&Keys::new(b"", 0, NodeId(1), []), CLIENT, 1, 0, DATAGRAM_BYTES)
    }

    fn address(port: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port as u16))
    }

    fn sent(clients: &mut Clients) -> Vec<SocketAddr> {
        let mut sent = Vec::new();
        clients.flush(1, |address, _| sent.push(address));
        sent
    }

    #[test]
    fn an_answer_goes_to_who_asked_in_one_datagram_with_others() {
        let mut clients = Clients::new();
        let calls = [1, 2, 1].map(|port| clients.at(address(port), packer).1.later(7));
        for (number, call) in calls.into_iter().enumerate() {
            clients.answer(call, number as u64, GroupId(0), Answer::Busy);
        }
        assert_eq!(sent(&mut clients), [address(1), address(2)]);
        assert!(sent(&mut clients).is_empty());
    }

    #[test]
    fn the_one_heard_longest_ago_gives_way_and_its_answers_are_lost() {
        let mut clients = Clients::new();
        let calls: Vec<u64> =
            (0..LINKS_MAX).map(|port| clients.at(address(port), packer).1.later(7)).collect();
        clients.at(address(0), packer);
        clients.at(address(LINKS_MAX), packer);
        assert_eq!(clients.count(), LINKS_MAX);
        for call in &calls[..3] {
            clients.answer(*call, 1, GroupId(0), Answer::Busy);
        }
        assert_eq!(sent(&mut clients), [address(0), address(2)]);
    }

    #[test]
    fn only_so_many_requests_are_remembered() {
        let mut clients = Clients::new();
        let calls: Vec<u64> =
            (0..=CALLERS_MAX).map(|_| clients.at(address(1), packer).1.later(7)).collect();
        clients.answer(calls[0], 1, GroupId(0), Answer::Busy);
        assert!(sent(&mut clients).is_empty());
        clients.answer(calls[1], 1, GroupId(0), Answer::Busy);
        assert_eq!(sent(&mut clients), [address(1)]);
    }
}
