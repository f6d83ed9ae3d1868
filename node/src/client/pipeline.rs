//! Many requests at a time, from one thread, over one socket.
//!
//! ```text
//!   submit ─► a session of the group with room ──────► packed with others ─► poll sends, receives,
//!             └─ none: wait, and have one opened ─┘                          asks again, gives out
//! ```
//!
//! Each request is asked as by a client of one at a time: its own search for the leader, its own
//! waits and deadline. What is shared are datagrams, sessions, and who was found to lead a group.

use std::io;
use std::time::{Duration, Instant};

use super::Traffic;
use super::ask::{Ask, Done};
use super::link::Link;
use super::outcome::{Outcome, Why};
use super::requests::Requests;
use crate::config::{Cluster, Secret};
use crate::partition::Table;

/// A client with many requests in flight. Nothing runs in the background: what is submitted goes out
/// and comes back within [`Pipeline::poll`].
///
/// ```no_run
/// use node::client::{Ask, Cluster, Completion, Done, Outcome, Pipeline};
/// use std::time::Duration;
///
/// let (cluster, secret) = Cluster::load("cluster.json".as_ref())?;
/// let mut pipeline = Pipeline::connect(&cluster, secret.as_ref(), Duration::from_secs(5))?;
/// for number in 0..256_u64 {
///     pipeline.submit(number, Ask::Put { key: &number.to_le_bytes(), value: b"v" });
/// }
/// while pipeline.in_flight() > 0 {
///     // All completions at hand are taken before anything is sent: what is submitted meanwhile
///     // goes out together.
///     let Some(completion) = pipeline.poll(Duration::from_secs(1)) else { continue };
///     let Completion { tag, outcome, latency } = completion;
///     match outcome {
///         Outcome::Ok(Done::Put) => println!("{tag}: took {latency:?}"),
///         Outcome::Ok(_) => unreachable!("only puts were submitted"),
///         Outcome::Fail(failure) => println!("{tag}: surely nothing happened: {failure}"),
///         Outcome::Indeterminate(why) => println!("{tag}: it may happen yet: {why}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pipeline {
    link: Link,
    requests: Requests,
    /// Submitted, and its completion not yet given out.
    in_flight: usize,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// As submitted.
    pub tag: u64,
    /// Ok, fail or indeterminate: as with [`Client`](super::Client).
    pub outcome: Outcome<Done>,
    /// From the submission until the answer was read.
    pub latency: Duration,
}

impl Pipeline {
    /// A client of this cluster, each of whose requests takes at most `timeout`. Sends nothing yet.
    /// An error is that of a socket, or of the system's random generator.
    pub fn connect(
        cluster: &Cluster,
        secret: Option<&Secret>,
        timeout: Duration,
    ) -> io::Result<Pipeline> {
        let link = Link::new(cluster, secret)?;
        let requests = Requests::new(cluster, link.client(), timeout, Instant::now());
        Ok(Pipeline { link, requests, in_flight: 0 })
    }

    /// Takes on a request, which goes out with the next [`Pipeline::poll`] that finds no completion
    /// at hand. `tag` comes back with what became of it.
    /// Panics on a node the cluster has not, and on more than a million requests at a time.
    pub fn submit(&mut self, tag: u64, ask: Ask<'_>) {
        self.in_flight += 1;
        self.requests.submit(tag, ask, Instant::now());
    }

    /// The next completion; waits for one, but no longer than `timeout`.
    /// Waits that long, too, if nothing is in flight.
    pub fn poll(&mut self, timeout: Duration) -> Option<Completion> {
        let completion = self.requests.completion().or_else(|| self.wait(timeout))?;
        self.in_flight -= 1;
        Some(completion)
    }

    /// How many were submitted whose completion was not yet given out.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The lookup table, which every node and client works out alone: nobody is asked.
    pub fn table(&self) -> &Table {
        self.requests.table()
    }

    /// What was sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.link.traffic()
    }

    fn wait(&mut self, timeout: Duration) -> Option<Completion> {
        let until = Instant::now() + timeout;
        loop {
            self.turn();
            let completion = self.requests.completion();
            if completion.is_some() || Instant::now() >= until {
                return completion;
            }
            if let Err(kind) = self.link.wait(until.min(self.requests.next_check())) {
                self.requests.fail(Why::Socket(kind), Instant::now());
            }
        }
    }

    /// Sends, receives, and looks at the time.
    fn turn(&mut self) {
        let Pipeline { link, requests, .. } = self;
        requests.send(link);
        link.flush();
        let now = Instant::now();
        link.receive(|node, event| requests.hear(node, event, now));
        requests.check_time(now);
        requests.send(link);
        link.flush();
    }
}
