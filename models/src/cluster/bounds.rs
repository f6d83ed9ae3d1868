//! How far a model goes: who there is, and how often what may happen on one path.

use super::Writes;
use ::node::protocol::{Config, Envelope, GroupId, Members, Message, NodeId};

/// What may happen, and how often.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How many nodes, numbered from one.
    pub nodes: u16,
    /// Who may be elected; where that takes heartbeats, whose clock ticks.
    pub candidates: Vec<u16>,
    /// The candidates are elected one after the other, as listed; and from the first again.
    pub in_turn: bool,
    /// When what is written becomes durable.
    pub writes: Writes,
    /// How often each kind of choice may be made on one path.
    pub budget: Budget,
    pub elections: Elections,
    /// Pairs of nodes that hear each other; all do if none is listed.
    pub links: &'static [(u16, u16)],
    /// As in [`Config`].
    pub message_bytes: usize,
    /// As in [`Config`].
    pub snapshot_every: u64,
    /// As in [`Config`].
    pub keep: u64,
}

/// How a replica comes to lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Elections {
    /// Any candidate is elected at any time, with the next ballot above those it has met: far fewer
    /// states.
    Free,
    /// Ticks and heartbeats, and nothing else, are what the model is about.
    ByHeartbeat,
    /// The same, with prepares, and nacks from those who promised more.
    ByHeartbeatAndNack,
}

/// Choices left on this path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    /// See [`Elections::Free`].
    pub elections: u8,
    /// A client asks a leader to append an entry.
    pub entries: u8,
    /// A node crashes. It may come back at any time.
    pub crashes: u8,
    /// A replica repeats what was not answered.
    pub retransmissions: u8,
    /// A tick: a leader says in a heartbeat how far it is.
    pub heartbeats: u8,
    /// A message arrives again.
    pub duplicates: u8,
}

/// Room for every entry of a model in one message.
pub const MESSAGE_BYTES: usize = 16 << 10;

/// Two lost heartbeats make a peer count as gone: with more, nothing happens within the bounds.
const ELECTION_TICKS: u32 = 2;

impl Bounds {
    /// Three nodes with fast disks, any of which may lead.
    pub fn new(budget: Budget) -> Bounds {
        let (message_bytes, snapshot_every, keep) = (MESSAGE_BYTES, 0, 0);
        let (candidates, writes) = (vec![1, 2, 3], Writes::AtOnce);
        let (elections, links) = (Elections::Free, &[]);
        Bounds {
            nodes: 3,
            candidates,
            in_turn: false,
            writes,
            budget,
            elections,
            links,
            message_bytes,
            snapshot_every,
            keep,
        }
    }

    /// Whether `node` may be elected, with so many elections left.
    pub fn may_elect(&self, node: NodeId, left: u8) -> bool {
        let turn = usize::from(self.budget.elections.saturating_sub(left));
        match self.in_turn {
            true => left > 0 && self.candidates.iter().cycle().nth(turn) == Some(&node.0),
            false => left > 0 && self.candidates.contains(&node.0),
        }
    }

    /// Whether two nodes hear each other.
    pub fn linked(&self, one: NodeId, other: NodeId) -> bool {
        let (one, other) = (one.0.min(other.0), one.0.max(other.0));
        self.links.is_empty() || self.links.contains(&(one, other))
    }

    /// Whether a message matters in this model.
    pub fn carries(&self, envelope: &Envelope) -> bool {
        let leading = match &envelope.message {
            Message::HeartbeatRequest { leading, .. } => Some(leading.is_some()),
            Message::HeartbeatReply { .. } => Some(false),
            _ => None,
        };
        let contest = matches!(envelope.message, Message::Prepare { .. } | Message::Nack { .. });
        let matters = match self.elections {
            // Heartbeats that nobody leads with only serve the election; but who hears no answer to
            // several of them takes on nothing more.
            Elections::Free => leading != Some(false) || self.budget.heartbeats > 1,
            Elections::ByHeartbeat => leading.is_some(),
            Elections::ByHeartbeatAndNack => leading.is_some() || contest,
        };
        matters && self.linked(envelope.from, envelope.to)
    }

    /// Who a node is.
    pub fn config(&self, node: NodeId) -> Config {
        let members = Members::new((1..=self.nodes).map(NodeId));
        Config {
            message_bytes: self.message_bytes,
            snapshot_every: self.snapshot_every,
            keep: self.keep,
            election_ticks: ELECTION_TICKS,
            ..Config::new(GroupId(0), node, members)
        }
    }
}
