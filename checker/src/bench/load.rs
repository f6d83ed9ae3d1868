//! The load of one client: so many operations in flight, or one whenever the next is due.
//!
//! An open loop has moments at which operations begin, whatever became of those before. A cluster
//! that stands still for a second keeps all waiting that were due meanwhile, and each of them waited:
//! so latency counts from when an operation was due, not from when there was room to send it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use node::client::{Ask, Completion, Pipeline};

use super::tally::{Kind, Tally, tag};

/// How often to look whether it is over while nothing happens.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Bytes of a key.
pub const KEY_BYTES: usize = 16;

/// When operations begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As soon as another has ended.
    Closed,
    /// One every so often, in nanoseconds; the first not at once, so that clients take turns.
    Open { first_ns: u64, every_ns: u64 },
}

/// What operations are asked for: seeded, so that each run asks for the same.
pub(super) struct Draw {
    lots: fastrand::Rng,
    keys: u64,
    reads_percent: u8,
    value: Vec<u8>,
}

/// Who is asked: a pipeline, or what a test puts in its place.
pub(super) trait Target {
    fn now(&self) -> Instant;
    fn submit(&mut self, tag: u64, ask: Ask<'_>);
    fn poll(&mut self, timeout: Duration) -> Option<Completion>;
    fn in_flight(&self) -> usize;
}

/// How a client goes about it.
pub(super) struct Course<'a> {
    pub in_flight: usize,
    pub pace: Pace,
    /// Somebody else says when it is time to stop.
    pub is_over: &'a AtomicBool,
    /// Operations of all clients that have ended.
    pub ended: &'a AtomicU64,
}

impl Course<'_> {
    /// Sends operations until it is over, and returns when each has its outcome.
    pub fn run(&self, target: &mut impl Target, draw: &mut Draw) -> Tally {
        let begun = target.now();
        let (mut tally, mut over_at) = (Tally::new(begun), None);
        loop {
            if over_at.is_none() && self.is_over.load(Ordering::Relaxed) {
                over_at = Some(target.now());
            }
            let wait = match over_at {
                None => self.submit_due(begun, target, draw, &mut tally),
                Some(at) if target.in_flight() == 0 => {
                    // What became due a moment ago is not overdue, or nobody could ever keep up.
                    let due = self.pace.due_within((at - begun).saturating_sub(LOOK));
                    tally.overdue = due.saturating_sub(tally.submitted);
                    tally.over = target.now();
                    return tally;
                }
                Some(_) => LOOK,
            };
            if let Some(completion) = target.poll(wait) {
                self.ended.fetch_add(1, Ordering::Relaxed);
                tally.take(completion);
            }
        }
    }

    /// Sends what is due and has room, and returns how long to wait for more of it.
    fn submit_due(
        &self,
        begun: Instant,
        target: &mut impl Target,
        draw: &mut Draw,
        tally: &mut Tally,
    ) -> Duration {
        while target.in_flight() < self.in_flight {
            match self.pace.late(tally.submitted, || target.now().duration_since(begun)) {
                Ok(late) => draw.submit(target, late),
                Err(early) => return early.min(LOOK),
            }
            tally.submitted += 1;
        }
        LOOK
    }
}

impl Pace {
    /// How late an operation is, or else how early. The time that has elapsed since the load began is
    /// asked for only where it matters: a million times a second, it would be noticed.
    fn late(self, count: u64, elapsed: impl Fn() -> Duration) -> Result<Duration, Duration> {
        match self {
            Pace::Closed => Ok(Duration::ZERO),
            Pace::Open { first_ns, every_ns } => {
                let (due, elapsed) = (Duration::from_nanos(first_ns + every_ns * count), elapsed());
                elapsed.checked_sub(due).ok_or_else(|| due - elapsed)
            }
        }
    }

    /// How many operations are due by then.
    fn due_within(self, elapsed: Duration) -> u64 {
        match self {
            Pace::Closed => 0,
            Pace::Open { first_ns, every_ns } => {
                let since_first = (elapsed.as_nanos() as u64).checked_sub(first_ns);
                since_first.map_or(0, |since| since / every_ns + 1)
            }
        }
    }
}

impl Draw {
    pub fn new(seed: u64, keys: u64, reads_percent: u8, value_bytes: usize) -> Draw {
        let mut lots = fastrand::Rng::with_seed(seed);
        let value = (0..value_bytes).map(|_| lots.alphanumeric() as u8).collect();
        Draw { lots, keys, reads_percent, value }
    }

    /// What keys have as a value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Sends an operation that is as late as this.
    fn submit(&mut self, target: &mut impl Target, late: Duration) {
        let key = key(self.lots.u64(..self.keys));
        let is_read = self.lots.u8(..100) < self.reads_percent;
        match is_read {
            true => target.submit(tag(Kind::Get, late), Ask::Get { key: &key }),
            false => {
                let ask = Ask::Put { key: &key, value: &self.value };
                target.submit(tag(Kind::Put, late), ask);
            }
        }
    }
}

/// The name of a key, below ten thousand millions of them.
pub(super) fn key(number: u64) -> [u8; KEY_BYTES] {
    let (mut key, mut rest) = (*b"bench-0000000000", number);
    for digit in key[6..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

impl Target for Pipeline {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn submit(&mut self, tag: u64, ask: Ask<'_>) {
        Pipeline::submit(self, tag, ask);
    }

    fn poll(&mut self, timeout: Duration) -> Option<Completion> {
        Pipeline::poll(self, timeout)
    }

    fn in_flight(&self) -> usize {
        Pipeline::in_flight(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::client::{Done, Outcome};
    use std::collections::VecDeque;

    const MS: Duration = Duration::from_millis(1);

    /// A cluster in a time of its own, which answers in order: each operation a millisecond after it
    /// was sent, but none between the first second and the second. After three seconds, it is over.
    struct Stalling<'a> {
        begun: Instant,
        now: Instant,
        sent: VecDeque<(u64, Instant)>,
        is_over: &'a AtomicBool,
    }

    impl Target for Stalling<'_> {
        fn now(&self) -> Instant {
            self.now
        }

        fn submit(&mut self, tag: u64, _: Ask<'_>) {
            self.sent.push_back((tag, self.now));
        }

        fn poll(&mut self, timeout: Duration) -> Option<Completion> {
            let until = self.now + timeout;
            let answered = self.sent.front().map(|&(_, sent)| {
                let stall = self.begun + 1_000 * MS..self.begun + 2_000 * MS;
                let at = sent + MS;
                if stall.contains(&at) { stall.end } else { at }
            });
            self.now = answered.unwrap_or(until).clamp(self.now, until);
            self.is_over.store(self.now >= self.begun + 3_000 * MS, Ordering::Relaxed);
            let (tag, sent) =
                self.sent.pop_front_if(|_| answered.is_some_and(|at| at <= self.now))?;
            Some(Completion { tag, outcome: Outcome::Ok(Done::Put), latency: self.now - sent })
        }

        fn in_flight(&self) -> usize {
            self.sent.len()
        }
    }

    fn through_a_stall(pace: Pace, in_flight: usize) -> Tally {
        let (is_over, ended, begun) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
        let mut target = Stalling { begun, now: begun, sent: VecDeque::new(), is_over: &is_over };
        let course = Course { in_flight, pace, is_over: &is_over, ended: &ended };
        let tally = course.run(&mut target, &mut Draw::new(1, 10, 0, 1));
        assert_eq!(ended.into_inner(), tally.submitted);
        assert_eq!(tally.ok(), tally.submitted, "all that was sent has an outcome");
        tally
    }

    /// Of all puts, those that took at least as long.
    fn slower(tally: &Tally, limit: Duration) -> u64 {
        let latencies = &tally.latencies[Kind::Put as usize];
        latencies.len() - latencies.count_between(0, limit.as_nanos() as u64 - 1_000_000)
    }

    const EVERY_10_MS: Pace = Pace::Open { first_ns: 0, every_ns: 10_000_000 };

    #[test]
    fn a_stall_is_felt_by_all_that_were_due_meanwhile() {
        // With room for one at a time, the others cannot even be sent; afterwards, they are caught
        // up with in a tenth of the time, which those that fall due meanwhile notice, too.
        for (in_flight, slow, half_as_slow) in [(1_000, 100, 50), (1, 110, 55)] {
            let tally = through_a_stall(EVERY_10_MS, in_flight);
            assert!((299..=301).contains(&tally.submitted), "{}", tally.submitted);
            assert!(slower(&tally, 10 * MS).abs_diff(slow) <= 2, "one every 10 ms for 1 s");
            assert!(
                slower(&tally, 500 * MS).abs_diff(half_as_slow) <= 2,
                "half of them half of it"
            );
            assert_eq!(tally.overdue, 0, "they were caught up with");
        }
        let sent_late =
            |in_flight| through_a_stall(EVERY_10_MS, in_flight).late.max() > 900_000_000;
        assert_eq!((sent_late(1), sent_late(1_000)), (true, false));
    }

    #[test]
    fn a_closed_loop_feels_it_once() {
        let tally = through_a_stall(Pace::Closed, 1);
        assert_eq!(slower(&tally, 10 * MS), 1);
    }

    #[test]
    fn what_is_due_and_never_sent_is_counted() {
        // Twice as many as one at a time can be answered.
        let twice = Pace::Open { first_ns: 0, every_ns: 500_000 };
        let tally = through_a_stall(twice, 1);
        assert!((1_990..=2_010).contains(&tally.submitted), "{}", tally.submitted);
        assert!((3_900..=4_000).contains(&tally.overdue), "{}", tally.overdue);
    }

    #[test]
    fn clients_take_turns() {
        let pace = Pace::Open { first_ns: 3_000_000, every_ns: 10_000_000 };
        assert_eq!(pace.late(0, || Duration::ZERO), Err(3 * MS));
        assert_eq!(pace.late(2, || 24 * MS), Ok(MS));
        assert_eq!([2, 3, 12, 13].map(|ms| pace.due_within(ms * MS)), [0, 1, 1, 2]);
    }

    #[test]
    fn keys_have_names_of_one_length() {
        assert_eq!(&key(0), b"bench-0000000000");
        assert_eq!(&key(9_876_543_210), b"bench-9876543210");
    }
}
