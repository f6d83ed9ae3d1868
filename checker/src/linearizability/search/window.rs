//! What is open: invoked, and not yet done with.

use std::hash::Hash;

use hashbrown::HashMap;

use super::super::spec::Spec;
use crate::history::{Operation, Rank};

/// A completed operation between its invocation and its completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Its position in the history.
    pub(super) operation: u32,
    /// Which bit of a configuration is its own.
    pub(super) slot: usize,
    pub(super) is_observer: bool,
    pub(super) is_blind: bool,
    pub(super) is_overwrite: bool,
}

/// Indeterminate operations that do the same, and are interchangeable from their invocation on.
pub(super) struct Kind {
    /// Their positions in the history; ascending, so the first of them is the first to be used.
    pub(super) members: Vec<u32>,
    /// How many of them have been invoked.
    pub(super) invoked: usize,
    /// The last moment at which it can matter that one of them took effect.
    until: Rank,
    /// Which word of a configuration counts them; another kind has it when this one is over.
    pub(super) slot: usize,
    pub(super) is_overwrite: bool,
}

/// The operations of a history, admitted one completion after the other.
pub(super) struct Window<'a, A> {
    operations: &'a [Operation<A>],
    /// Positions of the completed ones, by completion.
    pub(super) completed: Vec<u32>,
    /// The first that is not admitted yet.
    next: usize,
    /// Ascending by completion.
    pub(super) open: Vec<Open>,
    free_slots: Vec<usize>,
    /// By first invocation.
    pub(super) kinds: Vec<Kind>,
    /// The first of `kinds` that nobody has invoked yet.
    next_kind: usize,
    /// Which of `kinds` have been invoked and can still matter.
    pub(super) live: Vec<usize>,
    /// The kind of each indeterminate operation; `NO_KIND` for those that never matter.
    kind_of: Vec<u32>,
    /// How many slots there are, for completed operations and for kinds.
    pub(super) slots: usize,
    pub(super) kind_slots: usize,
}

const NO_KIND: u32 = u32::MAX;

impl<'a, A: Clone + Eq + Hash> Window<'a, A> {
    /// `until`: see [`Spec::prepare`]. Nothing is open at first.
    pub(super) fn new(
        spec: &impl Spec<Action = A>,
        operations: &'a [Operation<A>],
        until: &[Rank],
    ) -> Self {
        let mut completed: Vec<u32> = (0..operations.len() as u32)
            .filter(|&index| !operations[index as usize].is_indeterminate())
            .collect();
        completed.sort_unstable_by_key(|&index| operations[index as usize].complete);
        let slots = most_at_once(completed.iter().map(|&index| {
            let operation = &operations[index as usize];
            (operation.invoke, operation.complete)
        }));
        let (kinds, kind_of, kind_slots) = kinds(spec, operations, until);
        Window {
            operations,
            completed,
            next: 0,
            open: Vec::new(),
            free_slots: (0..slots).rev().collect(),
            kinds,
            next_kind: 0,
            live: Vec::new(),
            kind_of,
            slots,
            kind_slots,
        }
    }

    /// Admits all that was invoked before `now`, a completion.
    /// Returns the slots of the kinds that are over.
    pub(super) fn admit(&mut self, spec: &impl Spec<Action = A>, now: Rank) -> Vec<usize> {
        let mut over = Vec::new();
        let kinds = &self.kinds;
        self.live.retain(|&kind| {
            let is_live = kinds[kind].until >= now;
            if !is_live {
                over.push(kinds[kind].slot);
            }
            is_live
        });
        while let Some(operation) = self.operations.get(self.next).filter(|op| op.invoke < now) {
            let index = self.next;
            self.next += 1;
            if !operation.is_indeterminate() {
                self.open(spec, index);
                continue;
            }
            let kind = self.kind_of[index];
            if kind == NO_KIND {
                continue;
            }
            self.kinds[kind as usize].invoked += 1;
            if self.next_kind == kind as usize {
                self.next_kind += 1;
                if self.kinds[kind as usize].until >= now {
                    self.live.push(kind as usize);
                }
            }
        }
        over
    }

    fn open(&mut self, spec: &impl Spec<Action = A>, index: usize) {
        let operation = &self.operations[index];
        let position = self.open.partition_point(|other| {
            self.operations[other.operation as usize].complete < operation.complete
        });
        let open = Open {
            operation: index as u32,
            slot: self.free_slots.pop().expect("no more are open at once than were counted"),
            is_observer: spec.is_observer(&operation.action),
            is_blind: spec.is_blind(&operation.action),
            is_overwrite: spec.is_overwrite(&operation.action),
        };
        self.open.insert(position, open);
    }

    /// Closes the operation that completes first. Returns its slot.
    pub(super) fn close(&mut self) -> usize {
        let slot = self.open.remove(0).slot;
        self.free_slots.push(slot);
        slot
    }
}

/// The kinds of indeterminate operations that can matter, by first invocation; which kind each
/// operation is of; and how many slots they need.
fn kinds<A: Clone + Eq + Hash>(
    spec: &impl Spec<Action = A>,
    operations: &[Operation<A>],
    until: &[Rank],
) -> (Vec<Kind>, Vec<u32>, usize) {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut kind_of = vec![NO_KIND; operations.len()];
    let mut numbers: HashMap<&A, u32> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let until = until[index];
        if !operation.is_indeterminate() || until < operation.invoke {
            continue;
        }
        let kind = *numbers.entry(&operation.action).or_insert_with(|| {
            kinds.push(Kind {
                members: Vec::new(),
                invoked: 0,
                until,
                slot: 0,
                is_overwrite: spec.is_overwrite(&operation.action),
            });
            (kinds.len() - 1) as u32
        });
        kinds[kind as usize].members.push(index as u32);
        kind_of[index] = kind;
    }
    let first = |kind: &Kind| operations[kind.members[0] as usize].invoke;
    let slots = most_at_once(kinds.iter().map(|kind| (first(kind), kind.until)));
    let mut free: Vec<usize> = (0..slots).rev().collect();
    let mut taken: std::collections::BTreeSet<(Rank, usize)> = Default::default();
    for kind in &mut kinds {
        let begin = first(kind);
        while let Some(&(until, slot)) = taken.first().filter(|(until, _)| *until < begin) {
            taken.remove(&(until, slot));
            free.push(slot);
        }
        kind.slot = free.pop().expect("no more are live at once than were counted");
        taken.insert((kind.until, kind.slot));
    }
    (kinds, kind_of, slots)
}

/// How many of these closed intervals have a moment in common.
fn most_at_once(intervals: impl Iterator<Item = (Rank, Rank)>) -> usize {
    let (mut begins, mut ends): (Vec<Rank>, Vec<Rank>) = intervals.unzip();
    begins.sort_unstable();
    ends.sort_unstable();
    let mut ended = 0;
    let mut most = 0;
    for (begun, begin) in begins.iter().enumerate() {
        while ends[ended] < *begin {
            ended += 1;
        }
        most = most.max(begun + 1 - ended);
    }
    most
}
