//! What the clients of each search ask, and what they must be able to see.

use super::register::Ask;
use super::{Client, Shop};
use crate::catalogue::{Run, Size, Wishes};
use crate::check::Search;
use crate::cluster::{Bounds, Budget};
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
        let decided = &state.world.decided;
        decided.iter().enumerate().any(|(at, entry)| {
            let opens = matches!(
                Command::decode(entry).map(|command| command.operation),
                Ok(Operation::Open)
            );
            !opens && decided[at + 1..].contains(entry)
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

/// The searches of this model.
pub fn runs(wishes: &Wishes) -> Vec<Run> {
    let run = |size, pinned, nodes, (elections, retries), scripts, sometimes| {
        let bounds = Bounds::new(Budget { elections, ..Budget::default() });
        let bounds = Bounds { nodes, candidates: vec![2], ..bounds };
        let (bounds, pinned) = wishes.applied(bounds, pinned);
        let search = Search::default();
        let shop = Shop { bounds, scripts, retries, sometimes, search };
        let (bounds, expected, tale) = (shop.to_string(), None, None);
        Run { bounds, size, pinned, expected, tale, subject: Box::new(shop) }
    };
    const PUT_GET: &[&[Ask]] = &[&[Ask::Put('a')], &[Ask::Get]];
    const TWICE: &[&[Ask]] = &[&[Ask::Put('a')], &[Ask::Put('b'), Ask::Get]];
    const SWAP: &[&[Ask]] = &[&[Ask::Put('a'), Ask::Cas('a', 'b')], &[Ask::Cas('a', 'c')]];
    vec![
        run(Size::Small, 431, 3, (0, 0), PUT_GET, served as fn() -> Vec<Example>),
        run(Size::Small, 31_006, 2, (0, 1), TWICE, retried),
        run(Size::Small, 110_394, 3, (1, 0), PUT_GET, deposed),
        run(Size::Full, 83_998, 2, (0, 1), SWAP, retried),
        run(Size::Full, 547_495, 2, (1, 1), TWICE, retried),
    ]
}
