//! From the steps of a search to a whole linearization: the steps name only the operations that the
//! search chose to place, and here the others find their moment by the same rules.

use super::super::spec::{Spec, State};
use super::trail::Step;
use super::window::Window;
use crate::history::{Operation, Rank};

/// All completed `operations`, and the indeterminate ones that took effect, in a legal order.
/// `path`: the steps of a search that succeeded, with `until` as it was then.
pub(super) fn order<S: Spec>(
    spec: &mut S,
    operations: &[Operation<S::Action>],
    until: &[Rank],
    path: &[Step],
) -> Vec<u32> {
    let mut is_step = vec![false; operations.len()];
    path.iter().for_each(|step| is_step[step.operation as usize] = true);
    let window = Window::new(spec, operations, until);
    let state = spec.initial();
    let state = spec.canonical(state, Rank(0));
    let mut replay = Replay {
        spec,
        operations,
        window,
        state,
        is_step,
        is_placed: vec![false; operations.len()],
        order: Vec::with_capacity(operations.len()),
    };
    let mut path = path.iter().peekable();
    for turn in 0..replay.window.completed.len() {
        let now = operations[replay.window.completed[turn] as usize].complete;
        replay.window.admit(replay.spec, now);
        replay.state = replay.spec.canonical(replay.state, now);
        replay.observe(now);
        while let Some(step) = path.next_if(|step| step.turn as usize == turn) {
            replay.step(step.operation, now);
        }
        replay.window.close();
    }
    replay.order
}

struct Replay<'a, S: Spec> {
    spec: &'a mut S,
    operations: &'a [Operation<S::Action>],
    window: Window<'a, S::Action>,
    state: State,
    /// Whether each operation is placed by a step, some time.
    is_step: Vec<bool>,
    is_placed: Vec<bool>,
    order: Vec<u32>,
}

impl<S: Spec> Replay<'_, S> {
    fn place(&mut self, operation: u32) {
        self.is_placed[operation as usize] = true;
        self.order.push(operation);
    }

    fn step(&mut self, operation: u32, now: Rank) {
        let action = &self.operations[operation as usize].action;
        if self.spec.is_overwrite(action) {
            for index in 0..self.window.open.len() {
                let open = self.window.open[index];
                if open.is_blind && self.is_waiting(open.operation) {
                    self.place(open.operation);
                }
            }
        }
        let state = self.spec.step(self.state, action).expect("the search took this step");
        self.state = self.spec.canonical(state, now);
        self.place(operation);
        self.observe(now);
    }

    fn observe(&mut self, now: Rank) {
        for index in 0..self.window.open.len() {
            let open = self.window.open[index];
            if !(open.is_observer || open.is_blind) || !self.is_waiting(open.operation) {
                continue;
            }
            let action = &self.operations[open.operation as usize].action;
            let after = self.spec.step(self.state, action);
            if after.is_some_and(|after| self.spec.canonical(after, now) == self.state) {
                self.place(open.operation);
            }
        }
    }

    fn is_waiting(&self, operation: u32) -> bool {
        !self.is_placed[operation as usize] && !self.is_step[operation as usize]
    }
}
