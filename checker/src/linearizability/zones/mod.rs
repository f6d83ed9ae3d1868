//! Exact verdicts in sorting time, where every value that is observed was written once.
//!
//! Classical zones (Gibbons and Korach 1997; Golab, Li and Shah 2011) group a write with its reads.
//! Here the group is a *block*: a write, the chain of compare-and-sets that follow from its value,
//! and everyone who observed one of these values. A unique value, once replaced, never returns, so a
//! block is contiguous in any linearization:
//!
//! ```text
//!   level 0              level 1                         level 2
//!   write v0 | reads v0 | cas v0 v1 | reads v1, misses | cas v1 v2 | reads v2
//! ```
//! Where values are not unique, what depends on the ambiguous ones is left out. The rest still
//! decides that a history is impossible, because what is left of a linearization without some
//! observers, and without writes that nobody left observes, is a linearization. It does not decide
//! that one is possible; then the search has to.

use super::Violation;
use super::spec::{is_observer, observed, written};
use crate::history::{Action, Operation, Seen, Value};

mod blocks;
mod explain;
mod order;

/// How far this engine got.
pub(super) enum Outcome {
    /// A linearization: positions of operations, in order.
    Linearizable(Vec<u32>),
    /// There is none.
    Impossible {
        violations: Vec<Violation>,
        /// How many more there are.
        omitted: u64,
    },
    /// Not every value is unique, and no violation is among those that are.
    Ambiguous,
}

/// Numbers from 0 for the values of one key, so that arrays can be indexed by them.
/// Made once for many keys: it is as long as the largest number of a value.
#[derive(Default)]
pub(super) struct Numbering {
    numbers: Vec<u32>,
    named: Vec<Value>,
}

const NONE: u32 = u32::MAX;
/// The number of the value at first.
const INITIAL: u32 = 0;

impl Numbering {
    fn number(&mut self, value: Value) -> u32 {
        let at = value.0 as usize;
        if at >= self.numbers.len() {
            self.numbers.resize(at + 1, NONE);
        }
        if self.numbers[at] == NONE {
            self.numbers[at] = self.named.len() as u32;
            self.named.push(value);
        }
        self.numbers[at]
    }

    fn clear(&mut self) {
        for value in self.named.drain(..) {
            self.numbers[value.0 as usize] = NONE;
        }
    }
}

/// Judges the operations of one key, none of which is an append.
/// `aborted`: values of writes that did not happen.
pub(super) fn judge(
    operations: &[Operation],
    aborted: &[Value],
    initial: Value,
    numbering: &mut Numbering,
) -> Outcome {
    numbering.clear();
    numbering.number(initial);
    let mut facts = Facts::of(operations, numbering);
    let mut found = explain::Found::new(operations, aborted);
    facts.find_contradictions(&mut found);
    facts.find_effective(&mut found);
    let blocks = blocks::Blocks::of(&facts, &mut found);
    let zones = order::Zones::of(&facts, &blocks, &mut found);
    if found.is_any() {
        let (violations, omitted) = found.finish();
        return Outcome::Impossible { violations, omitted };
    }
    match facts.is_ambiguous {
        true => Outcome::Ambiguous,
        false => Outcome::Linearizable(zones.witness(&facts, &blocks)),
    }
}

/// Who saw and wrote what.
struct Facts<'a> {
    operations: &'a [Operation],
    /// For each operation the value it observed, or `NONE`.
    sees: Vec<u32>,
    /// For each operation the value it wrote, or `NONE`.
    makes: Vec<u32>,
    /// Whether each operation took effect.
    is_effective: Vec<bool>,
    /// For each indeterminate operation that took effect, who saw it.
    shown_by: Vec<u32>,
    /// For each value the one operation that may have written it: `NONE` or `SEVERAL`.
    writer: Vec<u32>,
    /// Values of which nobody can say, or says already, where they come from.
    is_unexplained: Vec<bool>,
    /// Whether something was left out for being ambiguous.
    is_ambiguous: bool,
}

const SEVERAL: u32 = u32::MAX - 1;

impl<'a> Facts<'a> {
    fn of(operations: &'a [Operation], numbering: &mut Numbering) -> Facts<'a> {
        let count = operations.len();
        let (mut sees, mut makes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut writer = vec![NONE];
        let mut is_ambiguous = false;
        let mut number = |value: Option<Value>, writer: &mut Vec<u32>| {
            let number = value.map_or(NONE, |value| numbering.number(value));
            if number != NONE && number as usize >= writer.len() {
                writer.push(NONE);
            }
            number
        };
        for (index, operation) in operations.iter().enumerate() {
            let action = &operation.action;
            // What it would have to be for this, it may not have been.
            let is_constraint = matches!(action, Action::Cas { seen: Seen::NotOld, .. });
            is_ambiguous |= is_constraint;
            let is_idle = operation.is_indeterminate() && is_observer(action);
            let seen = observed(action).filter(|_| !is_idle);
            sees.push(number(seen, &mut writer));
            let made = number(written(action), &mut writer);
            makes.push(made);
            if made != NONE {
                let writer = &mut writer[made as usize];
                *writer = if *writer == NONE { index as u32 } else { SEVERAL };
            }
        }
        let mut is_unexplained = vec![false; writer.len()];
        if writer[INITIAL as usize] != NONE {
            is_unexplained[INITIAL as usize] = true;
            is_ambiguous = true;
        }
        Facts {
            operations,
            sees,
            makes,
            is_effective: vec![false; count],
            shown_by: vec![NONE; count],
            writer,
            is_unexplained,
            is_ambiguous,
        }
    }

    fn is_cas(&self, operation: u32) -> bool {
        let index = operation as usize;
        self.sees[index] != NONE && self.makes[index] != NONE
    }

    /// Those that say they found what they did not expect, and name what they expected.
    fn find_contradictions(&mut self, found: &mut explain::Found<'_>) {
        for (index, operation) in self.operations.iter().enumerate() {
            if let Action::Cas { old, seen: Seen::Current(value), .. } = operation.action
                && old == value
            {
                found.contradiction(index as u32);
                self.sees[index] = NONE;
            }
        }
    }

    /// Which operations took effect: those that completed, and the writers of what those saw, and
    /// of what these saw.
    ///
    /// That is enough: of the others take the last in a linearization. Nobody left observes what it
    /// wrote, and the next change is a blind write, or depends on another value; so it can be left
    /// out, and so can they all, one after the other.
    fn find_effective(&mut self, found: &mut explain::Found<'_>) {
        let mut is_known = vec![false; self.writer.len()];
        let mut stack = Vec::new();
        for index in 0..self.operations.len() {
            if self.operations[index].is_indeterminate() {
                continue;
            }
            self.is_effective[index] = self.makes[index] != NONE;
            stack.push(index as u32);
            while let Some(by) = stack.pop() {
                let value = self.sees[by as usize];
                if value == NONE || std::mem::replace(&mut is_known[value as usize], true) {
                    continue;
                }
                match self.writer[value as usize] {
                    _ if value == INITIAL => {}
                    NONE => {
                        found.phantom(self, by);
                        self.is_unexplained[value as usize] = true;
                    }
                    SEVERAL => {
                        self.is_unexplained[value as usize] = true;
                        self.is_ambiguous = true;
                    }
                    writer if self.operations[writer as usize].is_indeterminate() => {
                        self.is_effective[writer as usize] = true;
                        self.shown_by[writer as usize] = by;
                        stack.push(writer);
                    }
                    _ => {}
                }
            }
        }
    }
}
