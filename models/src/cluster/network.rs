//! The network: every message ever sent, from which any may arrive at any time, in any order. One that
//! is lost is one that never arrives. One that arrived stays: it may arrive again, as a duplicate,
//! and to send the same anew costs no state.

use super::shared::Shared;
use node::protocol::Envelope;
use std::hash::Hash;

/// A set of messages, in an order that depends on nothing but its content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Network<T = Envelope>(Vec<Sent<T>>);

/// A message that was sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sent<T = Envelope> {
    pub envelope: Shared<T>,
    /// It arrived since it was last sent: to arrive again it must be duplicated.
    pub arrived: bool,
}

/// A message that says where it goes.
pub trait Addressed: PartialEq + Hash {
    /// Receiver and sender.
    fn ends(&self) -> (u16, u16);
}

impl Addressed for Envelope {
    fn ends(&self) -> (u16, u16) {
        (self.to.0, self.from.0)
    }
}

impl<T> Default for Network<T> {
    fn default() -> Network<T> {
        Network(Vec::new())
    }
}

impl<T: Addressed> Network<T> {
    /// Adds a message; false if the same is still under way.
    pub fn send(&mut self, envelope: T) -> bool {
        let envelope = Shared::new(envelope);
        match self.find(&envelope) {
            Ok(at) => std::mem::take(&mut self.0[at].arrived),
            Err(at) => {
                self.0.insert(at, Sent { envelope, arrived: false });
                true
            }
        }
    }

    /// Marks a message as arrived.
    pub fn arrive(&mut self, envelope: &Shared<T>) {
        let at = self.find(envelope).expect("only what was sent arrives");
        self.0[at].arrived = true;
    }

    /// All messages.
    pub fn iter(&self) -> impl Iterator<Item = &Sent<T>> {
        self.0.iter()
    }

    /// What became of this very message, if it was sent.
    pub fn get(&self, envelope: &Shared<T>) -> Option<&Sent<T>> {
        self.find(envelope).ok().map(|at| &self.0[at])
    }

    fn find(&self, envelope: &Shared<T>) -> Result<usize, usize> {
        // By receiver and sender first, so that a reader finds what concerns a node in one place.
        let place = |envelope: &Shared<T>| (envelope.ends(), envelope.hash_of());
        self.0.binary_search_by_key(&place(envelope), |sent| place(&sent.envelope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::protocol::{Ballot, GroupId, Message, NodeId};

    fn prepare(from: u16, round: u64) -> Envelope {
        let ballot = Ballot { round, priority: 0, node: NodeId(from) };
        let message = Message::Prepare { ballot };
        Envelope { group: GroupId(0), from: NodeId(from), to: NodeId(3), message }
    }

    #[test]
    fn the_order_of_sending_leaves_no_trace() {
        let (mut one, mut other) = (Network::default(), Network::default());
        for (from, round) in [(1, 1), (2, 1), (1, 2)] {
            one.send(prepare(from, round));
        }
        for (from, round) in [(1, 2), (1, 1), (2, 1)] {
            other.send(prepare(from, round));
        }
        assert!(one == other && one.iter().count() == 3);
    }

    #[test]
    fn the_same_message_sent_again_is_the_same_network() {
        let mut network = Network::default();
        assert!(network.send(prepare(1, 1)));
        assert!(!network.send(prepare(1, 1)));
    }
}
