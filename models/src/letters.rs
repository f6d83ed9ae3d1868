//! The model that all but the store have in common: a cluster whose clients append
//! letters and wait for nothing.

use crate::catalogue::{Run, Size};
use crate::check::{Search, Subject};
use crate::cluster::properties::always;
use crate::cluster::{Action, Bounds, Chain, NO_PAST, Past, World, words};
use crate::diagram::{Event, draw};
use crate::wishes::Wishes;
use stateright::{Model, Path, Property};

/// What a model asks for besides the invariants: mostly what must be possible, or the rest says
/// nothing.
pub type Example = Property<Cluster>;

/// A cluster whose log holds letters.
#[derive(Clone)]
pub struct Cluster {
    pub bounds: Bounds,
    /// How the cluster came to where a path begins.
    pub past: Past,
    /// What must be reachable, or the rest says nothing.
    pub sometimes: fn() -> Vec<Property<Cluster>>,
    pub search: Search,
}

impl Model for Cluster {
    type State = World<Chain>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<Chain>> {
        vec![self.past.world(&self.bounds)]
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

    fn as_svg(&self, path: Path<World<Chain>, Action>) -> Option<String> {
        let path = path.into_vec();
        let event = |(step, (_, action)): (usize, &(_, Option<Action>))| {
            Some(words::event(action.as_ref()?, step, |at| &path[at].0))
        };
        let events: Vec<Event> = path.iter().enumerate().filter_map(event).collect();
        let lines: Vec<String> = (1..=self.bounds.nodes).map(|node| format!("n{node}")).collect();
        Some(draw(&lines, &events))
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
    run_after(NO_PAST, wishes, size, pinned, bounds, sometimes)
}

/// The same, with a past.
pub fn run_after(
    past: Past,
    wishes: &Wishes,
    size: Size,
    pinned: usize,
    bounds: Bounds,
    sometimes: fn() -> Vec<Example>,
) -> Run {
    let (bounds, expected_states) = wishes.applied(bounds, pinned);
    let search = Search::default();
    let has_past = !past.moves.is_empty();
    let words = match past.words {
        "" => bounds.to_string(),
        words => format!("{bounds}, after {words}"),
    };
    let pinned = Some(pinned).filter(|_| wishes.is_empty());
    let subject = Box::new(Cluster { bounds, past, sometimes, search });
    let (expected, tale) = (None, None);
    Run { bounds: words, size, pinned, expected_states, expected, has_past, tale, subject }
}
