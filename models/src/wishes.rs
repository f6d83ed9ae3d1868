//! Bounds that the user wants otherwise, and what they would cost.

use crate::cluster::{Bounds, Budget};
use clap::ValueEnum;

/// Bounds that the user wants otherwise; those that a model does not have are refused.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct Wishes {
    /// Nodes, instead of the model's own number.
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=7), help_heading = BOUNDS)]
    pub nodes: Option<u16>,
    /// Elections on one path.
    #[arg(long, help_heading = BOUNDS)]
    pub elections: Option<u8>,
    /// Entries that clients ask to append on one path.
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=26), help_heading = BOUNDS)]
    pub entries: Option<u8>,
    /// Crashes on one path.
    #[arg(long, help_heading = BOUNDS)]
    pub crashes: Option<u8>,
    /// Heartbeat rounds on one path.
    #[arg(long, help_heading = BOUNDS)]
    pub heartbeats: Option<u8>,
    /// Messages that arrive twice on one path [with `--network duplicating`: 1].
    #[arg(long, help_heading = BOUNDS)]
    pub duplicates: Option<u8>,
    /// What links do to messages [default: as `models list` says, search by search].
    #[arg(long, help_heading = BOUNDS)]
    pub network: Option<Links>,
}

const BOUNDS: &str = "Bounds";

/// What links do to messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Links {
    /// Any message may be lost, and any may overtake any; none arrives twice.
    Lossy,
    /// The same, and some arrive twice: as many as --duplicates says. All that UDP does but damage.
    Duplicating,
    /// Nothing is lost, overtaken or repeated: what the course assumes. Only `course` has such links.
    Fifo,
}

/// A choice more on a path multiplies the states by 10 to 300 in the bounds that were counted.
const GROWTH_OF_A_CHOICE: f64 = 20.0;
/// A node more multiplies them by 4 to 14.
const GROWTH_OF_A_NODE: f64 = 6.0;

impl Wishes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let Wishes { nodes, elections, entries, crashes, heartbeats, duplicates, network } = self;
        let budget = [elections, entries, crashes, heartbeats, duplicates];
        nodes.is_none() && network.is_none() && budget.iter().all(|wish| wish.is_none())
    }

    /// Whether a model that has none of the options `lacks` can grant all of these; if not, why, in
    /// a line.
    pub fn grantable(&self, model: &str, lacks: &[(&str, &str)]) -> Result<(), String> {
        let wished = |option: &str| match option {
            "--nodes" => self.nodes.is_some(),
            "--elections" => self.elections.is_some(),
            "--entries" => self.entries.is_some(),
            "--crashes" => self.crashes.is_some(),
            "--heartbeats" => self.heartbeats.is_some(),
            "--duplicates" => self.duplicates.is_some(),
            "--network fifo" => self.network == Some(Links::Fifo),
            _ => unreachable!("a model lacks an option that there is"),
        };
        if let Some((option, why)) = lacks.iter().find(|(option, _)| wished(option)) {
            return Err(format!("`{model}` does not go with {option}: {why}"));
        }
        match (self.network, self.duplicates) {
            (Some(Links::Lossy | Links::Fifo), Some(1..)) => {
                Err("such links repeat nothing: leave --duplicates out, or say --network \
                     duplicating"
                    .to_owned())
            }
            (Some(Links::Duplicating), Some(0)) => {
                Err("no duplicates on a duplicating network: say --network lossy".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// How many messages arrive twice, where it would be `own`.
    pub fn duplicates(&self, own: u8) -> u8 {
        match self.network {
            Some(Links::Lossy | Links::Fifo) => 0,
            Some(Links::Duplicating) => self.duplicates.unwrap_or(own.max(1)),
            None => self.duplicates.unwrap_or(own),
        }
    }

    /// The bounds as wished, and how many states to expect where there are `pinned` without wishes.
    pub fn applied(&self, mut bounds: Bounds, pinned: usize) -> (Bounds, f64) {
        let own = (bounds.nodes, bounds.budget);
        if let Some(nodes) = self.nodes {
            bounds.nodes = nodes;
            bounds.candidates.retain(|candidate| *candidate <= nodes);
        }
        let budget = &mut bounds.budget;
        for (wish, bound) in [
            (self.elections, &mut budget.elections),
            (self.entries, &mut budget.entries),
            (self.crashes, &mut budget.crashes),
            (self.heartbeats, &mut budget.heartbeats),
        ] {
            *bound = wish.unwrap_or(*bound);
        }
        budget.duplicates = self.duplicates(budget.duplicates);
        let choices = choices(&bounds.budget) - choices(&own.1);
        let nodes = i32::from(bounds.nodes) - i32::from(own.0);
        (bounds, grown(pinned, choices, nodes))
    }
}

/// How many states to expect with so many choices and nodes more than where there are `pinned`.
pub fn grown(pinned: usize, choices: i32, nodes: i32) -> f64 {
    pinned as f64 * GROWTH_OF_A_CHOICE.powi(choices) * GROWTH_OF_A_NODE.powi(nodes)
}

fn choices(budget: &Budget) -> i32 {
    let Budget { elections, entries, crashes, retransmissions, heartbeats, duplicates } = *budget;
    [elections, entries, crashes, retransmissions, heartbeats, duplicates]
        .into_iter()
        .map(i32::from)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes {
        Wishes::default()
    }

    #[test]
    fn what_nobody_wishes_is_as_it_was() {
        let bounds = Bounds::new(Budget { elections: 2, duplicates: 1, ..Budget::default() });
        let (same, states) = wishes().applied(bounds.clone(), 77);
        assert_eq!((same.budget, same.nodes), (bounds.budget, bounds.nodes));
        assert_eq!(states, 77.0);
    }

    #[test]
    fn a_network_decides_whether_messages_arrive_twice() {
        let of = |network, duplicates| Wishes { network, duplicates, ..wishes() };
        assert_eq!(of(Some(Links::Lossy), None).duplicates(2), 0);
        assert_eq!(of(Some(Links::Duplicating), None).duplicates(0), 1);
        assert_eq!(of(Some(Links::Duplicating), None).duplicates(2), 2);
        assert_eq!(of(None, Some(3)).duplicates(1), 3);
        assert!(of(Some(Links::Lossy), Some(1)).grantable("m", &[]).is_err());
        assert!(of(Some(Links::Duplicating), Some(0)).grantable("m", &[]).is_err());
    }

    #[test]
    fn what_a_model_lacks_is_refused_by_name() {
        let fifo = Wishes { network: Some(Links::Fifo), ..wishes() };
        let lacks = [("--nodes", "there are three"), ("--network fifo", "UDP has none")];
        let why = fifo.grantable("store", &lacks).expect_err("refused");
        assert_eq!(why, "`store` does not go with --network fifo: UDP has none");
        assert!(wishes().grantable("store", &lacks).is_ok());
    }
}
