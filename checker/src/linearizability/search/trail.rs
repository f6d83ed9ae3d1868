//! How each configuration was reached, so that a witness can be told at the end.

/// No step yet.
pub(super) const START: u32 = u32::MAX;

/// One operation that took effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    before: u32,
    /// Which operation.
    pub(super) operation: u32,
    /// While which completed operation was waited for, counted in the order of completion.
    pub(super) turn: u32,
}

/// The steps of all configurations, a tree that grows from its leaves.
#[derive(Default)]
pub(super) struct Trail {
    steps: Vec<Step>,
    /// How many steps to collect before the next look for dead ones.
    sweep_at: usize,
}

/// Below this, looking for dead steps is not worth it.
const SWEEP_MIN: usize = 1 << 16;

impl Trail {
    /// Adds a step after `before`.
    pub(super) fn push(&mut self, before: u32, operation: u32, turn: u32) {
        self.steps.push(Step { before, operation, turn });
    }

    /// The number of the next step to be pushed, good until the next sweep.
    pub(super) fn next(&self) -> u32 {
        self.steps.len() as u32
    }

    /// Whether the numbers run out.
    pub(super) fn is_full(&self) -> bool {
        self.steps.len() > (u32::MAX / 2) as usize
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        (self.steps.capacity() * size_of::<Step>()) as u64
    }

    pub(super) fn is_due(&self) -> bool {
        self.steps.len() >= self.sweep_at.max(SWEEP_MIN)
    }

    /// Drops all steps that lead to none of `ends`, and renumbers these.
    pub(super) fn sweep<'a>(&mut self, ends: impl Iterator<Item = &'a mut u32>) {
        let ends: Vec<&mut u32> = ends.collect();
        let mut numbers = vec![START; self.steps.len()];
        for end in ends.iter().filter(|end| ***end != START) {
            numbers[**end as usize] = 0;
        }
        // A step is behind the one before it, so one pass marks all.
        for index in (0..self.steps.len()).rev() {
            let before = self.steps[index].before;
            if numbers[index] != START && before != START {
                numbers[before as usize] = 0;
            }
        }
        let mut kept = 0;
        for index in 0..self.steps.len() {
            if numbers[index] == START {
                continue;
            }
            let mut step = self.steps[index];
            if step.before != START {
                step.before = numbers[step.before as usize];
            }
            self.steps[kept] = step;
            numbers[index] = kept as u32;
            kept += 1;
        }
        self.steps.truncate(kept);
        for end in ends.into_iter().filter(|end| **end != START) {
            *end = numbers[*end as usize];
        }
        self.sweep_at = 2 * kept;
    }

    /// The steps that led to `end`, in order.
    pub(super) fn path(&self, mut end: u32) -> Vec<Step> {
        let mut path = Vec::new();
        while end != START {
            let step = self.steps[end as usize];
            path.push(step);
            end = step.before;
        }
        path.reverse();
        path
    }
}
