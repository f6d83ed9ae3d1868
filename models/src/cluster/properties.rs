//! The invariants of the core as properties of a model: listed here, specified in
//! `node::protocol::invariants`.

use super::node::{RECORDS_REPLAY, VOUCHED_FOR};
use super::{DECIDED_LASTS, NO_ASSERTION_FAILS, Told, World};
use node::protocol::invariants;
use node::protocol::{Durable, Index, Replica};
use stateright::{Model, Property};

/// A state with a cluster in it.
pub trait HasWorld<M: Told> {
    fn world(&self) -> &World<M>;
}

impl<M: Told> HasWorld<M> for World<M> {
    fn world(&self) -> &World<M> {
        self
    }
}

/// Chosen entries outlive leaderships.
const CHOSEN_LASTS: &str = "a chosen entry is in every later leader's log";

/// The same of what anybody knew to be decided, whatever became of the disks it was on.
const DECIDED_IS_ADOPTED: &str = "what was decided is in every later leader's log";

/// Everything that must always hold of a cluster.
pub fn always<M: Told, S: HasWorld<M>, Mo: Model<State = S>>() -> Vec<Property<Mo>> {
    let mut all = vec![
        Property::always(NO_ASSERTION_FAILS, |_, s: &S| unbroken(s.world(), NO_ASSERTION_FAILS)),
        Property::always(RECORDS_REPLAY, |_, s: &S| unbroken(s.world(), RECORDS_REPLAY)),
        Property::always(VOUCHED_FOR, |_, s: &S| unbroken(s.world(), VOUCHED_FOR)),
        Property::always(DECIDED_LASTS, |_, s: &S| unbroken(s.world(), DECIDED_LASTS)),
        Property::always(CHOSEN_LASTS, |_, s: &S| chosen_entries_last(s.world())),
        Property::always(DECIDED_IS_ADOPTED, |_, s: &S| decided_is_adopted(s.world())),
    ];
    type Condition<Mo, S> = fn(&Mo, &S) -> bool;
    let of_a_step: [Condition<Mo, S>; 6] = [
        step::<0, _, _, _>,
        step::<1, _, _, _>,
        step::<2, _, _, _>,
        step::<3, _, _, _>,
        step::<4, _, _, _>,
        step::<5, _, _, _>,
    ];
    // As many names as conditions, or it does not build.
    let names: [&str; 6] = invariants::OF_A_STEP.map(|(name, _)| name);
    all.extend(names.into_iter().zip(of_a_step).map(|(name, holds)| Property::always(name, holds)));
    let of_a_replica: [Condition<Mo, S>; 6] = [
        replica::<0, _, _, _>,
        replica::<1, _, _, _>,
        replica::<2, _, _, _>,
        replica::<3, _, _, _>,
        replica::<4, _, _, _>,
        replica::<5, _, _, _>,
    ];
    let names: [&str; 6] = invariants::of_a_replica::<M>().map(|(name, _)| name);
    all.extend(
        names.into_iter().zip(of_a_replica).map(|(name, holds)| Property::always(name, holds)),
    );
    let of_a_pair: [Condition<Mo, S>; 4] =
        [pair::<0, _, _, _>, pair::<1, _, _, _>, pair::<2, _, _, _>, pair::<3, _, _, _>];
    let names: [&str; 4] = invariants::of_a_pair::<M>().map(|(name, _)| name);
    all.extend(names.into_iter().zip(of_a_pair).map(|(name, holds)| Property::always(name, holds)));
    all
}

fn unbroken<M: Told>(world: &World<M>, property: &str) -> bool {
    world.broken.as_ref().is_none_or(|broken| broken.property != property)
}

fn step<const I: usize, M: Told, S: HasWorld<M>, Mo>(_: &Mo, state: &S) -> bool {
    unbroken(state.world(), invariants::OF_A_STEP[I].0)
}

fn replica<const I: usize, M: Told, S: HasWorld<M>, Mo>(_: &Mo, state: &S) -> bool {
    let (_, holds) = invariants::of_a_replica::<M>()[I];
    state.world().replicas().all(holds)
}

fn pair<const I: usize, M: Told, S: HasWorld<M>, Mo>(_: &Mo, state: &S) -> bool {
    let (_, holds) = invariants::of_a_pair::<M>()[I];
    let replicas: Vec<&Replica<M>> = state.world().replicas().collect();
    let others = |at: usize| replicas[at + 1..].iter();
    replicas.iter().enumerate().all(|(at, one)| others(at).all(|other| holds(one, other)))
}

fn chosen_entries_last<M: Told>(world: &World<M>) -> bool {
    let disks: Vec<&Durable> = world.nodes.iter().map(|node| &node.disk.durable).collect();
    let replicas: Vec<&Replica<M>> = world.replicas().collect();
    invariants::chosen_entries_last(&disks, &replicas)
}

fn decided_is_adopted<M: Told>(world: &World<M>) -> bool {
    world.replicas().all(|replica| {
        let (log, status) = (replica.log(), replica.status());
        let decided = world.decided.iter().zip((0..).map(Index));
        let mut earlier = decided.filter(|(decided, _)| decided.under < status.accepted_ballot);
        earlier.all(|(decided, index)| {
            let held = index < log.accepted();
            held && (index < log.first() || log.get(index) == decided.entry)
        })
    })
}
