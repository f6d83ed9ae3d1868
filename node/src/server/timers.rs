//! The clocks of all replicas, in one heap.

use crate::config::Timing;
use crate::protocol::Timer;
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Running timers. A group is its position here.
pub struct Timers {
    timing: Timing,
    running: Vec<[bool; 2]>,
    due: BinaryHeap<Reverse<(Instant, usize, Timer)>>,
    random: Rng,
}

impl Timers {
    /// No timer runs. `seed`: of the jitter, which keeps the nodes from ticking in step.
    pub fn new(timing: Timing, groups: usize, seed: u64) -> Timers {
        let (running, random) = (vec![[false; 2]; groups], Rng::with_seed(seed));
        Timers { timing, running, due: BinaryHeap::new(), random }
    }

    /// Starts a timer, unless it runs.
    pub fn start(&mut self, group: usize, timer: Timer, now: Instant) {
        if std::mem::replace(&mut self.running[group][timer as usize], true) {
            return;
        }
        let after_us = match timer {
            Timer::Retransmit => self.timing.retransmit_ms * 1_000,
            Timer::Heartbeat => {
                let us = self.timing.heartbeat_ms * 1_000;
                us - us / 10 + self.random.u64(..=us / 5)
            }
        };
        self.due.push(Reverse((now + Duration::from_micros(after_us), group, timer)));
    }

    /// Takes out a timer that is due.
    pub fn fire(&mut self, now: Instant) -> Option<(usize, Timer)> {
        let Reverse((_, group, timer)) = match self.due.peek()? {
            Reverse((at, ..)) if *at <= now => self.due.pop()?,
            _ => return None,
        };
        self.running[group][timer as usize] = false;
        Some((group, timer))
    }

    /// When the next is due, if one runs.
    pub fn next(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_timer_is_not_started_again_and_fires_once_in_its_time() {
        let mut timers = Timers::new(Timing::default(), 2, 7);
        let now = Instant::now();
        let after = |us| now + Duration::from_micros(us);
        for at_us in [0, 5_000] {
            timers.start(1, Timer::Retransmit, after(at_us));
            timers.start(1, Timer::Heartbeat, after(at_us));
        }
        assert_eq!(timers.fire(after(7_999)), None);
        assert_eq!(timers.fire(after(8_000)), Some((1, Timer::Retransmit)));
        assert_eq!(timers.fire(after(22_499)), None);
        assert!(timers.next().is_some_and(|at| at <= after(27_500)));
        assert_eq!(timers.fire(after(27_500)), Some((1, Timer::Heartbeat)));
        assert_eq!(timers.next(), None);
    }
}
