//! Clients that work while nodes die, and judge every answer.
//!
//! Each write carries a value that was never written before, so that a lost, a doubled and a late
//! execution all show: a counter is moved on by compare-and-swap from one unique value to the next,
//! and in the end the values must form one chain, in which every swap that was acknowledged is a
//! link, and none that was refused. What is indeterminate may be a link, or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use node::client::{Client, Failure, Outcome, Why};

use crate::nodes::{Nodes, eventually};

/// Counters that all clients move.
const SHARED: u64 = 3;

/// Clients at work.
pub struct Load {
    progress: Arc<Progress>,
    workers: Vec<JoinHandle<Ledger>>,
}

/// What all workers tell.
#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    /// Operations begun and ended.
    invoked: AtomicU64,
    completed: AtomicU64,
    /// Of each shared counter, the highest count known to be reached.
    floors: [AtomicU64; SHARED as usize],
}

/// What a load did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    pub acknowledged: u64,
    pub indeterminate: u64,
}

/// A swap of a shared counter.
struct Swap {
    counter: u64,
    old: String,
    new: String,
    outcome: Swapped,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Swapped {
    Acknowledged,
    Refused,
    Indeterminate,
}

/// What one client did.
#[derive(Default)]
struct Ledger {
    swaps: Vec<Swap>,
    /// Every value of a shared counter that was seen.
    seen: BTreeSet<(u64, String)>,
    /// Keys written once, acknowledged; for the value see [`large`].
    kept: Vec<String>,
    own: Vec<(String, Cell)>,
    summary: Summary,
}

/// What a key that only one client writes may hold.
#[derive(Default)]
struct Cell {
    /// The last value known; none is missing.
    sure: Option<String>,
    /// Written since, with an indeterminate outcome.
    attempts: Vec<String>,
}

impl Cell {
    /// Takes note of a value that was read.
    fn saw(&mut self, key: &str, found: Option<String>) {
        if self.sure == found {
            return;
        }
        let which = self.attempts.iter().position(|attempt| Some(attempt) == found.as_ref());
        let Some(which) = which else {
            panic!("{key} is {found:?}, after {:?}, {:?}", self.sure, self.attempts);
        };
        self.sure = found;
        // Those before it take effect before it, or never.
        self.attempts.drain(..=which);
    }

    fn is(&mut self, value: String) {
        self.sure = Some(value);
        self.attempts.clear();
    }
}

impl Load {
    /// Starts clients, each of which gives up a request after `timeout`.
    pub fn start(nodes: &Nodes, clients: u64, timeout: Duration) -> Load {
        Load::padded(nodes, clients, timeout, 0)
    }

    /// The same, and every sixth operation is a put of so many bytes more.
    pub fn padded(nodes: &Nodes, clients: u64, timeout: Duration, size_bytes: usize) -> Load {
        let progress = Arc::new(Progress::default());
        let mut first = nodes.client();
        for counter in 0..SHARED {
            let outcome = first.put(shared(counter).as_bytes(), BEGINNING.as_bytes());
            assert_eq!(outcome, Outcome::Ok(()));
        }
        let workers = (0..clients).map(|id| {
            let (client, progress) = (nodes.client_within(timeout), progress.clone());
            let (padding, ledger) = ("+".repeat(size_bytes), Ledger::default());
            let worker = Worker { id, sequence: 0, client, padding, progress, ledger };
            std::thread::spawn(move || worker.work())
        });
        let workers = workers.collect();
        Load { progress, workers }
    }

    /// Waits until so many more operations are completed.
    pub fn wait_for(&self, more: u64) {
        let from = self.completed();
        eventually(&format!("{more} more operations"), || {
            let done = self.completed() >= from + more;
            // Whoever has found something wrong is not waited for: the end will say what.
            (done || self.workers.iter().any(JoinHandle::is_finished)).then_some(())
        });
    }

    pub fn completed(&self) -> u64 {
        self.progress.completed.load(Ordering::Relaxed)
    }

    /// Stops the clients, and looks whether everything they were told is so.
    pub fn finish(self, nodes: &Nodes) -> Summary {
        self.progress.stop.store(true, Ordering::Relaxed);
        let ledgers = self.workers.into_iter().map(|worker| match worker.join() {
            Ok(ledger) => ledger,
            Err(found) => std::panic::resume_unwind(found),
        });
        let mut ledgers: Vec<Ledger> = ledgers.collect();
        let mut client = nodes.client();
        for ledger in &mut ledgers {
            for key in &ledger.kept {
                let found = read(&mut client, key);
                assert!(found == Some(large(key)), "acknowledged and lost: {key}, {found:?}");
            }
            for (key, cell) in &mut ledger.own {
                cell.saw(key, read(&mut client, key));
            }
        }
        for counter in 0..SHARED {
            judge_chain(counter, read(&mut client, &shared(counter)), &ledgers);
        }
        ledgers.iter().fold(Summary::default(), |sum, Ledger { summary, .. }| Summary {
            acknowledged: sum.acknowledged + summary.acknowledged,
            indeterminate: sum.indeterminate + summary.indeterminate,
        })
    }
}

/// The first value of a shared counter.
const BEGINNING: &str = "0:";

fn shared(counter: u64) -> String {
    format!("shared-{counter}")
}

/// The count in a value of a shared counter.
fn count(value: &str) -> u64 {
    let count = value.split(':').next().and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("{value:?} was written by nobody"))
}

/// The value of a key that is written once: one in sixteen is of many datagrams.
fn large(key: &str) -> String {
    let lot = key.bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % 1_009);
    let times = if lot % 16 == 0 { 1 + 4 * lot } else { 1 };
    key.repeat(times)
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).expect("only text is written")
}

fn read(client: &mut Client, key: &str) -> Option<String> {
    match client.get(key.as_bytes()) {
        Outcome::Ok(value) => Some(text(&value)),
        Outcome::Fail(Failure::Missing) => None,
        other => panic!("{key}: {other:?}"),
    }
}

/// The swaps that took effect lead from the beginning to the end, one by one.
fn judge_chain(counter: u64, end: Option<String>, ledgers: &[Ledger]) {
    let swaps = || ledgers.iter().flat_map(|ledger| &ledger.swaps).filter(|s| s.counter == counter);
    let makers: BTreeMap<&str, &Swap> = swaps().map(|swap| (swap.new.as_str(), swap)).collect();
    assert_eq!(makers.len(), swaps().count(), "no value is written twice");
    let end = end.unwrap_or_else(|| panic!("{} is lost", shared(counter)));
    let mut chain = BTreeSet::from([end.as_str()]);
    let mut value = end.as_str();
    while value != BEGINNING {
        let swap = makers.get(value).unwrap_or_else(|| panic!("nobody wrote {value}"));
        assert_ne!(swap.outcome, Swapped::Refused, "refused, and yet it happened: {value}");
        assert_eq!(count(&swap.new), count(&swap.old) + 1);
        value = &swap.old;
        chain.insert(value);
    }
    for swap in swaps().filter(|swap| swap.outcome == Swapped::Acknowledged) {
        assert!(chain.contains(swap.new.as_str()), "acknowledged and lost: {}", swap.new);
    }
    for (of, seen) in ledgers.iter().flat_map(|ledger| &ledger.seen) {
        assert!(*of != counter || chain.contains(seen.as_str()), "seen and lost: {seen}");
    }
}

/// One client.
struct Worker {
    id: u64,
    /// Makes values unique.
    sequence: u64,
    client: Client,
    /// Behind each value that is put.
    padding: String,
    progress: Arc<Progress>,
    ledger: Ledger,
}

impl Worker {
    fn work(mut self) -> Ledger {
        let mut register = (format!("register-{}", self.id), Cell::default());
        let mut counter = (format!("counter-{}", self.id), Cell::default());
        while !self.progress.stop.load(Ordering::Relaxed) {
            self.put(&mut register);
            self.swap_own(&mut counter);
            self.swap_shared();
            self.keep();
            self.get(&mut register);
            self.get(&mut counter);
        }
        self.ledger.own = vec![register, counter];
        self.ledger
    }

    /// Does one operation, and counts it. None if its outcome is indeterminate.
    fn ask<T>(
        &mut self,
        operation: impl FnOnce(&mut Client) -> Outcome<T>,
    ) -> Option<Result<T, Failure>> {
        self.sequence += 1;
        self.progress.invoked.fetch_add(1, Ordering::Relaxed);
        let outcome = operation(&mut self.client);
        self.progress.completed.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Ok(value) => {
                self.ledger.summary.acknowledged += 1;
                Some(Ok(value))
            }
            Outcome::Fail(failure) => Some(Err(failure)),
            Outcome::Indeterminate(Why::NoAnswer | Why::NoSession) => {
                self.ledger.summary.indeterminate += 1;
                None
            }
            Outcome::Indeterminate(why) => panic!("client {}: {why}", self.id),
        }
    }

    fn fresh(&self) -> String {
        format!("{}.{}", self.id, self.sequence)
    }

    fn put(&mut self, (key, cell): &mut (String, Cell)) {
        let value = self.fresh() + &self.padding;
        match self.ask(|client| client.put(key.as_bytes(), value.as_bytes())) {
            Some(Ok(())) => cell.is(value),
            Some(Err(failure)) => panic!("{key}: {failure}"),
            None => cell.attempts.push(value),
        }
    }

    fn get(&mut self, (key, cell): &mut (String, Cell)) {
        match self.ask(|client| client.get(key.as_bytes())) {
            Some(Ok(value)) => cell.saw(key, Some(text(&value))),
            Some(Err(Failure::Missing)) => cell.saw(key, None),
            Some(Err(failure)) => panic!("{key}: {failure}"),
            None => {}
        }
    }

    fn swap_own(&mut self, (key, cell): &mut (String, Cell)) {
        let (old, new) = (cell.sure.clone(), self.fresh());
        let old = old.as_ref().map(String::as_bytes);
        match self.ask(|client| client.cas(key.as_bytes(), old, new.as_bytes())) {
            Some(Ok(_)) => cell.is(new),
            // An earlier attempt has taken effect; this one is no attempt.
            Some(Err(Failure::Mismatch(found))) => {
                let found = text(&found);
                assert_ne!(Some(&found), cell.sure.as_ref(), "{key}: this was expected");
                cell.saw(key, Some(found));
                cell.attempts.clear();
            }
            Some(Err(failure)) => panic!("{key}: {failure} after {:?}", cell.sure),
            None => cell.attempts.push(new),
        }
    }

    fn swap_shared(&mut self) {
        let counter = self.sequence % SHARED;
        let key = shared(counter);
        let floor = self.floor(counter);
        let Some(read) = self.ask(|client| client.get(key.as_bytes())) else { return };
        let old = text(&read.unwrap_or_else(|failure| panic!("{key}: {failure}")));
        assert!(count(&old) >= floor, "a stale read: {old} after {floor}");
        let new = format!("{}:{}", count(&old) + 1, self.fresh());
        let floor = self.floor(counter);
        let swap =
            |client: &mut Client| client.cas(key.as_bytes(), Some(old.as_bytes()), new.as_bytes());
        let outcome = match self.ask(swap) {
            Some(Ok(_)) => {
                self.progress.floors[counter as usize].fetch_max(count(&new), Ordering::Relaxed);
                Swapped::Acknowledged
            }
            Some(Err(Failure::Mismatch(found))) => {
                let found = text(&found);
                assert!(count(&found) >= floor, "a stale swap: {found} after {floor}");
                assert_ne!(found, new, "{key}: executed twice");
                self.ledger.seen.insert((counter, found));
                Swapped::Refused
            }
            Some(Err(failure)) => panic!("{key}: {failure}"),
            None => Swapped::Indeterminate,
        };
        self.ledger.seen.insert((counter, old.clone()));
        self.ledger.swaps.push(Swap { counter, old, new, outcome });
    }

    fn floor(&self, counter: u64) -> u64 {
        self.progress.floors[counter as usize].load(Ordering::Relaxed)
    }

    fn keep(&mut self) {
        let key = format!("kept-{}", self.fresh());
        match self.ask(|client| client.put(key.as_bytes(), large(&key).as_bytes())) {
            Some(Ok(())) => self.ledger.kept.push(key),
            Some(Err(failure)) => panic!("{key}: {failure}"),
            None => {}
        }
    }
}
