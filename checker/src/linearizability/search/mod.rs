//! Exact search for a linearization, of any deterministic object.
//!
//! Wing and Gong (1993): try every operation that may come next. Lowe (2017): branch only when an
//! operation completes, and remember configurations. Where we differ from both, and from porcupine:
//! a configuration speaks of what is *open* only, so it is as small as the history is concurrent,
//! and the search keeps one frontier of them that moves along the history, completion by completion.
//!
//! ```text
//!   admit what was invoked ─► each configuration places operations until the one that completes
//!   is done ─► those that are left, without the outdone, are the next frontier
//! ```
//! What it need not try is numbered where it is left out. Each rule is exact: if there is a
//! linearization, there is one that the rule leaves in.
//!
//!  1. An observer that fits is done at once: nothing else notices it.
//!  2. Of open operations that do the same, the one that completes first is used first: they can
//!     trade places. An indeterminate one is used after all of these, and the first invoked first.
//!  3. A blind operation directly before an overwrite is noticed by nobody. So whenever an overwrite
//!     takes effect, every open blind operation is done, without a branch, and may yet be used.
//!  4. What is noticed by nobody is not worth a branch: after a blind or indeterminate operation,
//!     something must notice it before an overwrite comes, or it counts as done under 3, or as never
//!     having happened.
//!  5. A configuration that has less left to do and more left to use outdoes another one.
//!  6. States that nothing can tell apart any more are one ([`Spec::canonical`]), and indeterminate
//!     operations that cannot matter any more are forgotten ([`Spec::prepare`]).

use std::time::Instant;

use super::spec::{Spec, State};
use super::{Bounds, Limit, Undecided};
use crate::history::{Operation, Rank};

mod frontier;
mod trail;
mod window;
mod witness;

use frontier::{Configuration, Frontier, Layout};
use trail::Trail;
use window::Window;

/// How a search ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There is a linearization: positions in the history, in order.
    Linearizable(Vec<u32>),
    /// There is none. This operation is the first to complete that fits nowhere.
    Impossible(u32),
    /// It was too much.
    Undecided(Undecided),
}

/// How many configurations the frontier may have, in one pass after the other, before the last pass
/// in which it may have all. Where there are very many ways, one of few often leads to the end; that
/// there is none, only the last pass can tell.
const WIDTHS: [usize; 3] = [64, 1_024, 16_384];

/// Searches for a linearization of `operations`, which are ordered by invocation.
/// Panics if they are not, or if one completes before its invocation.
pub fn search<S: Spec>(
    spec: &mut S,
    operations: &[Operation<S::Action>],
    bounds: &Bounds,
) -> Outcome {
    search_in_passes(spec, operations, bounds, &WIDTHS)
}

/// The same, with other widths of the frontier in the passes before the last.
pub fn search_in_passes<S: Spec>(
    spec: &mut S,
    operations: &[Operation<S::Action>],
    bounds: &Bounds,
    widths: &[usize],
) -> Outcome {
    assert!(operations.is_sorted_by(|a, b| a.invoke < b.invoke), "by invocation");
    assert!(operations.iter().all(|op| op.invoke < op.complete), "completed before it was invoked");
    let until = spec.prepare(operations);
    let (begun, mut configurations) = (Instant::now(), 0);
    for &width in widths.iter().chain([&usize::MAX]) {
        let mut search = Search::new(&mut *spec, operations, &until, bounds);
        (search.begun, search.configurations, search.width) = (begun, configurations, width);
        match search.run() {
            Ok(None) => {
                let path = search.trail.path(search.first_trail());
                return Outcome::Linearizable(witness::order(spec, operations, &until, &path));
            }
            Ok(Some(_)) if search.is_partial => configurations = search.configurations,
            Ok(Some(stuck)) => return Outcome::Impossible(stuck),
            Err(undecided) => return Outcome::Undecided(undecided),
        }
    }
    unreachable!("the last pass leaves nothing out")
}

struct Search<'a, S: Spec> {
    spec: &'a mut S,
    operations: &'a [Operation<S::Action>],
    window: Window<'a, S::Action>,
    bounds: &'a Bounds,
    begun: Instant,
    /// How many were looked at.
    configurations: u64,
    /// How many the frontier may have.
    width: usize,
    /// Whether some were left out.
    is_partial: bool,
    trail: Trail,
    /// All that is possible before the next completion.
    here: Frontier,
    /// What is on the way to it, with the operation that completes not done yet.
    between: Frontier,
    /// All that is possible after it.
    next: Frontier,
    scratch: Configuration,
    /// For each open operation, the open ones before it that do the same.
    twins: Vec<Vec<usize>>,
    /// For each live kind, the open operations that do the same.
    kind_twins: Vec<Vec<usize>>,
}

/// What completes, and when.
#[derive(Clone, Copy)]
struct Turn {
    number: u32,
    now: Rank,
    open: window::Open,
}

impl<'a, S: Spec> Search<'a, S> {
    fn new(
        spec: &'a mut S,
        operations: &'a [Operation<S::Action>],
        until: &[Rank],
        bounds: &'a Bounds,
    ) -> Search<'a, S> {
        let window = Window::new(spec, operations, until);
        let layout = Layout::new(window.slots, window.kind_slots);
        Search {
            spec,
            operations,
            window,
            bounds,
            begun: Instant::now(),
            configurations: 0,
            width: usize::MAX,
            is_partial: false,
            trail: Trail::default(),
            here: Frontier::new(layout),
            between: Frontier::new(layout),
            next: Frontier::new(layout),
            scratch: Configuration::new(layout, 0, trail::START),
            twins: Vec::new(),
            kind_twins: Vec::new(),
        }
    }

    /// Returns the operation that fits nowhere, if there is one.
    fn run(&mut self) -> Result<Option<u32>, Undecided> {
        let initial = self.spec.initial();
        let initial = self.spec.canonical(initial, Rank(0));
        self.scratch.set_state(initial.0);
        self.here.insert(&self.scratch);
        for number in 0..self.window.completed.len() {
            let completed = self.window.completed[number];
            let now = self.operations[completed as usize].complete;
            let over = self.window.admit(self.spec, now);
            let turn = Turn { number: number as u32, now, open: self.window.open[0] };
            self.settle(turn, &over);
            if self.between.len() > 0 {
                self.find_twins();
                self.place(turn)?;
            }
            self.window.close();
            if self.next.len() == 0 {
                return Ok(Some(completed));
            }
            self.here.clear();
            self.is_partial |= self.next.len() > self.width;
            self.next.move_best(self.width, &mut self.here);
            self.between.clear();
            self.check_bounds(now)?;
            if self.trail.is_due() {
                self.trail.sweep(self.here.trails());
            }
        }
        Ok(None)
    }

    fn first_trail(&self) -> u32 {
        let first = (0..self.here.rows()).find_map(|row| self.here.row(row));
        *first.and_then(|row| row.last()).expect("the frontier is not empty")
    }

    /// Brings all configurations up to date, and sorts them: in `next` those in which the operation
    /// that completes is done, in `between` those in which it is not, or in which it may yet be used
    /// for the last time. `over`: kinds that cannot matter any more.
    fn settle(&mut self, turn: Turn, over: &[usize]) {
        for row in 0..self.here.rows() {
            let Some(words) = self.here.row(row) else { continue };
            let mut configuration = std::mem::replace(&mut self.scratch, Configuration::empty());
            configuration.copy_from(words);
            for &kind in over {
                configuration.set_taken(kind, 0);
            }
            let state = self.spec.canonical(State(configuration.state()), turn.now);
            configuration.set_state(state.0);
            self.observe(&mut configuration, turn.now);
            self.configurations += 1;
            let is_done = configuration.is_done(turn.open.slot);
            if !is_done || self.is_worth_using(&configuration, turn) {
                self.between.insert(&configuration);
            }
            if is_done {
                self.finish(&mut configuration, turn);
            }
            self.scratch = configuration;
        }
    }

    /// Whether the operation that completes can still be used, perhaps behind others, and be noticed.
    fn is_worth_using(&mut self, configuration: &Configuration, turn: Turn) -> bool {
        let Turn { open, now, .. } = turn;
        open.is_blind && !configuration.is_used(open.slot) && {
            let after = self.after(configuration, open.operation, turn);
            !open.is_overwrite || after.is_some_and(|after| self.spec.is_noticeable(after, now))
        }
    }

    /// Adds a configuration in which the operation that completes is done.
    fn finish(&mut self, configuration: &mut Configuration, turn: Turn) -> bool {
        configuration.clear(turn.open.slot);
        configuration.set_owes(false);
        self.next.insert(configuration)
    }

    /// Rule 1, and the same for blind operations that would change nothing.
    /// Returns whether an observer was done.
    fn observe(&mut self, configuration: &mut Configuration, now: Rank) -> bool {
        let state = State(configuration.state());
        let mut is_noticed = false;
        for open in &self.window.open {
            if !(open.is_observer || open.is_blind) || configuration.is_done(open.slot) {
                continue;
            }
            let action = &self.operations[open.operation as usize].action;
            let after = self.spec.step(state, action);
            if after.is_some_and(|after| self.spec.canonical(after, now) == state) {
                configuration.set_done(open.slot);
                is_noticed |= open.is_observer;
            }
        }
        is_noticed
    }

    fn find_twins(&mut self) {
        let action = |index: u32| &self.operations[index as usize].action;
        let Window { open, kinds, live, .. } = &self.window;
        self.twins.iter_mut().for_each(Vec::clear);
        self.twins.resize(self.twins.len().max(open.len()), Vec::new());
        for (index, one) in open.iter().enumerate().filter(|(_, one)| !one.is_observer) {
            let before = open[..index].iter().filter(|other| !other.is_observer);
            let before = before.filter(|other| action(other.operation) == action(one.operation));
            self.twins[index].extend(before.map(|other| other.slot));
        }
        self.kind_twins.iter_mut().for_each(Vec::clear);
        self.kind_twins.resize(self.kind_twins.len().max(live.len()), Vec::new());
        for (twins, &kind) in self.kind_twins.iter_mut().zip(live) {
            let same =
                |other: &&window::Open| action(other.operation) == action(kinds[kind].members[0]);
            twins.extend(open.iter().filter(same).map(|other| other.slot));
        }
    }

    /// Places operations until the one that completes is done.
    fn place(&mut self, turn: Turn) -> Result<(), Undecided> {
        let mut from = self.scratch.clone();
        let mut row = 0;
        while row < self.between.rows() {
            if self.between.rows() / 16 > self.width {
                self.is_partial = true;
                break;
            }
            if let Some(words) = self.between.row(row) {
                from.copy_from(words);
                self.place_open(&from, turn);
                self.place_indeterminate(&from, turn);
                if row % 256 == 255 {
                    self.check_bounds(turn.now)?;
                }
            }
            row += 1;
        }
        Ok(())
    }

    fn place_open(&mut self, from: &Configuration, turn: Turn) {
        for index in 0..self.window.open.len() {
            let open = self.window.open[index];
            if open.is_observer || from.is_used(open.slot) || (from.owes() && open.is_overwrite) {
                continue;
            }
            let is_optional = from.is_done(open.slot);
            // Rule 2, among those of which as much is asked.
            let is_before =
                |&twin: &usize| !from.is_used(twin) && from.is_done(twin) == is_optional;
            if self.twins[index].iter().any(is_before) {
                continue;
            }
            let Some(state) = self.after(from, open.operation, turn) else { continue };
            if is_optional && !self.is_worth(from, state, open.is_overwrite, turn.now) {
                continue;
            }
            self.scratch.copy_from(from.words());
            self.scratch.set_used(open.slot);
            self.arrive(open.operation, state, open.is_overwrite, open.is_blind, turn);
        }
    }

    fn place_indeterminate(&mut self, from: &Configuration, turn: Turn) {
        for index in 0..self.window.live.len() {
            let kind = &self.window.kinds[self.window.live[index]];
            let (slot, is_overwrite) = (kind.slot, kind.is_overwrite);
            let taken = from.taken(slot);
            if taken as usize >= kind.invoked || (from.owes() && is_overwrite) {
                continue;
            }
            if self.kind_twins[index].iter().any(|&twin| !from.is_used(twin)) {
                continue;
            }
            let operation = kind.members[taken as usize];
            let Some(state) = self.after(from, operation, turn) else { continue };
            if !self.is_worth(from, state, is_overwrite, turn.now) {
                continue;
            }
            self.scratch.copy_from(from.words());
            self.scratch.set_taken(slot, taken + 1);
            self.arrive(operation, state, is_overwrite, true, turn);
        }
    }

    fn after(&mut self, from: &Configuration, operation: u32, turn: Turn) -> Option<State> {
        let action = &self.operations[operation as usize].action;
        let state = self.spec.step(State(from.state()), action)?;
        Some(self.spec.canonical(state, turn.now))
    }

    /// Whether to get to `state` is worth an operation that need not take effect: it changes
    /// something, or it overwrites what could not stay.
    fn is_worth(&self, from: &Configuration, state: State, is_overwrite: bool, now: Rank) -> bool {
        let is_waiting = |open: &window::Open| open.is_blind && !from.is_done(open.slot);
        let overwrites = || is_overwrite && self.window.open.iter().any(is_waiting);
        self.spec.is_noticeable(state, now) && (state.0 != from.state() || overwrites())
    }

    /// Completes the configuration in `scratch`, in which `operation` has just led to `state`.
    fn arrive(
        &mut self,
        operation: u32,
        state: State,
        is_overwrite: bool,
        must_be_noticed: bool,
        turn: Turn,
    ) {
        let mut configuration = std::mem::replace(&mut self.scratch, Configuration::empty());
        configuration.set_state(state.0);
        if is_overwrite {
            // Rule 3.
            for open in self.window.open.iter().filter(|open| open.is_blind) {
                configuration.set_done(open.slot);
            }
        }
        let slot = turn.open.slot;
        let was_done = configuration.is_done(slot);
        let is_noticed = self.observe(&mut configuration, turn.now);
        configuration.set_owes(must_be_noticed && !is_noticed);
        let before = configuration.trail();
        // Known only when it is pushed, and not compared.
        configuration.set_trail(self.trail.next());
        self.configurations += 1;
        // One that is done only because it is overwritten could as well have been the last here, and
        // the overwrite the first after it; so there is no need to finish with that.
        let is_placed = configuration.is_used(slot) || (!was_done && configuration.is_done(slot));
        let may_be_placed = !configuration.is_used(slot)
            && (!is_placed || self.is_worth_using(&configuration, turn));
        let mut is_new = may_be_placed && self.between.insert(&configuration);
        is_new |= is_placed && self.finish(&mut configuration, turn);
        if is_new {
            self.trail.push(before, operation, turn.number);
        }
        self.scratch = configuration;
    }

    fn check_bounds(&self, now: Rank) -> Result<(), Undecided> {
        let frontiers = [&self.here, &self.between, &self.next];
        let memory = frontiers.iter().map(|frontier| frontier.memory_bytes()).sum::<u64>()
            + self.trail.memory_bytes();
        let is_late = || self.bounds.time.is_some_and(|time| self.begun.elapsed() > time);
        let limit = if self.configurations > self.bounds.configurations {
            Limit::Configurations
        } else if memory > self.bounds.memory_bytes || self.trail.is_full() {
            Limit::Memory
        } else if is_late() {
            Limit::Time
        } else {
            return Ok(());
        };
        Err(Undecided { limit, configurations: self.configurations, reached: now })
    }
}
