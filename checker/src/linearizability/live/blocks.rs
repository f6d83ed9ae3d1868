//! Where blocks lie in time, and which of them can still take somebody in.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::ops::Bound::Excluded;

use super::Moment;

/// The blocks of a key that still matter, by their first completion, which also names them.
pub(super) struct Blocks<V> {
    blocks: BTreeMap<Moment, Block<V>>,
    /// Blocks that began before this have made those forgotten that have to be before them.
    settled: Moment,
    /// The blocks whose first value was replaced, and since when that is known, in this order.
    replaced: VecDeque<(Moment, Moment)>,
    /// Values to be forgotten.
    forgotten: Vec<V>,
}

struct Block<V> {
    /// The last invocation of those known to be in it.
    hi: Moment,
    /// It lies inside a block that began then, so nobody invoked later can be in it; or `NO_LIMIT`.
    limit: Moment,
    /// Its values that are not forgotten, the current one at last. Never empty.
    values: VecDeque<V>,
}

const NO_LIMIT: Moment = Moment::MAX;

/// Two blocks are each before the other.
pub(super) struct Interleaved;

impl<V: Clone> Blocks<V> {
    pub fn new() -> Blocks<V> {
        Blocks {
            blocks: BTreeMap::new(),
            settled: 0,
            replaced: VecDeque::new(),
            forgotten: Vec::new(),
        }
    }

    pub fn size(&self) -> usize {
        self.blocks.len() + self.replaced.len()
    }

    /// Values that nobody can see any more, since this was last asked.
    pub fn take_forgotten(&mut self) -> Vec<V> {
        mem::take(&mut self.forgotten)
    }

    /// A block begins `now` with a value whose writer was invoked at `hi`.
    pub fn begin(&mut self, now: Moment, hi: Moment, value: V) {
        let block = Block { hi, limit: NO_LIMIT, values: VecDeque::from([value]) };
        self.blocks.insert(now, block);
    }

    /// It is known `now` that the value of a block was replaced by this one. Returns the former.
    pub fn append(&mut self, block: Moment, now: Moment, value: V) -> V {
        let values = &mut self.blocks.get_mut(&block).expect("seen values have a block").values;
        let before = values.back().expect("a block has a value").clone();
        values.push_back(value);
        self.replaced.push_back((now, block));
        before
    }

    /// An operation of this block was invoked then.
    pub fn stretch(&mut self, lo: Moment, invoke: Moment) -> Result<(), Interleaved> {
        let block = self.blocks.get_mut(&lo).expect("seen values have a block");
        if invoke <= block.hi {
            return Ok(());
        }
        if invoke > block.limit {
            return Err(Interleaved);
        }
        let from = mem::replace(&mut block.hi, invoke).max(lo);
        if from >= invoke {
            return Ok(());
        }
        // Those up to the former end were met when it came there, or met this one when they grew.
        for (_, other) in self.blocks.range_mut((Excluded(from), Excluded(invoke))) {
            if other.hi > lo {
                return Err(Interleaved);
            }
            other.limit = lo;
        }
        Ok(())
    }

    /// Who completes from now on was invoked at the `horizon` or later, or is seen by somebody who
    /// was. Forgets what that settles.
    pub fn settle(&mut self, horizon: Moment) {
        while let Some((&lo, block)) = self.blocks.range(self.settled..horizon).next() {
            self.settled = lo + 1;
            let hi = block.hi;
            // This one is behind them, and before whoever would be in them from now on.
            while let Some(first) = self.blocks.first_entry()
                && *first.key() < hi.min(lo)
            {
                self.forgotten.extend(first.remove().values);
            }
        }
        self.settled = self.settled.max(horizon);
        while let Some(&(at, block)) = self.replaced.front()
            && at < horizon
        {
            self.replaced.pop_front();
            if let Some(block) = self.blocks.get_mut(&block) {
                self.forgotten.extend(block.values.pop_front());
            }
        }
    }
}
