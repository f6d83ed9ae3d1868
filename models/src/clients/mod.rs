//! The store as its clients see it: PUT, CAS and GET on one key, retried through any leader, judged
//! by stateright's linearizability tester.
//!
//! The cluster is settled when a path begins: n1 leads, every client has a session. What the bounds
//! leave out: evicted sessions, several keys, pipelined requests, clients that give up.

mod register;
mod scripts;

pub use scripts::runs;

use crate::check::{Search, Subject};
use crate::cluster::properties::{HasWorld, always};
use crate::cluster::{Action, Bounds, Broken, Budget, Shared, Stepped, World, words};
use crate::diagram::{Event, draw};
use node::kv::{Command, Operation, Reply, Store};
use node::protocol::{Answer, Body, Input, NodeId, Outcome, Request};
use node::session::SessionId;
use register::{Ask, Got, Register};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use stateright::{Model, Path, Property};
use std::fmt;
use std::sync::Arc;

/// Clients of a cluster.
#[derive(Clone)]
pub struct Shop {
    bounds: Bounds,
    /// What each client asks, one after the other.
    scripts: &'static [&'static [Ask]],
    retries: u8,
    sometimes: fn() -> Vec<Example>,
    search: Search,
}

type Example = Property<Shop>;
type Tester = LinearizabilityTester<usize, Register>;

/// A state of the cluster and its clients.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    world: World<Store>,
    clients: Vec<Client>,
    /// Retries left.
    retries: u8,
    tester: Shared<Tester>,
}

/// One client, with one request at a time.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Client {
    /// Requests that were answered.
    done: usize,
    /// It has asked and heard nothing.
    waits: bool,
    /// Answers to what it asked, on their way. Those to earlier requests it would not listen to.
    answers: Vec<Reply>,
}

/// What may happen next.
#[derive(Clone, PartialEq)]
pub enum Step {
    Cluster(Action),
    Ask { client: usize, again: bool, ask: Ask, node: NodeId },
    Hear { client: usize, reply: Reply },
}

const KEY: &[u8] = b"k";
const LINEARIZABLE: &str = "what clients see is linearizable";

impl HasWorld<Store> for State {
    fn world(&self) -> &World<Store> {
        &self.world
    }
}

impl Model for Shop {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let clients = vec![Client::default(); self.scripts.len()];
        let tester = Shared::new(Tester::new(Register::default()));
        vec![State { world: self.settled(), clients, retries: self.retries, tester }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if self.search.is_stopped() || state.world.broken.is_some() {
            return;
        }
        let mut actions = Vec::new();
        state.world.actions(&self.bounds, &mut actions);
        steps.extend(actions.into_iter().map(Step::Cluster));
        for (client, (Client { done, waits, answers }, script)) in
            state.clients.iter().zip(self.scripts).enumerate()
        {
            let hear = |reply: &Reply| Step::Hear { client, reply: reply.clone() };
            steps.extend(answers.iter().map(hear));
            let Some(ask) = script.get(*done) else { continue };
            if *waits && state.retries == 0 {
                continue;
            }
            let leaders = state
                .world
                .replicas()
                .filter(|replica| matches!(replica.status().phase, "leader" | "prepare"));
            steps.extend(leaders.map(|replica| {
                let node = replica.config().node;
                Step::Ask { client, again: *waits, ask: *ask, node }
            }));
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        match step {
            Step::Cluster(action) => {
                let stepped = state.world.next(&self.bounds, &Store::default(), &action)?;
                Some(state.stepped(stepped))
            }
            Step::Ask { client, again, ask, node } => self.ask(state, client, again, ask, node),
            Step::Hear { client, reply } => Some(state.heard(client, &reply)),
        }
    }

    fn format_step(&self, state: &State, step: Step) -> Option<String> {
        let next = self.next_state(state, step)?;
        Some(format!("{}\n\n{next:?}", words::effects(&state.world, &next.world).join("\n")))
    }

    fn as_svg(&self, path: Path<State, Step>) -> Option<String> {
        let (path, nodes) = (path.into_vec(), usize::from(self.bounds.nodes));
        let event = |(at, (_, step)): (usize, &(_, Option<Step>))| match step.as_ref()? {
            Step::Cluster(action) => Some(words::event(action, at, |at| &path[at].0.world)),
            Step::Ask { client, again, ask, node } => {
                let (line, from) = (usize::from(node.0) - 1, Some((nodes + client, at)));
                let again = if *again { " again" } else { "" };
                Some(Event { line, from, words: format!("{ask}{again}") })
            }
            Step::Hear { client, reply } => {
                Some(Event { line: nodes + client, from: None, words: reply.to_string() })
            }
        };
        let events: Vec<Event> = path.iter().enumerate().filter_map(event).collect();
        let clients = (0..self.scripts.len()).map(|client| format!("c{client}"));
        let lines = (1..=nodes).map(|node| format!("n{node}")).chain(clients);
        Some(draw(&lines.collect::<Vec<_>>(), &events))
    }

    fn properties(&self) -> Vec<Property<Shop>> {
        let mut all = always::<Store, _, _>();
        all.push(Property::always(LINEARIZABLE, |_, state: &State| {
            state.world.broken.as_ref().is_none_or(|broken| broken.property != LINEARIZABLE)
        }));
        all.extend((self.sometimes)());
        self.search.select(all)
    }
}

impl Shop {
    /// n1 leads, and each client has a session: everything sent has arrived.
    fn settled(&self) -> World<Store> {
        let initial = Store::default();
        let bounds = Bounds {
            budget: Budget { elections: 1, ..Budget::default() },
            candidates: vec![1],
            ..self.bounds.clone()
        };
        let arrive = |world: &World<Store>| {
            let mut sent = world.network.iter().filter(|sent| !sent.arrived);
            sent.find_map(|sent| {
                world.next(&bounds, &initial, &Action::Deliver(sent.envelope.clone()))
            })
        };
        let settle = |mut world: World<Store>| {
            while let Some((next, _)) = arrive(&world) {
                world = next;
            }
            world
        };
        let world = World::new(&bounds, &initial);
        let elected = world.next(&bounds, &initial, &Action::Elect(NodeId(1)));
        let mut world = settle(elected.expect("nobody leads yet").0);
        for client in 0..self.scripts.len() {
            let mut entry = Vec::new();
            Command::OPEN.encode(&mut entry);
            let opened = request(&world, &self.bounds, NodeId(1), (client, 0), Body::Write(&entry));
            world = settle(opened.expect("n1 leads").0);
        }
        World { network: Default::default(), left: self.bounds.budget, ..world }
    }

    fn ask(
        &self,
        state: &State,
        client: usize,
        again: bool,
        ask: Ask,
        node: NodeId,
    ) -> Option<State> {
        let mut next = state.clone();
        if again {
            next.retries -= 1;
        } else {
            next.clients[client].waits = true;
            let mut tester = Tester::clone(&next.tester);
            tester.on_invoke(client, ask).expect("one request at a time");
            next.tester = Shared::new(tester);
        }
        let number = state.clients[client].done as u64 + 1;
        let (mut old, mut new, mut entry) = ([0; 4], [0; 4], Vec::new());
        let operation = match ask {
            Ask::Get => None,
            Ask::Put(value) => {
                Some(Operation::Put { key: KEY, value: value.encode_utf8(&mut new).as_bytes() })
            }
            Ask::Cas(from, to) => Some(Operation::Cas {
                key: KEY,
                old: Some(from.encode_utf8(&mut old).as_bytes()),
                new: to.encode_utf8(&mut new).as_bytes(),
            }),
        };
        let body = match operation {
            None => Body::Read(KEY),
            Some(operation) => {
                // Sessions are named after the entry that opened them, counted from one.
                let session = SessionId(client as u64 + 1);
                let acknowledged = number - 1;
                Command { session, number, acknowledged, operation }.encode(&mut entry);
                Body::Write(&entry)
            }
        };
        let stepped = request(&state.world, &self.bounds, node, (client, number), body)?;
        Some(next.stepped(stepped))
    }
}

impl State {
    /// After the cluster has taken a step.
    fn stepped(&self, (world, answers): Stepped<Store>) -> State {
        let mut next = State { world, ..self.clone() };
        for Answer { client, number, outcome } in answers {
            let client = &mut next.clients[client as usize];
            // Redirections say nothing: a client here knows who leads.
            if let Outcome::Reply(reply) = outcome
                && number == client.done as u64 + 1
                && !client.answers.contains(&reply)
            {
                client.answers.push(reply);
            }
        }
        next
    }

    /// After an answer has reached its client.
    fn heard(&self, client: usize, reply: &Reply) -> State {
        let mut next = self.clone();
        let text = |bytes: &[u8]| bytes.first().map_or('?', |byte| char::from(*byte));
        let got = match reply {
            Reply::Put => Got::Put,
            Reply::Swapped(value) => Got::Swapped(text(value)),
            Reply::Found(value) | Reply::Mismatch(value) => Got::Value(text(value)),
            Reply::NotFound => Got::Nothing,
            other => {
                let detail = format!("c{client} is answered {other}");
                next.world.broken = Some(Arc::new(Broken { property: LINEARIZABLE, detail }));
                return next;
            }
        };
        let mut tester = Tester::clone(&self.tester);
        tester.on_return(client, got).expect("it was asked");
        if !tester.is_consistent() {
            let detail = format!("c{client} gets {got:?}, which no order of the requests explains");
            next.world.broken = Some(Arc::new(Broken { property: LINEARIZABLE, detail }));
        }
        next.tester = Shared::new(tester);
        let done = next.clients[client].done + 1;
        next.clients[client] = Client { done, ..Client::default() };
        next
    }
}

/// A client's request reaches a node.
fn request(
    world: &World<Store>,
    bounds: &Bounds,
    node: NodeId,
    (client, number): (usize, u64),
    body: Body<'_>,
) -> Option<Stepped<Store>> {
    let request = Request { client: client as u64, number, body, more: false };
    let play =
        |turn: &mut crate::cluster::Turn<Store>| turn.step(Input::Request(request)).map(|()| true);
    world.clone().play(node, bounds, play)
}

impl Subject for Shop {
    fn search(&mut self) -> &mut Search {
        &mut self.search
    }

    fn story(&self, path: &[(State, Option<Step>)]) -> Vec<String> {
        words::story_of(path.iter().map(|(state, step)| (&state.world, step.as_ref())))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Cluster(action) => write!(f, "{action}"),
            Step::Ask { client, again, ask, node } => {
                write!(f, "c{client} asks {node}{}: {ask}", if *again { " again" } else { "" })
            }
            Step::Hear { client, reply } => write!(f, "c{client} is answered: {reply}"),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Client { done, waits, answers }) in self.clients.iter().enumerate() {
            let waits = if *waits { ", waits" } else { "" };
            write!(f, "c{at}  {done} answered{waits}")?;
            answers.iter().try_for_each(|answer| write!(f, ", on its way: {answer}"))?;
            writeln!(f)?;
        }
        write!(f, "retries left: {}\n{}", self.retries, self.world)
    }
}

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bounds)?;
        match self.retries {
            0 => {}
            1 => write!(f, ", 1 retry")?,
            retries => write!(f, ", {retries} retries")?,
        }
        for (client, script) in self.scripts.iter().enumerate() {
            let asks: Vec<String> = script.iter().map(Ask::to_string).collect();
            write!(f, ", c{client}: {}", asks.join(" "))?;
        }
        Ok(())
    }
}
