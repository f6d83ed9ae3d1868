//! Which faults a violation needs: those without which it no longer shows.
//!
//! The run is repeated with half of its faults, then with fewer at a time, as delta debugging does,
//! and each time as often as it takes to show a violation, or as often as was asked for: the same
//! plan does not always meet the same luck. Any invalid verdict counts, for a plan that shows some
//! other violation is no less worth having. Between first and last, the load is made shorter, too.

use std::ops::Range;
use std::time::Duration;

use super::Interrupts;
use super::{Error, Finished, Plan, Replay, carry_out};
use crate::nemesis::{self, Step};
use crate::say;
use crate::store::Latest;

/// What to make smaller.
#[derive(Clone, Debug)]
pub struct Shrink {
    /// The run to begin with.
    pub replay: Replay,
    /// How often each smaller one is tried before it counts as one that shows no violation.
    pub tries: u32,
}

/// How long the load goes on behind a violation: until answers under way are there.
const MARGIN: Duration = Duration::from_secs(1);

/// The code of what is invalid, as a run ends with it.
const INVALID: u8 = 1;
/// No violation: nothing was proven.
const VACUOUS: u8 = 3;

/// Tries with fewer and fewer faults, prints what was found, and returns the exit code. Must be
/// called from the main thread, as [`run`](super::run).
pub fn shrink(shrink: &Shrink) -> Result<u8, Error> {
    let plan = shrink.replay.plan()?;
    let interrupts = Interrupts::watch().map_err(Error::io("signals"))?;
    let before = Latest::of(&shrink.replay.store);
    let mut search = Search::new(plan, shrink.tries, &interrupts);
    // An error on the way, as of a full disk, must not cost what was found before it.
    let searched = search.search();
    let Some(smallest) = search.smallest.take() else {
        searched?;
        // All that was tried is gone; what is to be replayed may have been the latest.
        before.put_back().map_err(Error::io("the store"))?;
        let told = say::out(format_args!(
            "not invalid in {} tries, so there is nothing to shrink\n  \
             what shows rarely may need more of --tries\n",
            search.count
        ));
        told.map_err(Error::io("standard output"))?;
        return Ok(VACUOUS);
    };
    if let Err(error) = searched {
        say::aside(format_args!("checker: {error}"));
    }
    search.tell(&smallest)?;
    Ok(INVALID)
}

struct Search<'a> {
    plan: Plan,
    interrupts: &'a Interrupts,
    tries: u32,
    /// Runs so far.
    count: u32,
    /// The smallest so far that showed a violation.
    smallest: Option<Shown>,
}

/// A plan that showed a violation, as a run that did.
struct Shown {
    steps: Vec<Step>,
    time_limit: Duration,
    run: Finished,
    tries: u32,
    times: u32,
}

impl Search<'_> {
    fn new(plan: Plan, tries: u32, interrupts: &Interrupts) -> Search<'_> {
        Search { plan, interrupts, tries, count: 0, smallest: None }
    }

    fn search(&mut self) -> Result<(), Error> {
        let all = self.all().to_vec();
        if !self.shows(&all, self.plan.time_limit)? {
            return Ok(());
        }
        self.shorten()?;
        let steps = self.smallest.as_ref().map(|smallest| smallest.steps.clone());
        smallest(steps.unwrap_or_default(), &mut |fewer| {
            let time_limit = self.smallest.as_ref().map(|smallest| smallest.time_limit);
            self.shows(fewer, time_limit.expect("the whole plan showed it"))
        })?;
        self.shorten()?;
        self.count_again()
    }

    fn all(&self) -> &[Step] {
        self.plan.recording.as_ref().map_or(&[], |recording| &recording.schedule.steps)
    }

    /// Whether a violation shows with these faults. If so, this is the smallest plan so far. Not
    /// tried when interrupted: then it does not.
    fn shows(&mut self, steps: &[Step], time_limit: Duration) -> Result<bool, Error> {
        for number in 1..=self.tries {
            let Some(run) = self.attempt(steps, time_limit, number)? else { return Ok(false) };
            if run.outcome.code != INVALID {
                discard(run)?;
                continue;
            }
            let steps = steps.to_vec();
            let shown = Shown { steps, time_limit, run, tries: number, times: 1 };
            if let Some(larger) = self.smallest.replace(shown) {
                discard(larger.run)?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// One run, unless interrupted.
    fn attempt(
        &mut self,
        steps: &[Step],
        time_limit: Duration,
        number: u32,
    ) -> Result<Option<Finished>, Error> {
        if self.interrupts.came() {
            return Ok(None);
        }
        self.count += 1;
        let mut run = carry_out(&self.with(steps, time_limit), self.interrupts)?;
        run.held = None;
        say::aside(format_args!(
            "{} of {} faults, {:.1} s: try {number} of {}: {}",
            steps.len(),
            self.all().len(),
            time_limit.as_secs_f64(),
            self.tries,
            run.outcome.word
        ));
        Ok(Some(run))
    }

    fn with(&self, steps: &[Step], time_limit: Duration) -> Plan {
        // One violation is enough, and nobody looks at the nodes.
        let mut plan = Plan { time_limit, stop_at_first: true, ..self.plan.clone() };
        plan.nemesis = steps.iter().map(|step| step.fault.kind()).collect();
        plan.nemesis.sort();
        plan.nemesis.dedup();
        let recording = plan.recording.as_mut().expect("only what was recorded is made smaller");
        recording.schedule = nemesis::Plan { steps: steps.to_vec() };
        plan
    }

    /// Ends the load soon after the violation, if that still shows one.
    fn shorten(&mut self) -> Result<(), Error> {
        let Some(Shown { steps, time_limit, run, .. }) = &self.smallest else { return Ok(()) };
        let Some(shows_at_ns) = run.shows_at_ns else { return Ok(()) };
        let shorter = Duration::from_nanos(shows_at_ns) + MARGIN;
        if shorter < *time_limit {
            let steps = until(steps, shorter.as_millis() as u64);
            self.shows(&steps, shorter)?;
        }
        Ok(())
    }

    /// Tries the smallest plan as often as it would have been, had it shown nothing.
    fn count_again(&mut self) -> Result<(), Error> {
        let Some(mut smallest) = self.smallest.take() else { return Ok(()) };
        let counted = self.count_times(&mut smallest);
        self.smallest = Some(smallest);
        counted
    }

    fn count_times(&mut self, smallest: &mut Shown) -> Result<(), Error> {
        for number in smallest.tries + 1..=self.tries {
            let Some(run) = self.attempt(&smallest.steps, smallest.time_limit, number)? else {
                break;
            };
            smallest.tries = number;
            smallest.times += u32::from(run.outcome.code == INVALID);
            discard(run)?;
        }
        Ok(())
    }

    fn tell(&self, smallest: &Shown) -> Result<(), Error> {
        let Shown { steps, time_limit, run, tries, times } = smallest;
        run.folder.make_latest(&self.plan.store).map_err(Error::io("the store"))?;
        let mut told = format!(
            "invalid · {} of {} faults needed · shows in {times} of {tries} tries · \
             {:.1} of {:.1} s of load\n  replay: {}\n",
            steps.len(),
            self.all().len(),
            time_limit.as_secs_f64(),
            self.plan.time_limit.as_secs_f64(),
            self.plan.replay_command(&run.folder),
        );
        if self.interrupts.came() {
            told += "  ended early, as asked: perhaps fewer would do\n";
        }
        for step in steps {
            told += &format!("  needed: {}\n", step.to_string().trim_start());
        }
        say::out(told + &run.reasons).map_err(Error::io("standard output"))
    }
}

fn discard(run: Finished) -> Result<(), Error> {
    run.folder.remove().map_err(Error::io("the store"))
}

/// What of these steps lies before the end.
fn until(steps: &[Step], end_ms: u64) -> Vec<Step> {
    let before = steps.iter().filter(|step| step.at_ms < end_ms);
    before.map(|step| Step { heal_ms: step.heal_ms.min(end_ms), ..step.clone() }).collect()
}

/// Drops as many of `all` as can be dropped while the rest still `shows` it, and returns the rest:
/// none of it can be dropped alone. Tries halves first. `all` itself is taken to show it.
fn smallest<T: Clone + PartialEq, E>(
    all: Vec<T>,
    shows: &mut impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    let mut left = all;
    let mut in_vain: Vec<Vec<T>> = Vec::new();
    let mut size = left.len().div_ceil(2);
    while !left.is_empty() {
        let before = left.len();
        let mut at = 0;
        while at < left.len() {
            let fewer = without(&left, at..at + size);
            if !in_vain.contains(&fewer) && shows(&fewer)? {
                left = fewer;
            } else {
                in_vain.push(fewer);
                at += size;
            }
        }
        match size {
            // What was needed may not be so once something else is gone.
            1 if left.len() == before => break,
            _ => size = (size / 2).max(1),
        }
    }
    Ok(left)
}

fn without<T: Clone>(all: &[T], dropped: Range<usize>) -> Vec<T> {
    let kept = all.iter().enumerate().filter(|(at, _)| !dropped.contains(at));
    kept.map(|(_, one)| one.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// What is left of the numbers below `count`, and how many sets were tried.
    fn left(count: u32, needed: &dyn Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let mut tried = 0;
        let left = smallest::<_, Infallible>((0..count).collect(), &mut |fewer| {
            tried += 1;
            Ok(needed(fewer))
        });
        (left.expect("nothing can fail"), tried)
    }

    #[test]
    fn only_what_is_needed_is_left() {
        assert_eq!(left(0, &|_| true).0, Vec::<u32>::new());
        assert_eq!(left(9, &|_| true), (vec![], 2), "both halves go, and nothing more is tried");
        for needed in [vec![0], vec![8], vec![3, 4], vec![0, 5, 8]] {
            let (left, tried) = left(9, &|fewer| needed.iter().all(|one| fewer.contains(one)));
            assert_eq!(left, needed);
            assert!(tried <= 9 * 4, "{tried} for {needed:?}");
        }
    }

    #[test]
    fn either_of_two_is_enough() {
        let (left, _) = left(6, &|fewer| fewer.contains(&1) || fewer.contains(&4));
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn a_fault_that_lasts_ends_with_the_load() {
        use crate::nemesis::{Fault, Target};
        let fault = Fault::Kill(Target::Leader);
        let step = |at_ms, heal_ms| Step { at_ms, heal_ms, fault, order: Vec::new() };
        let cut = until(&[step(0, 100), step(50, 300), step(200, 300)], 200);
        assert_eq!(cut, vec![step(0, 100), step(50, 200)]);
    }
}
