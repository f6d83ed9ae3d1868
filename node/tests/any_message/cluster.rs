//! Three nodes in memory, a network that may do anything, and what correct clusters go through.

use crate::forge;
use crate::random::Random;
use crate::replica::Node;
use node::protocol::{
    Body, Config, Envelope, GroupId, Input, Members, Message, NodeId, Request, Round, Timer,
};
use std::collections::BTreeMap;

pub const GROUP: GroupId = GroupId(7);
pub const MESSAGE_BYTES: usize = 48;
pub const WINDOW_BYTES: u64 = 256;
/// No entry of a run is larger, whoever wrote it.
pub const ENTRY_BYTES_MAX: usize = 80;
/// Beyond so many messages in flight, the oldest are lost.
const IN_FLIGHT_MAX: usize = 200;

/// How often which situation arose.
pub type Met = BTreeMap<String, u64>;

pub fn meet(met: &mut Met, place: impl Into<String>) {
    *met.entry(place.into()).or_insert(0) += 1;
}

#[derive(Clone)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub network: Vec<Envelope>,
    /// Rounds that were asked in lately: a lie that names none of them is not listened to.
    pub rounds: Vec<Round>,
    pub met: Met,
    /// How many messages the replicas have sent.
    pub sent: u64,
    /// How many were forged; see `lies.rs`.
    pub forged: u64,
    requests: u64,
    traced: bool,
}

impl Cluster {
    pub fn new(traced: bool) -> Cluster {
        let members = Members::new([1, 2, 3].map(NodeId));
        let nodes = members.iter().map(|node| {
            Node::create(Config {
                priority: u8::from(node.0 == 2),
                election_ticks: 2,
                message_bytes: MESSAGE_BYTES,
                window_bytes: WINDOW_BYTES,
                undecided_max: 12,
                snapshot_every: 8,
                keep: 4,
                ..Config::new(GROUP, node, members.clone())
            })
        });
        let mut cluster = Cluster {
            nodes: nodes.collect(),
            network: Vec::new(),
            rounds: Vec::new(),
            met: Met::new(),
            sent: 0,
            forged: 0,
            requests: 0,
            traced,
        };
        (0..3).for_each(|at| cluster.settle(at));
        cluster
    }

    /// One action that every correct cluster may see.
    pub fn act_honestly(&mut self, random: &mut Random) {
        let at = random.below(3) as usize;
        match random.below(100) {
            0..40 => self.deliver(random),
            40..44 => drop(self.take_any(random)),
            44..54 => self.step(at, Input::Timeout(Timer::Heartbeat)),
            54..60 => self.step(at, Input::Timeout(Timer::Retransmit)),
            60..75 => self.step_if(at, Node::sync),
            75..79 => self.step_if(at, Node::save),
            79..90 => self.request(at, random),
            90..92 => self.crash(at, random),
            _ => self.calm(random),
        }
    }

    /// Delivers any message in flight; one in eight comes again.
    pub fn deliver(&mut self, random: &mut Random) {
        if let Some(envelope) = self.take_any(random) {
            if random.one_in(8) {
                self.network.push(envelope.clone());
            }
            self.receive(envelope);
        }
    }

    pub fn take_any(&mut self, random: &mut Random) -> Option<Envelope> {
        let count = self.network.len() as u64;
        (count > 0).then(|| self.network.swap_remove(random.below(count) as usize))
    }

    /// A message comes to whom it is for; a forged address may be nobody's.
    pub fn receive(&mut self, envelope: Envelope) {
        let at = usize::from(envelope.to.0).wrapping_sub(1);
        if at < self.nodes.len() {
            self.step(at, Input::Message(envelope));
        }
    }

    fn request(&mut self, at: usize, random: &mut Random) {
        let count = 1 + random.below(4);
        for left in (0..count).rev() {
            self.requests += 1;
            let (number, more, content) = (self.requests, left > 0, forge::command(random));
            let body = match random.one_in(4) {
                true => Body::Read(&content),
                false => Body::Write(&content),
            };
            self.step(at, Input::Request(Request { client: 9, number, body, more }));
        }
    }

    fn crash(&mut self, at: usize, random: &mut Random) {
        self.nodes[at].crash(random);
        if self.traced {
            println!("n{} restarts after {} records", at + 1, self.nodes[at].history.len());
        }
        self.settle(at);
    }

    /// A few rounds in which everything works, or there would seldom be a leader to lie to.
    fn calm(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(8) {
            for at in 0..3 {
                self.step(at, Input::Timeout(Timer::Heartbeat));
                self.step(at, Input::Timeout(Timer::Retransmit));
            }
            for _ in 0..3 {
                (0..3).for_each(|at| self.sync_all(at));
                std::mem::take(&mut self.network).into_iter().for_each(|e| self.receive(e));
            }
        }
    }

    pub fn sync_all(&mut self, at: usize) {
        while let Some(input) = self.nodes[at].sync_or_save() {
            self.step(at, input);
        }
    }

    /// What a node's disk has to say, if anything.
    pub fn step_if(&mut self, at: usize, disk: fn(&mut Node) -> Option<Input<'static>>) {
        if let Some(input) = disk(&mut self.nodes[at]) {
            self.step(at, input);
        }
    }

    pub fn step(&mut self, at: usize, input: Input<'_>) {
        if self.traced {
            println!("{}", show(at, &input));
        }
        self.meet(at, &input);
        let sent = self.nodes[at].step(input, &mut self.met);
        self.send(sent);
    }

    /// Takes out what a node has to say after its start.
    pub fn settle(&mut self, at: usize) {
        let sent = self.nodes[at].settle(&mut self.met);
        self.send(sent);
    }

    fn send(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            if self.traced {
                println!("    {envelope}");
            }
            if let Message::HeartbeatRequest { round, .. } | Message::Confirm { round, .. } =
                envelope.message
            {
                self.rounds.push(round);
            }
            self.sent += 1;
            self.network.push(envelope);
        }
        let old = self.network.len().saturating_sub(IN_FLIGHT_MAX);
        self.network.drain(..old);
        let old = self.rounds.len().saturating_sub(12);
        self.rounds.drain(..old);
    }

    /// Notes the situation in which a step is taken.
    fn meet(&mut self, at: usize, input: &Input<'_>) {
        let status = self.nodes[at].replica.status();
        if let Input::Message(envelope) = input {
            let phase = match status.phase {
                "prepare" => "leader in prepare",
                phase => phase,
            };
            meet(&mut self.met, format!("{} to a {phase}", envelope.message.name()));
        }
        if status.decided > status.snapshot {
            meet(&mut self.met, "entries were decided");
        }
        meet(&mut self.met, status.phase);
    }
}

/// A line of the trace.
fn show(at: usize, input: &Input<'_>) -> String {
    match input {
        Input::Message(envelope) => match &envelope.message {
            Message::SnapshotPiece { .. } => format!("n{} gets {envelope:?}", at + 1),
            _ => format!("n{} gets {envelope}", at + 1),
        },
        input => format!("n{} {input:?}", at + 1),
    }
}
