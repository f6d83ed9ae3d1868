//! Disks that something went wrong with: records lost, swapped, repeated, cut off or altered.

use crate::forge::{entries, number};
use crate::random::Random;
use node::protocol::Record;

/// One thing goes wrong with the records.
pub fn damage(records: &mut Vec<Record>, random: &mut Random) {
    let count = records.len() as u64;
    if count == 0 {
        return;
    }
    let (at, other) = (random.below(count) as usize, random.below(count) as usize);
    match random.below(8) {
        0 => drop(records.remove(at)),
        1 => records.swap(at, other),
        2 => records.insert(other, records[at].clone()),
        3 => records.truncate(at),
        _ => alter(&mut records[at], random),
    }
}

fn alter(record: &mut Record, random: &mut Random) {
    match (record, random.below(4)) {
        (Record::Created { group, .. }, 0 | 1) => group.0 ^= 1,
        (Record::Created { node, .. }, _) => node.0 ^= 1,
        (Record::Boot(boot), _) => change(boot, random),
        (Record::Promise(ballot), _)
        | (Record::Append { ballot, .. } | Record::Sync { ballot, .. }, 0) => {
            change(&mut ballot.round, random);
        }
        (Record::Append { index, .. } | Record::Sync { from: index, .. }, 1)
        | (Record::Decided(index), _)
        | (Record::Trim { snapshot: index, .. }, 0 | 1)
        | (Record::Trim { first: index, .. }, _) => change(&mut index.0, random),
        (Record::Sync { from, snapshot, .. }, 3) => {
            *snapshot = !*snapshot;
            change(&mut from.0, random);
        }
        (Record::Append { entries: content, .. } | Record::Sync { entries: content, .. }, _) => {
            *content = entries(random);
        }
    }
}

/// To something near it, or to a number at an edge.
fn change(value: &mut u64, random: &mut Random) {
    *value = match random.below(4) {
        0 => number(random),
        _ => value.saturating_add(3).saturating_sub(random.below(7)),
    };
}
