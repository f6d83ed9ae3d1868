//! One table of models: what each proves, within which bounds, and how many states that takes.

use crate::check::{Limits, Report, Subject, Watch, check};
use crate::wishes::Wishes;
use crate::{clients, course, election, explore, recovery, replication, snapshot};
use std::net::SocketAddr;

/// A model, by the name it is asked for.
pub struct Entry {
    pub name: &'static str,
    /// What it proves, in a line.
    pub proves: &'static str,
    /// Its searches, the smallest first; that one is also the right size to click through.
    pub runs: fn(&Wishes) -> Vec<Run>,
    /// Options that it does not go with, and why.
    pub lacks: &'static [(&'static str, &'static str)],
}

/// One search: a model within bounds.
pub struct Run {
    pub bounds: String,
    pub size: Size,
    /// How many states there are within the bounds; none if nobody has counted them.
    pub pinned: Option<usize>,
    /// How many there may be, if nobody has: an order of magnitude.
    pub expected_states: f64,
    /// The property that must be found broken: this search shows a fault.
    pub expected: Option<&'static str>,
    /// Its paths begin after what happened among just so many nodes.
    pub has_past: bool,
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
    fn explore(&self, address: SocketAddr, whole: bool) -> !;
}

impl<M: Subject> Runnable for M {
    fn check(&self, limits: &Limits, only: Option<&'static str>, watch: &mut Watch<'_>) -> Report {
        check(self, limits, only, watch)
    }

    fn explore(&self, address: SocketAddr, whole: bool) -> ! {
        explore::serve(self, address, whole)
    }
}

const DATAGRAMS: &str = "its messages are datagrams, which are lost and overtaken";
const HEARTBEATS: &str = "heartbeats are all that happens in it";
const SCRIPTS: &str = "its clients ask what is in their scripts";
const PROCESSES: &str = "it has three processes, and is told who is elected";

/// All models, in the order in which they are best read.
pub const MODELS: [Entry; 6] = [
    Entry {
        name: "election",
        proves: "heartbeats on full, chained and hub topologies elect only who reaches a quorum",
        runs: election::runs,
        lacks: &[
            ("--elections", HEARTBEATS),
            ("--entries", HEARTBEATS),
            ("--network fifo", DATAGRAMS),
        ],
    },
    Entry {
        name: "replication",
        proves: "leaders compete over a lossy, duplicating, unordered network: decided entries last",
        runs: replication::runs,
        lacks: &[("--network fifo", DATAGRAMS)],
    },
    Entry {
        name: "recovery",
        proves: "nodes crash between any write and its sync, and come back: nothing vouched for is lost",
        runs: recovery::runs,
        lacks: &[("--network fifo", DATAGRAMS)],
    },
    Entry {
        name: "store",
        proves: "clients that retry, and a deposed leader that is asked to read: linearizable",
        runs: clients::runs,
        lacks: &[("--entries", SCRIPTS), ("--network fifo", DATAGRAMS)],
    },
    Entry {
        name: "snapshot",
        proves: "a follower behind a trimmed log, two snapshots on their way: equal states",
        runs: snapshot::runs,
        lacks: &[("--network fifo", DATAGRAMS)],
    },
    Entry {
        name: "course",
        proves: "the protocol as it is taught: a tour of its three faults, and none once repaired",
        runs: course::runs,
        lacks: &[("--nodes", PROCESSES), ("--heartbeats", PROCESSES)],
    },
];

/// The model of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODELS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_search_has_a_label_of_its_own() {
        for Entry { name, runs, .. } in &MODELS {
            let labels: Vec<String> =
                runs(&Wishes::default()).into_iter().map(|run| run.bounds).collect();
            for (at, label) in labels.iter().enumerate() {
                assert!(!labels[..at].contains(label), "{name}: {label}");
            }
        }
    }
}
