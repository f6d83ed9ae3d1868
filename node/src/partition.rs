//! Which replicas hold a key: key to slot, slot to group, group to nodes, and who leads best.
//!
//! ```text
//!   key --keyed hash--> slot (of 16,384) --equal ranges--> group --rotation--> nodes, best leader first
//! ```
//!
//! The table is a pure function of the cluster file: every node and client works it out alone, and
//! [`Table::version`] shows that they came to the same. Nobody carries addresses or decides anything.
//!
//! The hash is keyed by the cluster's name, and by nothing else. By the secret, a rotation of the
//! secret would send every key to another group, where nobody finds it; by the membership, so would
//! a move to another set of nodes. The price: whoever knows the name and may choose keys can choose
//! the group they fall into, and load it. Such a writer can as well write one key all the time.

use std::ops::Range;

use crate::config::{Cluster, ID_MAX, NODES_MAX, PARTITIONS_MAX, first_word};
use crate::protocol::{Config, GroupId, Malformed, Members, NodeId};

/// Parts the keys are hashed into. Fixed for ever: groups may be cut anew one day, but along slots.
pub const SLOTS: u32 = 1 << 14;

/// The lookup table of a cluster.
/// Invariant: `order` is what `preference` gives for the other fields, and `version` its hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    slot_key: [u8; blake3::KEY_LEN],
    partitions: u32,
    replication: usize,
    nodes: Vec<NodeId>,
    /// The members of each group in turn, best leader first.
    order: Vec<NodeId>,
    version: u64,
}

impl Table {
    /// The table of a cluster.
    pub fn new(cluster: &Cluster) -> Table {
        let slot_key =
            blake3::derive_key("quorate slot of a key, version 1", cluster.name.as_bytes());
        let nodes = cluster.nodes.iter().map(|node| node.id).collect();
        Table::placed(slot_key, cluster.partitions, cluster.replication, nodes)
    }

    fn placed(
        slot_key: [u8; blake3::KEY_LEN],
        partitions: u32,
        replication: usize,
        nodes: Vec<NodeId>,
    ) -> Table {
        assert!((1..=PARTITIONS_MAX).contains(&partitions) && nodes.is_sorted());
        assert!((1..=nodes.len().min(Members::MAX)).contains(&replication));
        let preference = |group| preference(group as usize, replication, nodes.len());
        let order = (0..partitions).flat_map(preference).map(|node| nodes[node]).collect();
        let mut table = Table { slot_key, partitions, replication, nodes, order, version: 0 };
        table.version = table.hash();
        table
    }

    /// The slot of a key, below [`SLOTS`].
    pub fn slot_of(&self, key: &[u8]) -> u32 {
        let hash = blake3::keyed_hash(&self.slot_key, key);
        let word = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        u32::from_le_bytes(*word) % SLOTS
    }

    /// The group that holds a key.
    pub fn group_of(&self, key: &[u8]) -> GroupId {
        GroupId(self.slot_of(key) * self.partitions / SLOTS)
    }

    /// The slots of a group; never empty. Together the groups have each slot once, in order.
    pub fn slots_of(&self, group: GroupId) -> Range<u32> {
        let begin = |group: u32| (group * SLOTS).div_ceil(self.partitions);
        begin(group.0)..begin(group.0 + 1)
    }

    /// All groups, from zero.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.partitions).map(GroupId)
    }

    /// Whether there is such a group.
    pub fn has(&self, group: GroupId) -> bool {
        group.0 < self.partitions
    }

    /// The members of a group, best leader first. Panics on a group the table does not have.
    pub fn preference(&self, group: GroupId) -> &[NodeId] {
        let begin = group.0 as usize * self.replication;
        &self.order[begin..begin + self.replication]
    }

    /// The members of a group. Panics on a group the table does not have.
    pub fn members(&self, group: GroupId) -> Members {
        Members::new(self.preference(group).iter().copied())
    }

    /// Where to ask first for a key of this group. Panics on a group the table does not have.
    pub fn preferred_leader(&self, group: GroupId) -> NodeId {
        self.preference(group)[0]
    }

    /// The node's wish to lead the group: 1 or more for a member, the highest for the preferred
    /// leader; none for a stranger. Panics on a group the table does not have.
    pub fn priority(&self, group: GroupId, node: NodeId) -> Option<u8> {
        let rank = self.preference(group).iter().position(|member| *member == node)?;
        Some((self.replication - rank) as u8)
    }

    /// The groups that have a replica on this node, ascending; none for a stranger.
    pub fn groups_of(&self, node: NodeId) -> impl Iterator<Item = GroupId> {
        self.groups().filter(move |group| self.preference(*group).contains(&node))
    }

    /// What the node must run: one configuration per group it belongs to.
    pub fn replicas(&self, node: NodeId, cluster: &Cluster) -> impl Iterator<Item = Config> {
        let limits = cluster.limits;
        self.groups_of(node).map(move |group| Config {
            priority: self.priority(group, node).expect("it is one of the node's groups"),
            election_ticks: cluster.timing.election_ticks,
            message_bytes: limits.message_bytes,
            window_bytes: limits.window_bytes,
            undecided_max: limits.undecided_max,
            snapshot_every: limits.snapshot_every,
            keep: limits.keep,
            ..Config::new(group, node, self.members(group))
        })
    }

    /// A hash of all that the table answers: two that answer alike have the same.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn hash(&self) -> u64 {
        let mut hash = blake3::Hasher::new_derive_key("quorate table version, version 1");
        hash.update(&self.slot_key);
        for group in self.groups() {
            hash.update(&self.slots_of(group).end.to_le_bytes());
            for node in self.preference(group) {
                hash.update(&node.0.to_le_bytes());
            }
        }
        first_word(&hash)
    }

    /// Appends the table for the answer to a route query, little-endian. What follows from the rest
    /// is left out: a cluster of five takes 56 bytes, whatever the number of groups.
    ///
    /// | bytes | field |
    /// |---|---|
    /// | 1 | layout: 1 |
    /// | 1 | replication |
    /// | 4 | partitions |
    /// | 8 | version |
    /// | 32 | key of the slot hash |
    /// | 2 each, to the end | node ids, ascending |
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[LAYOUT, self.replication as u8]);
        out.extend_from_slice(&self.partitions.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.slot_key);
        for node in &self.nodes {
            out.extend_from_slice(&node.0.to_le_bytes());
        }
    }

    /// Reads what `encode` wrote. Malformed, too, is a table whose author places groups otherwise
    /// than we do: the version tells. Allocates no more than the largest cluster needs.
    pub fn decode(bytes: &[u8]) -> Result<Table, Malformed> {
        let (&[layout, replication], bytes) = bytes.split_first_chunk().ok_or(Malformed)?;
        let (partitions, bytes) = bytes.split_first_chunk().ok_or(Malformed)?;
        let (version, bytes) = bytes.split_first_chunk().ok_or(Malformed)?;
        let (slot_key, bytes) = bytes.split_first_chunk().ok_or(Malformed)?;
        let (ids, []) = bytes.as_chunks::<2>() else { return Err(Malformed) };

        let (partitions, replication) = (u32::from_le_bytes(*partitions), usize::from(replication));
        let legal = layout == LAYOUT
            && (1..=PARTITIONS_MAX).contains(&partitions)
            && ids.len() <= NODES_MAX
            && (1..=ids.len().min(Members::MAX)).contains(&replication);
        if !legal {
            return Err(Malformed);
        }
        let nodes: Vec<NodeId> = ids.iter().map(|id| NodeId(u16::from_le_bytes(*id))).collect();
        let ascending = nodes.is_sorted_by(|one, next| one < next);
        if !ascending || nodes.iter().any(|node| !(1..=ID_MAX).contains(&node.0)) {
            return Err(Malformed);
        }
        let table = Table::placed(*slot_key, partitions, replication, nodes);
        if table.version == u64::from_le_bytes(*version) { Ok(table) } else { Err(Malformed) }
    }
}

const LAYOUT: u8 = 1;

/// The members of a group, best leader first, as positions among `nodes` nodes.
///
/// Members are dealt like cards: the next group begins where the last one ended, so replicas differ
/// by one at most. With a common divisor d of `nodes` and `replicas`, groups then begin only at
/// every d-th node, and the first member would leave the others leaderless; so when the deal comes
/// round (every `nodes / d` groups), the lead moves on to the next member, and after d such rounds
/// each node has led once. From then on all repeats, but for the order of the other members: it
/// turns, so that the groups of a failed leader go to different nodes.
fn preference(group: usize, replicas: usize, nodes: usize) -> impl Iterator<Item = usize> {
    let divisor = common_divisor(nodes, replicas);
    let begin = group * replicas % nodes;
    let first = group / (nodes / divisor) % divisor;
    let turn = group / nodes;
    let others = replicas - 1;
    let other = move |position| first + 1 + (turn + position) % others;
    let offsets = std::iter::once(first).chain((0..others).map(other));
    offsets.map(move |offset| (begin + offset % replicas) % nodes)
}

fn common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;
    use std::collections::{BTreeMap, BTreeSet};

    const SLOT_KEY: [u8; 32] = [7; 32];

    fn table(nodes: u16, replication: usize, partitions: u32) -> Table {
        Table::placed(SLOT_KEY, partitions, replication, (1..=nodes).map(NodeId).collect())
    }

    /// The largest count less the smallest, over all nodes.
    fn spread(table: &Table, chosen: impl Iterator<Item = NodeId>) -> usize {
        let mut counts: BTreeMap<NodeId, usize> =
            table.nodes.iter().map(|node| (*node, 0)).collect();
        chosen.for_each(|node| *counts.get_mut(&node).expect("a known node") += 1);
        let counts = || counts.values();
        counts().max().expect("a node") - counts().min().expect("a node")
    }

    fn assert_balanced(table: &Table) {
        let groups = || table.groups();
        for group in groups() {
            assert_eq!(table.members(group).count(), table.replication, "distinct members");
        }
        let leaders = groups().map(|group| table.preferred_leader(group));
        assert!(spread(table, leaders) <= 1, "leaders of {table:?}");
        assert!(spread(table, table.order.iter().copied()) <= 1, "replicas of {table:?}");
        let sizes: BTreeSet<u32> =
            groups().map(|group| table.slots_of(group).len() as u32).collect();
        assert!(sizes.len() == 1 || sizes.last().unwrap() - sizes.first().unwrap() == 1);
        let ends: Vec<Range<u32>> = groups().map(|group| table.slots_of(group)).collect();
        assert!(ends.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!((ends[0].start, ends[ends.len() - 1].end), (0, SLOTS));
    }

    #[test]
    fn leaders_replicas_and_slots_differ_by_one_at_most() {
        for nodes in 1..=12 {
            for replication in 1..=usize::from(nodes) {
                (1..=40).for_each(|groups| assert_balanced(&table(nodes, replication, groups)));
            }
        }
        let mut random = Random::seeded();
        for _ in 0..300 {
            let nodes = 1 + random.below(NODES_MAX as u64) as u16;
            let replication = 1 + random.below(u64::from(nodes).min(32)) as usize;
            let partitions = 1 + random.below(u64::from(PARTITIONS_MAX)) as u32;
            assert_balanced(&table(nodes, replication, partitions));
        }
    }

    #[test]
    fn the_groups_of_a_failed_leader_go_to_different_nodes() {
        let table = table(5, 5, 20);
        for failed in &table.nodes {
            let led = table.groups().filter(|group| table.preferred_leader(*group) == *failed);
            let heirs: BTreeSet<NodeId> = led.map(|group| table.preference(group)[1]).collect();
            assert_eq!(heirs.len(), 4, "the heirs of {failed} are {heirs:?}");
        }
    }

    #[test]
    fn eight_groups_on_five_nodes() {
        let shown: Vec<Vec<u16>> = {
            let table = table(5, 3, 8);
            let ids = |group| table.preference(group).iter().map(|node| node.0).collect();
            table.groups().map(ids).collect()
        };
        #[rustfmt::skip]
        let expected = [
            [1, 2, 3], [4, 5, 1], [2, 3, 4], [5, 1, 2], [3, 4, 5],
            [1, 3, 2], [4, 1, 5], [2, 4, 3],
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_key_has_one_group_and_its_slot_lies_there() {
        let mut random = Random::seeded();
        for partitions in [1, 3, 8, 1000, 1024] {
            let table = table(5, 3, partitions);
            for _ in 0..2000 {
                let key = random.bytes(20);
                let slot = table.slot_of(&key);
                let holds = |group: &GroupId| table.slots_of(*group).contains(&slot);
                let groups: Vec<GroupId> = table.groups().filter(holds).collect();
                assert_eq!(groups, [table.group_of(&key)]);
            }
        }
    }

    #[test]
    fn a_table_survives_the_wire_and_damage_does_not() {
        let mut random = Random::seeded();
        for (nodes, replication, partitions) in [(1, 1, 1), (5, 3, 8), (6, 4, 1024), (256, 32, 64)]
        {
            let table = table(nodes, replication, partitions);
            let mut bytes = Vec::new();
            table.encode(&mut bytes);
            assert_eq!(bytes.len(), 46 + 2 * usize::from(nodes));
            assert_eq!(Table::decode(&bytes), Ok(table));
            for _ in 0..300 {
                let damaged = random.damaged(&bytes);
                assert_eq!(Table::decode(&damaged), Err(Malformed), "{damaged:?}");
                let _ = Table::decode(&random.bytes(100));
            }
        }
    }
}
