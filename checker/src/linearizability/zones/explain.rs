//! What is wrong, told by few operations.

use super::blocks::Blocks;
use super::order::Zone;
use super::{Facts, NONE};
use crate::history::{Action, Operation, Rank, Value};
use crate::linearizability::{Cause, Evidence, Violation};
use std::collections::BTreeSet;

/// An operation of a block, and the level it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Member {
    /// `NONE` is the virtual write of the value at first.
    pub(super) operation: u32,
    pub(super) level: u32,
}

/// The violations found so far, no two that accuse the same operation: one stale read contradicts
/// every write since, and is still one mistake.
pub(super) struct Found<'a> {
    operations: &'a [Operation],
    /// Ascending.
    aborted: Vec<Value>,
    accused: BTreeSet<u32>,
    violations: Vec<Violation>,
    omitted: u64,
}

/// Nobody reads more of them.
const VIOLATIONS_MAX: usize = 1_000;

/// Operations that are to become a core.
#[derive(Default)]
struct Core {
    operations: Vec<u32>,
    /// Those of which only matters what they wrote.
    blind: Vec<u32>,
}

impl<'a> Found<'a> {
    pub(super) fn new(operations: &'a [Operation], aborted: &[Value]) -> Found<'a> {
        let mut aborted = aborted.to_vec();
        aborted.sort_unstable();
        Found { operations, aborted, accused: BTreeSet::new(), violations: Vec::new(), omitted: 0 }
    }

    pub(super) fn is_any(&self) -> bool {
        !self.violations.is_empty()
    }

    /// By the moment at which each was complete.
    pub(super) fn finish(mut self) -> (Vec<Violation>, u64) {
        self.violations.sort_by_key(Violation::shows_at);
        (self.violations, self.omitted)
    }

    pub(super) fn contradiction(&mut self, accused: u32) {
        let core = Core { operations: vec![accused], ..Core::default() };
        self.add(None, Cause::Contradiction, core, accused, NONE);
    }

    pub(super) fn phantom(&mut self, facts: &Facts<'_>, accused: u32) {
        let mut core = Core { operations: vec![accused], ..Core::default() };
        core.show(facts, accused);
        let seen = super::observed(&self.operations[accused as usize].action);
        let is_aborted = seen.is_some_and(|value| self.aborted.binary_search(&value).is_ok());
        let cause = if is_aborted { Cause::Aborted } else { Cause::Phantom };
        self.add(Some(facts), cause, core, accused, NONE);
    }

    pub(super) fn double_cas(&mut self, facts: &Facts<'_>, first: u32, second: u32) {
        let mut core = Core { operations: vec![first, second], ..Core::default() };
        core.show(facts, first);
        core.show(facts, second);
        let writer = facts.writer[facts.sees[first as usize] as usize];
        // In a circle the writer itself shows that one of them took effect, by what it saw.
        if writer != NONE && !core.operations.contains(&writer) {
            core.operations.push(writer);
            core.blind.push(writer);
        }
        self.add(Some(facts), Cause::DoubleCas, core, second, first);
    }

    pub(super) fn cycle(&mut self, facts: &Facts<'_>, cycle: Vec<u32>) {
        let first = |&&index: &&u32| self.operations[index as usize].invoke;
        let accused = *cycle.iter().max_by_key(first).expect("a cycle has members");
        let mut core = Core { operations: cycle.clone(), ..Core::default() };
        cycle.iter().for_each(|&member| core.show(facts, member));
        self.add(Some(facts), Cause::CasCycle, core, accused, NONE);
    }

    /// `later` belongs behind `earlier` in their block, and completed before it was invoked.
    pub(super) fn disorder(
        &mut self,
        facts: &Facts<'_>,
        blocks: &Blocks,
        later: Member,
        earlier: Member,
    ) {
        let mut core = Core::default();
        core.chain(facts, blocks, &[earlier, later]);
        let newer = later;
        let (later, earlier) = (later.operation, earlier.operation);
        match facts.makes[earlier as usize] {
            NONE => {
                let (cause, against) = self.newer(blocks, earlier, newer);
                self.add(Some(facts), cause, core, earlier, against);
            }
            _ => self.add(Some(facts), Cause::FromTheFuture, core, later, earlier),
        }
    }

    /// Both need all the time between their first completion and their last invocation.
    pub(super) fn interleaved(
        &mut self,
        facts: &Facts<'_>,
        blocks: &Blocks,
        before: &Zone,
        after: &Zone,
    ) {
        let mut core = Core::default();
        core.chain(facts, blocks, &[before.first(), before.last()]);
        core.chain(facts, blocks, &[after.first()]);
        let accused = before.last().operation;
        let (cause, against) = self.newer(blocks, accused, after.first());
        // Perhaps the beginning of the later block is enough.
        let beginning = [blocks.writers[after.first().level as usize], after.first().operation];
        let invoked = |index: u32| i64::from(self.operations[index as usize].invoke.0);
        let last = beginning.into_iter().map(invoked).max();
        if last.is_some_and(|last| last > before.first_rank()) {
            return self.add(Some(facts), cause, core, accused, against);
        }
        core.chain(facts, blocks, &[after.first(), after.last()]);
        self.add(Some(facts), Cause::Interleaved, core, accused, against);
    }

    /// What to say of `accused`, which saw something older than `newer`, and whom to name: whoever
    /// wrote the newer value, if that was complete, or else whoever saw it.
    fn newer(&self, blocks: &Blocks, accused: u32, newer: Member) -> (Cause, u32) {
        let writer = blocks.writers[newer.level as usize];
        let invoke = self.operations[accused as usize].invoke;
        let is_written = writer != NONE && self.operations[writer as usize].complete < invoke;
        match is_written {
            true => (Cause::Stale, writer),
            false => (Cause::WentBack, newer.operation),
        }
    }

    /// `inner` must be between two operations of `around`, and nothing else may be there.
    pub(super) fn swallowed(
        &mut self,
        facts: &Facts<'_>,
        blocks: &Blocks,
        around: &Zone,
        inner: &Zone,
    ) {
        let mut core = Core::default();
        core.chain(facts, blocks, &[around.first(), around.last()]);
        core.chain(facts, blocks, &[inner.first(), inner.last()]);
        let accused = around.last().operation;
        let (cause, against) = self.newer(blocks, accused, inner.first());
        let completed = self.operations[inner.first().operation as usize].complete.0;
        let levels = blocks.levels(inner.block());
        let is_unseen = levels.len() == 1 && blocks.observers(levels.start).is_empty();
        let is_built_upon = facts.is_cas(accused) || around.goes_on_after(completed);
        let cause = match is_unseen && is_built_upon {
            true => Cause::LostWrite,
            false => cause,
        };
        self.add(Some(facts), cause, core, accused, against);
    }

    fn add(
        &mut self,
        facts: Option<&Facts<'_>>,
        cause: Cause,
        mut core: Core,
        accused: u32,
        against: u32,
    ) {
        if !self.accused.insert(accused) {
            return;
        }
        if self.violations.len() == VIOLATIONS_MAX {
            self.omitted += 1;
            return;
        }
        core.operations.sort_unstable();
        core.operations.dedup();
        let place = |index: u32| core.operations.iter().position(|&other| other == index);
        let evidence = core.operations.iter().map(|&index| {
            let operation = self.operations[index as usize];
            let mut counts_as = operation;
            if core.blind.contains(&index)
                && let Action::Cas { new, .. } = operation.action
            {
                counts_as.action = Action::Write(new);
            }
            let shown_by = facts.filter(|_| operation.complete == Rank::NEVER).and_then(|facts| {
                let made = facts.makes[index as usize];
                let sees = |&other: &u32| {
                    facts.sees[other as usize] == made && !core.blind.contains(&other)
                };
                core.operations.iter().position(sees)
            });
            Evidence { operation, counts_as, shown_by }
        });
        let core: Vec<Evidence> = evidence.collect();
        let accused = place(accused).expect("the accused is in the core");
        self.violations.push(Violation { cause, core, accused, against: place(against) });
    }
}

impl Core {
    /// `members`, of one block, and who wrote the values between the first of their levels and the
    /// last. The first of these writers counts as blind: where its old value came from is not asked.
    fn chain(&mut self, facts: &Facts<'_>, blocks: &Blocks, members: &[Member]) {
        let levels = || members.iter().map(|member| member.level);
        let (Some(first), Some(last)) = (levels().min(), levels().max()) else { return };
        for level in first..=last {
            let writer = blocks.writers[level as usize];
            if writer != NONE {
                self.operations.push(writer);
            }
        }
        let writer = blocks.writers[first as usize];
        if writer != NONE && facts.is_cas(writer) {
            self.blind.push(writer);
        }
        for member in members.iter().filter(|member| member.operation != NONE) {
            self.operations.push(member.operation);
            self.show(facts, member.operation);
        }
    }

    /// Adds who saw that the indeterminate `operation` took effect, and so on.
    fn show(&mut self, facts: &Facts<'_>, mut operation: u32) {
        while facts.shown_by[operation as usize] != NONE {
            operation = facts.shown_by[operation as usize];
            self.operations.push(operation);
        }
    }
}
