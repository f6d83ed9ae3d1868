//! The weather on one link: what happens to each datagram is decided by lot, in order of arrival.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::link::Counts;

/// What a link does to datagrams. Chances are per mille, each drawn for itself; all zero is clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weather {
    /// Nothing passes, not even what waits already.
    pub cut: bool,
    /// A datagram is lost, and begins a burst of losses.
    pub loss: u16,
    /// Most datagrams lost in a burst, the first one included; zero is as good as one.
    pub burst_max: u16,
    /// A datagram arrives twice.
    pub duplicate: u16,
    /// An old datagram arrives once more: one of those kept since the link exists.
    pub replay: u16,
    /// A datagram is held back until up to [`OVERTAKEN_MAX`] others have passed.
    pub reorder: u16,
    /// A datagram has one bit changed, or its end cut off.
    pub corrupt: u16,
    /// Every datagram is late by so much,
    pub delay_ms: u16,
    /// and by up to so much more, each by its own lot: a jitter that is large reorders, too.
    pub jitter_ms: u16,
}

/// Most datagrams that overtake one that is held back.
pub const OVERTAKEN_MAX: u64 = 8;
/// What nobody overtakes goes on after this.
pub(super) const HELD_MAX: Duration = Duration::from_millis(30);

/// Of so many datagrams one is kept for replay, whatever the weather: so replay reaches far back.
const KEPT_EVERY: u64 = 8;
const KEPT_MAX: usize = 128;

impl Weather {
    /// Nothing happens.
    pub const CLEAR: Weather = Weather {
        cut: false,
        loss: 0,
        burst_max: 0,
        duplicate: 0,
        replay: 0,
        reorder: 0,
        corrupt: 0,
        delay_ms: 0,
        jitter_ms: 0,
    };

    /// No datagram passes.
    pub const CUT: Weather = Weather { cut: true, ..Weather::CLEAR };

    /// Both at once: what either does happens.
    pub fn and(self, other: Weather) -> Weather {
        let either = |a: u16, b: u16| {
            let (a, b) = (u32::from(a.min(1000)), u32::from(b.min(1000)));
            (a + b - a * b / 1000) as u16
        };
        Weather {
            cut: self.cut || other.cut,
            loss: either(self.loss, other.loss),
            burst_max: self.burst_max.max(other.burst_max),
            duplicate: either(self.duplicate, other.duplicate),
            replay: either(self.replay, other.replay),
            reorder: either(self.reorder, other.reorder),
            corrupt: either(self.corrupt, other.corrupt),
            delay_ms: self.delay_ms.saturating_add(other.delay_ms),
            jitter_ms: self.jitter_ms.saturating_add(other.jitter_ms),
        }
    }
}

impl Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chance = |name: &str, chance: u16| {
            let percent = f64::from(chance) / 10.0;
            (chance > 0).then(|| format!("{percent} % {name}"))
        };
        let Weather { burst_max, delay_ms, jitter_ms, .. } = *self;
        let late = format!("late by {delay_ms}..{} ms", delay_ms.saturating_add(jitter_ms));
        let parts = [
            self.cut.then(|| "cut".to_owned()),
            chance("lost", self.loss),
            (burst_max > 1).then(|| format!("up to {burst_max} in a row")),
            chance("duplicated", self.duplicate),
            chance("replayed", self.replay),
            chance("reordered", self.reorder),
            chance("corrupted", self.corrupt),
            (delay_ms > 0 || jitter_ms > 0).then_some(late),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "clear" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// A datagram, and where it leaves the proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parcel<R> {
    pub route: R,
    pub bytes: Vec<u8>,
}

/// What is to be done with a parcel.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Fate<R> {
    /// Send it after so long. A copy is not counted as passed.
    Send { parcel: Parcel<R>, after: Duration, is_copy: bool },
    /// After [`HELD_MAX`], ask [`Lane::release`] for it.
    Hold { number: u64 },
}

/// The state of one link. `R` says how a datagram leaves.
pub(super) struct Lane<R> {
    pub weather: Weather,
    pub counts: Counts,
    random: Rng,
    /// How many of the next datagrams the current burst takes.
    losing: u16,
    /// Each with its number, and that of the datagram after which it goes on.
    held: Vec<(u64, u64, Parcel<R>)>,
    kept: VecDeque<Parcel<R>>,
}

impl<R: Copy> Lane<R> {
    pub fn new(random: Rng) -> Lane<R> {
        let (weather, counts, losing, held, kept) = Default::default();
        Lane { weather, counts, random, losing, held, kept }
    }

    /// From the next datagram on. A burst ends with the weather that began it.
    pub fn set(&mut self, weather: Weather) {
        (self.weather, self.losing) = (weather, 0);
    }

    /// Whether the next datagram of the link simply goes on: then it is not even copied.
    pub fn pass(&mut self, route: R, datagram: &[u8]) -> bool {
        let clear = self.weather == Weather::CLEAR && self.held.is_empty();
        if clear {
            self.counts.received += 1;
            self.keep(self.counts.received, route, datagram);
        }
        clear
    }

    /// Decides about the next datagram, if it does not [`pass`](Lane::pass); also lets go those
    /// that it overtakes.
    pub fn take(&mut self, route: R, datagram: &[u8], fates: &mut Vec<Fate<R>>) {
        self.counts.received += 1;
        let number = self.counts.received;
        if self.weather.cut {
            self.counts.cut += 1;
            return;
        }
        self.keep(number, route, datagram);
        if self.is_lost() {
            self.counts.lost += 1;
        } else {
            let mut parcel = Parcel { route, bytes: datagram.to_vec() };
            self.corrupt(&mut parcel.bytes);
            if self.hits(self.weather.duplicate) {
                self.counts.duplicated += 1;
                self.send(parcel.clone(), true, fates);
            }
            if self.hits(self.weather.reorder) {
                self.counts.reordered += 1;
                let until = number + self.random.u64(1..=OVERTAKEN_MAX);
                self.held.push((number, until, parcel));
                fates.push(Fate::Hold { number });
            } else {
                self.send(parcel, false, fates);
            }
            self.replay(fates);
        }
        let overtaken: Vec<_> =
            self.held.extract_if(.., |(_, until, _)| *until <= number).collect();
        overtaken.into_iter().for_each(|(_, _, parcel)| self.send(parcel, false, fates));
    }

    /// A parcel that was held back long enough, unless it was overtaken in the meantime.
    pub fn release(&mut self, number: u64) -> Option<Parcel<R>> {
        let at = self.held.iter().position(|(held, _, _)| *held == number)?;
        Some(self.held.remove(at).2)
    }

    fn send(&mut self, parcel: Parcel<R>, is_copy: bool, fates: &mut Vec<Fate<R>>) {
        let Weather { delay_ms, jitter_ms, .. } = self.weather;
        let jitter_us = match u64::from(jitter_ms) * 1000 {
            0 => 0,
            most_us => self.random.u64(0..=most_us),
        };
        let after = Duration::from_micros(u64::from(delay_ms) * 1000 + jitter_us);
        if !after.is_zero() && !is_copy {
            self.counts.delayed += 1;
        }
        fates.push(Fate::Send { parcel, after, is_copy });
    }

    fn is_lost(&mut self) -> bool {
        if self.losing > 0 {
            self.losing -= 1;
            return true;
        }
        let lost = self.hits(self.weather.loss);
        if lost && self.weather.burst_max > 1 {
            self.losing = self.random.u16(0..self.weather.burst_max);
        }
        lost
    }

    fn corrupt(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() || !self.hits(self.weather.corrupt) {
            return;
        }
        self.counts.corrupted += 1;
        let at = self.random.usize(0..bytes.len());
        match self.random.u8(0..4) {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << self.random.u8(0..8),
        }
    }

    fn replay(&mut self, fates: &mut Vec<Fate<R>>) {
        if !self.kept.is_empty() && self.hits(self.weather.replay) {
            self.counts.replayed += 1;
            let old = self.kept[self.random.usize(0..self.kept.len())].clone();
            self.send(old, true, fates);
        }
    }

    fn keep(&mut self, number: u64, route: R, datagram: &[u8]) {
        if number % KEPT_EVERY == 1 {
            if self.kept.len() == KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(Parcel { route, bytes: datagram.to_vec() });
        }
    }

    fn hits(&mut self, chance: u16) -> bool {
        chance > 0 && self.random.u16(0..1000) < chance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends numbered datagrams through a lane: what left, and which of it were copies.
    fn through(lane: &mut Lane<()>, numbers: std::ops::Range<u16>) -> Vec<(u16, bool)> {
        let mut left = Vec::new();
        for number in numbers {
            let mut fates = Vec::new();
            lane.take((), &number.to_le_bytes(), &mut fates);
            left.extend(fates.into_iter().filter_map(|fate| match fate {
                Fate::Send { parcel, is_copy, .. } => {
                    let number = parcel.bytes.try_into().expect("nothing was cut off");
                    Some((u16::from_le_bytes(number), is_copy))
                }
                Fate::Hold { .. } => None,
            }));
        }
        left
    }

    fn lane(seed: u64, weather: Weather) -> Lane<()> {
        let mut lane = Lane::new(Rng::with_seed(seed));
        lane.set(weather);
        lane
    }

    #[test]
    fn in_clear_weather_nothing_happens() {
        let mut lane = lane(1, Weather::CLEAR);
        let left = through(&mut lane, 0..1000);
        assert_eq!(left, (0..1000).map(|number| (number, false)).collect::<Vec<_>>());
        assert_eq!(lane.counts, Counts { received: 1000, ..Counts::default() });
    }

    #[test]
    fn of_a_thousand_the_seed_says_which_are_lost_and_which_doubled() {
        let weather = Weather { loss: 100, duplicate: 200, ..Weather::CLEAR };
        let runs = [7, 7, 8].map(|seed| {
            let mut lane = lane(seed, weather);
            (through(&mut lane, 0..1000), lane.counts)
        });
        assert_eq!(runs[0], runs[1]);
        assert_ne!(runs[0], runs[2]);
        let (left, counts) = &runs[0];
        let copies = left.iter().filter(|(_, is_copy)| *is_copy).count() as u64;
        assert_eq!(copies, counts.duplicated);
        assert_eq!(left.len() as u64 - copies, 1000 - counts.lost);
        assert!((60..150).contains(&counts.lost) && (120..250).contains(&counts.duplicated));
    }

    #[test]
    fn losses_come_in_bursts_and_end_with_their_weather() {
        let mut lane = lane(3, Weather { loss: 50, burst_max: 5, ..Weather::CLEAR });
        let left: Vec<u16> =
            through(&mut lane, 0..5000).iter().map(|(number, _)| *number).collect();
        let gaps: Vec<u16> = left.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
        assert!(gaps.contains(&5), "the longest burst comes about");
        assert!(lane.counts.lost > 500, "each loss takes two more with it, about");
        while lane.losing == 0 {
            through(&mut lane, 0..1);
        }
        lane.set(Weather::CLEAR);
        assert_eq!(through(&mut lane, 0..9).len(), 9);
    }

    #[test]
    fn who_is_held_back_is_overtaken_by_few_and_never_forgotten() {
        let mut lane = lane(5, Weather { reorder: 300, ..Weather::CLEAR });
        let mut left = through(&mut lane, 0..1000);
        for (at, (number, _)) in left.iter().enumerate() {
            assert!(at.abs_diff(usize::from(*number)) <= 2 * OVERTAKEN_MAX as usize);
        }
        for number in 0..=1000 {
            left.extend(lane.release(number).map(|parcel| {
                let number = parcel.bytes.try_into().expect("nothing was cut off");
                (u16::from_le_bytes(number), false)
            }));
        }
        assert!(!left.is_sorted() && lane.counts.reordered > 200);
        left.sort();
        assert_eq!(left, (0..1000).map(|number| (number, false)).collect::<Vec<_>>());
    }

    #[test]
    fn nor_is_it_forgotten_when_the_weather_clears() {
        let mut lane = lane(5, Weather { reorder: 1000, ..Weather::CLEAR });
        assert_eq!(through(&mut lane, 0..1), []);
        lane.set(Weather::CLEAR);
        let mut left = Vec::new();
        while !lane.pass((), &[]) {
            left.extend(through(&mut lane, 1..2));
        }
        assert_eq!(left.pop(), Some((0, false)), "the last before all just pass again");
        assert!(left.len() as u64 <= OVERTAKEN_MAX);
    }

    #[test]
    fn what_is_replayed_is_old() {
        let mut lane = lane(9, Weather::CLEAR);
        through(&mut lane, 0..1000);
        lane.set(Weather { replay: 1000, ..Weather::CLEAR });
        let left = through(&mut lane, 1000..1100);
        let copies: Vec<u16> =
            left.iter().filter(|(_, is_copy)| *is_copy).map(|(number, _)| *number).collect();
        assert_eq!((copies.len(), lane.counts.replayed), (100, 100));
        assert!(copies.iter().any(|number| *number < 500), "from before the weather: {copies:?}");
    }

    #[test]
    fn weathers_add_up() {
        let loss = Weather { loss: 500, burst_max: 3, delay_ms: 5, ..Weather::CLEAR };
        let both = loss.and(Weather { loss: 500, reorder: 1000, delay_ms: 7, ..Weather::CUT });
        let wanted =
            Weather { loss: 750, burst_max: 3, reorder: 1000, delay_ms: 12, ..Weather::CUT };
        assert_eq!(both, wanted);
        assert_eq!(loss.and(Weather::CLEAR), loss);
        assert_eq!(
            wanted.to_string(),
            "cut, 75 % lost, up to 3 in a row, 100 % reordered, late by 12..12 ms"
        );
    }
}
