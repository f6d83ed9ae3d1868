//! The cluster file: who the nodes are, how the keys are divided, and the limits all agree on.
//!
//! ```json
//! {
//!   "cluster": "orders",
//!   "secret_file": "cluster.secret",
//!   "partitions": 8,
//!   "replication": 3,
//!   "nodes": [{"id": 1, "address": "10.0.0.1:7001"}, {"id": 2, "address": "10.0.0.2:7001"}],
//!   "timing": {"heartbeat_ms": 25, "retransmit_ms": 8, "election_ticks": 4},
//!   "limits": {"datagram_bytes": 1200, "value_bytes": 65536}
//! }
//! ```
//!
//! Only `cluster` and `nodes` are required (and `secret_file`, unless all addresses are loopback).
//! Every error is one line: the file, the field, what is wrong, what to do. An unknown field is an
//! error too, so that a misspelt limit never goes unnoticed.
//!
//! Every node and client has a copy. What decides which replica holds which key must be equal in all
//! of them, and [`Cluster::tag`] sees to it; addresses, timing and limits are each copy's own.

mod fields;
mod init;
mod json;
mod place;
mod secret;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use init::{CLUSTER_FILE, Init, SECRET_FILE, init};
pub use place::Error;
use place::Place;
pub use secret::Secret;

use crate::protocol::{Members, NodeId};

/// Most nodes of a cluster. A group is smaller: 32 members at most.
pub const NODES_MAX: usize = 256;
/// Most replication groups.
pub const PARTITIONS_MAX: u32 = 1024;
/// The largest node id. Zero is no node: nobody, or any client; 65535 is kept.
pub const ID_MAX: u16 = 65534;

/// A valid cluster file.
/// Invariant: `1 <= replication <= nodes <= partitions * replication`, so no node is idle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// Where it was read; for messages.
    pub file: PathBuf,
    /// The name of the cluster.
    pub name: String,
    /// Where the secret is; none only if every address is loopback.
    pub secret_file: Option<PathBuf>,
    /// How many replication groups the keys are divided among; 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// Replicas of each group; at most [`Members::MAX`].
    pub replication: usize,
    /// All nodes by ascending id, which is never repeated; nor is an address.
    pub nodes: Vec<Node>,
    /// The clocks.
    pub timing: Timing,
    /// The sizes.
    pub limits: Limits,
}

/// A member of the cluster, as this copy of the cluster file sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name for ever; 1 to [`ID_MAX`].
    pub id: NodeId,
    /// Where it is reached from here. Not its identity: a proxy may stand in between.
    pub address: SocketAddr,
}

/// How fast things are repeated and suspected. Safety never depends on it.
/// Invariant: `retransmit_ms < election_ms()`, or a lost datagram would cost the leader its office.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// One tick: the time between heartbeats.
    pub heartbeat_ms: u64,
    /// When what is not acknowledged is sent again; best a few round trips.
    pub retransmit_ms: u64,
    /// Heartbeats without an answer that make a peer count as gone.
    pub election_ticks: u32,
}

impl Timing {
    /// The election timeout.
    pub fn election_ms(&self) -> u64 {
        self.heartbeat_ms * u64::from(self.election_ticks)
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { heartbeat_ms: 25, retransmit_ms: 8, election_ticks: 4 }
    }
}

/// Bounds on what is taken on, sent and kept.
/// Invariant: `message_bytes <= window_bytes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most bytes of one datagram.
    pub datagram_bytes: usize,
    /// Most bytes of a key.
    pub key_bytes: usize,
    /// Most bytes of a value.
    pub value_bytes: usize,
    /// As in [`crate::protocol::Config`].
    pub message_bytes: usize,
    /// As in [`crate::protocol::Config`].
    pub window_bytes: u64,
    /// As in [`crate::protocol::Config`].
    pub undecided_max: u64,
    /// As in [`crate::protocol::Config`]; zero for never.
    pub snapshot_every: u64,
    /// As in [`crate::protocol::Config`].
    pub keep: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            datagram_bytes: 1200,
            key_bytes: 1024,
            value_bytes: 64 << 10,
            message_bytes: 16 << 10,
            window_bytes: 1 << 20,
            undecided_max: 100_000,
            snapshot_every: 100_000,
            keep: 10_000,
        }
    }
}

impl Cluster {
    /// Reads a cluster file, and the secret if it names one. Without a secret all addresses are
    /// loopback, and the node must bind nothing else.
    pub fn load(file: &Path) -> Result<(Cluster, Option<Secret>), Error> {
        let text = fs::read(file).map_err(|error| {
            let remedy = "name another with --cluster, or make one with `node init`";
            Error::new(file, "", error, remedy)
        })?;
        let cluster = Cluster::parse(file, &text)?;
        let secret = cluster.secret_file.as_deref();
        let secret = secret.map(|secret| Secret::read(secret, file)).transpose()?;
        Ok((cluster, secret))
    }

    /// Reads the text of a cluster file. `file` is its path: messages begin with it, and the secret
    /// is sought beside it.
    pub fn parse(file: &Path, text: &[u8]) -> Result<Cluster, Error> {
        let json = fields::json(file, text)?;
        fields::cluster(file, Place::root(file, &json))
    }

    /// The node with this id, or what to say if there is none.
    pub fn node(&self, id: NodeId) -> Result<&Node, Error> {
        self.nodes.iter().find(|node| node.id == id).ok_or_else(|| {
            let ids: Vec<String> = self.nodes.iter().map(|node| node.id.0.to_string()).collect();
            let remedy = format!("the ids are {}", ids.join(", "));
            Error::new(&self.file, "nodes", format!("no node has the id {}", id.0), &remedy)
        })
    }

    /// All that decides which replica holds which key, but for the cluster's name: in words.
    pub fn layout(&self) -> String {
        let ids: Vec<String> = self.nodes.iter().map(|node| node.id.0.to_string()).collect();
        let Cluster { partitions, replication, .. } = self;
        let ids = ids.join(",");
        format!("nodes {ids}; partitions {partitions}; replication {replication}")
    }

    /// Stands in every packet, so that strangers are dropped. It covers all that decides which
    /// replica holds which key: two nodes that disagree on the members of a group must not talk, or
    /// two of its quorums might not meet. It covers no address: a proxy may stand in between.
    pub fn tag(&self) -> u64 {
        let mut hash = blake3::Hasher::new_derive_key("quorate cluster tag, version 1");
        hash.update(&(self.name.len() as u64).to_le_bytes()).update(self.name.as_bytes());
        hash.update(&self.partitions.to_le_bytes());
        hash.update(&(self.replication as u64).to_le_bytes());
        for node in &self.nodes {
            hash.update(&node.id.0.to_le_bytes());
        }
        first_word(&hash)
    }
}

/// The first 64 bits of a hash.
pub(crate) fn first_word(hash: &blake3::Hasher) -> u64 {
    let hash = hash.finalize();
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

/// Replicas of a group where nobody says how many. A single group is all there is to hold the keys
/// of all nodes; of several, three replicas survive the loss of one at the least cost.
pub(crate) fn replication_default(nodes: usize, partitions: u32) -> usize {
    if partitions == 1 { nodes.min(Members::MAX) } else { nodes.min(3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;

    #[test]
    fn any_damage_is_accepted_or_refused_in_one_line() {
        let text = r#"{"cluster": "c", "secret_file": "s", "partitions": 2, "replication": 1,
            "nodes": [{"id": 1, "address": "10.0.0.1:7001"}, {"id": 2, "address": "10.0.0.2:1"}],
            "timing": {"heartbeat_ms": 20}, "limits": {"keep": 50}}"#;
        let parse = |text: &[u8]| Cluster::parse(Path::new("c.json"), text);
        assert!(parse(text.as_bytes()).is_ok());
        let mut random = Random::seeded();
        for _ in 0..20_000 {
            let damaged = random.damaged(text.as_bytes());
            if let Err(error) = parse(&damaged) {
                let message = error.to_string();
                let sound = message.starts_with("c.json: ") && message.contains("; ");
                assert!(sound && !message.contains(char::is_control), "{message:?}");
            }
        }
    }
}
