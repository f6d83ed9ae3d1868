//! The replicated map: byte strings to byte strings, with the sessions that make each command run
//! once. A pure state machine: `apply(entry) -> reply`, the same on every node.
//!
//! A snapshot image is canonical, so equal states have equal images; little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version, now 1 |
//! | 8, then each | number of pairs; key, value, each a `u32` length and its bytes; keys ascend |
//! | 4, 4 | most sessions, most results of a session |
//! | 4, then each | number of sessions; id, last used, acknowledged, 8 each; ids ascend; and its |
//! | 4, then each | number of results; number, 8; reply, a `u32` length and its bytes; numbers ascend |
//! | 8 | digest of all that |

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use imbl::OrdMap;

use crate::bytes::{Reader, put_bytes};
pub use crate::command::{Command, Operation, Reply};
use crate::digest::{Digest, Fingerprint, Kind};
use crate::protocol::{Index, Malformed, StateMachine};
use crate::session::{Limits, Sessions};

const IMAGE_VERSION: u8 = 1;

/// The map and its sessions. A clone shares everything with the original until one of them changes,
/// and then all but the changed: to take a snapshot of a million keys takes as long as of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    map: Map,
    sessions: Sessions,
}

/// Invariant: `digest` is that of `pairs`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Map {
    digest: Digest,
    pairs: OrdMap<Arc<[u8]>, Arc<[u8]>>,
}

impl Store {
    /// An empty map with room for so many sessions and results, for tests and simulations that must
    /// reach the limits soon. All replicas of a group need the same. Panics on a limit of zero.
    pub fn with_limits(limits: Limits) -> Store {
        Store { map: Map::default(), sessions: Sessions::new(limits) }
    }

    /// How many keys have a value.
    pub fn key_count(&self) -> usize {
        self.map.pairs.len()
    }

    /// How many sessions are open.
    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::with_limits(Limits::default())
    }
}

/// Hashes the digest alone: equal stores have equal digests, and models hash millions of states.
impl Hash for Store {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.digest());
    }
}

impl StateMachine for Store {
    type Reply = Reply;

    fn apply(&mut self, index: Index, entry: &[u8]) -> Reply {
        let Ok(command) = Command::decode(entry) else {
            return Reply::Malformed;
        };
        let Command { session, number, acknowledged, operation } = command;
        let Store { map, sessions } = self;
        let mut once = |execute: &mut dyn FnMut() -> Reply| {
            sessions.once(index, session, (number, acknowledged), execute)
        };
        match operation {
            Operation::Open => Reply::Opened(sessions.open(index)),
            Operation::Put { key, value } => once(&mut || map.put(key, value)),
            Operation::Cas { key, old, new } => once(&mut || map.cas(key, old, new)),
            Operation::Delete { key } => once(&mut || map.delete(key)),
        }
    }

    /// `query` is a key.
    fn query(&self, query: &[u8]) -> Reply {
        self.map.pairs.get(query).map_or(Reply::NotFound, |value| Reply::Found(value.clone()))
    }

    fn digest(&self) -> u64 {
        self.map.digest.and(self.sessions.digest()).value()
    }

    fn encode(&self, image: &mut Vec<u8>) {
        image.push(IMAGE_VERSION);
        self.map.encode(image);
        self.sessions.encode(image);
        image.extend_from_slice(&self.digest().to_le_bytes());
    }

    fn decode(image: &[u8], index: Index) -> Result<Store, Malformed> {
        let mut from = Reader(image);
        if from.u8()? != IMAGE_VERSION {
            return Err(Malformed);
        }
        let (map, sessions) = (Map::decode(&mut from)?, Sessions::decode(&mut from, index)?);
        let store = Store { map, sessions };
        if from.u64()? != store.digest() {
            return Err(Malformed);
        }
        from.end().map(|()| store)
    }
}

impl Map {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Reply {
        self.set(key, value.into());
        Reply::Put
    }

    fn cas(&mut self, key: &[u8], old: Option<&[u8]>, new: &[u8]) -> Reply {
        match (self.pairs.get(key), old) {
            (None, Some(_)) => Reply::NotFound,
            (Some(current), old) if old != Some(current) => Reply::Mismatch(current.clone()),
            _ => {
                let new: Arc<[u8]> = new.into();
                self.set(key, new.clone());
                Reply::Swapped(new)
            }
        }
    }

    fn delete(&mut self, key: &[u8]) -> Reply {
        if let Some(value) = self.pairs.remove(key) {
            self.digest.remove(fingerprint_of_pair(key, &value));
        }
        Reply::Deleted
    }

    fn set(&mut self, key: &[u8], value: Arc<[u8]>) {
        self.digest.add(fingerprint_of_pair(key, &value));
        if let Some(current) = self.pairs.get_mut(key) {
            self.digest.remove(fingerprint_of_pair(key, current));
            *current = value;
        } else {
            self.pairs.insert(key.into(), value);
        }
    }

    fn encode(&self, image: &mut Vec<u8>) {
        image.extend_from_slice(&(self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            put_bytes(image, key);
            put_bytes(image, value);
        }
    }

    /// Allocates as it reads, never by a count it was told.
    fn decode(from: &mut Reader<'_>) -> Result<Map, Malformed> {
        let mut map = Map::default();
        for _ in 0..from.u64()? {
            let (key, value) = (from.bytes()?, from.bytes()?);
            if map.pairs.get_max().is_some_and(|(last, _)| **last >= *key) {
                return Err(Malformed);
            }
            map.set(key, value.into());
        }
        Ok(map)
    }
}

fn fingerprint_of_pair(key: &[u8], value: &[u8]) -> Fingerprint {
    Fingerprint::of(Kind::Pair).bytes(key).bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::random::Random;
    use crate::session::SessionId;

    /// Later than every entry in these tests.
    const LATE: Index = Index(1 << 20);

    /// A store with an open session, and the index and number of what comes next.
    struct Client {
        store: Store,
        index: u64,
        session: SessionId,
        number: u64,
    }

    impl Client {
        fn new() -> Client {
            let mut client =
                Client { store: Store::default(), index: 0, session: SessionId::NONE, number: 0 };
            let Reply::Opened(session) = client.apply(Command::OPEN) else { unreachable!() };
            client.session = session;
            client
        }

        fn apply(&mut self, command: Command<'_>) -> Reply {
            self.index += 1;
            self.store.apply(Index(self.index - 1), &encoded(&command))
        }

        /// A new command, which acknowledges all before it.
        fn run(&mut self, operation: Operation<'_>) -> Reply {
            self.number += 1;
            let (session, number, acknowledged) = (self.session, self.number, self.number - 1);
            self.apply(Command { session, number, acknowledged, operation })
        }

        fn put(&mut self, key: &str, value: &str) -> Reply {
            self.run(Operation::Put { key: key.as_bytes(), value: value.as_bytes() })
        }

        fn cas(&mut self, key: &str, old: Option<&str>, new: &str) -> Reply {
            let old = old.map(str::as_bytes);
            self.run(Operation::Cas { key: key.as_bytes(), old, new: new.as_bytes() })
        }

        fn delete(&mut self, key: &str) -> Reply {
            self.run(Operation::Delete { key: key.as_bytes() })
        }
    }

    fn encoded(command: &Command<'_>) -> Vec<u8> {
        let mut entry = Vec::new();
        command.encode(&mut entry);
        entry
    }

    fn image(store: &Store) -> Vec<u8> {
        let mut image = Vec::new();
        store.encode(&mut image);
        image
    }

    /// A store that has met overwrites, deletions, retries, evictions and full sessions.
    fn random_store(random: &mut Random, commands: u64) -> Store {
        let mut store = Store::with_limits(Limits { sessions_max: 3, results_max: 4 });
        for index in 0..commands {
            let (key, a, b) = (random.bytes(1), random.bytes(9), random.bytes(9));
            let operation = match random.below(6) {
                0 => Operation::Open,
                1 | 2 => Operation::Put { key: &key, value: &a },
                3 => Operation::Cas { key: &key, old: None, new: &b },
                4 => Operation::Cas { key: &key, old: Some(&a), new: &b },
                _ => Operation::Delete { key: &key },
            };
            let (session, number) = (SessionId(random.below(index + 1)), 1 + random.below(9));
            let acknowledged = random.below(number);
            let command = Command { session, number, acknowledged, operation };
            store.apply(Index(index), &encoded(&command));
        }
        store
    }

    #[test]
    fn a_swap_needs_the_old_value() {
        let mut client = Client::new();
        assert_eq!(client.cas("k", Some("a"), "b").to_string(), "not found");
        assert_eq!(client.cas("k", None, "a").to_string(), "swapped a");
        assert_eq!(client.cas("k", None, "b").to_string(), "mismatch a");
        assert_eq!(client.cas("k", Some("b"), "c").to_string(), "mismatch a");
        assert_eq!(client.cas("k", Some("a"), "b").to_string(), "swapped b");
        assert_eq!(client.store.query(b"k").to_string(), "found b");
    }

    #[test]
    fn a_deleted_key_is_not_found() {
        let mut client = Client::new();
        client.put("k", "");
        assert_eq!(client.store.query(b"k").to_string(), "found ", "empty is not absent");
        assert_eq!(client.delete("k"), Reply::Deleted);
        assert_eq!(client.delete("k"), Reply::Deleted);
        assert_eq!(client.store.query(b"k"), Reply::NotFound);
    }

    #[test]
    fn a_retry_changes_nothing_though_others_wrote_since() {
        let mut client = Client::new();
        client.put("k", "a");
        let (session, key) = (client.session, &b"k"[..]);
        let operation = Operation::Cas { key, old: Some(b"a"), new: b"b" };
        let swap = Command { session, number: 2, acknowledged: 1, operation };
        let operation = Operation::Put { key, value: b"a" };
        let put = Command { number: 3, operation, ..swap };
        assert_eq!(client.apply(swap).to_string(), "swapped b");
        assert_eq!(client.apply(put), Reply::Put);
        assert_eq!(client.apply(swap).to_string(), "swapped b");
        assert_eq!(client.store.query(key).to_string(), "found a");
    }

    #[test]
    fn equal_states_have_equal_digests() {
        let (mut straight, mut winding) = (Client::new(), Client::new());
        winding.put("a", "0");
        winding.put("c", "3");
        winding.cas("a", Some("0"), "9");
        winding.delete("d");
        winding.put("b", "2");
        straight.put("b", "2");
        straight.put("c", "3");
        // The session is state too, so the last command must be the same one at the same position.
        (straight.index, straight.number) = (winding.index, winding.number);
        for client in [&mut straight, &mut winding] {
            client.put("a", "1");
        }
        assert_eq!(straight.store, winding.store);
        assert_eq!(straight.store.digest(), winding.store.digest());
        assert_eq!(image(&straight.store), image(&winding.store));
        winding.put("a", "1");
        assert_ne!(straight.store.digest(), winding.store.digest());
    }

    #[test]
    fn limits_are_part_of_the_state() {
        let small = Store::with_limits(Limits { sessions_max: 3, results_max: 4 });
        assert_ne!(small.digest(), Store::default().digest());
        assert_eq!(Store::decode(&image(&small), LATE).unwrap(), small);
    }

    #[test]
    fn an_image_is_of_a_state_before_its_index() {
        let mut client = Client::new();
        client.put("a", "1");
        let image = image(&client.store);
        assert!(Store::decode(&image, Index(2)).is_ok());
        assert!(Store::decode(&image, Index(1)).is_err(), "entry 1 is in it already");
    }

    #[test]
    fn decode_of_encode_is_identity() {
        let mut random = Random::seeded();
        for commands in 0..300 {
            let store = random_store(&mut random, commands);
            // Decoding recomputes the digest, so this also checks that it was kept correctly.
            let read = Store::decode(&image(&store), LATE).unwrap();
            assert_eq!(read, store);
            assert_eq!(image(&read), image(&store));
        }
    }

    #[test]
    fn a_damaged_image_is_refused() {
        let mut random = Random::seeded();
        let image = image(&random_store(&mut random, 300));
        for _ in 0..5_000 {
            let damaged = random.damaged(&image);
            assert!(Store::decode(&damaged, LATE).is_err());
        }
        assert!(Store::decode(&[image, vec![0]].concat(), LATE).is_err());
    }

    #[test]
    fn an_unsorted_image_is_refused_though_its_digest_fits() {
        let mut client = Client::new();
        client.put("a", "1");
        client.put("b", "2");
        let mut image = image(&client.store);
        assert!(Store::decode(&image, LATE).is_ok());
        // Behind version and count stand two pairs of ten bytes.
        image[9..29].rotate_left(10);
        assert!(Store::decode(&image, LATE).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut random = Random::seeded();
        let mut store = random_store(&mut random, 100);
        for index in 100..20_100 {
            let mut bytes = random.bytes(80);
            store.apply(Index(index), &bytes);
            bytes.splice(0..0, [IMAGE_VERSION, random.below(3) as u8, 0, 0, 0, 0, 0, 0, 0]);
            assert!(Store::decode(&bytes, LATE).is_err());
        }
    }
}
