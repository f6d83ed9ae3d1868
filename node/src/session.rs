//! Sessions: exactly-once execution over a network that loses replies and clients that retry.
//!
//! ```text
//! client    open ──► s5     #1 put ──► (reply lost)     #1 put again, any leader     #2, acknowledging 1
//! log       entry 4         entry 7: runs               entry 9: a repeat            entry 12
//! session   created         remembers #1's reply        gives it again, runs nothing  drops #1, runs #2
//! ```
//!
//! The table is replicated state: it changes only as entries are applied, so every replica remembers
//! and forgets the same at the same position of the log, and a retry meets it whoever leads.
//! Numbers may come in any order, for a client may have several requests in flight.
//! A session ends only by eviction, the least recently used in *log order* first: no clock, no
//! answer that two replicas could give differently. Its id is never given again, so whatever still
//! arrives under it is refused, and never runs a second time.
//! Source: Ongaro's thesis on Raft, §6.3; unlike there, entries carry no time to expire sessions by.

use std::collections::BTreeMap;

use imbl::OrdMap;

use crate::bytes::{Reader, put_bytes};
use crate::command::Reply;
pub use crate::command::SessionId;
use crate::digest::{Digest, Fingerprint, Kind};
use crate::protocol::{Index, Malformed};

/// How much the table holds. Part of the replicated state: replicas with different limits would
/// evict differently, so all replicas of a group start with the same, and a snapshot brings its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most sessions, at least one. One more evicts the least recently used.
    pub sessions_max: u32,
    /// Most unacknowledged results of a session, at least one. One more is refused.
    pub results_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { sessions_max: 4096, results_max: 128 }
    }
}

/// The sessions that are open and what each remembers.
/// Invariant: `by_use` is the inverse of every session's `last_used`; `live` and each session's
/// results are within `limits`; `digest` is that of the limits, the sessions and their results.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sessions {
    digest: Digest,
    limits: Limits,
    live: OrdMap<SessionId, Session>,
    by_use: OrdMap<Index, SessionId>,
}

/// Invariant: `acknowledged` is lower than the number of every result.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Session {
    last_used: Index,
    acknowledged: u64,
    results: BTreeMap<u64, Reply>,
}

impl Sessions {
    /// No sessions. Panics on a limit of zero.
    pub fn new(limits: Limits) -> Sessions {
        assert!(limits.sessions_max > 0 && limits.results_max > 0, "a limit of zero serves nobody");
        let mut digest = Digest::default();
        let fingerprint = Fingerprint::of(Kind::Limits).number(limits.sessions_max.into());
        digest.add(fingerprint.number(limits.results_max.into()));
        Sessions { digest, limits, live: OrdMap::new(), by_use: OrdMap::new() }
    }

    /// Opens a session for the entry at `index`, at the price of the least recently used when the
    /// table is full. Panics unless `index` is later than that of every entry before (our bug).
    pub fn open(&mut self, index: Index) -> SessionId {
        self.assert_in_order(index);
        if self.live.len() >= self.limits.sessions_max as usize {
            self.evict();
        }
        let id = SessionId(index.0 + 1);
        self.insert(id, Session { last_used: index, acknowledged: 0, results: BTreeMap::new() });
        id
    }

    /// Calls `execute` if this is the first application of command `number` of session `id`, and
    /// remembers the reply; otherwise gives the reply remembered, or the reason why there is none.
    /// `acknowledged` takes effect first, and any command of a live session counts as its use.
    /// Panics unless `index` is later than that of every entry before (our bug).
    pub fn once(
        &mut self,
        index: Index,
        id: SessionId,
        (number, acknowledged): (u64, u64),
        execute: impl FnOnce() -> Reply,
    ) -> Reply {
        if !self.live.contains_key(&id) {
            return Reply::Expired;
        }
        self.touch(index, id, acknowledged);
        let session = self.live.get_mut(&id).expect("found above, and touch evicts nobody");
        if number <= session.acknowledged {
            return Reply::Forgotten;
        }
        if let Some(first) = session.results.get(&number) {
            return first.clone();
        }
        if session.results.len() >= self.limits.results_max as usize {
            return Reply::Overfull;
        }
        let reply = execute();
        assert!(reply.is_result(), "an operation that ran has a result");
        self.digest.add(fingerprint_of_result(id, number, &reply));
        session.results.insert(number, reply.clone());
        reply
    }

    /// How many sessions are open.
    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// The digest of all of it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Appends limits, the number of sessions, and each session in order of its id.
    pub(crate) fn encode(&self, image: &mut Vec<u8>) {
        image.extend_from_slice(&self.limits.sessions_max.to_le_bytes());
        image.extend_from_slice(&self.limits.results_max.to_le_bytes());
        put_count(image, self.live.len());
        for (id, session) in &self.live {
            for number in [id.0, session.last_used.0, session.acknowledged] {
                image.extend_from_slice(&number.to_le_bytes());
            }
            put_count(image, session.results.len());
            for (number, reply) in &session.results {
                image.extend_from_slice(&number.to_le_bytes());
                let mut encoded = Vec::new();
                reply.encode(&mut encoded);
                put_bytes(image, &encoded);
            }
        }
    }

    /// Reads back what `encode` writes. Whatever breaks an invariant of the table is malformed.
    pub(crate) fn decode(from: &mut Reader<'_>, index: Index) -> Result<Sessions, Malformed> {
        let limits = Limits { sessions_max: from.u32()?, results_max: from.u32()? };
        ensure(limits.sessions_max > 0 && limits.results_max > 0)?;
        let mut sessions = Sessions::new(limits);
        let mut latest = SessionId::NONE;
        for _ in 0..within(limits.sessions_max, from.u32()?)? {
            let id = SessionId(from.u64()?);
            let session = Session::decode(from, limits)?;
            ensure(id > latest && session.last_used.0 >= id.0 - 1)?;
            // Used by an entry that the image covers, or the next entry would be applied twice.
            ensure(session.last_used < index)?;
            ensure(!sessions.by_use.contains_key(&session.last_used))?;
            sessions.insert(id, session);
            latest = id;
        }
        Ok(sessions)
    }

    fn insert(&mut self, id: SessionId, session: Session) {
        self.digest.add(session.fingerprint(id));
        for (&number, reply) in &session.results {
            self.digest.add(fingerprint_of_result(id, number, reply));
        }
        self.by_use.insert(session.last_used, id);
        self.live.insert(id, session);
    }

    /// Marks a live session as used at `index` and drops what it need not remember any more.
    fn touch(&mut self, index: Index, id: SessionId, acknowledged: u64) {
        self.assert_in_order(index);
        let session = self.live.get_mut(&id).expect("the caller found it");
        self.digest.remove(session.fingerprint(id));
        self.by_use.remove(&session.last_used);
        self.by_use.insert(index, id);
        session.last_used = index;
        // A delayed copy of an older command carries an older acknowledgement.
        session.acknowledged = session.acknowledged.max(acknowledged);
        self.digest.add(session.fingerprint(id));
        while let Some(first) = session.results.first_entry()
            && *first.key() <= session.acknowledged
        {
            self.digest.remove(fingerprint_of_result(id, *first.key(), first.get()));
            first.remove();
        }
    }

    fn assert_in_order(&self, index: Index) {
        let newest = self.by_use.get_max();
        let later = newest.is_none_or(|(newest, _)| index > *newest);
        assert!(later, "entries are applied in log order, each once");
    }

    fn evict(&mut self) {
        let &(last_used, id) = self.by_use.get_min().expect("a full table is not empty");
        self.by_use.remove(&last_used);
        let session = self.live.remove(&id).expect("what was used is live");
        self.digest.remove(session.fingerprint(id));
        for (&number, reply) in &session.results {
            self.digest.remove(fingerprint_of_result(id, number, reply));
        }
    }
}

impl Session {
    /// Covers all but the results, which are items of their own: a command must not cost as much as
    /// everything the session remembers.
    fn fingerprint(&self, id: SessionId) -> Fingerprint {
        let head = Fingerprint::of(Kind::Session).number(id.0);
        head.number(self.last_used.0).number(self.acknowledged)
    }

    fn decode(from: &mut Reader<'_>, limits: Limits) -> Result<Session, Malformed> {
        let (last_used, acknowledged) = (Index(from.u64()?), from.u64()?);
        let mut results = BTreeMap::new();
        let mut latest = acknowledged;
        for _ in 0..within(limits.results_max, from.u32()?)? {
            let (number, reply) = (from.u64()?, Reply::decode(from.bytes()?)?);
            ensure(number > latest && reply.is_result())?;
            results.insert(number, reply);
            latest = number;
        }
        Ok(Session { last_used, acknowledged, results })
    }
}

fn fingerprint_of_result(id: SessionId, number: u64, reply: &Reply) -> Fingerprint {
    let head = Fingerprint::of(Kind::Result).number(id.0).number(number);
    head.number(reply.tag().into()).bytes(reply.value())
}

fn put_count(image: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("limits are of 32 bits");
    image.extend_from_slice(&count.to_le_bytes());
}

fn within(limit: u32, count: u32) -> Result<u32, Malformed> {
    ensure(count <= limit).map(|()| count)
}

fn ensure(legal: bool) -> Result<(), Malformed> {
    if legal { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table for two sessions of two results, with the next index to apply.
    struct Table(Sessions, u64);

    impl Table {
        fn small() -> Table {
            Table(Sessions::new(Limits { sessions_max: 2, results_max: 2 }), 0)
        }

        fn next(&mut self) -> Index {
            self.1 += 1;
            Index(self.1 - 1)
        }

        fn open(&mut self) -> SessionId {
            let index = self.next();
            self.0.open(index)
        }

        /// Applies a command whose execution would give `reply`.
        fn apply(&mut self, id: SessionId, number: u64, acknowledged: u64, reply: Reply) -> Reply {
            let index = self.next();
            self.0.once(index, id, (number, acknowledged), || reply)
        }
    }

    #[test]
    fn a_retry_returns_the_first_result() {
        let mut table = Table::small();
        let id = table.open();
        assert_eq!(table.apply(id, 1, 0, Reply::NotFound), Reply::NotFound);
        assert_eq!(table.apply(id, 1, 0, Reply::Put), Reply::NotFound);
    }

    #[test]
    fn numbers_may_come_in_any_order_and_none_runs_twice() {
        let mut table = Table::small();
        let id = table.open();
        assert_eq!(table.apply(id, 2, 0, Reply::Put), Reply::Put);
        assert_eq!(table.apply(id, 1, 0, Reply::Deleted), Reply::Deleted);
        assert_eq!(table.apply(id, 2, 0, Reply::NotFound), Reply::Put);
        assert_eq!(table.apply(id, 1, 0, Reply::NotFound), Reply::Deleted);
    }

    #[test]
    fn an_acknowledged_number_is_forgotten_and_an_acknowledgement_never_goes_back() {
        let mut table = Table::small();
        let id = table.open();
        table.apply(id, 1, 0, Reply::Put);
        assert_eq!(table.apply(id, 2, 1, Reply::Put), Reply::Put);
        assert_eq!(table.apply(id, 1, 0, Reply::Put), Reply::Forgotten);
        assert_eq!(table.apply(id, 3, 0, Reply::Put), Reply::Put);
        assert_eq!(table.apply(id, 1, 0, Reply::Put), Reply::Forgotten);
        assert_eq!(table.apply(id, 0, 0, Reply::Put), Reply::Forgotten, "numbers start at one");
        assert_eq!(table.apply(id, 9, u64::MAX, Reply::Put), Reply::Forgotten);
    }

    #[test]
    fn an_overfull_session_runs_nothing_until_it_acknowledges() {
        let mut table = Table::small();
        let id = table.open();
        table.apply(id, 1, 0, Reply::Put);
        table.apply(id, 2, 0, Reply::Put);
        assert_eq!(table.apply(id, 3, 0, Reply::Deleted), Reply::Overfull);
        assert_eq!(table.apply(id, 2, 0, Reply::Deleted), Reply::Put, "a retry needs no room");
        assert_eq!(table.apply(id, 3, 1, Reply::Deleted), Reply::Deleted);
    }

    #[test]
    fn the_least_recently_used_session_is_evicted() {
        let mut table = Table::small();
        let (one, two) = (table.open(), table.open());
        table.apply(one, 1, 0, Reply::Put);
        table.apply(two, 1, 0, Reply::Put);
        table.apply(one, 1, 0, Reply::Put);
        let three = table.open();
        assert_eq!(table.0.count(), 2);
        assert_eq!(table.apply(two, 2, 0, Reply::Put), Reply::Expired);
        assert_eq!(table.apply(one, 2, 0, Reply::Put), Reply::Put, "its retry was a use");
        assert_eq!(table.apply(three, 1, 0, Reply::Put), Reply::Put);
    }

    #[test]
    fn an_evicted_session_is_refused_not_reexecuted() {
        let mut table = Table::small();
        let id = table.open();
        table.apply(id, 1, 0, Reply::Put);
        let others = [table.open(), table.open()];
        let index = table.next();
        let reply = table.0.once(index, id, (1, 0), || panic!("it ran again"));
        assert_eq!(reply, Reply::Expired);
        assert!(!others.contains(&id) && table.open() != id, "an id is never given again");
    }

    #[test]
    fn nothing_runs_without_a_session() {
        let mut table = Table::small();
        assert_eq!(table.apply(SessionId::NONE, 1, 0, Reply::Put), Reply::Expired);
        table.open();
        assert_eq!(table.apply(SessionId::NONE, 1, 0, Reply::Put), Reply::Expired);
    }

    #[test]
    #[should_panic(expected = "in log order")]
    fn an_entry_is_applied_once() {
        let mut table = Table::small();
        let id = table.open();
        table.0.once(Index(0), id, (1, 0), || Reply::Put);
    }
}
