//! Judges one key while it is in use: says when what has completed so far became impossible.
//!
//! **What is final.** A history whose beginning is impossible is impossible. Take a linearization
//! of the whole and cut it behind the last operation that had completed by then: whoever was
//! invoked later comes behind that cut, so what is in front of it explains the beginning. So the
//! question is the same after each event, with open operations counted as indeterminate: they may
//! have taken effect, or not yet. An invocation only adds to what is possible. An answer takes
//! away: what it says must be explained by what was invoked until now; a read of what nobody has
//! yet asked to write is a violation at once. That an answer will never come changes nothing.
//!
//! **How it is decided.** As the engine for unique values does it, whose *blocks* these are: a
//! write, the chain of compare-and-sets behind it, and all who observed. A block is there from the
//! first completion in it, its `lo`, so `lo` never changes, and its last invocation, `hi`, only
//! grows. Nobody can see a value whose writer is not invoked; so chains grow at their ends only,
//! and blocks never merge. What can go wrong when an operation completes:
//!
//! - what it saw, or what led to that, has no writer; or was replaced already when somebody else
//!   replaces it; or is said not to have been written, and was seen;
//! - it saw a value, and was invoked after somebody had completed who knew that it was replaced;
//! - it lets its block grow such that two blocks are each before the other: `A.lo < B.hi` and
//!   `B.lo < A.hi`. That is both conditions of the other engine in one; no larger circle is needed.
//!
//! **What is forgotten.** Let the *horizon* be the first invocation of an open operation, or now.
//! Who completes from now on was invoked there or later, except for an indeterminate write that
//! somebody sees, and whoever sees it was. So a value is forgotten when somebody who knew that it
//! was replaced completed before the horizon: whoever sees it now is wrong, and finds it to be
//! unknown. Of two blocks that both began before the horizon, the one that began first and has to
//! be first can take nobody in any more. It is forgotten with all its values. Who could still come
//! into conflict with it began before it, and is forgotten for the same reason; or lies inside it,
//! which is noted with the one inside. What was forgotten can be written again, as if for the first
//! time.
//!
//! What is left are the open operations, the blocks that began since the first of them was invoked,
//! those that may still hold the latest value, of which each was written by an operation that was
//! open at one and the same moment, and indeterminate writes that nobody saw. So memory is bounded
//! by what happens while one operation lasts, and by the count of operations that never completed.
//!
//! Each block is noted once as inside another, and forgotten once: an event costs a few look-ups in
//! tables of that size.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;

use hashbrown::HashMap;

mod blocks;

use blocks::Blocks;

/// A position in the order of events of this key.
type Moment = u64;

/// What an operation is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call<V> {
    /// Tell the value.
    Read,
    /// Set the value.
    Write(V),
    /// Set the value to `new` if it is `old`.
    Cas {
        /// What must be there.
        old: V,
        /// What is there then.
        new: V,
    },
}

/// How an operation was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<V> {
    /// A write or a compare-and-set took effect.
    Done,
    /// A read found this, or a compare-and-set found it in place of what it expected.
    Found(V),
    /// It surely had no effect, and saw nothing.
    NotExecuted,
    /// There will be no answer; it may take effect at any later time.
    Indeterminate,
}

/// Why the answer that came last is impossible.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Impossible {
    /// It depends on a value that nobody can have written, or that is replaced since long.
    Unexplained,
    /// The value it depends on had been replaced, as somebody knew who had completed by then.
    Replaced,
    /// In the meantime another value had been there.
    Overtaken,
    /// Two compare-and-sets replaced the same value.
    ReplacedTwice,
    /// A compare-and-set found what it expected, and did nothing.
    Contradiction,
    /// Compare-and-sets that each depend on the one before, round in a circle.
    Circle,
    /// What it says it did not write, somebody saw.
    Aborted,
}

/// What is known of a key by now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// All that has completed can be explained.
    Possible,
    /// It cannot, whatever follows.
    Impossible(Impossible),
    /// A value was asked to be written a second time, while the first still mattered: this judge
    /// cannot follow.
    Lost,
}

/// Judges one key, event by event. Holds what still matters, and no more.
pub struct Follower<V> {
    standing: Standing,
    now: Moment,
    /// By process.
    open: HashMap<u64, Open<V>>,
    /// When each of `open` was invoked.
    invoked: BTreeSet<Moment>,
    origins: HashMap<V, Origin<V>>,
    blocks: Blocks<V>,
}

/// An operation without an answer so far.
struct Open<V> {
    invoke: Moment,
    call: Call<V>,
}

/// Where a value comes from.
#[derive(Clone)]
enum Origin<V> {
    /// From an operation invoked then, and nobody has seen it. A compare-and-set needs `old`.
    Asked { invoke: Moment, old: Option<V> },
    /// It was there, in this block, until somebody knew it replaced.
    Seen { block: Moment, replaced: Option<Moment> },
}

impl<V: Clone + Eq + Hash> Follower<V> {
    /// Of a key that holds `initial` at first.
    pub fn new(initial: V) -> Follower<V> {
        let before_all = 0;
        let mut blocks = Blocks::new();
        blocks.begin(before_all, before_all, initial.clone());
        let origin = Origin::Seen { block: before_all, replaced: None };
        Follower {
            standing: Standing::Possible,
            now: before_all,
            open: HashMap::new(),
            invoked: BTreeSet::new(),
            origins: HashMap::from([(initial, origin)]),
            blocks,
        }
    }

    /// What is known by now. Once it is not [`Standing::Possible`], it does not change.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// How many operations, values and blocks are kept.
    pub fn size(&self) -> usize {
        self.open.len() + self.origins.len() + self.blocks.size()
    }

    /// A process is about to ask for this. Panics if it waits for an answer already.
    pub fn invoke(&mut self, process: u64, call: Call<V>) {
        if self.standing != Standing::Possible {
            return;
        }
        self.now += 1;
        let invoke = self.now;
        let asked = match &call {
            Call::Write(new) => Some((new, None)),
            Call::Cas { old, new } if old != new => Some((new, Some(old.clone()))),
            Call::Read | Call::Cas { .. } => None,
        };
        if let Some((new, old)) = asked {
            let origin = Origin::Asked { invoke, old };
            if self.origins.insert(new.clone(), origin).is_some() {
                return self.conclude(Standing::Lost);
            }
        }
        let before = self.open.insert(process, Open { invoke, call });
        assert!(before.is_none(), "process {process} waits for an answer already");
        self.invoked.insert(invoke);
    }

    /// A process had this answer. Returns what is known now.
    /// Panics if it waits for none, or if what it asked for has no such answer.
    pub fn complete(&mut self, process: u64, answer: Answer<V>) -> Standing {
        if self.standing != Standing::Possible {
            return self.standing;
        }
        self.now += 1;
        let Open { invoke, call } = self.open.remove(&process).expect("it waits for an answer");
        match self.take(invoke, call, answer) {
            Ok(()) => {
                self.invoked.remove(&invoke);
                let horizon = self.invoked.first().copied().unwrap_or(self.now + 1);
                self.blocks.settle(horizon);
                for value in self.blocks.take_forgotten() {
                    self.origins.remove(&value);
                }
            }
            Err(why) => self.conclude(Standing::Impossible(why)),
        }
        self.standing
    }

    /// There is nothing more to find out, and nothing to be kept.
    fn conclude(&mut self, standing: Standing) {
        let Follower { now, .. } = *self;
        let (open, invoked, origins) = (HashMap::new(), BTreeSet::new(), HashMap::new());
        *self = Follower { standing, now, open, invoked, origins, blocks: Blocks::new() };
    }

    fn take(&mut self, invoke: Moment, call: Call<V>, answer: Answer<V>) -> Result<(), Impossible> {
        match (call, answer) {
            (_, Answer::Indeterminate) | (Call::Read, Answer::NotExecuted) => Ok(()),
            (Call::Write(new), Answer::Done) => self.prove(&new).map(drop),
            (Call::Write(new), Answer::NotExecuted) => self.withdraw(&new),
            (Call::Read, Answer::Found(value)) => self.observe(&value, invoke),
            (Call::Cas { old, new }, answer) => match answer {
                Answer::Done if old == new => self.observe(&old, invoke),
                Answer::Done => self.prove(&new).map(drop),
                Answer::Found(value) if value == old => Err(Impossible::Contradiction),
                answer => {
                    if old != new {
                        self.withdraw(&new)?;
                    }
                    match answer {
                        Answer::Found(value) => self.observe(&value, invoke),
                        _ => Ok(()),
                    }
                }
            },
            (Call::Write(_), Answer::Found(_)) => panic!("a write does not look"),
            (Call::Read, Answer::Done) => panic!("a read without a result"),
        }
    }

    /// Nobody wrote this after all.
    fn withdraw(&mut self, value: &V) -> Result<(), Impossible> {
        match self.origins.remove(value) {
            Some(Origin::Asked { .. }) => Ok(()),
            _ => Err(Impossible::Aborted),
        }
    }

    /// An operation invoked then saw this value, and left it there.
    fn observe(&mut self, value: &V, invoke: Moment) -> Result<(), Impossible> {
        let (block, replaced) = self.prove(value)?;
        if replaced.is_some_and(|replaced| replaced < invoke) {
            return Err(Impossible::Replaced);
        }
        self.stretch(block, invoke)
    }

    /// Somebody who just completed knows that this value was there, and so what led to it.
    /// Returns its block, and since when it is known to be replaced.
    fn prove(&mut self, value: &V) -> Result<(Moment, Option<Moment>), Impossible> {
        // Compare-and-sets that nobody knew to have taken effect, the last of them first.
        let mut chain: Vec<(V, Moment)> = Vec::new();
        let mut at = value.clone();
        let block = loop {
            match self.origins.get(&at) {
                None => return Err(Impossible::Unexplained),
                Some(&Origin::Seen { block, replaced }) if chain.is_empty() => {
                    return Ok((block, replaced));
                }
                Some(Origin::Seen { replaced: Some(_), .. }) => {
                    return Err(Impossible::ReplacedTwice);
                }
                Some(&Origin::Seen { block, replaced: None }) => break block,
                Some(_) if chain.len() > self.origins.len() => return Err(Impossible::Circle),
                Some(Origin::Asked { invoke, old: Some(old) }) => {
                    let old = old.clone();
                    chain.push((std::mem::replace(&mut at, old), *invoke));
                }
                Some(&Origin::Asked { invoke, old: None }) => {
                    self.blocks.begin(self.now, invoke, at.clone());
                    self.be_seen(at, self.now);
                    break self.now;
                }
            }
        };
        for (value, invoke) in chain.into_iter().rev() {
            let before = self.blocks.append(block, self.now, value.clone());
            let replaced = Some(self.now);
            self.origins.insert(before, Origin::Seen { block, replaced });
            self.be_seen(value, block);
            self.stretch(block, invoke)?;
        }
        Ok((block, None))
    }

    fn be_seen(&mut self, value: V, block: Moment) {
        self.origins.insert(value, Origin::Seen { block, replaced: None });
    }

    /// An operation of this block was invoked then.
    fn stretch(&mut self, block: Moment, invoke: Moment) -> Result<(), Impossible> {
        self.blocks.stretch(block, invoke).map_err(|_| Impossible::Overtaken)
    }
}

impl fmt::Display for Impossible {
    /// Follows a name of the operation and its answer, and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Impossible::Unexplained => {
                "what that depends on was never written, or had been replaced before"
            }
            Impossible::Replaced => "what was there had been replaced before this was invoked",
            Impossible::Overtaken => "another value had been there in the meantime",
            Impossible::ReplacedTwice => {
                "two compare-and-sets replaced the same value: one update is lost"
            }
            Impossible::Contradiction => "that is just what it expected",
            Impossible::Circle => "it and others each depend on what the other wrote",
            Impossible::Aborted => "but somebody has seen what it was to write",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(new: u32) -> (Call<u32>, Answer<u32>) {
        (Call::Write(new), Answer::Done)
    }

    fn read(value: u32) -> (Call<u32>, Answer<u32>) {
        (Call::Read, Answer::Found(value))
    }

    fn cas(old: u32, new: u32) -> (Call<u32>, Answer<u32>) {
        (Call::Cas { old, new }, Answer::Done)
    }

    /// `order`: operations by number, from 1; named for the second time, one has its answer.
    fn assert_standing(
        operations: &[(Call<u32>, Answer<u32>)],
        order: &[usize],
        expected: impl Into<Option<Impossible>>,
    ) {
        let mut follower = Follower::new(0);
        let mut invoked = BTreeSet::new();
        for &number in order {
            let (call, answer) = operations[number - 1].clone();
            if invoked.insert(number) {
                follower.invoke(number as u64, call);
            } else {
                follower.complete(number as u64, answer);
            }
        }
        let expected = expected.into().map_or(Standing::Possible, Standing::Impossible);
        assert_eq!(follower.standing(), expected, "{operations:?} {order:?}");
    }

    #[test]
    fn what_an_open_write_may_have_done_is_possible_and_what_nobody_asked_for_is_not() {
        assert_standing(&[write(1), read(1)], &[1, 2, 2], None);
        assert_standing(&[write(1), read(1)], &[2, 1, 2], None);
        assert_standing(&[write(1), read(1)], &[2, 2, 1], Impossible::Unexplained);
        assert_standing(
            &[read(0), write(1), read(0)],
            &[1, 1, 2, 2, 3, 3],
            Impossible::Unexplained,
        );
    }

    #[test]
    fn what_somebody_knew_to_be_replaced_is_not_seen_again() {
        // Process 4 waits all the time; so nothing is forgotten, and all has its reason.
        let waits = write(9);
        let chain = [cas(0, 1), read(1), read(0), waits.clone()];
        assert_standing(&chain, &[4, 1, 3, 2, 2, 3], None);
        assert_standing(&chain, &[4, 1, 2, 2, 3, 3], Impossible::Replaced);
        assert_standing(
            &[cas(0, 1), cas(0, 2), read(0), waits.clone()],
            &[4, 1, 2, 1, 2],
            Impossible::ReplacedTwice,
        );
        let between = [write(1), write(2), read(1), waits];
        assert_standing(&between, &[4, 1, 1, 2, 3, 2, 3], None);
        assert_standing(&between, &[4, 1, 1, 2, 2, 3, 3], Impossible::Overtaken);
    }

    #[test]
    fn answers_that_contradict_themselves_or_others_are_impossible() {
        let refused = |old, new, found| (Call::Cas { old, new }, Answer::Found(found));
        let not_executed = |new| (Call::Write(new), Answer::NotExecuted);
        assert_standing(&[refused(0, 1, 0)], &[1, 1], Impossible::Contradiction);
        assert_standing(&[not_executed(1), read(1)], &[1, 1, 2, 2], Impossible::Unexplained);
        assert_standing(&[not_executed(1), read(1)], &[1, 2, 2, 1], Impossible::Aborted);
        assert_standing(&[cas(2, 1), cas(1, 2)], &[1, 2, 2], Impossible::Circle);
    }

    #[test]
    fn a_value_is_written_again_only_when_nobody_can_still_see_it() {
        let mut follower = Follower::new(0);
        let mut write = |process, value, is_answered| {
            follower.invoke(process, Call::Write(value));
            if is_answered { follower.complete(process, Answer::Done) } else { follower.standing() }
        };
        assert_eq!(write(1, 7, true), Standing::Possible);
        assert_eq!(write(1, 8, true), Standing::Possible);
        assert_eq!(write(1, 7, true), Standing::Possible, "the first 7 is forgotten");
        assert_eq!(write(2, 9, false), Standing::Possible);
        assert_eq!(write(1, 9, true), Standing::Lost, "which 9 somebody sees, nobody knows");
        assert_eq!(follower.size(), 0);
    }
}
