//! The keys of a node or client: two for each peer, one in each direction.

use super::{CLIENT, TAG_BYTES};
use crate::protocol::NodeId;

/// Says what the derived keys are for, so that no other use of the secret can give the same.
const CONTEXT: &str = "Quorate wire 1, packet tags";

/// The key of one direction.
pub(super) type Key = [u8; blake3::KEY_LEN];

/// Who we are, and the keys to whom we know.
///
/// All keys come from the one secret of the cluster, which clients have, too: whoever has it can
/// speak as anybody. An empty secret is public, and gives protection against accidents only.
#[derive(Clone)]
pub struct Keys {
    pub(super) node: NodeId,
    pub(super) cluster: u64,
    links: Vec<Link>,
}

#[derive(Clone)]
pub(super) struct Link {
    peer: NodeId,
    pub inbound: Key,
    pub outbound: Key,
}

impl Keys {
    /// Derives the keys between `node` and each of `peers`. A node also gets those between it and
    /// clients; a client is the node [`CLIENT`]. `cluster`: a tag that other clusters do not have,
    /// so that packets gone astray are told from forged ones.
    pub fn new(
        secret: &[u8],
        cluster: u64,
        node: NodeId,
        peers: impl IntoIterator<Item = NodeId>,
    ) -> Keys {
        let mut peers: Vec<NodeId> = peers.into_iter().chain([CLIENT]).collect();
        peers.sort();
        peers.dedup();
        peers.retain(|peer| *peer != node);
        let link = |peer| Link {
            peer,
            inbound: direction(secret, peer, node),
            outbound: direction(secret, node, peer),
        };
        Keys { node, cluster, links: peers.into_iter().map(link).collect() }
    }

    /// The keys between us and `peer`, or none for a stranger.
    pub(super) fn link(&self, peer: NodeId) -> Option<&Link> {
        let at = self.links.binary_search_by_key(&peer, |link| link.peer).ok()?;
        Some(&self.links[at])
    }
}

fn direction(secret: &[u8], source: NodeId, destination: NodeId) -> Key {
    let [a, b] = source.0.to_le_bytes();
    let [c, d] = destination.0.to_le_bytes();
    blake3::derive_key(CONTEXT, &[&[a, b, c, d], secret].concat())
}

/// The keyed hash of `bytes`, cut to the length of a tag.
pub(super) fn tag(key: &Key, bytes: &[u8]) -> [u8; TAG_BYTES] {
    let hash = blake3::keyed_hash(key, bytes);
    *hash.as_bytes().first_chunk().expect("a hash is longer than a tag")
}

/// Whether two tags are equal, in a time that tells nothing of where they differ.
pub(super) fn equal(one: &[u8; TAG_BYTES], other: &[u8; TAG_BYTES]) -> bool {
    u128::from_le_bytes(*one) ^ u128::from_le_bytes(*other) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_direction_has_a_key_of_its_own_which_both_ends_know() {
        let nodes = [0, 1, 2, 3].map(NodeId);
        let keys = nodes.map(|node| Keys::new(b"secret", 0, node, nodes));
        let mut seen = BTreeSet::new();
        for (here, node) in keys.iter().zip(nodes) {
            assert!(here.link(node).is_none() && here.link(NodeId(4)).is_none());
            for (there, peer) in keys.iter().zip(nodes).filter(|(_, peer)| *peer != node) {
                let (out, back) = (here.link(peer).unwrap(), there.link(node).unwrap());
                assert_eq!(out.outbound, back.inbound);
                assert!(seen.insert(out.outbound));
            }
        }
        let other = Keys::new(b"secreu", 0, NodeId(1), nodes);
        assert!(!seen.contains(&other.link(NodeId(2)).unwrap().outbound));
    }
}
