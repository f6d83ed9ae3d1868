//! How the node is, as JSON: one object, of which these names and meanings stay.
//!
//! | field | |
//! |---|---|
//! | `node`, `boot` | its id, and how often it has started |
//! | `uptime_ms` | milliseconds since this start |
//! | `groups` | one object for each replica here, see below; `groups_left_out` did not fit |
//! | `clients` | addresses proved to be a client's; not yet that of one that asks this first |
//! | `packets_in`, `_out`, `_unsent` | datagrams from and to the kernel, and those it did not take |
//! | `bytes_in`, `_out` | the bytes in these datagrams, from and to the kernel |
//! | `drops` | what was received in vain, by reason ([`Dropped`](crate::wire::Dropped)) |
//! | `drops.kernel` | what the kernel did not keep for us ([`KernelDrops::count`]), or null |
//! | `log` | of all groups: `segments`, which are files, and the `bytes` written in them |
//! | `sync` | since this start, or null where nothing is synced (`--sync os`) |
//! | `sync.count`, `.p50_us`, `.p99_us`, `.max_us` | how often, and how long the disk took |
//! | *of a group* | |
//! | `group`, `phase` | its id; `recover`, `follower`, `prepare` or `leader` |
//! | `leader`, `ballot` | the highest leadership known here: its node, or null for none; all of it |
//! | `connected` | whether a quorum answers |
//! | `promised`, `accepted_ballot` | the ballots of the promise and of the latest accepted write |
//! | `first` | the first entry in the log |
//! | `snapshot`, `snapshot_bytes` | entries the newest durable snapshot covers; size of its file |
//! | `applied`, `decided`, `accepted` | entries so far |
//! | `digest` | of the map and the sessions: replicas that applied as many entries have the same |
//! | `keys`, `sessions` | in the map; open ones of clients |
//! | `suspects` | the peers that seem to have crashed |

use super::groups::{Group, Groups};
use crate::protocol::{NodeId, StateMachine, Status};
use crate::snapshot;
use crate::socket::{KernelDrops, Traffic};
use crate::wire::{Drops, MESSAGE_BYTES_MAX};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The reason of what the kernel drops, beside our own.
pub const BY_KERNEL: &str = "kernel";

/// What the groups may take of an answer, which must fit a message. The rest is far smaller.
const GROUPS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (8 << 10);

/// Which node this is, and since when.
pub struct Process {
    /// Its id.
    pub node: NodeId,
    /// How often the node has started.
    pub boot: u64,
    /// The folder of its log and snapshots.
    pub data: PathBuf,
    /// Of its socket.
    pub kernel_drops: KernelDrops,
    /// When it was ready.
    pub started: Instant,
}

/// What went in and out.
pub struct Links<'a> {
    /// Through the socket.
    pub traffic: Traffic,
    /// Received in vain.
    pub drops: &'a Drops,
    /// How many addresses are known.
    pub clients: usize,
}

/// What a status request is answered with.
pub fn report(process: &Process, groups: &Groups, links: &Links<'_>) -> String {
    let Process { node, boot, data, kernel_drops, started } = process;
    let Links { traffic, drops, clients } = links;
    let mut drops: Map<String, Value> =
        drops.iter().map(|(reason, count)| (reason.name().to_owned(), count.into())).collect();
    drops.insert(BY_KERNEL.to_owned(), kernel_drops.count().into());
    let of_groups = groups.iter().map(|group| of_group(group, data));
    let (shown, groups_left_out) = fitting(of_groups, GROUPS_BYTES_MAX);
    let size = groups.wal().size();
    let sync = groups.wal().sync_times().map(|times| {
        let (count, p50_us) = (times.count, times.p50_us);
        json!({"count": count, "p50_us": p50_us, "p99_us": times.p99_us, "max_us": times.max_us})
    });
    json!({
        "node": node.0,
        "boot": boot,
        "uptime_ms": started.elapsed().as_millis() as u64,
        "groups": shown,
        "groups_left_out": groups_left_out,
        "clients": clients,
        "bytes_in": traffic.received_bytes,
        "bytes_out": traffic.sent_bytes,
        "packets_in": traffic.received,
        "packets_out": traffic.sent,
        "packets_unsent": traffic.unsent,
        "drops": drops,
        "log": {"segments": size.segments, "bytes": size.size_bytes},
        "sync": sync,
    })
    .to_string()
}

/// The first so many as fit, and how many do not.
fn fitting(values: impl Iterator<Item = Value>, bytes_max: usize) -> (Vec<Value>, usize) {
    let (mut shown, mut left_out, mut size_bytes) = (Vec::new(), 0, 0);
    for value in values {
        // And the comma.
        size_bytes += value.to_string().len() + 1;
        if size_bytes <= bytes_max {
            shown.push(value);
        } else {
            left_out += 1;
        }
    }
    (shown, left_out)
}

fn of_group(group: &Group, data: &Path) -> Value {
    let replica = group.replica();
    let (id, status) = (replica.config().group, replica.status());
    let Status { phase, leader, connected, promised, accepted_ballot, suspects, .. } = &status;
    let suspects: Vec<u16> = suspects.iter().map(|node| node.0).collect();
    let snapshot = fs::metadata(data.join(snapshot::name(id, status.snapshot)));
    json!({
        "group": id.0,
        "phase": phase,
        "leader": leader.is_raised().then_some(leader.node.0),
        "connected": connected,
        "ballot": leader.to_string(),
        "promised": promised.to_string(),
        "accepted_ballot": accepted_ballot.to_string(),
        "first": status.first.0,
        "snapshot": status.snapshot.0,
        // Without a snapshot there is no such file.
        "snapshot_bytes": snapshot.map_or(0, |file| file.len()),
        "applied": status.applied.0,
        "decided": status.decided.0,
        "accepted": status.accepted.0,
        // As text: not every reader of JSON keeps 64 bits of a number.
        "digest": format!("{:016x}", replica.machine().digest()),
        "keys": replica.machine().key_count(),
        "sessions": replica.machine().session_count(),
        "suspects": suspects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let values = || (0..1_000).map(|number| json!({ "number": number }));
        let size_bytes = Value::Array(values().collect()).to_string().len();
        assert_eq!(fitting(values(), size_bytes).1, 0);
        let (shown, left_out) = fitting(values(), size_bytes / 2);
        assert_eq!(shown.len() + left_out, 1_000);
        assert!(left_out > 490, "{left_out}");
        assert!(Value::Array(shown).to_string().len() <= size_bytes / 2 + 1);
    }
}
