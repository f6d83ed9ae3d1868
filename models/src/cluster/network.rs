//! The network: every message ever sent, from which any may arrive at any time, in any order. One that
//! is lost is one that never arrives. One that arrived stays: it may arrive again, as a duplicate,
//! and to send the same anew costs no state.

use super::shared::Shared;
use node::protocol::{Envelope, NodeId};

/// A set of messages, in an order that depends on nothing but its content.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Network(Vec<Sent>);

/// A message that was sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sent {
    pub envelope: Shared<Envelope>,
    /// It arrived since it was last sent: to arrive again it must be duplicated.
    pub arrived: bool,
}

type Place = (NodeId, NodeId, u64);

fn place(envelope: &Shared<Envelope>) -> Place {
    // By receiver and sender first, so that a reader finds what concerns a node in one place.
    (envelope.to, envelope.from, envelope.hash_of())
}

impl Network {
    /// Adds a message; false if the same is still under way.
    pub fn send(&mut self, envelope: Envelope) -> bool {
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
    pub fn arrive(&mut self, envelope: &Shared<Envelope>) {
        let at = self.find(envelope).expect("only what was sent arrives");
        self.0[at].arrived = true;
    }

    /// All messages.
    pub fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.0.iter()
    }

    /// What became of this very message, if it was sent.
    pub fn get(&self, envelope: &Shared<Envelope>) -> Option<&Sent> {
        self.find(envelope).ok().map(|at| &self.0[at])
    }

    fn find(&self, envelope: &Shared<Envelope>) -> Result<usize, usize> {
        self.0.binary_search_by_key(&place(envelope), |sent| place(&sent.envelope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::protocol::{Ballot, GroupId, Message};

    fn prepare(from: u16, round: u64) -> Envelope {
        let ballot = Ballot { round, priority: 0, node: NodeId(from) };
        let message = Message::Prepare { ballot };
        Envelope { group: GroupId(0), from: NodeId(from), to: NodeId(3), message }
    }

    #[test]
    fn the_order_of_sending_leaves_no_trace() {
        let (mut one, mut other) = (Network::default(), Network::default());
        [(1, 1), (2, 1), (1, 2)].map(|(from, round)| one.send(prepare(from, round)));
        [(1, 2), (1, 1), (2, 1)].map(|(from, round)| other.send(prepare(from, round)));
        assert!(one == other && one.iter().count() == 3);
    }

    #[test]
    fn the_same_message_sent_again_is_the_same_network() {
        let mut network = Network::default();
        assert!(network.send(prepare(1, 1)));
        assert!(!network.send(prepare(1, 1)));
    }
}
