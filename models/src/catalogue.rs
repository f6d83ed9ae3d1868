//! One table of models: what each proves, within which bounds, and how many states that takes.

use crate::check::{Limits, Report, Subject, Watch, check};
use crate::cluster::Bounds;
use crate::{clients, course, election, explore, recovery, replication, snapshot};
use std::net::SocketAddr;

/// A model, by the name it is asked for.
pub struct Entry {
    pub name: &'static str,
    /// What it proves, in a line.
    pub proves: &'static str,
    /// Its searches, the smallest first; that one is also the right size to click through.
    pub runs: fn(&Wishes) -> Vec<Run>,
}

/// One search: a model within bounds.
pub struct Run {
    pub bounds: String,
    pub size: Size,
    /// How many states there are within the bounds; none if nobody has counted them.
    pub pinned: Option<usize>,
    /// The property that must be found broken: this search shows a fault.
    pub expected: Option<&'static str>,
    /// What to tell before the search.
    pub tale: Option<&'static str>,
    pub subject: Box<dyn Runnable>,
}

/// How long a search takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Size {
    /// Seconds: part of the gate.
    Small,
    /// Up to minutes.
    Full,
}

/// A model whose type does not matter.
pub trait Runnable {
    /// See [`check`].
    fn check(&self, limits: &Limits, only: Option<&'static str>, watch: &mut Watch<'_>) -> Report;
    /// See [`explore::serve`].
    fn explore(&self, address: SocketAddr) -> !;
}

impl<M: Subject> Runnable for M {
    fn check(&self, limits: &Limits, only: Option<&'static str>, watch: &mut Watch<'_>) -> Report {
        check(self, limits, only, watch)
    }

    fn explore(&self, address: SocketAddr) -> ! {
        explore::serve(self, address)
    }
}

/// Bounds that the user wants otherwise; each counts for the models that have it.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct Wishes {
    /// Nodes, instead of the model's own number.
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=7), help_heading = "Bounds")]
    pub nodes: Option<u16>,
    /// Elections on one path.
    #[arg(long, help_heading = "Bounds")]
    pub elections: Option<u8>,
    /// Entries that clients ask to append on one path.
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=26), help_heading = "Bounds")]
    pub entries: Option<u8>,
    /// Crashes on one path.
    #[arg(long, help_heading = "Bounds")]
    pub crashes: Option<u8>,
    /// Messages that arrive twice on one path.
    #[arg(long, help_heading = "Bounds")]
    pub duplicates: Option<u8>,
}

impl Wishes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let Wishes { nodes, elections, entries, crashes, duplicates } = self;
        nodes.is_none() && [elections, entries, crashes, duplicates].iter().all(|w| w.is_none())
    }

    /// The bounds as wished. The pinned count is only good for bounds that nobody changed.
    pub fn applied(&self, mut bounds: Bounds, pinned: usize) -> (Bounds, Option<usize>) {
        let Wishes { nodes, elections, entries, crashes, duplicates } = *self;
        if let Some(nodes) = nodes {
            bounds.nodes = nodes;
            bounds.candidates.retain(|candidate| *candidate <= nodes);
        }
        let budget = &mut bounds.budget;
        for (wish, bound) in [
            (elections, &mut budget.elections),
            (entries, &mut budget.entries),
            (crashes, &mut budget.crashes),
            (duplicates, &mut budget.duplicates),
        ] {
            *bound = wish.unwrap_or(*bound);
        }
        (bounds, Some(pinned).filter(|_| self.is_empty()))
    }
}

/// All models, in the order in which they are best read.
pub const MODELS: [Entry; 6] = [
    Entry {
        name: "election",
        proves: "heartbeats on full, chained and hub topologies elect only who reaches a quorum",
        runs: election::runs,
    },
    Entry {
        name: "replication",
        proves: "leaders compete over a lossy, duplicating, unordered network: decided entries last",
        runs: replication::runs,
    },
    Entry {
        name: "recovery",
        proves: "nodes crash between any write and its sync, and come back: nothing vouched for is lost",
        runs: recovery::runs,
    },
    Entry {
        name: "store",
        proves: "clients that retry, and a deposed leader that is asked to read: linearizable",
        runs: clients::runs,
    },
    Entry {
        name: "snapshot",
        proves: "a follower behind a trimmed log, two snapshots on their way: equal states",
        runs: snapshot::runs,
    },
    Entry {
        name: "course",
        proves: "the protocol as it is taught: a tour of its three faults, and none once repaired",
        runs: course::runs,
    },
];

/// The model of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODELS.iter().find(|entry| entry.name == name)
}
