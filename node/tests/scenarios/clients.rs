//! Clients: each has a session, numbers its commands, and remembers the last one for a retry.

use std::collections::{BTreeMap, BTreeSet};

use node::kv::{Command, Operation, Reply};
use node::protocol::{NodeId, Outcome};
use node::session::SessionId;

/// All clients, by number: `c1` is 1.
#[derive(Default)]
pub struct Clients {
    clients: BTreeMap<u64, Client>,
    /// What was asked, by client and request.
    asked: BTreeMap<(u64, u64), Asked>,
}

#[derive(Default)]
struct Client {
    session: SessionId,
    /// Of the latest command.
    number: u64,
    answered: BTreeSet<u64>,
    /// The latest command as a log entry, and in words.
    latest: Option<(Vec<u8>, String)>,
}

/// The name of a request, and the entry it wants in the log.
pub type Asking = ((u64, u64), Vec<u8>);

struct Asked {
    /// Of the command; none for a read.
    number: Option<u64>,
    words: String,
}

impl Clients {
    /// The next command of a client, as a log entry, and the name of the request.
    /// Fails if the client has no session, and does not ask for one.
    pub fn command(&mut self, id: u64, operation: Operation<'_>) -> Result<Asking, String> {
        let client = self.clients.entry(id).or_default();
        let command = match operation {
            Operation::Open => Command::OPEN,
            _ if client.session == SessionId::NONE => return Err(format!("c{id} has no session")),
            operation => {
                let acknowledged = client.acknowledged();
                client.number += 1;
                let Client { session, number, .. } = *client;
                Command { session, number, acknowledged, operation }
            }
        };
        let mut entry = Vec::new();
        command.encode(&mut entry);
        client.latest = Some((entry.clone(), operation.to_string()));
        Ok((self.ask(id, Some(command.number), operation.to_string()), entry))
    }

    /// The latest command of a client once more, under the same number.
    pub fn retry(&mut self, id: u64) -> Option<Asking> {
        let client = self.clients.get(&id)?;
        let (entry, words) = client.latest.clone()?;
        Some((self.ask(id, Some(client.number), words), entry))
    }

    /// The name of a read.
    pub fn read(&mut self, id: u64, key: &str) -> (u64, u64) {
        self.ask(id, None, format!("get {key}"))
    }

    /// Notes an answer, and puts it into words.
    pub fn answered(&mut self, from: NodeId, name: (u64, u64), outcome: Outcome<Reply>) -> String {
        let (Asked { number, words }, id) = (&self.asked[&name], name.0);
        let client = self.clients.entry(id).or_default();
        let outcome = match outcome {
            Outcome::Reply(reply) => {
                match (&reply, number) {
                    (Reply::Opened(session), _) => client.session = *session,
                    (_, Some(number)) => _ = client.answered.insert(*number),
                    (_, None) => {}
                }
                reply.to_string()
            }
            Outcome::Redirect(Some(node)) => format!("ask {node}"),
            Outcome::Redirect(None) => "ask another".into(),
            Outcome::Busy => "busy".into(),
        };
        format!("c{id} <- {from} {words}: {outcome}")
    }

    fn ask(&mut self, client: u64, number: Option<u64>, words: String) -> (u64, u64) {
        let name = (client, self.asked.len() as u64);
        self.asked.insert(name, Asked { number, words });
        name
    }
}

impl Client {
    /// The last number before which nothing is unanswered.
    fn acknowledged(&self) -> u64 {
        (1..).take_while(|number| self.answered.contains(number)).last().unwrap_or(0)
    }
}
