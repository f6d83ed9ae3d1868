//! Chance that can be repeated: the kinds of choice the runs make.

use fastrand::Rng;

/// A stream of numbers, the same for the same seed.
pub struct Random(Rng);

impl Random {
    pub fn of(seed: u64) -> Random {
        Random(Rng::with_seed(seed))
    }

    /// Prints its seed; takes another from `SEED=`.
    pub fn seeded() -> Random {
        let seed = setting("SEED", 7);
        println!("SEED={seed}");
        Random::of(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound)
    }

    /// True one time in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// As many bytes as fit `size_max`, or fewer.
    pub fn bytes(&mut self, size_max: u64) -> Vec<u8> {
        (0..self.below(size_max + 1)).map(|_| self.next() as u8).collect()
    }
}

/// A number from the environment, so that a longer search needs no change here.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
