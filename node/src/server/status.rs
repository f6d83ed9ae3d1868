//! How the node is, as JSON.

use super::groups::{Group, Groups};
use crate::protocol::{NodeId, Status};
use crate::wire::Drops;
use serde_json::{Map, Value, json};

/// More than these are left out, and the answer says so: it must fit a message.
const GROUPS_MAX: usize = 256;

/// Datagrams that passed through the socket.
#[derive(Clone, Copy, Default)]
pub struct Traffic {
    /// Taken from the kernel.
    pub received: u64,
    /// Given to the kernel.
    pub sent: u64,
    /// The kernel did not take them.
    pub unsent: u64,
}

/// What a status request is answered with.
pub fn report(
    node: NodeId,
    boot: u64,
    groups: &Groups,
    drops: &Drops,
    traffic: Traffic,
    clients: usize,
) -> String {
    let drops: Map<String, Value> =
        drops.iter().map(|(reason, count)| (reason.name().to_owned(), count.into())).collect();
    let shown: Vec<Value> = groups.iter().take(GROUPS_MAX).map(of_group).collect();
    json!({
        "node": node.0,
        "boot": boot,
        "groups_left_out": groups.iter().count() - shown.len(),
        "groups": shown,
        "clients": clients,
        "packets_in": traffic.received,
        "packets_out": traffic.sent,
        "packets_unsent": traffic.unsent,
        "drops": drops,
    })
    .to_string()
}

fn of_group(group: &Group) -> Value {
    let replica = group.replica();
    let status = replica.status();
    let Status { phase, leader, connected, promised, accepted_ballot, suspects, .. } = &status;
    let suspects: Vec<u16> = suspects.iter().map(|node| node.0).collect();
    json!({
        "group": replica.config().group.0,
        "phase": phase,
        "leader": leader.is_raised().then_some(leader.node.0),
        "connected": connected,
        "ballot": leader.to_string(),
        "promised": promised.to_string(),
        "accepted_ballot": accepted_ballot.to_string(),
        "first": status.first.0,
        "snapshot": status.snapshot.0,
        "applied": status.applied.0,
        "decided": status.decided.0,
        "accepted": status.accepted.0,
        "keys": replica.machine().key_count(),
        "sessions": replica.machine().session_count(),
        "suspects": suspects,
    })
}
