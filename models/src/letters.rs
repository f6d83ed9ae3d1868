//! The model that replication, recovery and snapshots have in common: a cluster whose clients append
//! letters and wait for nothing.

use crate::catalogue::{Run, Size, Wishes};
use crate::check::{Search, Subject};
use crate::cluster::properties::always;
use crate::cluster::{Action, Bounds, Chain, World, words};
use stateright::{Model, Property};

/// Something that must be possible, or the rest says nothing.
pub type Example = Property<Cluster>;

/// A cluster whose log holds letters.
#[derive(Clone)]
pub struct Cluster {
    pub bounds: Bounds,
    /// What must be reachable, or the rest says nothing.
    pub sometimes: fn() -> Vec<Property<Cluster>>,
    pub search: Search,
}

impl Model for Cluster {
    type State = World<Chain>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<Chain>> {
        vec![World::new(&self.bounds, &Chain::default())]
    }

    fn actions(&self, state: &World<Chain>, actions: &mut Vec<Action>) {
        if !self.search.is_stopped() {
            state.actions(&self.bounds, actions);
        }
    }

    fn next_state(&self, state: &World<Chain>, action: Action) -> Option<World<Chain>> {
        state.next(&self.bounds, &Chain::default(), &action).map(|(next, _)| next)
    }

    fn format_step(&self, state: &World<Chain>, action: Action) -> Option<String> {
        let next = self.next_state(state, action)?;
        Some(format!("{}\n\n{next}", words::effects(state, &next).join("\n")))
    }

    fn properties(&self) -> Vec<Property<Cluster>> {
        let mut all = always::<Chain, _, _>();
        all.extend((self.sometimes)());
        self.search.select(all)
    }
}

impl Subject for Cluster {
    fn search(&mut self) -> &mut Search {
        &mut self.search
    }

    fn story(&self, path: &[(World<Chain>, Option<Action>)]) -> Vec<String> {
        words::story_of(path.iter().map(|(world, action)| (world, action.as_ref())))
    }
}

/// A search of this model; `pinned` counts its states.
pub fn run(
    wishes: &Wishes,
    size: Size,
    pinned: usize,
    bounds: Bounds,
    sometimes: fn() -> Vec<Example>,
) -> Run {
    let (bounds, pinned) = wishes.applied(bounds, pinned);
    let (words, search) = (bounds.to_string(), Search::default());
    let subject = Box::new(Cluster { bounds, sometimes, search });
    Run { bounds: words, size, pinned, expected: None, tale: None, subject }
}
