//! What can be asked of a cluster, and what an answer means: the same for every client here.

use std::sync::Arc;

use super::outcome::{Failure, Outcome, Why};
use super::sessions::Ticket;
use crate::config::Limits;
use crate::wire::{
    Answer, Command, GroupId, NodeId, Operation, PAIR_BYTES_MAX, Question, Reply, Response,
    SessionId,
};

/// What can be asked of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Ask<'a> {
    /// The value of a key. Fails if it is missing.
    Get { key: &'a [u8] },
    /// Give a key a value.
    Put { key: &'a [u8], value: &'a [u8] },
    /// Give a key the value `new`, if the key has the value `old`, or if the key is missing and
    /// `old` is none. Fails if it is otherwise.
    Cas { key: &'a [u8], old: Option<&'a [u8]>, new: &'a [u8] },
    /// Take a key out, if it is there.
    Delete { key: &'a [u8] },
    /// Where a key is held, in the words of some node.
    Route { key: &'a [u8] },
    /// The state of a node, as JSON. No other node is asked.
    Status { node: NodeId },
}

/// What was asked is done, and this is the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// The value that was wanted.
    Found(Arc<[u8]>),
    /// The key has its value.
    Put,
    /// The key has the new value, which is this.
    Swapped(Arc<[u8]>),
    /// The key is out.
    Deleted,
    /// The key is held there.
    Routed(Route),
    /// The state of the node.
    Status(String),
}

/// Where a key is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The group that has it.
    pub group: GroupId,
    /// Its leader, if the node that was asked knows one.
    pub leader: Option<NodeId>,
}

/// Which answers fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Get,
    Put,
    Cas,
    Delete,
    Route,
    Status,
    /// Of our own accord: a session for those who wait for one.
    Open,
}

/// What an answer means for the request.
pub(super) enum Meaning {
    /// It is over.
    Over(Outcome<Done>),
    /// A session is open.
    Opened(SessionId),
    /// Nothing happened, for the session is gone: another will do.
    NewSession,
    /// Nothing happened, for the key is held by this group.
    Elsewhere(GroupId),
}

impl<'a> Ask<'a> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Ask::Get { .. } => Kind::Get,
            Ask::Put { .. } => Kind::Put,
            Ask::Cas { .. } => Kind::Cas,
            Ask::Delete { .. } => Kind::Delete,
            Ask::Route { .. } => Kind::Route,
            Ask::Status { .. } => Kind::Status,
        }
    }

    /// The key, empty where none is meant, and the values.
    fn key_and_values(&self) -> (&'a [u8], [&'a [u8]; 2]) {
        match *self {
            Ask::Get { key } | Ask::Delete { key } | Ask::Route { key } => (key, [b"", b""]),
            Ask::Put { key, value } => (key, [value, b""]),
            Ask::Cas { key, old, new } => (key, [old.unwrap_or_default(), new]),
            Ask::Status { .. } => (b"", [b"", b""]),
        }
    }

    /// The key that says which group is meant, if one does.
    pub(super) fn key(&self) -> Option<&'a [u8]> {
        match self {
            Ask::Status { .. } => None,
            _ => Some(self.key_and_values().0),
        }
    }

    /// Refuses what no node would take, before anything is sent.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), Failure> {
        let within = |size_bytes, size_bytes_max| match size_bytes <= size_bytes_max {
            true => Ok(()),
            false => Err(Failure::TooLarge { size_bytes_max }),
        };
        let (key, values) = self.key_and_values();
        within(key.len(), limits.key_bytes.min(PAIR_BYTES_MAX))?;
        let value_bytes_max = limits.value_bytes.min(PAIR_BYTES_MAX - key.len());
        values.iter().try_for_each(|value| within(value.len(), value_bytes_max))
    }

    /// Appends what a question borrows: the key, or the entry, as yet without a session.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let operation = match *self {
            Ask::Get { key } | Ask::Route { key } => return bytes.extend_from_slice(key),
            Ask::Status { .. } => return,
            Ask::Put { key, value } => Operation::Put { key, value },
            Ask::Cas { key, old, new } => Operation::Cas { key, old, new },
            Ask::Delete { key } => Operation::Delete { key },
        };
        Command { operation, ..Command::OPEN }.encode(bytes);
    }
}

impl Kind {
    /// Whether it takes a session.
    pub fn is_command(self) -> bool {
        matches!(self, Kind::Put | Kind::Cas | Kind::Delete)
    }

    pub fn question(self, bytes: &[u8]) -> Question<'_> {
        match self {
            Kind::Get => Question::Read(bytes),
            Kind::Put | Kind::Cas | Kind::Delete | Kind::Open => Question::Write(bytes),
            Kind::Route => Question::Route(Some(bytes)),
            Kind::Status => Question::Status,
        }
    }

    /// What an answer means.
    /// `is_first`: nothing that a node would take was sent but once. Then what is refused surely did
    /// not happen: there is no other copy, unless the network made one. That one had to run and then
    /// thousands of other sessions had to be used, all within this attempt.
    /// `is_group`: whether there is such a group, and it is not the one that was asked.
    pub fn meaning(
        self,
        response: Response<'_>,
        is_first: bool,
        is_group: impl FnOnce(GroupId) -> bool,
    ) -> Meaning {
        let Response { group, answer, .. } = response;
        // What changes nothing may be asked as often as one likes.
        let is_first = is_first || !self.is_command();
        let outcome = match (self, answer) {
            (Kind::Open, Answer::Reply(Reply::Opened(id))) => return Meaning::Opened(id),
            (Kind::Get, Answer::Reply(Reply::Found(value))) => Outcome::Ok(Done::Found(value)),
            (Kind::Put, Answer::Reply(Reply::Put)) => Outcome::Ok(Done::Put),
            (Kind::Cas, Answer::Reply(Reply::Swapped(value))) => Outcome::Ok(Done::Swapped(value)),
            (Kind::Cas, Answer::Reply(Reply::Mismatch(value))) => {
                Outcome::Fail(Failure::Mismatch(value))
            }
            (Kind::Get | Kind::Cas, Answer::Reply(Reply::NotFound)) => {
                Outcome::Fail(Failure::Missing)
            }
            (Kind::Delete, Answer::Reply(Reply::Deleted)) => Outcome::Ok(Done::Deleted),
            (Kind::Route, Answer::Redirect(leader)) => {
                Outcome::Ok(Done::Routed(Route { group, leader }))
            }
            (Kind::Status, Answer::Status(json)) => {
                Outcome::Ok(Done::Status(String::from_utf8_lossy(json).into_owned()))
            }
            (kind, Answer::Reply(Reply::Expired)) if kind.is_command() => match is_first {
                true => return Meaning::NewSession,
                false => Outcome::Indeterminate(Why::Expired),
            },
            (kind, Answer::WrongGroup { .. })
                if is_first && (kind.is_command() || kind == Kind::Get) && is_group(group) =>
            {
                return Meaning::Elsewhere(group);
            }
            // Nodes may have different limits, so one that was asked earlier may have taken it.
            (_, Answer::TooLarge { size_bytes_max }) if is_first => {
                Outcome::Fail(Failure::TooLarge { size_bytes_max: size_bytes_max as usize })
            }
            _ => Outcome::Indeterminate(Why::NoMeaning),
        };
        Meaning::Over(outcome)
    }
}

/// Names the command in an entry. Panics if the entry is none.
pub(super) fn enter(entry: &mut Vec<u8>, ticket: Ticket, spare: &mut Vec<u8>) {
    let Ticket { session, number, acknowledged } = ticket;
    let Command { operation, .. } = Command::decode(entry).expect("we made it");
    spare.clear();
    Command { session, number, acknowledged, operation }.encode(spare);
    std::mem::swap(entry, spare);
}
