//! Whether blocks can be put in an order.

use super::blocks::Blocks;
use super::explain::{Found, Member};
use super::{Facts, NONE};

/// An operation, its level, and the rank that it is here for.
#[derive(Clone, Copy)]
struct Mark {
    rank: i64,
    member: Member,
}

/// What a block needs: with `lo < hi` all the time between, else any one moment between.
#[derive(Clone, Copy)]
pub(super) struct Zone {
    block: u32,
    /// The first completion in the block; that of the value at first is before all.
    lo: Mark,
    /// The last invocation in the block.
    hi: Mark,
    /// The last invocation but one, if there is one.
    hi_before: i64,
}

/// The value at first was written before everything.
const BEFORE_ALL: i64 = -1;

impl Zone {
    fn is_forward(&self) -> bool {
        self.lo.rank < self.hi.rank
    }

    pub(super) fn first(&self) -> Member {
        self.lo.member
    }

    pub(super) fn first_rank(&self) -> i64 {
        self.lo.rank
    }

    pub(super) fn last(&self) -> Member {
        self.hi.member
    }

    /// Whether more than the last one saw its values after `rank`.
    pub(super) fn goes_on_after(&self, rank: u32) -> bool {
        self.hi_before > i64::from(rank)
    }

    pub(super) fn block(&self) -> usize {
        self.block as usize
    }
}

/// The zones of all blocks in which nothing is wrong.
pub(super) struct Zones {
    /// Of the value at first, whatever its shape, and all forward ones, by `lo`; disjoint.
    forward: Vec<Zone>,
    backward: Vec<Zone>,
}

impl Zones {
    pub(super) fn of(facts: &Facts<'_>, blocks: &Blocks, found: &mut Found<'_>) -> Zones {
        let (mut all, mut backward) = (Vec::new(), Vec::new());
        for block in 0..blocks.count() {
            let Some(zone) = zone(facts, blocks, block, found) else { continue };
            match zone.is_forward() || block == 0 {
                true => all.push(zone),
                false => backward.push(zone),
            }
        }
        all.sort_unstable_by_key(|zone| zone.lo.rank);
        let mut forward: Vec<Zone> = Vec::with_capacity(all.len());
        for zone in all {
            match forward.last().copied() {
                Some(before) if zone.lo.rank < before.hi.rank => {
                    found.interleaved(facts, blocks, &before, &zone);
                    // The longer one is the more likely to show something else.
                    if zone.hi.rank > before.hi.rank {
                        forward.pop();
                        forward.push(zone);
                    }
                }
                _ => forward.push(zone),
            }
        }
        let zones = Zones { forward, backward };
        for zone in &zones.backward {
            if let Some(around) = zones.around(zone)
                && zone.lo.rank < around.hi.rank
            {
                found.swallowed(facts, blocks, around, zone);
            }
        }
        zones
    }

    /// The forward zone in which the backward `zone` begins, if there is one.
    fn around(&self, zone: &Zone) -> Option<&Zone> {
        let after = self.forward.partition_point(|forward| forward.lo.rank < zone.hi.rank);
        let around = &self.forward[after.checked_sub(1)?];
        (zone.hi.rank < around.hi.rank).then_some(around)
    }

    /// All operations that took effect, in a legal order; none, if a violation was found.
    pub(super) fn witness(&self, facts: &Facts<'_>, blocks: &Blocks) -> Vec<u32> {
        let mut order: Vec<(i64, u32)> =
            self.forward.iter().map(|zone| (zone.lo.rank, zone.block)).collect();
        order.extend(self.backward.iter().map(|zone| {
            let at = self.around(zone).map_or(zone.hi.rank, |around| around.hi.rank);
            (at, zone.block)
        }));
        order.sort_unstable();
        let mut witness = Vec::with_capacity(facts.operations.len());
        for (_, block) in order {
            for level in blocks.levels(block as usize) {
                witness.extend(Some(blocks.writers[level]).filter(|writer| *writer != NONE));
                witness.extend_from_slice(blocks.observers(level));
            }
        }
        witness
    }
}

/// What `block` needs; `None` if it contradicts itself, or if nobody knows that it exists.
fn zone(facts: &Facts<'_>, blocks: &Blocks, block: usize, found: &mut Found<'_>) -> Option<Zone> {
    let nobody = Member { operation: NONE, level: blocks.starts[block] };
    let (first, last) = match block {
        0 => (BEFORE_ALL, BEFORE_ALL),
        _ => (i64::MAX, BEFORE_ALL),
    };
    let mut lo = Mark { rank: first, member: nobody };
    let mut hi = Mark { rank: last, member: nobody };
    let mut hi_before = BEFORE_ALL;
    for level in blocks.levels(block) {
        let writer = [blocks.writers[level]];
        let writer = if writer[0] == NONE { &[][..] } else { &writer[..] };
        for group in [writer, blocks.observers(level)] {
            let before = hi;
            for &operation in group {
                let member = Member { operation, level: level as u32 };
                let recorded = &facts.operations[operation as usize];
                let (invoke, complete) =
                    (i64::from(recorded.invoke.0), i64::from(recorded.complete.0));
                if complete < before.rank {
                    found.disorder(facts, blocks, member, before.member);
                    return None;
                }
                if complete < lo.rank {
                    lo = Mark { rank: complete, member };
                }
                if invoke > hi.rank {
                    hi_before = hi.rank;
                    hi = Mark { rank: invoke, member };
                } else {
                    hi_before = hi_before.max(invoke);
                }
            }
        }
    }
    Some(Zone { block: block as u32, lo, hi, hi_before })
}
