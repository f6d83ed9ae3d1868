//! What a client's question means here: for a replica, or to be answered at once.

use super::groups::Groups;
use crate::config::{Cluster, Limits};
use crate::partition::Table;
use crate::protocol::{Body, GroupId, NodeId};
use crate::wire::{Answer, Command, PAIR_BYTES_MAX, Question, Reply, Request, is_pair_too_large};

/// Where keys are, and how large they may be.
pub struct Service {
    table: Table,
    table_bytes: Vec<u8>,
    limits: Limits,
}

/// What becomes of a request.
pub enum Verdict<'a> {
    /// The replica at this position decides.
    Ask(usize, Body<'a>),
    /// This is the answer, about this group.
    Answer(GroupId, Answer<'a>),
    /// The client wants to know how the node is.
    Status,
}

impl Service {
    /// That of a node of this cluster.
    pub fn new(cluster: &Cluster) -> Service {
        let (table, mut table_bytes) = (Table::new(cluster), Vec::new());
        table.encode(&mut table_bytes);
        Service { table, table_bytes, limits: cluster.limits }
    }

    /// Looks at a request.
    pub fn judge<'a>(&'a self, request: &Request<'a>, groups: &Groups) -> Verdict<'a> {
        let (key, values, body) = match request.question {
            Question::Status => return Verdict::Status,
            Question::Route(None) => {
                return Verdict::Answer(request.group, Answer::Table(&self.table_bytes));
            }
            Question::Route(Some(key)) => return self.route(key, groups),
            Question::Read(key) => (Some(key), [&[][..]; 2], Body::Read(key)),
            Question::Write(entry) => {
                let Ok(command) = Command::decode(entry) else {
                    return Verdict::Answer(request.group, Answer::Reply(Reply::Malformed));
                };
                let (key, values) = command.operation.key_and_values();
                (key, values, Body::Write(entry))
            }
        };
        if let Some(limit) = self.exceeded(key.unwrap_or_default(), values) {
            let answer = Answer::TooLarge { size_bytes_max: limit as u32 };
            return Verdict::Answer(request.group, answer);
        }
        // To open a session, every group is the right one.
        let right = key.map_or(request.group, |key| self.table.group_of(key));
        let exists = self.table.has(right);
        if !exists || right != request.group {
            let group = if exists { right } else { GroupId(0) };
            let table_version = self.table.version();
            return Verdict::Answer(group, Answer::WrongGroup { table_version });
        }
        match groups.position(right) {
            Some(at) => Verdict::Ask(at, body),
            None => Verdict::Answer(right, Answer::Redirect(Some(self.best_leader(right)))),
        }
    }

    /// The limit that a pair is above, if it is.
    fn exceeded(&self, key: &[u8], values: [&[u8]; 2]) -> Option<usize> {
        let Limits { key_bytes, value_bytes, .. } = self.limits;
        if key.len() > key_bytes {
            Some(key_bytes)
        } else if values.iter().any(|value| value.len() > value_bytes) {
            Some(value_bytes)
        } else {
            is_pair_too_large(key, values).then_some(PAIR_BYTES_MAX)
        }
    }

    /// The group of a key, and who leads it as far as we know.
    fn route(&self, key: &[u8], groups: &Groups) -> Verdict<'static> {
        let group = self.table.group_of(key);
        let known = groups.replica(group).map(|replica| replica.status());
        let leader = known.filter(|status| status.connected && status.leader.is_raised());
        let leader = leader.map_or(self.best_leader(group), |status| status.leader.node);
        Verdict::Answer(group, Answer::Redirect(Some(leader)))
    }

    fn best_leader(&self, group: GroupId) -> NodeId {
        self.table.preferred_leader(group)
    }
}
