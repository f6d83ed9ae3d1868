//! The client: one request at a time, to whichever node leads, until an answer or the deadline.
//!
//! ```text
//!   put ─► open a session of the group through the log, unless there is one
//!       ─► number the command, ask the leader ─┬─ reply ──────► ok or fail
//!            ▲                                 ├─ redirect ───► ask that node at once
//!            │ the same session and number     ├─ no leader ──► pause, ask the next
//!            └─────────────────────────────────┴─ silence ────► wait longer, ask the next
//! ```
//!
//! An answer of an earlier attempt is as good as one of the latest: the session makes them the same.
//! Nothing here runs in the background, and dropping a client tells nobody: its sessions are evicted
//! when others need the room.

mod link;
mod outcome;
mod search;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Cluster, Limits, Secret};
use crate::partition::Table;
use crate::wire::{
    Command, GroupId, NodeId, Operation, PAIR_BYTES_MAX, Question, Reply, Request, SessionId,
};
use link::{Answer, Event, Link};
pub use outcome::{Failure, Outcome, Why};
use search::{Search, Step};

/// A client of a cluster. Blocks; for several requests at a time, make several.
///
/// ```no_run
/// use node::client::{Client, Failure, Outcome};
/// use node::config::Cluster;
/// use std::time::Duration;
///
/// let (cluster, secret) = Cluster::load("cluster.json".as_ref())?;
/// let mut client = Client::connect(&cluster, secret.as_ref(), Duration::from_secs(5))?;
/// match client.cas(b"door", Some(b"open"), b"closed") {
///     Outcome::Ok(value) => println!("it is {value:?} now"),
///     Outcome::Fail(Failure::Mismatch(value)) => println!("it was {value:?} and still is"),
///     Outcome::Fail(failure) => println!("surely nothing happened: {failure}"),
///     Outcome::Indeterminate(why) => println!("it may have happened, or may yet: {why}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    link: Link,
    table: Table,
    limits: Limits,
    timeout: Duration,
    /// Of the latest question.
    number: u64,
    /// Who answered last.
    leaders: BTreeMap<GroupId, NodeId>,
    sessions: BTreeMap<GroupId, Session>,
}

/// A session and the number of its latest command.
#[derive(Clone, Copy)]
struct Session {
    id: SessionId,
    number: u64,
}

/// Where a key is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The group that has it.
    pub group: GroupId,
    /// Its leader, if the node that was asked knows one.
    pub leader: Option<NodeId>,
}

/// The answer to a question.
struct Heard {
    from: NodeId,
    group: GroupId,
    answer: Answer,
    /// Nothing that a node would take was sent but once. Then what is refused surely did not
    /// happen: there is no other copy, unless the network made one. That one had to run and then
    /// thousands of other sessions had to be used, all within this attempt.
    is_first: bool,
}

impl Client {
    /// A client of this cluster, each of whose requests takes at most `timeout`. Sends nothing yet.
    /// An error is that of a socket, or of the system's random generator.
    pub fn connect(
        cluster: &Cluster,
        secret: Option<&Secret>,
        timeout: Duration,
    ) -> io::Result<Client> {
        Ok(Client {
            link: Link::new(cluster, secret)?,
            table: Table::new(cluster),
            limits: cluster.limits,
            timeout,
            number: 0,
            leaders: BTreeMap::new(),
            sessions: BTreeMap::new(),
        })
    }

    /// The value of a key. Fails if it is missing.
    pub fn get(&mut self, key: &[u8]) -> Outcome<Arc<[u8]>> {
        if let Err(too_large) = self.check(key, [b"", b""]) {
            return Outcome::Fail(too_large);
        }
        let deadline = self.deadline();
        let mut group = self.table.group_of(key);
        loop {
            let heard = match self.ask_group(group, Question::Read(key), deadline) {
                Ok(heard) => heard,
                Err(why) => return Outcome::Indeterminate(why),
            };
            match heard.answer {
                Answer::Reply(Reply::Found(value)) => return Outcome::Ok(value),
                Answer::Reply(Reply::NotFound) => return Outcome::Fail(Failure::Missing),
                Answer::WrongGroup if self.is_other(heard.group, group) => group = heard.group,
                answer => return refused(answer, true),
            }
        }
    }

    /// Gives a key a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        match self.write(key, [value, b""], Operation::Put { key, value }) {
            Outcome::Ok(Reply::Put) => Outcome::Ok(()),
            other => other.without_meaning(),
        }
    }

    /// Gives a key the value `new`, and returns it, if the key has the value `old`, or if the key is
    /// missing and `old` is none. Fails if it is otherwise.
    pub fn cas(&mut self, key: &[u8], old: Option<&[u8]>, new: &[u8]) -> Outcome<Arc<[u8]>> {
        let values = [old.unwrap_or_default(), new];
        match self.write(key, values, Operation::Cas { key, old, new }) {
            Outcome::Ok(Reply::Swapped(value)) => Outcome::Ok(value),
            Outcome::Ok(Reply::Mismatch(value)) => Outcome::Fail(Failure::Mismatch(value)),
            Outcome::Ok(Reply::NotFound) => Outcome::Fail(Failure::Missing),
            other => other.without_meaning(),
        }
    }

    /// Takes a key out, if it is there.
    pub fn delete(&mut self, key: &[u8]) -> Outcome<()> {
        match self.write(key, [b"", b""], Operation::Delete { key }) {
            Outcome::Ok(Reply::Deleted) => Outcome::Ok(()),
            other => other.without_meaning(),
        }
    }

    /// The state of a node, as JSON. No other node is asked. Panics on a node the cluster has not.
    pub fn status(&mut self, node: NodeId) -> Outcome<String> {
        let deadline = self.deadline();
        match self.ask(GroupId(0), &[node], node, Question::Status, deadline) {
            Ok(Heard { answer: Answer::Status(json), .. }) => {
                Outcome::Ok(String::from_utf8_lossy(&json).into_owned())
            }
            Ok(heard) => refused(heard.answer, true),
            Err(why) => Outcome::Indeterminate(why),
        }
    }

    /// Where a key is held, in the words of some node.
    pub fn route(&mut self, key: &[u8]) -> Outcome<Route> {
        if let Err(too_large) = self.check(key, [b"", b""]) {
            return Outcome::Fail(too_large);
        }
        let deadline = self.deadline();
        let group = self.table.group_of(key);
        match self.ask_group(group, Question::Route(Some(key)), deadline) {
            Ok(Heard { answer: Answer::Redirect(leader), group, .. }) => {
                Outcome::Ok(Route { group, leader })
            }
            Ok(heard) => refused(heard.answer, true),
            Err(why) => Outcome::Indeterminate(why),
        }
    }

    /// The lookup table, which every node and client works out alone: nobody is asked.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Has a command executed, exactly once, and returns the reply.
    fn write(
        &mut self,
        key: &[u8],
        values: [&[u8]; 2],
        operation: Operation<'_>,
    ) -> Outcome<Reply> {
        if let Err(too_large) = self.check(key, values) {
            return Outcome::Fail(too_large);
        }
        let deadline = self.deadline();
        let mut group = self.table.group_of(key);
        loop {
            let session = match self.session(group, deadline) {
                Ok(session) => session,
                Err(why) => return Outcome::Indeterminate(why),
            };
            let heard = match self.send_command(group, session, operation, deadline) {
                Ok(heard) => heard,
                Err(why) => return Outcome::Indeterminate(why),
            };
            match heard.answer {
                Answer::Reply(Reply::Expired) => {
                    self.sessions.remove(&group);
                    if !heard.is_first {
                        return Outcome::Indeterminate(Why::Expired);
                    }
                }
                Answer::WrongGroup if heard.is_first && self.is_other(heard.group, group) => {
                    group = heard.group;
                }
                Answer::Reply(reply) if reply.is_result() => return Outcome::Ok(reply),
                answer => return refused(answer, heard.is_first),
            }
        }
    }

    fn send_command(
        &mut self,
        group: GroupId,
        Session { id: session, number }: Session,
        operation: Operation<'_>,
        deadline: Instant,
    ) -> Result<Heard, Why> {
        // All earlier requests are answered or given up. Of the latter this makes sure, too, that
        // what is still on its way can take effect only before this command, never after.
        let acknowledged = number - 1;
        let mut entry = Vec::new();
        Command { session, number, acknowledged, operation }.encode(&mut entry);
        self.ask_group(group, Question::Write(&entry), deadline)
    }

    /// The session of the group, with a number that was never used; opens one if need be.
    fn session(&mut self, group: GroupId, deadline: Instant) -> Result<Session, Why> {
        if let Some(session) = self.sessions.get_mut(&group) {
            session.number += 1;
            return Ok(*session);
        }
        let mut entry = Vec::new();
        Command::OPEN.encode(&mut entry);
        // Each copy that is executed opens a session: one too many, but none is mistaken for another.
        let heard = self.ask_group(group, Question::Write(&entry), deadline);
        let heard = heard.map_err(|why| match why {
            Why::NoAnswer => Why::NoSession,
            why => why,
        })?;
        let Answer::Reply(Reply::Opened(id)) = heard.answer else { return Err(Why::NoMeaning) };
        let session = Session { id, number: 1 };
        self.sessions.insert(group, session);
        Ok(session)
    }

    /// Asks the members of a group, the leader first.
    fn ask_group(
        &mut self,
        group: GroupId,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Heard, Why> {
        let members = self.table.preference(group).to_vec();
        let first = self.leaders.get(&group).copied().unwrap_or(members[0]);
        let heard = self.ask(group, &members, first, question, deadline);
        match &heard {
            Ok(Heard { answer: Answer::Reply(_), from, .. }) => {
                self.leaders.insert(group, *from);
            }
            // By the next time the preferred leader is as likely as who did not answer now.
            Err(_) => drop(self.leaders.remove(&group)),
            Ok(_) => {}
        }
        heard
    }

    /// Asks these nodes, `first` first, until one has an answer.
    fn ask(
        &mut self,
        group: GroupId,
        nodes: &[NodeId],
        first: NodeId,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Heard, Why> {
        self.number += 1;
        let (client, number) = (self.link.client(), self.number);
        let request = Request { client, number, group, question };
        let is_route = matches!(question, Question::Route(_));
        let mut search = Search::new(nodes, first, Instant::now(), deadline);
        let mut sendings = 0;
        'send: loop {
            // Without a token no node takes it: such a copy can never be executed.
            sendings += u32::from(self.link.send(search.asked(), &request));
            loop {
                let (from, response) = match self.link.receive(search.until())? {
                    None if Instant::now() >= deadline => return Err(Why::NoAnswer),
                    None => {
                        search.silence(Instant::now());
                        continue 'send;
                    }
                    Some(Event::Challenge(node)) if node == search.asked() => continue 'send,
                    Some(Event::Response(from, response)) if response.number == number => {
                        (from, response)
                    }
                    Some(_) => continue,
                };
                let answer = response.answer;
                match search.hear(from, &answer, is_route, Instant::now()) {
                    Step::Send => continue 'send,
                    Step::Wait => {}
                    Step::Done => {
                        let (group, is_first) = (response.group, sendings <= 1);
                        return Ok(Heard { from, group, answer, is_first });
                    }
                }
            }
        }
    }

    /// Whether a node named another group than it was asked for, and one that there is.
    fn is_other(&self, named: GroupId, asked: GroupId) -> bool {
        named != asked && self.table.groups().any(|group| group == named)
    }

    /// Refuses what no node would take, before anything is sent.
    fn check(&self, key: &[u8], values: [&[u8]; 2]) -> Result<(), Failure> {
        let within = |size_bytes, size_bytes_max| match size_bytes <= size_bytes_max {
            true => Ok(()),
            false => Err(Failure::TooLarge { size_bytes_max }),
        };
        within(key.len(), self.limits.key_bytes.min(PAIR_BYTES_MAX))?;
        let value_bytes_max = self.limits.value_bytes.min(PAIR_BYTES_MAX - key.len());
        values.iter().try_for_each(|value| within(value.len(), value_bytes_max))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}

/// What an answer means that is no result. `is_first`: as in [`Heard`], or nothing can happen at all.
fn refused<T>(answer: Answer, is_first: bool) -> Outcome<T> {
    match answer {
        Answer::TooLarge { size_bytes_max } if is_first => {
            Outcome::Fail(Failure::TooLarge { size_bytes_max: size_bytes_max as usize })
        }
        // Nodes may have different limits, so one that was asked earlier may have taken it.
        _ => Outcome::Indeterminate(Why::NoMeaning),
    }
}

#[cfg(test)]
mod tests;
