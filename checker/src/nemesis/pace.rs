//! The time that a plan goes by, which may end early.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Time since the load began.
pub trait Pace {
    /// Milliseconds so far.
    fn now_ms(&self) -> u64;
    /// Waits until then, or until the run is to end. Returns at once if either is so already.
    fn wait_until(&mut self, at_ms: u64) -> Waited;
}

/// Why a wait is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    /// It is time.
    Due,
    /// The run ends now.
    Interrupted,
}

/// Real time.
pub struct WallClock {
    begun: Instant,
    interrupt: Interrupt,
}

/// Ends a run early, from any thread.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl WallClock {
    /// The load began then.
    pub fn since(begun: Instant, interrupt: Interrupt) -> WallClock {
        WallClock { begun, interrupt }
    }
}

impl Interrupt {
    /// The run ends now; this cannot be taken back.
    pub fn now(&self) {
        let Interrupt(shared) = self;
        *shared.0.lock().expect("nobody panics with it") = true;
        shared.1.notify_all();
    }
}

impl Pace for WallClock {
    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn wait_until(&mut self, at_ms: u64) -> Waited {
        let due = self.begun + Duration::from_millis(at_ms);
        let (flag, changed) = &*self.interrupt.0;
        let interrupted = flag.lock().expect("nobody panics with it");
        let left = due.saturating_duration_since(Instant::now());
        let waited = changed.wait_timeout_while(interrupted, left, |interrupted| !*interrupted);
        match *waited.expect("nobody panics with it").0 {
            true => Waited::Interrupted,
            false => Waited::Due,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_it_is_time_or_when_interrupted() {
        let interrupt = Interrupt::default();
        let mut clock = WallClock::since(Instant::now(), interrupt.clone());
        assert_eq!(clock.wait_until(5), Waited::Due);
        assert!(clock.now_ms() >= 5);
        let thread = std::thread::spawn(move || clock.wait_until(u64::from(u32::MAX)));
        interrupt.now();
        assert_eq!(thread.join().expect("it waits"), Waited::Interrupted);
    }
}
