//! Random messages of every kind. Counts in them need not be plausible; a replica checks that.

use super::{Any, AnyAnswer, AnyQuestion};
use fastrand::Rng;
use node::protocol::{Ballot, Entries, Index, Leading, Message, NodeId, Report, Round};
use node::wire::{Answer, Reply, SessionId};

/// What the properties draw. Prints its seed; takes another from `SEED=`.
pub struct Random(Rng);

/// How many kinds of messages `any` can make.
pub const KINDS: u64 = 16 + 5 + 17;

impl Random {
    pub fn seeded() -> Random {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        println!("SEED={seed}");
        Random(Rng::with_seed(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }

    pub fn bytes(&mut self, size_bytes_max: usize) -> Vec<u8> {
        (0..self.below(size_bytes_max as u64 + 1)).map(|_| self.next() as u8).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    /// A few bytes changed, lost or added, anywhere.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.below(3) {
            let position = self.below(bytes.len() as u64 + 1) as usize;
            match self.below(4) {
                0 => bytes.truncate(position),
                1 => bytes.insert(position, self.next() as u8),
                2 if position < bytes.len() => bytes[position] = self.next() as u8,
                _ if position < bytes.len() => bytes[position] ^= 1 << self.below(8),
                _ => {}
            }
        }
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Small, or anything.
    fn count(&mut self) -> u64 {
        if self.flag() { self.below(100) } else { self.next() }
    }

    fn index(&mut self) -> Index {
        Index(self.count())
    }

    fn ballot(&mut self) -> Ballot {
        let (priority, node) = (self.next() as u8, NodeId(self.next() as u16));
        Ballot { round: self.count(), priority, node }
    }

    fn round(&mut self) -> Round {
        Round { boot: self.count(), number: self.count() }
    }

    fn report(&mut self) -> Report {
        let (promised, accepted_ballot) = (self.ballot(), self.ballot());
        let [accepted, decided, first] = [(); 3].map(|()| self.index());
        Report { promised, accepted_ballot, accepted, decided, first }
    }

    /// Entries whole, or a part of a batch.
    fn entries(&mut self, size_bytes_max: usize) -> Entries {
        let count = self.below(20) as usize;
        let entries: Vec<_> = (0..count).map(|_| self.bytes(size_bytes_max / 20)).collect();
        let entries = Entries::of(entries.iter().map(Vec::as_slice));
        let from = self.below(count as u64 + 1) as usize;
        if self.flag() { entries } else { entries.slice(from, count) }
    }

    /// A message of a kind below [`KINDS`] with at most about so many bytes of payload.
    pub fn any(&mut self, kind: u64, size_bytes_max: usize) -> Any {
        match kind {
            0..16 => Any::Node(self.message(kind, size_bytes_max)),
            16..21 => Any::Request(match kind {
                16 => AnyQuestion::Write(self.bytes(size_bytes_max)),
                17 => AnyQuestion::Read(self.bytes(size_bytes_max)),
                18 => AnyQuestion::Status,
                19 => AnyQuestion::Route(None),
                _ => AnyQuestion::Route(Some(self.bytes(size_bytes_max))),
            }),
            _ => Any::Response(match kind {
                21 => AnyAnswer::Status(self.bytes(size_bytes_max)),
                22 => AnyAnswer::Table(self.bytes(size_bytes_max)),
                _ => AnyAnswer::Plain(self.answer(kind, size_bytes_max)),
            }),
        }
    }

    fn answer(&mut self, kind: u64, size_bytes_max: usize) -> Answer<'static> {
        match kind {
            23 => Answer::Redirect(None),
            24 => Answer::Redirect(Some(NodeId(1 + self.below(100) as u16))),
            25 => Answer::WrongGroup { table_version: self.next() },
            26 => Answer::Busy,
            27 => Answer::TooLarge { size_bytes_max: self.next() as u32 },
            28 => Answer::Reply(Reply::Opened(SessionId(self.next()))),
            29 => Answer::Reply(Reply::Found(self.bytes(size_bytes_max).into())),
            30 => Answer::Reply(Reply::Swapped(self.bytes(size_bytes_max).into())),
            31 => Answer::Reply(Reply::Mismatch(self.bytes(size_bytes_max).into())),
            32 => Answer::Reply(Reply::Put),
            33 => Answer::Reply(Reply::Deleted),
            34 => Answer::Reply(Reply::NotFound),
            35 => Answer::Reply(Reply::Expired),
            36 => Answer::Reply(Reply::Forgotten),
            _ => Answer::Reply(Reply::Overfull),
        }
    }

    fn message(&mut self, kind: u64, size_bytes_max: usize) -> Message {
        let (ballot, accepted_ballot) = (self.ballot(), self.ballot());
        let [index, from, end, first] = [(); 4].map(|()| self.index());
        let (round, last) = (self.round(), self.flag());
        match kind {
            0 => Message::Prepare { ballot },
            1 => Message::Promise(self.report()),
            2 => Message::Hello(self.report()),
            3 => Message::Nack { promised: ballot },
            4 => Message::AcceptSync { ballot, adopted_ballot: accepted_ballot, from, end, first },
            5 => {
                let entries = self.entries(size_bytes_max);
                Message::Accept { ballot, index, entries, decided: end }
            }
            6 => Message::Accepted { ballot, accepted: index },
            7 => Message::Decide { ballot, decided: index },
            8 => Message::Pull { ballot, accepted_ballot, from, end },
            9 => {
                let entries = self.entries(size_bytes_max);
                Message::Pulled { ballot, accepted_ballot, index, entries, last }
            }
            10 => {
                let (index, offset) = (last.then_some(index), self.count());
                Message::SnapshotPull { accepted_ballot, index, offset }
            }
            11 => Message::SnapshotPiece {
                index,
                size_bytes: self.count(),
                digest: self.next(),
                offset: self.count(),
                bytes: self.bytes(size_bytes_max).into(),
                last,
            },
            12 => Message::Confirm { ballot, round },
            13 => Message::Confirmed { ballot, round },
            14 => Message::HeartbeatRequest {
                round,
                leading: last.then_some(Leading { ballot, accepted: index, decided: end }),
            },
            _ => Message::HeartbeatReply {
                round,
                ballot,
                leader: accepted_ballot,
                connected: self.flag(),
                happy: last,
            },
        }
    }
}
