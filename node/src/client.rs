//! The client: requests to whichever node leads, until an answer or the deadline. [`Client`] blocks
//! for each; [`Pipeline`] has many in flight. Both are one machine, and mean the same by an outcome.
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

mod ask;
mod link;
mod outcome;
mod pipeline;
mod requests;
mod search;
mod sessions;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use crate::config::{Cluster, Error as ClusterError, Secret};
pub use crate::partition::Table;
pub use crate::socket::Traffic;
use crate::wire::NodeId;
pub use ask::{Ask, Done, Route};
pub use outcome::{Failure, Outcome, Why};
pub use pipeline::{Completion, Pipeline};

/// A client of a cluster with one request at a time: a [`Pipeline`] that waits.
///
/// ```no_run
/// use node::client::{Client, Cluster, Failure, Outcome};
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
    pipeline: Pipeline,
    timeout: Duration,
}

impl Client {
    /// A client of this cluster, each of whose requests takes at most `timeout`. Sends nothing yet.
    /// An error is that of a socket, or of the system's random generator.
    pub fn connect(
        cluster: &Cluster,
        secret: Option<&Secret>,
        timeout: Duration,
    ) -> io::Result<Client> {
        Ok(Client { pipeline: Pipeline::connect(cluster, secret, timeout)?, timeout })
    }

    /// The value of a key. Fails if it is missing.
    pub fn get(&mut self, key: &[u8]) -> Outcome<Arc<[u8]>> {
        match self.ask(Ask::Get { key }) {
            Outcome::Ok(Done::Found(value)) => Outcome::Ok(value),
            other => other.without_meaning(),
        }
    }

    /// Gives a key a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome<()> {
        match self.ask(Ask::Put { key, value }) {
            Outcome::Ok(Done::Put) => Outcome::Ok(()),
            other => other.without_meaning(),
        }
    }

    /// Gives a key the value `new`, and returns it, if the key has the value `old`, or if the key is
    /// missing and `old` is none. Fails if it is otherwise.
    pub fn cas(&mut self, key: &[u8], old: Option<&[u8]>, new: &[u8]) -> Outcome<Arc<[u8]>> {
        match self.ask(Ask::Cas { key, old, new }) {
            Outcome::Ok(Done::Swapped(value)) => Outcome::Ok(value),
            other => other.without_meaning(),
        }
    }

    /// Takes a key out, if it is there.
    pub fn delete(&mut self, key: &[u8]) -> Outcome<()> {
        match self.ask(Ask::Delete { key }) {
            Outcome::Ok(Done::Deleted) => Outcome::Ok(()),
            other => other.without_meaning(),
        }
    }

    /// The state of a node, as JSON. No other node is asked. Panics on a node the cluster has not.
    pub fn status(&mut self, node: NodeId) -> Outcome<String> {
        match self.ask(Ask::Status { node }) {
            Outcome::Ok(Done::Status(json)) => Outcome::Ok(json),
            other => other.without_meaning(),
        }
    }

    /// Where a key is held, in the words of some node.
    pub fn route(&mut self, key: &[u8]) -> Outcome<Route> {
        match self.ask(Ask::Route { key }) {
            Outcome::Ok(Done::Routed(route)) => Outcome::Ok(route),
            other => other.without_meaning(),
        }
    }

    /// The lookup table, which every node and client works out alone: nobody is asked.
    pub fn table(&self) -> &Table {
        self.pipeline.table()
    }

    fn ask(&mut self, ask: Ask<'_>) -> Outcome<Done> {
        self.pipeline.submit(0, ask);
        loop {
            if let Some(completion) = self.pipeline.poll(self.timeout) {
                return completion.outcome;
            }
        }
    }
}

#[cfg(test)]
mod tests;
