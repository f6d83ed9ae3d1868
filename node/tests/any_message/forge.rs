//! Forged content: messages, entries, images and numbers that nobody sent, and yet so close to what
//! a replica knows that it has to listen.

use crate::cluster::{Cluster, ENTRY_BYTES_MAX, MESSAGE_BYTES};
use crate::random::Random;
use node::kv::{Command, Operation, Store};
use node::protocol::{
    Ballot, Entries, Image, Index, Leading, Message, NodeId, Report, Round, StateMachine, Status,
};
use node::session::SessionId;

/// Counts up to here are plausible to a replica; see `Message::is_plausible`.
const COUNT_MAX: u64 = 1 << 62;

/// Forges what one node is to be told.
pub struct Forger<'a> {
    pub cluster: &'a Cluster,
    pub victim: usize,
    pub random: &'a mut Random,
}

impl Forger<'_> {
    /// Any message at all, most often with numbers that mean something to the victim.
    pub fn any(&mut self) -> Message {
        let (ballot, accepted_ballot) = (self.ballot(), self.ballot());
        let (index, end, round) = (self.index(), self.index(), self.round());
        let flag = self.random.one_in(2);
        match self.random.below(16) {
            0 => Message::Prepare { ballot },
            1 => Message::Promise(self.report(ballot)),
            2 => Message::Hello(self.report(ballot)),
            3 => Message::Nack { promised: ballot },
            4 => {
                let (adopted_ballot, first) = (accepted_ballot, self.index());
                Message::AcceptSync { ballot, adopted_ballot, from: index, end, first }
            }
            5 => {
                let entries = entries(self.random);
                Message::Accept { ballot, index, entries, decided: end }
            }
            6 => Message::Accepted { ballot, accepted: index },
            7 => Message::Decide { ballot, decided: index },
            8 => Message::Pull { ballot, accepted_ballot, from: index, end },
            9 => {
                let entries = entries(self.random);
                Message::Pulled { ballot, accepted_ballot, index, entries, last: flag }
            }
            10 => {
                let offset = number(self.random);
                Message::SnapshotPull { accepted_ballot, index: flag.then_some(index), offset }
            }
            11 => {
                let offset = number(self.random);
                self.piece(index, offset)
            }
            12 => Message::Confirm { ballot, round },
            13 => Message::Confirmed { ballot, round },
            14 => {
                let leading = Leading { ballot, accepted: index, decided: end };
                Message::HeartbeatRequest { round, leading: flag.then_some(leading) }
            }
            _ => {
                let (leader, connected) = (accepted_ballot, self.random.one_in(2));
                Message::HeartbeatReply { round, ballot, leader, connected, happy: flag }
            }
        }
    }

    /// What would answer the victim's question, or follow from its answer, were its content true.
    pub fn answer(&mut self, question: &Message) -> Option<Message> {
        Some(match *question {
            Message::Prepare { ballot } => Message::Promise(self.report(ballot)),
            Message::Promise(report) | Message::Hello(report) => {
                let (ballot, adopted_ballot) = (report.promised, self.ballot());
                let (from, end, first) = (self.index(), self.index(), self.index());
                let (from, first) = (from.min(end), first.min(end));
                Message::AcceptSync { ballot, adopted_ballot, from, end, first }
            }
            Message::AcceptSync { ballot, .. } => Message::Hello(self.report(ballot)),
            Message::Nack { promised } => Message::Prepare { ballot: promised },
            Message::Accept { ballot, index, ref entries, .. } => {
                Message::Accepted { ballot, accepted: self.near(index.plus(entries.len())) }
            }
            Message::Accepted { ballot, accepted } => {
                let (index, decided) = (self.near(accepted), self.index());
                Message::Accept { ballot, index, entries: entries(self.random), decided }
            }
            Message::Decide { ballot, decided } => {
                Message::Accepted { ballot, accepted: self.near(decided) }
            }
            Message::Pull { ballot, accepted_ballot, from, .. } => {
                let (index, last) = (self.near(from), self.random.one_in(2));
                let entries = entries(self.random);
                Message::Pulled { ballot, accepted_ballot, index, entries, last }
            }
            Message::Pulled { ballot, accepted_ballot, index, .. } => {
                let (from, end) = (self.near(index), self.index());
                Message::Pull { ballot, accepted_ballot, from, end: end.max(from) }
            }
            Message::SnapshotPull { index, offset, .. } => {
                let index = index.unwrap_or_else(|| self.index());
                self.piece(index, offset)
            }
            Message::SnapshotPiece { index, offset, .. } => {
                let accepted_ballot = self.ballot();
                Message::SnapshotPull { accepted_ballot, index: Some(index), offset }
            }
            Message::Confirm { ballot, round } => Message::Confirmed { ballot, round },
            Message::HeartbeatRequest { round, .. } => {
                let (ballot, leader) = (self.ballot(), self.ballot());
                let (connected, happy) = (!self.random.one_in(4), self.random.one_in(2));
                Message::HeartbeatReply { round, ballot, leader, connected, happy }
            }
            Message::Confirmed { .. } | Message::HeartbeatReply { .. } => return None,
        })
    }

    /// Somebody else than the victim.
    pub fn other(&mut self) -> NodeId {
        NodeId(((self.victim as u64 + 1 + self.random.below(2)) % 3) as u16 + 1)
    }

    /// A ballot that some replica knows, or one near it, or an absurd one.
    pub fn ballot(&mut self) -> Ballot {
        let whose = *self.random.pick(&[self.victim, self.victim, self.victim, 0, 1, 2]);
        let status = self.status(whose);
        let known = [status.promised, status.promised, status.accepted_ballot, status.leader];
        let known = *self.random.pick(&known);
        let node = NodeId(self.random.below(5) as u16);
        match self.random.below(12) {
            0 => Ballot::NONE,
            1 | 2 => Ballot { round: known.round.saturating_add(1), node, ..known },
            3 => Ballot { round: known.round.saturating_sub(1), ..known },
            4 => Ballot { node, ..known },
            5 => Ballot { priority: self.random.below(256) as u8, ..known },
            // Seldom, because a replica that believes it can never outdo it.
            6 if self.random.one_in(8) => Ballot { round: number(self.random), ..known },
            _ => known,
        }
    }

    /// An index that the victim knows, or one near it, or an absurd one.
    pub fn index(&mut self) -> Index {
        let Status { first, snapshot, applied, decided, accepted, .. } = self.status(self.victim);
        let known = *self.random.pick(&[first, snapshot, applied, decided, accepted]);
        match self.random.below(8) {
            0 => Index(number(self.random)),
            1 => Index(known.0 + 8),
            _ => self.near(known),
        }
    }

    /// That index or one next to it.
    pub fn near(&mut self, index: Index) -> Index {
        let back = *self.random.pick(&[3, 3, 3, 3, 2, 1, 4, 5]);
        Index((index.0 + 3).saturating_sub(back))
    }

    fn status(&self, at: usize) -> Status {
        self.cluster.nodes[at].replica.status()
    }

    fn round(&mut self) -> Round {
        match self.random.below(4) {
            0 => Round { boot: number(self.random), number: number(self.random) },
            _ if self.cluster.rounds.is_empty() => Round::default(),
            _ => *self.random.pick(&self.cluster.rounds),
        }
    }

    /// Most reports are plausible by construction, the others hold any numbers.
    fn report(&mut self, promised: Ballot) -> Report {
        let accepted_ballot = self.ballot();
        let (accepted, decided, first) = (self.index(), self.index(), self.index());
        let report = Report { promised, accepted_ballot, accepted, decided, first };
        match self.random.below(4) {
            0 => report,
            _ => Report {
                accepted_ballot: accepted_ballot.min(promised),
                decided: decided.min(accepted),
                first: first.min(accepted),
                ..report
            },
        }
    }

    /// A piece of a real image, of the image of another state, or of garbage; sometimes its size
    /// and digest do not add up.
    fn piece(&mut self, index: Index, offset: u64) -> Message {
        let images: Vec<&Image> =
            self.cluster.nodes.iter().flat_map(|node| node.images.values()).collect();
        let random = &mut *self.random;
        let image: Vec<u8> = match random.below(4) {
            0 if !images.is_empty() => random.pick(&images).bytes().to_vec(),
            1 => state_with_sessions(index, random),
            _ => random.bytes(2 * MESSAGE_BYTES as u64),
        };
        let rest = &image[offset.min(image.len() as u64) as usize..];
        let length = match random.below(3) {
            0 => random.below(rest.len() as u64 + 1) as usize,
            _ => rest.len(),
        };
        let digest = if random.one_in(8) { random.next() } else { digest(&image) };
        let size_bytes = if random.one_in(8) { number(random) } else { image.len() as u64 };
        let (bytes, last) = (rest[..length].into(), random.one_in(2));
        Message::SnapshotPiece { index, size_bytes, digest, offset, bytes, last }
    }
}

/// The image of a store whose sessions were opened before `index`, or, one time in four, after it.
fn state_with_sessions(index: Index, random: &mut Random) -> Vec<u8> {
    let mut entry = Vec::new();
    Command::OPEN.encode(&mut entry);
    let mut store = Store::default();
    let after = if random.one_in(4) { 3 } else { 0 };
    let start = index.0.saturating_sub(4).saturating_add(after);
    for at in start..start.saturating_add(random.below(4)) {
        store.apply(Index(at), &entry);
    }
    let mut image = Vec::new();
    store.encode(&mut image);
    image
}

/// As a holder of snapshots computes it: the content of a message, so part of the protocol.
fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    }
    hash
}

/// A number at an edge.
pub fn number(random: &mut Random) -> u64 {
    let edges = [0, 1, 7, 8, 9, 1 << 20, 1 << 32, 1 << 40, COUNT_MAX - 1, COUNT_MAX];
    match random.below(6) {
        0 => *random.pick(&[COUNT_MAX + 1, 1 << 63, u64::MAX - 1, u64::MAX]),
        _ => *random.pick(&edges),
    }
}

/// A few entries, or none, or far more than a window holds.
pub fn entries(random: &mut Random) -> Entries {
    let count = if random.one_in(16) { 200 } else { random.below(6) };
    let bytes: Vec<Vec<u8>> = (0..count).map(|_| command(random)).collect();
    Entries::of(bytes.iter().map(Vec::as_slice))
}

/// A command, garbage or nothing; never above the limit.
pub fn command(random: &mut Random) -> Vec<u8> {
    let mut entry = Vec::new();
    let (session, number) = (SessionId(1 + random.below(20)), random.below(9));
    let acknowledged = random.below(9);
    let (key, value) = (random.bytes(2), random.bytes(20));
    let operation = match random.below(4) {
        0 => Operation::Open,
        1 => Operation::Put { key: &key, value: &value },
        2 => Operation::Cas { key: &key, old: None, new: &value },
        _ => {
            let size_max = *random.pick(&[0, 3, 3, ENTRY_BYTES_MAX as u64]);
            return random.bytes(size_max);
        }
    };
    Command { session, number, acknowledged, operation }.encode(&mut entry);
    entry
}
