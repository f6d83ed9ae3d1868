//! The links between processes: those the course assumes, and those that UDP gives.

use super::process::{Message, Pid, Process};
use crate::cluster::{Addressed, Network, Shared};
use std::collections::{BTreeMap, VecDeque};

/// A message on its way.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Letter {
    pub from: Pid,
    pub to: Pid,
    pub message: Message,
}

impl Addressed for Letter {
    fn ends(&self) -> (u16, u16) {
        (self.to.into(), self.from.into())
    }
}

/// What links do to messages.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Links {
    /// Each arrives once, in the order of sending. One that is late holds up those behind it.
    Fifo(BTreeMap<(Pid, Pid), VecDeque<Message>>),
    /// Any may be lost, or overtaken, or, while the budget lasts, arrive twice.
    Datagrams(Network<Letter>),
}

impl Links {
    pub fn send(&mut self, from: Pid, to: Pid, message: Message) {
        match self {
            Links::Fifo(queues) => queues.entry((from, to)).or_default().push_back(message),
            Links::Datagrams(network) => {
                network.send(Letter { from, to, message });
            }
        }
    }

    /// What may arrive next, and whether it arrived before.
    pub fn arrivals(&self) -> Vec<(Shared<Letter>, bool)> {
        match self {
            Links::Fifo(queues) => {
                let first = |((from, to), queue): (&(Pid, Pid), &VecDeque<Message>)| {
                    let message = queue.front()?.clone();
                    Some((Shared::new(Letter { from: *from, to: *to, message }), false))
                };
                queues.iter().filter_map(first).collect()
            }
            Links::Datagrams(network) => {
                network.iter().map(|sent| (sent.envelope.clone(), sent.arrived)).collect()
            }
        }
    }

    /// Whether such a message is under way, or was, on links that keep what arrived.
    pub fn holds(&self, letter: &Shared<Letter>) -> bool {
        match self {
            Links::Fifo(queues) => {
                let queue = queues.get(&(letter.from, letter.to));
                queue.is_some_and(|queue| queue.contains(&letter.message))
            }
            Links::Datagrams(network) => network.get(letter).is_some(),
        }
    }

    /// Takes a message out, or marks it as arrived.
    pub fn arrive(&mut self, letter: &Shared<Letter>) {
        match self {
            Links::Fifo(queues) => {
                let link = (letter.from, letter.to);
                let queue = queues.get_mut(&link).expect("it is under way");
                queue.pop_front();
                if queue.is_empty() {
                    queues.remove(&link);
                }
            }
            Links::Datagrams(network) => network.arrive(letter),
        }
    }

    /// A crashed process receives nothing any more.
    pub fn forget(&mut self, process: &Process) {
        if let Links::Fifo(queues) = self {
            queues.retain(|(_, to), _| *to != process.pid);
        }
    }
}
