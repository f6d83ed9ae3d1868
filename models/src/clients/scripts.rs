//! What the clients of each search ask, and what they must be able to see.

use super::register::Ask;
use super::{Client, Shop};
use crate::catalogue::{Run, Size};
use crate::check::Search;
use crate::cluster::{Bounds, Budget};
use crate::wishes::Wishes;
use node::kv::{Command, Operation, Reply};
use node::protocol::Message;
use stateright::Property;

type Example = Property<Shop>;

/// What clients must be able to see.
fn served() -> Vec<Example> {
    vec![
        Example::sometimes("every client is done", |model, state| {
            state
                .clients
                .iter()
                .zip(model.scripts)
                .all(|(client, script)| client.done == script.len())
        }),
        Example::sometimes("a read finds what was written", |model, state| {
            let reads = model.scripts.iter().flat_map(|script| *script).any(|ask| *ask == Ask::Get);
            let found =
                |client: &Client| client.answers.iter().any(|r| matches!(r, Reply::Found(_)));
            !reads || state.clients.iter().any(found)
        }),
    ]
}

/// Where a client may ask twice.
fn retried() -> Vec<Example> {
    let mut all = served();
    all.push(Example::sometimes("one request is in the log twice", |_, state| {
        let decided = state.world.decided.iter().map(|decided| &decided.entry);
        decided.clone().enumerate().any(|(at, entry)| {
            let opens = matches!(
                Command::decode(entry).map(|command| command.operation),
                Ok(Operation::Open)
            );
            !opens && decided.clone().skip(at + 1).any(|later| later == entry)
        })
    }));
    all
}

/// Where a second leader is elected.
fn deposed() -> Vec<Example> {
    let mut all = served();
    all.push(Example::sometimes(
        "a deposed leader asks whether it still leads, and is told",
        |_, state| {
            state.world.network.iter().any(|sent| {
                let asked =
                    matches!(sent.envelope.message, Message::Confirm { .. }) && sent.arrived;
                let nacked = |other: &Message| matches!(other, Message::Nack { .. });
                asked
                    && state.world.network.iter().any(|other| {
                        nacked(&other.envelope.message) && other.envelope.to == sent.envelope.from
                    })
            })
        },
    ));
    all
}

/// Where a follower is behind a trimmed log.
fn installed() -> Vec<Example> {
    let mut all = served();
    all.push(Example::sometimes("a replica knows a session from a snapshot only", |_, state| {
        state.world.replicas().any(|replica| {
            let came = replica.status().accepted_ballot.node.0 == 2 && replica.config().node.0 == 3;
            came && replica.status().snapshot.0 > 0 && replica.machine().session_count() > 0
        })
    }));
    all
}

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let of = |nodes, elections, duplicates| {
        let bounds = Bounds::new(Budget { elections, duplicates, ..Budget::default() });
        Bounds { nodes, candidates: vec![2], ..bounds }
    };
    let run = |size, pinned, bounds, retries, scripts, sometimes| {
        let (bounds, expected_states) = wishes.applied(bounds, pinned);
        let pinned = Some(pinned).filter(|_| wishes.is_empty());
        let search = Search::default();
        let shop = Shop { bounds, scripts, retries, sometimes, search };
        let (bounds, expected, tale) = (shop.to_string(), None, None);
        let (has_past, subject) = (false, Box::new(shop));
        Run { bounds, size, pinned, expected_states, expected, has_past, tale, subject }
    };
    // n3 confirms that n1 leads, until it follows n2; what it said before may arrive again.
    let chained = |bounds| Bounds { links: &[(1, 3), (2, 3)], ..bounds };
    // n1 and n2 are too few to confirm anything; n3 alone hears both sides.
    let five = |bounds| {
        let links = &[(1, 2), (1, 3), (3, 5), (4, 5)];
        Bounds { candidates: vec![5], links, ..bounds }
    };
    // n3 has missed everything up to the election of n2, which has trimmed its log.
    let behind = |bounds| Bounds { links: &[(1, 2), (2, 3)], snapshot_every: 1, ..bounds };
    const PUT_GET: &[&[Ask]] = &[&[Ask::Put('a')], &[Ask::Get]];
    // Whoever swapped a for b must never see a again, though it was asked for twice.
    const TWICE: &[&[Ask]] = &[&[Ask::Put('a')], &[Ask::Cas('a', 'b'), Ask::Get]];
    const PUT_GETS: &[&[Ask]] = &[&[Ask::Put('a')], &[Ask::Get, Ask::Get]];
    const PUT: &[&[Ask]] = &[&[Ask::Put('a')]];
    const SWAP: &[&[Ask]] = &[&[Ask::Put('a'), Ask::Cas('a', 'b')], &[Ask::Cas('a', 'c')]];
    vec![
        run(Size::Small, 431, of(3, 0, 0), 0, PUT_GET, served as fn() -> Vec<Example>),
        run(Size::Small, 31_006, of(2, 0, 0), 1, TWICE, retried),
        run(Size::Small, 110_394, of(3, 1, 0), 0, PUT_GET, deposed),
        run(Size::Small, 21_018, chained(of(3, 1, 1)), 0, PUT_GETS, deposed),
        run(Size::Small, 145_881, five(of(5, 1, 1)), 0, PUT_GET, deposed),
        run(Size::Small, 908, behind(of(3, 1, 0)), 0, PUT, installed),
        run(Size::Full, 83_998, of(2, 0, 0), 1, SWAP, retried),
        run(Size::Full, 547_495, of(2, 1, 0), 1, TWICE, retried),
    ]
}
