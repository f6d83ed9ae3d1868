//! Ways to lie to a replica: once, in answer to its questions, as its leader, or without end. And
//! what must become of lies that nobody repeats: they die away.

use crate::cluster::{Cluster, GROUP, MESSAGE_BYTES, Met, meet};
use crate::forge::Forger;
use crate::memory;
use crate::random::Random;
use crate::replica::Node;
use node::protocol::{Ballot, Entries, Envelope, GroupId, Index, Input, Message, NodeId};

/// What a replica keeps of pieces that overtook others: so many bytes, however many come.
const EARLY_BYTES_MAX: usize = 64 * MESSAGE_BYTES + (4 << 10);
/// What one message sets off between replicas, beside a transfer of all that they hold.
const ECHOES_MAX: u64 = 32;

impl Cluster {
    /// One action of any kind, every third a lie.
    pub fn act(&mut self, random: &mut Random) {
        match random.below(100) {
            0..70 => self.act_honestly(random),
            70..82 => self.lie(random),
            82..94 => self.answer_falsely(random),
            94..98 => self.lead_falsely(random),
            98 => self.repeat(random),
            _ => self.die_away(random),
        }
    }

    /// Any message at all, from anybody, most often from a peer.
    fn lie(&mut self, random: &mut Random) {
        let at = random.below(3) as usize;
        let mut forger = self.forger(at, random);
        let (message, peer) = (forger.any(), forger.other());
        let message = match random.below(4) {
            0 if !self.network.is_empty() => random.pick(&self.network).message.clone(),
            _ => message,
        };
        let (group, from) = match random.below(16) {
            0 => (GroupId(8), node_at(at)),
            1 => (GROUP, NodeId(random.below(6) as u16)),
            _ => (GROUP, peer),
        };
        self.tell(at, Envelope { group, from, to: node_at(at), message });
    }

    /// A message of each kind that would answer a real one, were its content true.
    fn answer_falsely(&mut self, random: &mut Random) {
        if self.network.is_empty() {
            return;
        }
        let Envelope { from: to, to: from, message: question, .. } =
            random.pick(&self.network).clone();
        let at = usize::from(to.0) - 1;
        if let Some(message) = self.forger(at, random).answer(&question) {
            self.tell(at, Envelope { group: GROUP, from, to, message });
            // Answers to a pull are worth most when the write or image they lead to is synced.
            if random.one_in(2) {
                self.sync_all(at);
            }
        }
    }

    /// A peer leads and offers a log that begins after the victim's, so that a snapshot is pulled;
    /// whatever the victim asks for, it gets falsely, and perhaps more than it can keep.
    fn lead_falsely(&mut self, random: &mut Random) {
        let at = random.below(3) as usize;
        let status = self.nodes[at].replica.status();
        let round = status.promised.round.saturating_add(random.below(2));
        let mut forger = self.forger(at, random);
        let (from, to) = (forger.other(), node_at(at));
        let ballot = Ballot { round, priority: status.promised.priority, node: from };
        let first = forger.near(status.accepted.max(status.decided));
        let end = forger.near(first).max(first);
        let (adopted_ballot, base) = (forger.ballot(), forger.index().min(end));
        let offer = Message::AcceptSync { ballot, adopted_ballot, from: base, end, first };
        for message in [Message::Prepare { ballot }, offer] {
            self.tell(at, Envelope { group: GROUP, from, to, message });
            self.sync_all(at);
        }
        for _ in 0..random.below(8) {
            let asked = |envelope: &&Envelope| (envelope.from, envelope.to) == (to, from);
            let Some(question) = self.network.iter().rfind(asked).cloned() else { return };
            if random.one_in(8) {
                self.overtake(question, random);
            } else if let Some(message) = self.forger(at, random).answer(&question.message) {
                self.tell(at, Envelope { group: GROUP, from, to, message });
                self.sync_all(at);
            }
        }
    }

    /// The same lie over and over: what it makes a replica keep, it makes it keep once.
    fn repeat(&mut self, random: &mut Random) {
        let at = random.below(3) as usize;
        let mut forger = self.forger(at, random);
        let (from, message) = (forger.other(), forger.any());
        let network = std::mem::take(&mut self.network);
        let mut settled = 0;
        for count in 0..48 {
            self.network.clear();
            let message = message.clone();
            self.tell(at, Envelope { group: GROUP, from, to: node_at(at), message });
            self.sync_all(at);
            let held = memory::held();
            settled = if count <= 16 { held } else { settled };
            assert!(held <= settled, "{settled} bytes grew to {held}");
        }
        self.network.extend(network);
    }

    /// Pieces of an answer, each from farther on than the one that is missing: few are kept, and
    /// the missing one is still taken when it comes.
    fn overtake(&mut self, question: Envelope, random: &mut Random) {
        let Envelope { from: to, to: from, message: question, .. } = question;
        let at = usize::from(to.0) - 1;
        let Some(kind) = name_of_pieces(&question) else { return };
        let envelope = |message| Envelope { group: GROUP, from, to, message };
        let accepted = self.nodes[at].replica.status().accepted;
        let far = |random: &mut Random| (1 << 20) + random.below(1 << 20);
        let missing = envelope(piece_of_answer(&question, accepted, 0, random));
        let mut overtake = |cluster: &mut Cluster| {
            let piece = piece_of_answer(&question, accepted, far(random), random);
            cluster.tell(at, envelope(piece));
        };

        overtake(self);
        let before = self.nodes[at].clone();
        let network = std::mem::take(&mut self.network);
        let held = memory::held();
        (0..400).for_each(|_| overtake(self));
        let kept = memory::held().saturating_sub(held);
        self.network.extend(network);
        assert!(kept <= EARLY_BYTES_MAX, "kept {kept} bytes of {kind} that overtook others");
        if takes(before, &missing) {
            meet(&mut self.met, format!("{kind} overtook others"));
            assert!(takes(self.nodes[at].clone(), &missing), "the missing {kind} was turned away");
        }
    }

    /// A few lies; then no timer fires and nobody asks, and all that is said comes to its end: each
    /// cause sets off a transfer of the whole log and snapshot at most, and little else.
    pub fn die_away(&mut self, random: &mut Random) {
        let waiting = |node: &Node| node.unsynced() as u64;
        let before = self.network.len() as u64 + self.nodes.iter().map(waiting).sum::<u64>();
        let (sent, forged) = (self.sent, self.forged);
        for _ in 0..random.below(8) {
            match random.below(8) {
                0 => self.lead_falsely(random),
                1..4 => self.lie(random),
                _ => self.answer_falsely(random),
            }
            (0..random.below(8)).for_each(|_| self.deliver(random));
        }
        let causes = before + self.forged - forged;
        while !self.network.is_empty() || self.nodes.iter().any(|node| node.unsynced() > 0) {
            self.step_if(random.below(3) as usize, Node::sync_or_save);
            for _ in 0..random.below(4) {
                self.take_any(random).into_iter().for_each(|envelope| self.receive(envelope));
            }
            let pieces: u64 = self.nodes.iter().map(Node::pieces).sum();
            let (effects, most) = (self.sent - sent, causes * (ECHOES_MAX + 2 * pieces));
            assert!(effects <= most, "{effects} messages were set off by {causes}");
        }
        if self.sent - sent > 4 * causes {
            meet(&mut self.met, "a cause had four effects");
        }
    }

    fn tell(&mut self, at: usize, envelope: Envelope) {
        self.forged += 1;
        self.step(at, Input::Message(envelope));
    }

    fn forger<'a>(&'a self, victim: usize, random: &'a mut Random) -> Forger<'a> {
        Forger { cluster: self, victim, random }
    }
}

fn node_at(at: usize) -> NodeId {
    NodeId(at as u16 + 1)
}

fn name_of_pieces(question: &Message) -> Option<&'static str> {
    match question {
        Message::Pull { .. } => Some("entries"),
        Message::SnapshotPull { .. } => Some("pieces of a snapshot"),
        _ => None,
    }
}

/// The piece so `far` behind what was asked for. A snapshot is a newer one than any there is.
fn piece_of_answer(question: &Message, accepted: Index, far: u64, random: &mut Random) -> Message {
    let (bytes, last) = (random.bytes(MESSAGE_BYTES as u64 - 1), random.one_in(2));
    match *question {
        Message::Pull { ballot, accepted_ballot, from, .. } => {
            let (index, entries) = (Index(from.0 + far), Entries::of([bytes.as_slice()]));
            Message::Pulled { ballot, accepted_ballot, index, entries, last }
        }
        Message::SnapshotPull { index, .. } => {
            let index = Index(index.unwrap_or_default().max(accepted).0 + 1);
            let (offset, bytes) = (far, [&[7], bytes.as_slice()].concat().into());
            Message::SnapshotPiece { index, size_bytes: 1 << 32, digest: 0, offset, bytes, last }
        }
        _ => unreachable!("asked for no pieces"),
    }
}

/// Whether the message makes a difference to the replica.
fn takes(mut node: Node, envelope: &Envelope) -> bool {
    let before = node.replica.clone();
    node.step(Input::Message(envelope.clone()), &mut Met::new());
    node.replica != before
}
