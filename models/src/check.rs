//! Running a model to its end, or to a limit, and saying which of the two it was.

use crate::memory::{held_bytes, peak_bytes};
use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Model, Path, Property};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a model carries for whoever runs it. A run can end a search early, and narrow it to one
/// property, so that the path to it is the shortest.
#[derive(Clone, Default)]
pub struct Search {
    stop: Arc<AtomicBool>,
    only: Option<&'static str>,
}

impl Search {
    /// Whether nothing more is to be explored.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The properties that this search is for.
    pub fn select<M: Model>(&self, mut all: Vec<Property<M>>) -> Vec<Property<M>> {
        all.retain(|property| self.only.is_none_or(|only| only == property.name));
        all
    }
}

/// A model that can be checked and told about.
pub trait Subject: Model<State: States, Action: Actions> + Clone + Send + Sync + 'static {
    /// See [`Search`].
    fn search(&mut self) -> &mut Search;
    /// A path in words: who sent what to whom, what was lost, who crashed.
    fn story(&self, path: &[(Self::State, Option<Self::Action>)]) -> Vec<String>;
}

/// What a checker asks of states.
pub trait States: Clone + PartialEq + Hash + Debug + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Hash + Debug + Send + Sync + 'static> States for T {}
/// What a checker asks of actions.
pub trait Actions: Clone + PartialEq + Debug + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Debug + Send + Sync + 'static> Actions for T {}

/// When a search ends although there is more.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub threads: usize,
    /// Unique states.
    pub states: Option<usize>,
    pub time: Option<Duration>,
    pub memory_bytes: u64,
    /// Actions from the start. A bounded depth is searched breadth first.
    pub depth: Option<usize>,
}

/// What a search came to.
pub struct Report {
    /// Why the search ended before all was seen, if it did.
    pub truncated: Option<String>,
    /// Then, all that happens within so many actions was seen nevertheless.
    pub complete_depth: Option<usize>,
    pub violations: Vec<Violation>,
    pub properties: Vec<(Expectation, &'static str)>,
    /// Names of `sometimes` properties of which no example was found.
    pub missing: Vec<&'static str>,
    /// Unique states.
    pub states: usize,
    /// Actions tried that changed something.
    pub transitions: usize,
    /// Actions on the longest path that was taken.
    pub depth: usize,
    pub took: Duration,
    /// The most this process held at once; the runs before this one count.
    pub memory_bytes: u64,
    /// What it held more at the end than at the beginning.
    pub grown_bytes: u64,
}

/// A property that does not hold.
pub struct Violation {
    pub property: &'static str,
    /// Actions on the shortest path to it.
    pub path: usize,
    pub story: Vec<String>,
}

/// How far a search is.
pub struct Progress {
    pub states: usize,
    pub depth: usize,
    pub elapsed: Duration,
}

/// Between two looks at a search that is under way.
const LOOK: Duration = Duration::from_millis(100);

/// Hears several times a second how far a search is.
pub type Watch<'a> = dyn FnMut(&Progress) + 'a;

/// Searches all states of `model` within `limits`; with `only` for the shortest path to breaking
/// that property.
pub fn check<M: Subject>(
    model: &M,
    limits: &Limits,
    only: Option<&'static str>,
    watch: &mut Watch<'_>,
) -> Report {
    let mut found = search(model, limits, only, watch);
    if only.is_some() {
        return found;
    }
    // Among several properties the first path found need not be the shortest, so each that is
    // broken is looked for again, alone and breadth first.
    for violation in &mut found.violations {
        let again = search(model, limits, Some(violation.property), watch);
        if let Some(shorter) = again.violations.into_iter().find(|v| v.path < violation.path) {
            *violation = shorter;
        }
    }
    found
}

fn search<M: Subject>(
    model: &M,
    limits: &Limits,
    only: Option<&'static str>,
    watch: &mut Watch<'_>,
) -> Report {
    let mut model = model.clone();
    *model.search() = Search { only, ..Search::default() };
    let stop = Arc::clone(&model.search().stop);
    let begun = Instant::now();
    let builder = model.checker().threads(limits.threads).finish_when(HasDiscoveries::AnyFailures);
    match (limits.depth, only) {
        (Some(depth), _) => {
            // States on the last level count from one, and are not looked at.
            let checker = builder.target_max_depth(depth + 2).spawn_bfs();
            finish(checker, limits, (begun, &stop), watch)
        }
        (None, Some(_)) => {
            finish(CheckerBuilder::spawn_bfs(builder), limits, (begun, &stop), watch)
        }
        (None, None) => finish(builder.spawn_dfs(), limits, (begun, &stop), watch),
    }
}

fn finish<M: Subject>(
    mut checker: impl Checker<M>,
    limits: &Limits,
    (begun, stop): (Instant, &AtomicBool),
    watch: &mut Watch<'_>,
) -> Report {
    let held_before = held_bytes();
    let mut truncated = None;
    let handles = checker.handles();
    while handles.iter().any(|handle| !handle.is_finished()) {
        let elapsed = begun.elapsed();
        watch(&Progress {
            states: checker.unique_state_count(),
            depth: checker.max_depth().saturating_sub(1),
            elapsed,
        });
        if truncated.is_none() {
            truncated = limits.reached(checker.unique_state_count(), elapsed);
            stop.store(truncated.is_some(), Ordering::Relaxed);
        }
        let ended = Instant::now() + if elapsed < LOOK { LOOK / 20 } else { LOOK };
        while Instant::now() < ended && handles.iter().any(|handle| !handle.is_finished()) {
            std::thread::park_timeout(LOOK / 20);
        }
    }
    let took = begun.elapsed();
    let grown_bytes = held_bytes().saturating_sub(held_before);
    handles.into_iter().for_each(|handle| handle.join().expect("models guard the core's panics"));
    // Paths are found again by taking their actions again.
    stop.store(false, Ordering::Relaxed);
    let depth = limits.depth.filter(|depth| checker.max_depth() >= depth + 2);
    // Breadth first, in one thread, all levels above the one under way are done.
    let above =
        limits.depth.filter(|_| limits.threads == 1).map(|_| checker.max_depth().saturating_sub(2));
    let complete_depth = if truncated.is_some() { above } else { depth };
    let truncated = truncated.or(depth.map(|depth| format!("depth {depth}")));
    report(&checker, (truncated, complete_depth), (took, grown_bytes))
}

impl Limits {
    fn reached(&self, states: usize, elapsed: Duration) -> Option<String> {
        if self.states.is_some_and(|limit| states >= limit) {
            return Some(format!("{states} states"));
        }
        if self.time.is_some_and(|limit| elapsed >= limit) {
            return Some(format!("{} s", elapsed.as_secs()));
        }
        let memory = held_bytes();
        (memory >= self.memory_bytes).then(|| format!("{} MiB of memory", memory >> 20))
    }
}

fn report<M: Subject>(
    checker: &impl Checker<M>,
    (truncated, complete_depth): (Option<String>, Option<usize>),
    (took, grown_bytes): (Duration, u64),
) -> Report {
    let mut discoveries = checker.discoveries();
    let (mut violations, mut missing) = (Vec::new(), Vec::new());
    let properties = checker.model().properties();
    for Property { expectation, name, .. } in &properties {
        match (expectation, discoveries.remove(name)) {
            (Expectation::Sometimes, None) => missing.push(*name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => violations.push(violation(checker.model(), name, path)),
        }
    }
    Report {
        truncated,
        complete_depth,
        violations,
        properties: properties.into_iter().map(|p| (p.expectation, p.name)).collect(),
        missing,
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth().saturating_sub(1),
        took,
        memory_bytes: peak_bytes(),
        grown_bytes,
    }
}

fn violation<M: Subject>(
    model: &M,
    property: &'static str,
    path: Path<M::State, M::Action>,
) -> Violation {
    let path = path.into_vec();
    Violation { property, path: path.len() - 1, story: model.story(&path) }
}
