//! What happened before a path begins, move by move: a search that begins where it gets interesting
//! needs no choices to come there.

use super::{Action, Bounds, Budget, Chain, Elections, Network, World};
use ::node::protocol::NodeId;

/// A past, and how to call it.
#[derive(Clone, Copy)]
pub struct Past {
    pub words: &'static str,
    pub moves: &'static [Move],
}

/// Part of a past.
#[derive(Clone, Copy)]
pub enum Move {
    Elect(u16),
    Propose(u16),
    /// All that is under way from the one to the other arrives.
    Arrive(u16, u16),
    /// The same, and then what is under way back.
    Exchange(u16, u16),
    /// A heartbeat that nobody hears.
    Tick(u16),
}

/// Nothing has happened.
pub const NO_PAST: Past = Past { words: "", moves: &[] };

/// So many entries can be appended in a past. They are named from x on: other names than those of
/// the search, or two that differ would look the same.
const ENTRIES: u8 = 3;

impl Past {
    /// The world after it; nothing is under way any more. Panics if a move is not possible.
    pub fn world(&self, bounds: &Bounds) -> World<Chain> {
        let initial = Chain::default();
        let budget = Budget { elections: 9, entries: 26, heartbeats: 99, ..Budget::default() };
        let (elections, links) = (Elections::Free, &[]);
        let past = Bounds { elections, budget, links, ..bounds.clone() };
        let mut world = World::new(&past, &initial);
        world.left.entries = ENTRIES;
        let act = |world: &World<Chain>, action| {
            let acted = world.next(&past, &initial, &action);
            acted.expect("a past does nothing in vain").0
        };
        let arrive = |mut world: World<Chain>, from, to| {
            let ends = (NodeId(from), NodeId(to));
            let sent = world
                .network
                .iter()
                .filter(|sent| !sent.arrived && (sent.envelope.from, sent.envelope.to) == ends);
            let sent: Vec<_> = sent.map(|sent| sent.envelope.clone()).collect();
            assert!(!sent.is_empty(), "nothing is under way from n{from} to n{to}");
            for envelope in sent {
                let arrives = Action::Deliver(envelope);
                world = world.next(&past, &initial, &arrives).map_or(world, |next| next.0);
            }
            world
        };
        for at in self.moves {
            match *at {
                Move::Elect(node) => world = act(&world, Action::Elect(NodeId(node))),
                Move::Propose(node) => world = act(&world, Action::Propose(NodeId(node))),
                Move::Tick(node) => world = act(&world, Action::Heartbeat(NodeId(node))),
                Move::Arrive(from, to) => world = arrive(world, from, to),
                Move::Exchange(one, other) => {
                    world = arrive(arrive(world, one, other), other, one);
                }
            }
        }
        World { network: Network::default(), left: bounds.budget, ..world }
    }
}
