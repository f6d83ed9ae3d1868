//! How much a test does, and what it says of it.
//!
//! In the gate each test is small. With `FULL=1` it has the size that was asked of the node, and says
//! what it did in one line, of which `scripts/nodes.sh` makes a table.

use std::fmt::Display;
use std::time::Instant;

use fastrand::Rng;

/// Whether the full size is wanted.
pub fn is_full() -> bool {
    std::env::var_os("FULL").is_some_and(|full| full == "1")
}

/// A size for the gate, or the full one.
pub fn size(gate: u64, full: u64) -> u64 {
    if is_full() { full } else { gate }
}

/// A line of the table, begun.
pub struct Line {
    what: &'static str,
    begun: Instant,
}

impl Line {
    pub fn begin(what: &'static str) -> Line {
        Line { what, begun: Instant::now() }
    }

    /// Says what was done, how often, and what came of it.
    pub fn end(self, count: u64, result: impl Display) {
        let Line { what, begun } = self;
        println!("shown|{what}|{count}|{result}|{:.1}", begun.elapsed().as_secs_f64());
    }
}

/// What the tests draw. Prints its seed; takes another from `SEED=`.
pub struct Random(Rng);

impl Random {
    pub fn of(seed: u64) -> Random {
        Random(Rng::with_seed(seed))
    }

    pub fn seeded(test: &str) -> Random {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        println!("{test}: SEED={seed}");
        Random::of(seed)
    }

    /// Another one, drawn from this.
    pub fn fork(&mut self) -> Random {
        Random(self.0.fork())
    }

    pub fn word(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }

    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len() as u64) as usize]
    }

    pub fn bytes(&mut self, size_max: u64) -> Vec<u8> {
        (0..self.below(size_max + 1)).map(|_| self.word() as u8).collect()
    }
}
