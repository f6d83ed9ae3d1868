//! Runs drawn at random, and the reduction of one that fails to the actions it needs.

use crate::cluster::{Cluster, Met};
use crate::random::{Random, setting};
use std::panic::{self, AssertUnwindSafe};

/// How many runs are performed by default.
pub const RUNS: u64 = 500;

/// One action on a cluster; its seed says everything about it.
pub type Act = fn(&mut Cluster, &mut Random);

/// Performs `RUNS=` runs of `ACTIONS=` actions, each run on a new cluster, and panics with the
/// shortest version of the first that fails. Otherwise each of the situations `sometimes` must have
/// arisen, or the runs prove little.
pub fn search(act: Act, sometimes: &[&str]) {
    let mut random = Random::seeded();
    let mut met = Met::new();
    for _ in 0..setting("RUNS", RUNS) {
        let run: Vec<u64> = (0..setting("ACTIONS", 400)).map(|_| random.next()).collect();
        match attempt(&run, act, false) {
            Ok(places) => places.into_iter().for_each(|(at, n)| *met.entry(at).or_insert(0) += n),
            Err(reason) => fail(run, act, reason),
        }
    }
    println!("met: {met:?}");
    for place in sometimes {
        assert!(met.contains_key(*place), "no run met this: {place}");
    }
}

/// Performs the actions on a new cluster. Returns what they led to, or what went wrong.
fn attempt(run: &[u64], act: Act, traced: bool) -> Result<Met, String> {
    let play = || {
        let mut cluster = Cluster::new(traced);
        run.iter().for_each(|seed| act(&mut cluster, &mut Random::of(*seed)));
        cluster.met
    };
    panic::catch_unwind(AssertUnwindSafe(play)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
            .unwrap_or_default()
    })
}

/// Drops actions while the run still fails, ever smaller pieces at a time; then shows the rest.
fn fail(mut run: Vec<u64>, act: Act, mut reason: String) -> ! {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut piece = run.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < run.len() {
            let end = (at + piece).min(run.len());
            let rest = [&run[..at], &run[end..]].concat();
            match attempt(&rest, act, false) {
                Err(same) => (run, reason) = (rest, same),
                Ok(_) => at = end,
            }
        }
        piece /= 2;
    }
    panic::set_hook(hook);
    let shown = attempt(&run, act, true);
    panic!("{} actions lead to: {reason}\n{run:?}\n{shown:?}", run.len());
}
