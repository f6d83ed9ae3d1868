//! The eventually perfect failure detector: silence longer than a peer's delay makes it suspected,
//! a reply restores it. A false suspicion lengthens the delay, steady replies let it decay towards
//! what they need. Wrong suspicions end after some time, crashed peers stay suspected; nothing that
//! must be safe depends on either. Source: Chandra and Toueg, 1996; the decay is ours.

/// What one peer's heartbeats taught. Ticks are heartbeat rounds of this replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Detector {
    suspected: bool,
    /// The round of the latest reply; the round of our start before the first.
    heard: u64,
    /// Silence longer than this is suspicious.
    delay_ticks: u64,
    /// The longest recent pause between replies.
    pause_ticks: u64,
    /// Replies in a row that came well within the delay.
    steady: u32,
}

/// A delay is never shorter than this, or one lost datagram would look like a crash.
const DELAY_TICKS_MIN: u64 = 3;
/// A delay is never longer: a crashed peer is found out within this many ticks.
const DELAY_TICKS_MAX: u64 = 50;
/// So many steady replies shorten the delay by a tick.
const STEADY_REPLIES: u32 = 20;

impl Detector {
    pub fn new() -> Detector {
        let (delay_ticks, pause_ticks) = (DELAY_TICKS_MIN, 1);
        Detector { suspected: false, heard: 0, delay_ticks, pause_ticks, steady: 0 }
    }

    pub fn is_suspected(&self) -> bool {
        self.suspected
    }

    /// A reply came in round `now`. True if the peer was suspected until then, and wrongly so.
    pub fn reply(&mut self, now: u64) -> bool {
        let pause = now.saturating_sub(self.heard);
        self.heard = now;
        self.pause_ticks = pause.max(self.pause_ticks - self.pause_ticks.div_ceil(8)).max(1);
        self.steady = self.steady.saturating_add(1);
        let needed = (self.pause_ticks + 2).max(DELAY_TICKS_MIN);
        if self.steady >= STEADY_REPLIES && self.delay_ticks > needed {
            self.delay_ticks -= 1;
            self.steady = 0;
        }
        if !self.suspected {
            return false;
        }
        self.suspected = false;
        self.steady = 0;
        self.delay_ticks = (self.delay_ticks + self.delay_ticks / 2 + 1).min(DELAY_TICKS_MAX);
        true
    }

    /// Round `now` begins. True if the peer becomes suspected.
    pub fn tick(&mut self, now: u64) -> bool {
        let suspicious = now.saturating_sub(self.heard) > self.delay_ticks;
        let news = suspicious && !self.suspected;
        self.suspected |= suspicious;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks through `rounds`, answering each round that `answers` says; counts new suspicions.
    fn run(d: &mut Detector, rounds: std::ops::Range<u64>, answers: fn(u64) -> bool) -> usize {
        let mut suspicions = 0;
        for now in rounds {
            suspicions += usize::from(d.tick(now));
            if answers(now) {
                d.reply(now);
            }
        }
        suspicions
    }

    #[test]
    fn a_crashed_peer_is_suspected_for_ever() {
        let mut detector = Detector::new();
        assert_eq!(run(&mut detector, 1..50, |_| true), 0);
        assert_eq!(run(&mut detector, 50..500, |_| false), 1);
        assert!(detector.is_suspected());
    }

    #[test]
    fn false_suspicions_of_a_slow_peer_end() {
        let mut detector = Detector::new();
        assert!(run(&mut detector, 1..400, |now| now % 9 == 0) > 0);
        assert_eq!(run(&mut detector, 400..4000, |now| now % 9 == 0), 0);
    }

    #[test]
    fn the_delay_decays_when_a_slow_peer_recovers() {
        let mut detector = Detector::new();
        run(&mut detector, 1..400, |now| now % 9 == 0);
        let slow = detector.delay_ticks;
        run(&mut detector, 400..2000, |_| true);
        assert!(slow > 9 && detector.delay_ticks == DELAY_TICKS_MIN, "{detector:?}");
    }
}
