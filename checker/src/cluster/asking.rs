//! How nodes are, by what they say themselves.

use std::io;
use std::time::Duration;

use node::client::{Client, Cluster, Outcome, Secret};
use node::wire::NodeId;
use serde_json::Value as Json;

/// How long a node that lives may take to say how it is.
const TIMEOUT: Duration = Duration::from_millis(200);

/// Asks nodes how they are, at their own addresses.
pub struct Asking(Client);

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// For how long it has run, by its own clock.
    pub uptime: Duration,
    /// How its replicas are.
    pub replicas: Vec<Replica>,
}

/// What a node says of one of its replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replica {
    /// Its group.
    pub group: u64,
    /// Whether it leads, as far as it knows, and a quorum answers it.
    pub leads: bool,
    /// The highest ballot it knows of: its own, if it leads.
    pub ballot: String,
    /// Entries run on its map.
    pub applied: u64,
    /// The digest of its state, if it tells one.
    pub digest: Option<String>,
}

impl Asking {
    pub(super) fn new(cluster: &Cluster, secret: Option<&Secret>) -> io::Result<Asking> {
        Client::connect(cluster, secret, TIMEOUT).map(Asking)
    }

    /// What a node says of itself; `None` if it does not answer within a moment.
    pub fn status(&mut self, id: NodeId) -> Option<Status> {
        let Outcome::Ok(status) = self.0.status(id) else { return None };
        let status: Json = serde_json::from_str(&status).ok()?;
        let uptime = Duration::from_millis(status["uptime_ms"].as_u64()?);
        let replicas = status["groups"].as_array()?.iter().map(Replica::of);
        Some(Status { uptime, replicas: replicas.collect::<Option<_>>()? })
    }
}

impl Replica {
    fn of(group: &Json) -> Option<Replica> {
        Some(Replica {
            group: group["group"].as_u64()?,
            leads: group["phase"] == "leader" && group["connected"] == true,
            ballot: group["ballot"].as_str()?.to_string(),
            applied: group["applied"].as_u64()?,
            digest: group["digest"].as_str().map(String::from),
        })
    }
}
