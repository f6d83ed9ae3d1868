//! What clients ask for: a seeded mix of reads, writes and compare-and-sets of unique values.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One operation of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its key, as a number below the count of keys; see [`Operation::name`].
    pub key: usize,
    /// What it does there.
    pub action: Action,
}

/// What an operation does to its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Asks for the value.
    Read,
    /// Sets the value.
    Write(String),
    /// Sets the value to `new` if it is `old`; `None` is a missing key.
    Cas {
        /// What it expects.
        old: Option<String>,
        /// What it leaves behind.
        new: String,
    },
}

/// What kinds of operations there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// [`Action::Read`].
    Read,
    /// [`Action::Write`].
    Write,
    /// [`Action::Cas`].
    Cas,
}

impl Operation {
    /// A read of this key.
    pub fn read(key: usize) -> Operation {
        Operation { key, action: Action::Read }
    }

    /// The key as the store knows it.
    pub fn name(&self) -> String {
        format!("k{}", self.key)
    }

    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self.action {
            Action::Read => Kind::Read,
            Action::Write(_) => Kind::Write,
            Action::Cas { .. } => Kind::Cas,
        }
    }
}

impl Kind {
    /// All of them; [`Kind::index`] is the place of each.
    pub const ALL: [Kind; 3] = [Kind::Read, Kind::Write, Kind::Cas];

    /// The place in [`Kind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As recorded histories call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Cas => "cas",
        }
    }
}

/// What was seen of each key, by anybody: the last value, and the one before. A compare-and-set that
/// expects what its own client saw last would nearly always fail; one that expects the last value
/// mostly succeeds, and one that expects the value before is mostly refused. Both must be tried.
pub struct Known(Mutex<Vec<[Option<String>; 2]>>);

impl Known {
    /// So many keys, all missing.
    pub fn new(keys: usize) -> Known {
        Known(Mutex::new(vec![[None, None]; keys]))
    }

    /// Somebody saw this.
    pub fn saw(&self, key: usize, value: Option<String>) {
        let [last, before] = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[key];
        if *last != value {
            *before = std::mem::replace(last, value);
        }
    }

    fn of(&self, key: usize) -> [Option<String>; 2] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[key].clone()
    }
}

/// The operations of one client after another at the same place, drawn from a seed. What a
/// compare-and-set expects is what is known by then, which no seed decides.
pub struct Draw {
    random: fastrand::Rng,
    place: usize,
    keys: usize,
    only_reads: bool,
    count: u64,
}

impl Draw {
    /// Those of the clients at this place among all.
    pub fn new(seed: u64, place: usize, keys: usize, only_reads: bool) -> Draw {
        // Neighbouring seeds must not give neighbouring places the same operations.
        let mut of_seed = fastrand::Rng::with_seed(seed);
        let seed = of_seed.u64(..) ^ (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Draw { random: fastrand::Rng::with_seed(seed), place, keys, only_reads, count: 0 }
    }

    /// The next one. No value is ever written twice, by whichever client.
    pub fn next(&mut self, known: &Known) -> Operation {
        let key = self.random.usize(..self.keys);
        let lot = self.random.u8(..10);
        if self.only_reads || lot < 4 {
            return Operation::read(key);
        }
        self.count += 1;
        let new = format!("{}.{}", self.place, self.count);
        let action = match lot {
            4..7 => Action::Write(new),
            _ => {
                let [last, before] = known.of(key);
                let old = if self.random.u8(..4) == 0 { before } else { last };
                Action::Cas { old, new }
            }
        };
        Operation { key, action }
    }
}

/// When operations may begin: so many a second, whoever is free to carry them out.
pub struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// `rate` a second; zero is at once.
    pub fn new(rate: u32) -> Pace {
        let gap = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        Pace { gap, next: Mutex::new(Instant::now()) }
    }

    /// When the next operation may begin. If all clients were busy, what was missed is not made up
    /// for: a burst after each fault would hide what comes after it.
    pub fn next(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (*next).max(Instant::now());
        *next = at + self.gap;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn drawn(seed: u64, place: usize) -> Vec<Operation> {
        let (mut draw, known) = (Draw::new(seed, place, 5, false), Known::new(5));
        (0..1_000).map(|_| draw.next(&known)).collect()
    }

    fn written(operation: &Operation) -> Option<&String> {
        match &operation.action {
            Action::Read => None,
            Action::Write(new) | Action::Cas { new, .. } => Some(new),
        }
    }

    #[test]
    fn a_seed_decides_all_and_another_seed_or_place_decides_otherwise() {
        assert_eq!(drawn(7, 0), drawn(7, 0));
        assert_ne!(drawn(7, 0), drawn(8, 0));
        let kinds = |operations: &[Operation]| -> Vec<Kind> {
            operations.iter().map(Operation::kind).collect()
        };
        assert_ne!(kinds(&drawn(7, 0)), kinds(&drawn(7, 1)));
    }

    #[test]
    fn no_value_is_written_twice_and_every_kind_and_key_occurs() {
        let all: Vec<Operation> = (0..4).flat_map(|place| drawn(7, place)).collect();
        let values: Vec<&String> = all.iter().filter_map(written).collect();
        assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len());
        for kind in Kind::ALL {
            for key in 0..5 {
                assert!(all.iter().any(|op| op.kind() == kind && op.key == key), "{kind:?} {key}");
            }
        }
    }

    #[test]
    fn a_cas_mostly_expects_what_was_seen_last_and_else_what_was_before() {
        let (mut draw, known) = (Draw::new(7, 0, 1, false), Known::new(1));
        for value in ["a", "b", "b"] {
            known.saw(0, Some(value.to_string()));
        }
        let mut expected: BTreeMap<Option<String>, u32> = BTreeMap::new();
        for _ in 0..1_000 {
            if let Action::Cas { old, .. } = draw.next(&known).action {
                *expected.entry(old).or_default() += 1;
            }
        }
        let [a, b] = ["a", "b"].map(|value| expected[&Some(value.to_string())]);
        assert_eq!(expected.len(), 2);
        assert!(a > 20 && b > 2 * a, "{expected:?}");
    }

    #[test]
    fn the_pace_is_kept_and_never_made_up_for() {
        let pace = Pace::new(10);
        let first = pace.next();
        assert_eq!(pace.next(), first + Duration::from_millis(100));
        *pace.next.lock().expect("nobody panicked") = first - Duration::from_secs(60);
        let late = pace.next();
        assert!(late >= first);
        assert_eq!(pace.next(), late + Duration::from_millis(100));
    }
}
