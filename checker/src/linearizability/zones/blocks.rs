//! Which operations belong together.

use super::explain::Found;
use super::{Facts, INITIAL, NONE};

/// The blocks of a key, and their levels, one behind the other. The first block is that of the
/// value at first.
pub(super) struct Blocks {
    /// Where the levels of each block begin, and at the end, where those of the last one end.
    pub(super) starts: Vec<u32>,
    /// Who wrote the value of each level; `NONE` for the value at first.
    pub(super) writers: Vec<u32>,
    /// Where the observers of each level begin in `observers`, and where the last ones end.
    observer_starts: Vec<u32>,
    /// Those that only observed, level by level, by invocation.
    observers: Vec<u32>,
}

impl Blocks {
    pub(super) fn of(facts: &Facts<'_>, found: &mut Found<'_>) -> Blocks {
        let next = successors(facts, found);
        let mut level_of = vec![NONE; facts.writer.len()];
        let mut blocks = Blocks {
            starts: Vec::new(),
            writers: Vec::new(),
            observer_starts: Vec::new(),
            observers: Vec::new(),
        };
        blocks.follow(facts, &next, NONE, INITIAL, &mut level_of);
        for index in 0..facts.operations.len() {
            let value = facts.makes[index];
            if facts.is_effective[index] && facts.sees[index] == NONE && value != INITIAL {
                blocks.follow(facts, &next, index as u32, value, &mut level_of);
            } else if facts.is_effective[index] && facts.sees[index] == NONE {
                // Of a value that nobody left observes, but it must be somewhere.
                blocks.starts.push(blocks.writers.len() as u32);
                blocks.writers.push(index as u32);
            }
        }
        blocks.starts.push(blocks.writers.len() as u32);
        find_cycles(facts, &level_of, found);
        blocks.attach_observers(facts, &level_of);
        blocks
    }

    /// A new block: `writer` wrote `value`, and so on.
    fn follow(
        &mut self,
        facts: &Facts<'_>,
        next: &[u32],
        mut writer: u32,
        mut value: u32,
        level_of: &mut [u32],
    ) {
        self.starts.push(self.writers.len() as u32);
        loop {
            let level = self.writers.len() as u32;
            self.writers.push(writer);
            if facts.is_unexplained[value as usize] {
                return;
            }
            level_of[value as usize] = level;
            writer = next[value as usize];
            if writer == NONE {
                return;
            }
            value = facts.makes[writer as usize];
        }
    }

    fn attach_observers(&mut self, facts: &Facts<'_>, level_of: &[u32]) {
        let level = |index: usize| match facts.sees[index] {
            _ if facts.makes[index] != NONE || facts.operations[index].is_indeterminate() => NONE,
            NONE => NONE,
            value => level_of[value as usize],
        };
        let levels: Vec<u32> = (0..facts.operations.len()).map(level).collect();
        let mut ends = vec![0; self.writers.len() + 1];
        for &level in levels.iter().filter(|level| **level != NONE) {
            ends[level as usize + 1] += 1;
        }
        for level in 1..ends.len() {
            ends[level] += ends[level - 1];
        }
        self.observer_starts.clone_from(&ends);
        self.observers = vec![0; ends[ends.len() - 1] as usize];
        for (index, &level) in levels.iter().enumerate().filter(|(_, level)| **level != NONE) {
            let end = &mut ends[level as usize];
            self.observers[*end as usize] = index as u32;
            *end += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn levels(&self, block: usize) -> std::ops::Range<usize> {
        self.starts[block] as usize..self.starts[block + 1] as usize
    }

    pub(super) fn observers(&self, level: usize) -> &[u32] {
        let (from, to) = (self.observer_starts[level], self.observer_starts[level + 1]);
        &self.observers[from as usize..to as usize]
    }
}

/// For each value the compare-and-set that replaced it.
fn successors(facts: &Facts<'_>, found: &mut Found<'_>) -> Vec<u32> {
    let mut next = vec![NONE; facts.writer.len()];
    for index in 0..facts.operations.len() as u32 {
        let old = facts.sees[index as usize];
        if !facts.is_effective[index as usize] || old == NONE {
            continue;
        }
        // What leads on to a value without a single writer leads nowhere.
        if facts.is_unexplained[old as usize] {
            continue;
        }
        match next[old as usize] {
            NONE => next[old as usize] = index,
            first => found.double_cas(facts, first, index),
        }
    }
    next
}

/// Compare-and-sets that are in no block, because they follow from each other in a circle. Others
/// that are in none follow from what is unexplained, or told elsewhere.
fn find_cycles(facts: &Facts<'_>, level_of: &[u32], found: &mut Found<'_>) {
    let mut visit = vec![NONE; facts.operations.len()];
    for start in 0..facts.operations.len() as u32 {
        if !facts.is_effective[start as usize] || !facts.is_cas(start) {
            continue;
        }
        let mut at = start;
        while visit[at as usize] == NONE {
            visit[at as usize] = start;
            let old = facts.sees[at as usize] as usize;
            let is_end = old == INITIAL as usize || facts.is_unexplained[old];
            if is_end || level_of[old] != NONE || !facts.is_cas(facts.writer[old]) {
                at = NONE;
                break;
            }
            at = facts.writer[old];
        }
        if at == NONE || visit[at as usize] != start {
            continue;
        }
        let before = |at: u32| facts.writer[facts.sees[at as usize] as usize];
        let mut cycle = vec![at];
        let mut other = before(at);
        while other != at {
            cycle.push(other);
            other = before(other);
        }
        found.cycle(facts, cycle);
    }
}
