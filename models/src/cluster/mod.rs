//! Clusters of real replicas as states of a model: what can happen next, and what comes of it.
//!
//! The replica is the code of `node`; everything around it is a free choice: which message arrives,
//! who is elected, when a write becomes durable, who crashes. Each choice that could be made for
//! ever is a budget in the state, so that every path ends and a run can be exhaustive.
//!
//! Reading order: this file, `bounds.rs`, `node.rs`, `network.rs`, `properties.rs`, `words.rs`.

mod bounds;
mod chain;
mod network;
mod node;
mod past;
pub mod properties;
mod shared;
pub mod words;

pub use bounds::{Bounds, Budget, Elections};
pub use chain::{Chain, Told};
pub use network::{Addressed, Network};
pub use node::{Broken, Learned, NO_ASSERTION_FAILS, Node, Turn, Unsynced, Writes};
pub use past::{Move, NO_PAST, Past};
pub use shared::Shared;

use crate::guard::guarded;
use ::node::protocol::{
    Answer, Ballot, Body, Envelope, Index, Input, NodeId, Replica, Request, Timer,
};
use std::sync::Arc;

/// One state of a cluster.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World<M: Told> {
    pub nodes: Vec<Shared<Node<M>>>,
    pub network: Network,
    pub left: Budget,
    /// Every entry that any replica ever knew to be decided. A replica may forget, the world does not.
    pub decided: Arc<Vec<Decided>>,
    /// A step broke a property; nothing happens after it.
    pub broken: Option<Arc<Broken>>,
}

/// An entry that is known to be decided.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decided {
    pub entry: Vec<u8>,
    /// The lowest accepted ballot of those who ever knew: whoever accepts under a higher one has it.
    pub under: Ballot,
}

/// What may happen next.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Action {
    Deliver(Shared<Envelope>),
    Elect(NodeId),
    Propose(NodeId),
    Retransmit(NodeId),
    Heartbeat(NodeId),
    /// The oldest write becomes durable.
    Sync(NodeId),
    /// The oldest snapshot becomes durable.
    Save(NodeId),
    /// All unsynced records but so many are lost.
    Crash(NodeId, usize),
    Restart(NodeId),
}

/// What was decided stays decided, whoever knew it, and whoever crashed since.
pub const DECIDED_LASTS: &str = "what was ever decided, nobody decides differently";

impl Action {
    /// At which node it happens.
    pub fn node(&self) -> NodeId {
        match self {
            Action::Deliver(envelope) => envelope.to,
            Action::Elect(node)
            | Action::Propose(node)
            | Action::Retransmit(node)
            | Action::Heartbeat(node)
            | Action::Sync(node)
            | Action::Save(node)
            | Action::Crash(node, _)
            | Action::Restart(node) => *node,
        }
    }
}

impl<M: Told> World<M> {
    /// Nodes that have just been created, in a network that has not carried anything yet.
    pub fn new(bounds: &Bounds, initial: &M) -> World<M> {
        let create = |node| Turn::create(bounds.config(NodeId(node)), initial.clone());
        let create = |node| create(node).expect("an empty disk contradicts nothing");
        World {
            nodes: (1..=bounds.nodes).map(|node| Shared::new(create(node))).collect(),
            network: Network::default(),
            left: bounds.budget,
            decided: Arc::default(),
            broken: None,
        }
    }

    /// The node of that name.
    pub fn node(&self, node: NodeId) -> &Node<M> {
        &self.nodes[usize::from(node.0) - 1]
    }

    /// The replicas of nodes that are up.
    pub fn replicas(&self) -> impl Iterator<Item = &Replica<M>> {
        self.nodes.iter().filter_map(|node| node.replica.as_ref())
    }

    /// Everything that may happen next.
    pub fn actions(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        if self.broken.is_some() {
            return;
        }
        let left = self.left;
        for node in (1..=bounds.nodes).map(NodeId) {
            let Node { replica, disk } = self.node(node);
            let Some(replica) = replica else {
                actions.push(Action::Restart(node));
                continue;
            };
            let phase = replica.status().phase;
            let leads = matches!(phase, "leader" | "prepare");
            let mut may = |allowed: bool, action: Action| {
                if allowed {
                    actions.push(action);
                }
            };
            let elected = bounds.may_elect(node, left.elections);
            may(elected && phase == "follower", Action::Elect(node));
            may(left.entries > 0 && leads, Action::Propose(node));
            may(left.retransmissions > 0, Action::Retransmit(node));
            let ticks = match bounds.elections {
                Elections::Free => leads,
                Elections::ByHeartbeat | Elections::ByHeartbeatAndNack => {
                    bounds.candidates.contains(&node.0)
                }
            };
            may(left.heartbeats > 0 && ticks, Action::Heartbeat(node));
            may(!disk.unsynced.is_empty(), Action::Sync(node));
            may(!disk.saving.is_empty(), Action::Save(node));
            if left.crashes > 0 {
                let kept = 0..=disk.unsynced_count();
                actions.extend(kept.map(|kept| Action::Crash(node, kept)));
            }
        }
        for sent in self.network.iter() {
            let up = self.node(sent.envelope.to).replica.is_some();
            if up && (!sent.arrived || left.duplicates > 0) {
                actions.push(Action::Deliver(sent.envelope.clone()));
            }
        }
    }

    /// The state after an action, and what clients are answered. None if nothing changes.
    pub fn next(&self, bounds: &Bounds, initial: &M, action: &Action) -> Option<Stepped<M>> {
        let mut left = self.left;
        let arrived = |envelope| self.network.get(envelope).is_some_and(|sent| sent.arrived);
        let spent = match action {
            Action::Deliver(envelope) if arrived(envelope) => Some(&mut left.duplicates),
            Action::Elect(_) => Some(&mut left.elections),
            Action::Propose(_) => Some(&mut left.entries),
            Action::Retransmit(_) => Some(&mut left.retransmissions),
            Action::Heartbeat(_) => Some(&mut left.heartbeats),
            Action::Crash(..) => Some(&mut left.crashes),
            Action::Deliver(_) | Action::Sync(_) | Action::Save(_) | Action::Restart(_) => None,
        };
        if let Some(spent) = spent {
            *spent -= 1;
        }
        let name = bounds.budget.entries - self.left.entries;
        let play = |turn: &mut Turn<M>| match action {
            Action::Deliver(envelope) => {
                turn.step(Input::Message(Envelope::clone(envelope))).map(|()| true)
            }
            Action::Elect(_) => turn.elect(),
            Action::Propose(_) => turn.step(write(&[b'a' + name], name)).map(|()| true),
            // The first finds that something was not answered, the second repeats it.
            Action::Retransmit(_) => {
                (0..2).try_for_each(|_| turn.step(Input::Timeout(Timer::Retransmit))).map(|()| true)
            }
            Action::Heartbeat(_) => turn.step(Input::Timeout(Timer::Heartbeat)).map(|()| true),
            Action::Sync(_) => turn.sync().map(|()| true),
            Action::Save(_) => turn.save().map(|()| true),
            Action::Crash(_, kept) => turn.crash(*kept).map(|()| true),
            Action::Restart(node) => {
                turn.restart(bounds.config(*node), initial.clone()).map(|()| true)
            }
        };
        let mut next = World { left, ..self.clone() };
        if let Action::Deliver(envelope) = action {
            next.network.arrive(envelope);
        }
        next.play(action.node(), bounds, play)
    }

    /// The state after `node` has played its part in an action; false means that it came to nothing.
    pub fn play(
        mut self,
        node: NodeId,
        bounds: &Bounds,
        play: impl FnOnce(&mut Turn<M>) -> Result<bool, Broken>,
    ) -> Option<Stepped<M>> {
        let at = usize::from(node.0) - 1;
        let mut turn = Turn::of(&self.nodes[at], bounds.writes);
        let played = guarded(|| Ok(play(&mut turn)));
        let failed = |detail| Err(Broken { property: NO_ASSERTION_FAILS, detail });
        match played.unwrap_or_else(failed) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(broken) => {
                self.broken = Some(Arc::new(broken));
                return Some((self, Vec::new()));
            }
        }
        let mut changed = false;
        for envelope in turn.sent.into_iter().filter(|envelope| bounds.carries(envelope)) {
            changed |= self.network.send(envelope);
        }
        let stepped = Shared::new(turn.node);
        changed |= stepped.hash_of() != self.nodes[at].hash_of() || !turn.answers.is_empty();
        if !changed {
            return None;
        }
        self.nodes[at] = stepped;
        if let Err(detail) = self.remember_decided(at, &turn.decided) {
            self.broken = Some(Arc::new(Broken { property: DECIDED_LASTS, detail }));
        }
        Some((self, turn.answers))
    }

    /// Compares what a replica knows to be decided with what anyone ever knew, and adds to it.
    /// `learned`: in this action, although its log may not have it any more. Fails with what differs.
    fn remember_decided(&mut self, at: usize, learned: &[Learned]) -> Result<(), String> {
        for Learned { from, under, entries } in learned {
            self.decide(at, *from, *under, entries.iter().map(Vec::as_slice))?;
        }
        let node = self.nodes[at].clone();
        let Some(replica) = &node.replica else { return Ok(()) };
        let (log, status) = (replica.log(), replica.status());
        let held = log.iter(status.first, status.decided);
        self.decide(at, status.first, status.accepted_ballot, held)?;
        // What it has by a snapshot alone, somebody else decided before.
        let (known, ever) = (status.decided.0, self.decided.len() as u64);
        match known <= ever {
            true => Ok(()),
            false => Err(format!("n{} has {known} decided entries; {ever} ever were", at + 1)),
        }
    }

    fn decide<'a>(
        &mut self,
        at: usize,
        from: Index,
        under: Ballot,
        entries: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), String> {
        for (entry, index) in entries.zip(from.0 as usize..) {
            match self.decided.get(index) {
                Some(known) if known.entry == entry && known.under <= under => {}
                Some(known) if known.entry == entry => {
                    Arc::make_mut(&mut self.decided)[index].under = under;
                }
                None if index > self.decided.len() => {
                    let node = at + 1;
                    return Err(format!(
                        "n{node} decides entry {index}, and nobody the one before"
                    ));
                }
                None => {
                    let entry = entry.to_vec();
                    Arc::make_mut(&mut self.decided).push(Decided { entry, under });
                }
                Some(known) => {
                    let (node, one, other) = (at + 1, M::entry(&known.entry), M::entry(entry));
                    return Err(format!(
                        "entry {index} was decided as {one}, and n{node} decides it as {other}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The entries of `from..to` in the log of a replica.
    pub fn log_of(replica: &Replica<M>, from: Index, to: Index) -> String {
        chain::tell::<M>(replica.log().iter(from, to))
    }
}

/// A state, and what clients were answered on the way to it.
pub type Stepped<M> = (World<M>, Vec<Answer<<M as ::node::protocol::StateMachine>::Reply>>);

/// A client's entry. Nobody waits for the answer.
fn write(entry: &[u8], number: u8) -> Input<'_> {
    let (client, number, more) = (0, u64::from(number), false);
    Input::Request(Request { client, number, body: Body::Write(entry), more })
}
