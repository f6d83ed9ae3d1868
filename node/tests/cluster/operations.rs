//! The five tests of the course project this store follows, and what it never tried: a leader that
//! dies while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use node::client::{Client, Failure, Outcome};

use crate::nodes::{Nodes, Shape, eventually};
use crate::size::{Line, size};

/// A client whose requests are counted when they begin and when they end.
struct Counted {
    client: Client,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    invoked: AtomicU64,
    completed: AtomicU64,
    /// Runs of all five tests.
    rounds: AtomicU64,
}

impl Counted {
    fn new(nodes: &Nodes, counts: &Arc<Counts>) -> Counted {
        Counted { client: nodes.client(), counts: counts.clone() }
    }

    fn ask<T>(&mut self, operation: impl FnOnce(&mut Client) -> Outcome<T>) -> Outcome<T> {
        self.counts.invoked.fetch_add(1, Ordering::SeqCst);
        let outcome = operation(&mut self.client);
        self.counts.completed.fetch_add(1, Ordering::SeqCst);
        outcome
    }

    fn put(&mut self, key: &str, value: &str) {
        let outcome = self.ask(|client| client.put(key.as_bytes(), value.as_bytes()));
        assert_eq!(outcome, Outcome::Ok(()), "put {key}");
    }

    fn get(&mut self, key: &str) -> Result<String, Failure> {
        definite(self.ask(|client| client.get(key.as_bytes())))
    }

    fn cas(&mut self, key: &str, old: &str, new: &str) -> Result<String, Failure> {
        definite(
            self.ask(|client| client.cas(key.as_bytes(), Some(old.as_bytes()), new.as_bytes())),
        )
    }
}

fn definite(outcome: Outcome<Arc<[u8]>>) -> Result<String, Failure> {
    match outcome {
        Outcome::Ok(value) => Ok(String::from_utf8(value.to_vec()).expect("text")),
        Outcome::Fail(failure) => Err(failure),
        Outcome::Indeterminate(why) => panic!("{why}"),
    }
}

/// Keys that are there before the tests begin.
fn initialise(nodes: &Nodes) {
    let mut client = nodes.client();
    for number in 0..10 {
        let (key, value) = (format!("initial-{number}"), format!("value-{number}"));
        assert_eq!(client.put(key.as_bytes(), value.as_bytes()), Outcome::Ok(()));
    }
}

/// All five, on keys that nobody else has.
fn five(client: &mut Counted, own: &str) {
    put_ten_pairs_and_read_them(client, own);
    get_initialised_keys(client);
    swap_without_a_key(client, own);
    swap_with_a_wrong_old_value(client, own);
    swap_with_the_right_one(client, own);
    client.counts.rounds.fetch_add(1, Ordering::SeqCst);
}

fn put_ten_pairs_and_read_them(client: &mut Counted, own: &str) {
    let pair = |number| (format!("{own}-{number}"), format!("{own}-value-{number}"));
    for (key, value) in (0..10).map(pair) {
        client.put(&key, &value);
    }
    for (key, value) in (0..10).map(pair) {
        assert_eq!(client.get(&key), Ok(value));
    }
}

fn get_initialised_keys(client: &mut Counted) {
    for number in 0..10 {
        assert_eq!(client.get(&format!("initial-{number}")), Ok(format!("value-{number}")));
    }
}

fn swap_without_a_key(client: &mut Counted, own: &str) {
    let key = format!("{own}-missing");
    assert_eq!(client.cas(&key, "old", "new"), Err(Failure::Missing));
    assert_eq!(client.get(&key), Err(Failure::Missing));
}

fn swap_with_a_wrong_old_value(client: &mut Counted, own: &str) {
    let key = format!("{own}-wrong");
    client.put(&key, "right");
    let mismatch = Failure::Mismatch(b"right".as_slice().into());
    assert_eq!(client.cas(&key, "wrong", "new"), Err(mismatch));
    assert_eq!(client.get(&key), Ok("right".to_owned()));
}

fn swap_with_the_right_one(client: &mut Counted, own: &str) {
    let key = format!("{own}-right");
    client.put(&key, "old");
    assert_eq!(client.cas(&key, "old", "new"), Ok("new".to_owned()));
    assert_eq!(client.get(&key), Ok("new".to_owned()));
}

/// Clients that repeat the five tests until they are stopped.
fn repeat(nodes: &Nodes, clients: u64, counts: &Arc<Counts>) -> Vec<JoinHandle<()>> {
    let begin = |id| {
        let mut client = Counted::new(nodes, counts);
        std::thread::spawn(move || {
            for round in 0_u64.. {
                if client.counts.stop.load(Ordering::SeqCst) {
                    break;
                }
                five(&mut client, &format!("{id}-{round}"));
            }
        })
    };
    (0..clients).map(begin).collect()
}

/// Waits until so many more runs of the five tests are over, or one has failed.
fn wait_for(counts: &Counts, clients: &[JoinHandle<()>], more: u64) {
    let from = counts.rounds.load(Ordering::SeqCst);
    eventually("the five tests, again and again", || {
        let done = counts.rounds.load(Ordering::SeqCst) >= from + more;
        (done || clients.iter().any(JoinHandle::is_finished)).then_some(())
    });
}

#[test]
fn the_five_tests_with_all_nodes_and_with_a_follower_down() {
    let mut nodes = Nodes::start(Shape::new(3, 1));
    initialise(&nodes);
    let mut client = Counted::new(&nodes, &Arc::default());
    five(&mut client, "quiet");

    let leader = nodes.leader(b"initial-0");
    let follower = *nodes.ids().iter().find(|id| **id != leader).expect("there are two");
    let line = Line::begin("the five tests, a follower down");
    nodes.kill(follower);
    let rounds = size(2, 200);
    (0..rounds).for_each(|round| five(&mut client, &format!("follower-down-{round}")));
    line.end(rounds, "all pass");

    // Without the other there is a quorum only if the first has come back and caught up.
    nodes.start_node(follower);
    let other = nodes.ids().into_iter().find(|id| *id != leader && *id != follower);
    nodes.kill(other.expect("there are three"));
    five(&mut client, "other-down");
}

#[test]
fn the_five_tests_while_the_leader_is_killed() {
    const CLIENTS: u64 = 6;
    let line = Line::begin("the five tests, 6 clients, the leader killed in the middle");
    let mut nodes = Nodes::start(Shape::new(3, 1));
    initialise(&nodes);
    let counts = Arc::new(Counts::default());
    let clients = repeat(&nodes, CLIENTS, &counts);
    let (kills, mut outstanding_sum) = (size(3, 50), 0);
    for _ in 0..kills {
        let leader = nodes.leader(b"initial-0");
        wait_for(&counts, &clients, CLIENTS);
        let outstanding = loop {
            let completed = counts.completed.load(Ordering::SeqCst);
            let outstanding = counts.invoked.load(Ordering::SeqCst) - completed;
            if outstanding >= CLIENTS / 2 || clients.iter().any(JoinHandle::is_finished) {
                break outstanding;
            }
            std::hint::spin_loop();
        };
        nodes.kill(leader);
        outstanding_sum += outstanding;
        // Some run that was under way, and whole ones after it.
        wait_for(&counts, &clients, 2 * CLIENTS);
        nodes.start_node(leader);
    }
    counts.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap_or_else(|found| std::panic::resume_unwind(found));
    }
    assert!(outstanding_sum >= kills * CLIENTS / 2, "requests were under way at each kill");
    let rounds = counts.rounds.load(Ordering::SeqCst);
    line.end(
        kills,
        format_args!("{rounds} runs pass, {outstanding_sum} requests under way at kills"),
    );
}

#[test]
fn the_largest_values_are_kept() {
    let nodes = Nodes::start(Shape::new(3, 1));
    let mut client = nodes.client();
    let large = |letter: u8| vec![letter; (64 << 10) - 1];
    assert_eq!(client.put(b"k", &large(b'a')), Outcome::Ok(()));
    let swapped = client.cas(b"k", Some(&large(b'a')), &large(b'b'));
    assert!(swapped == Outcome::Ok(large(b'b').into()));
    assert!(client.get(b"k") == Outcome::Ok(large(b'b').into()));
    let too_large = Outcome::Fail(Failure::TooLarge { size_bytes_max: (64 << 10) - 1 });
    assert_eq!(client.put(b"k", &vec![0; 64 << 10]), too_large);
    assert_eq!(client.delete(b"k"), Outcome::Ok(()));
    assert_eq!(client.get(b"k"), Outcome::Fail(Failure::Missing));
    assert_eq!(client.cas(b"k", None, b"first"), Outcome::Ok(b"first".as_slice().into()));
}

#[test]
fn every_node_tells_its_state() {
    let nodes = Nodes::start(Shape::new(3, 1));
    for id in nodes.ids() {
        assert_eq!(nodes.status(id)["node"], id.0);
    }
}
