//! Simulated clients. Each is sequential, has a session, retries at any node until it has an answer
//! or no patience, and writes down what it saw.

use super::oracle::Violation;
use super::plan::Plan;
use super::world::{Event, World};
use checker::check::{self, Operation, Seen};
use fastrand::Rng;
use node::kv::{self, Command, Reply};
use node::protocol::Outcome;
use node::session::SessionId;

/// What a client does to a key, which may be missing.
type Action = check::Action<Option<u64>>;

/// One client, as one process after the other: a process that never got its answer retires.
pub struct Client {
    /// Names the process in the history.
    process: u64,
    session: SessionId,
    number: u64,
    /// What it waits for.
    pending: Option<Pending>,
    /// Where it asks next.
    target: usize,
    /// Asks the same node several times before it tries another, whatever it is told.
    stubborn: bool,
    /// Once the storm has ended: whether its last operation has begun.
    last: Option<bool>,
}

struct Pending {
    /// Distinguishes this operation from all others of this client.
    id: u64,
    attempts: u32,
    kind: Kind,
    entry: Vec<u8>,
    invoked: u64,
}

#[derive(Clone)]
enum Kind {
    Open,
    On(u8, Action),
}

/// What a client wants done.
pub enum Step {
    /// Send this to the node at `target`; ask again if nothing comes.
    Ask {
        /// Position of the node.
        target: usize,
        /// Which operation.
        id: u64,
        /// Which attempt, for the timeout.
        attempt: u32,
        /// Whether it is a read.
        read: bool,
        /// An entry or a query.
        body: Vec<u8>,
    },
    /// Pause, then begin the next operation.
    Rest,
    /// Ask again soon: the node sent us away.
    Again,
    /// Nothing to do, now or ever.
    Idle,
}

/// So often a stubborn client asks the same node.
const STUBBORN_ATTEMPTS: u32 = 4;

/// Numbers that no two operations of a run share.
#[derive(Default)]
pub struct Counter(u64);

impl Counter {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// What the client wrote down: an operation on a key.
pub type Note = (u8, Operation<Option<u64>>);

impl Client {
    /// A client that has done nothing yet.
    pub fn new(process: u64, stubborn: bool) -> Client {
        let session = SessionId::NONE;
        Client { process, session, number: 0, pending: None, target: 0, stubborn, last: None }
    }

    /// The storm is over: finish what is under way, do one more operation, then stop.
    pub fn finish(&mut self) {
        (self.last, self.stubborn) = (Some(false), false);
    }

    /// Whether it has stopped, with every answer it waited for.
    pub fn is_done(&self) -> bool {
        self.last == Some(true) && self.pending.is_none()
    }

    /// Begins an operation.
    pub fn begin(&mut self, plan: &Plan, now: u64, ids: &mut Counter, random: &mut Rng) -> Step {
        if self.pending.is_some() || self.is_done() {
            return Step::Idle;
        }
        let (id, value) = (ids.next(), ids.next());
        if random.u64(0..1000) < plan.wander {
            self.target = random.usize(0..plan.nodes);
        }
        let (kind, entry) = match self.session {
            SessionId::NONE => (Kind::Open, encode(&Command::OPEN)),
            session => {
                self.last = self.last.map(|_| true);
                let key = random.u8(0..plan.keys);
                let action = draw(value, plan.reads, random);
                (Kind::On(key, action), self.encode(session, key, &action))
            }
        };
        self.pending = Some(Pending { id, attempts: 0, kind, entry, invoked: now });
        self.ask(plan, None, random)
    }

    /// Asks, for the first time or again. `hint`: the position of the node to ask.
    pub fn ask(&mut self, plan: &Plan, hint: Option<usize>, random: &mut Rng) -> Step {
        let Some(pending) = &mut self.pending else { return Step::Idle };
        let stays = self.stubborn && !pending.attempts.is_multiple_of(STUBBORN_ATTEMPTS);
        if pending.attempts > 0 && !stays {
            self.target = hint.unwrap_or_else(|| random.usize(0..plan.nodes));
        }
        pending.attempts += 1;
        Step::Ask {
            target: self.target,
            id: pending.id,
            attempt: pending.attempts,
            read: matches!(pending.kind, Kind::On(_, Action::Read(_))),
            body: pending.entry.clone(),
        }
    }

    /// Nothing came for a while. Asks elsewhere, or gives up for good.
    pub fn timed_out(
        &mut self,
        plan: &Plan,
        attempt: (u64, u32),
        ids: &mut Counter,
        random: &mut Rng,
    ) -> (Step, Option<Note>) {
        let current = |pending: &&mut Pending| (pending.id, pending.attempts) == attempt;
        let Some(pending) = self.pending.as_mut().filter(current) else {
            return (Step::Idle, None);
        };
        if pending.attempts < plan.attempts_max || self.last.is_some() {
            return (self.ask(plan, None, random), None);
        }
        (Step::Rest, self.retire(ids))
    }

    /// An answer came, perhaps an old one.
    pub fn answered(
        &mut self,
        (id, outcome): (u64, Outcome<Reply>),
        now: u64,
        ids: &mut Counter,
    ) -> Result<(Step, Option<Note>), String> {
        let Some(pending) = self.pending.as_ref().filter(|pending| pending.id == id) else {
            return Ok((Step::Idle, None));
        };
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Redirect(_) | Outcome::Busy => return Ok((Step::Again, None)),
        };
        if reply == Reply::Expired {
            return Ok((Step::Rest, self.retire(ids)));
        }
        let action = match (&pending.kind, reply) {
            (Kind::Open, Reply::Opened(session)) => {
                (self.session, self.number, self.pending) = (session, 0, None);
                return Ok((Step::Rest, None));
            }
            (Kind::On(_, Action::Read(_)), Reply::Found(value)) => {
                Action::Read(Some(decode(&value)?))
            }
            (Kind::On(_, Action::Read(_)), Reply::NotFound) => Action::Read(None),
            (Kind::On(_, Action::Write(value @ Some(_))), Reply::Put) => Action::Write(*value),
            (Kind::On(_, Action::Write(None)), Reply::Deleted) => Action::Write(None),
            (Kind::On(_, Action::Cas { old, new, .. }), reply) => {
                let seen = match reply {
                    Reply::Swapped(value) if Some(decode(&value)?) == *new => Seen::Matched,
                    Reply::Mismatch(value) => Seen::Current(Some(decode(&value)?)),
                    Reply::NotFound => Seen::Current(None),
                    reply => return Err(format!("a swap was answered with {reply}")),
                };
                Action::Cas { old: *old, new: *new, seen }
            }
            (_, reply) => return Err(format!("an operation was answered with {reply}")),
        };
        let Some(Pending { kind: Kind::On(key, _), invoked, .. }) = self.pending.take() else {
            unreachable!("matched above");
        };
        let operation = Operation { process: self.process, invoked, completed: Some(now), action };
        Ok((Step::Rest, Some((key, operation))))
    }

    /// Gives up: a new process with a new session takes this one's place.
    fn retire(&mut self, ids: &mut Counter) -> Option<Note> {
        let Pending { kind, invoked, .. } = self.pending.take()?;
        let process = std::mem::replace(&mut self.process, ids.next());
        self.session = SessionId::NONE;
        match kind {
            Kind::Open | Kind::On(_, Action::Read(_)) => None,
            Kind::On(key, action) => {
                Some((key, Operation { process, invoked, completed: None, action }))
            }
        }
    }

    fn encode(&mut self, session: SessionId, key: u8, action: &Action) -> Vec<u8> {
        let key = [b'k', b'0' + key];
        let bytes = |value: &Option<u64>| value.map(|value| value.to_string().into_bytes());
        let (old, new) = match action {
            Action::Read(_) | Action::Append(_) => return key.to_vec(),
            Action::Write(value) => (None, bytes(value)),
            Action::Cas { old, new, .. } => (bytes(old), bytes(new)),
        };
        let operation = match (action, &new) {
            (Action::Cas { .. }, Some(new)) => {
                kv::Operation::Cas { key: &key, old: old.as_deref(), new }
            }
            (_, Some(new)) => kv::Operation::Put { key: &key, value: new },
            (_, None) => kv::Operation::Delete { key: &key },
        };
        let acknowledged = self.number;
        self.number += 1;
        encode(&Command { session, number: self.number, acknowledged, operation })
    }
}

impl World {
    /// An answer reaches a client.
    pub(super) fn answered(
        &mut self,
        client: usize,
        id: u64,
        outcome: Outcome<Reply>,
    ) -> Result<(), Violation> {
        let hint = match &outcome {
            Outcome::Redirect(Some(node)) => Some(usize::from(node.0) - 1),
            Outcome::Redirect(None) | Outcome::Busy | Outcome::Reply(_) => None,
        };
        self.note(|| match &outcome {
            Outcome::Reply(reply) => format!("c{client} <- #{id} {reply}"),
            Outcome::Redirect(Some(node)) => format!("c{client} <- #{id} ask {node}"),
            Outcome::Redirect(None) => format!("c{client} <- #{id} ask another"),
            Outcome::Busy => format!("c{client} <- #{id} busy"),
        });
        let expired = matches!(outcome, Outcome::Reply(Reply::Expired));
        self.tally.expired += u64::from(expired);
        let now = self.queue.now_us();
        let (step, note) = self.clients[client].answered((id, outcome), now, &mut self.ids)?;
        if matches!(step, Step::Again) {
            let pause = self.random.u64(100..5_000);
            self.queue.after(pause, Event::Again { client, hint });
        }
        self.go_on(client, step, note)
    }

    /// Does what a client wants done next, and writes down what it has seen.
    pub(super) fn go_on(
        &mut self,
        client: usize,
        step: Step,
        note: Option<Note>,
    ) -> Result<(), Violation> {
        if let Some((_, operation)) = &note {
            self.tally.indeterminate += u64::from(operation.completed.is_none());
        }
        self.oracle.history.extend(note);
        match step {
            Step::Ask { target, id, attempt, read, body } => {
                let patience = self.plan.patience_us;
                self.queue.after(patience, Event::OutOfPatience { client, id, attempt });
                if !self.client_loses() {
                    let delay = self.random.u64(self.plan.network.delay_us.clone());
                    self.queue.after(delay, Event::Ask { node: target, client, id, read, body });
                }
            }
            Step::Rest => self.rest(client),
            Step::Again | Step::Idle => {}
        }
        Ok(())
    }

    /// Lets a client think before its next operation.
    pub(super) fn rest(&mut self, client: usize) {
        let think = self.random.u64(self.plan.think_us.clone());
        self.queue.after(think, Event::Begin(client));
    }

    /// Whether a datagram between a client and a node is lost.
    pub(super) fn client_loses(&mut self) -> bool {
        self.random.u64(0..1000) < self.plan.network.loss && !self.calm
    }
}

/// An operation; values written are never repeated, and swaps expect a recent value now and then.
fn draw(value: u64, reads: u64, random: &mut Rng) -> Action {
    if random.u64(0..1000) < reads {
        return Action::Read(None);
    }
    match random.u8(0..6) {
        0..3 => Action::Write(Some(value)),
        3 => Action::Write(None),
        _ => {
            let recent = value.saturating_sub(2 * random.u64(1..=4));
            let old = (random.u8(0..3) > 0).then_some(recent);
            Action::Cas { old, new: Some(value), seen: Seen::Matched }
        }
    }
}

fn encode(command: &Command<'_>) -> Vec<u8> {
    let mut entry = Vec::new();
    command.encode(&mut entry);
    entry
}

fn decode(value: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(value).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        format!("a client read {:?}, which nobody wrote", value.escape_ascii().to_string())
    })
}
