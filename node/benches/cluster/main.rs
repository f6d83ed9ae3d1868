//! Real nodes on this machine, measured from outside. One table, a line as soon as it is known:
//!
//! ```sh
//! cargo bench -p node --bench cluster                      # all of it: some ten minutes
//! cargo bench -p node --bench cluster -- failover restart  # these
//! ```
//! The nodes, the clients and whatever else runs share the machine: compare numbers of one run.

mod catch_up;
mod failover;
mod load;
#[path = "../../tests/cluster/nodes.rs"]
#[allow(dead_code, reason = "tests need more of it than measurements")]
mod nodes;
mod restart;
mod snapshot;
mod throughput;

/// Prints its lines of the table.
type Measure = fn(&Scale);

const MEASURES: [(&str, Measure); 5] = [
    ("throughput", throughput::measure),
    ("failover", failover::measure),
    ("catch-up", catch_up::measure),
    ("snapshot", snapshot::measure),
    ("restart", restart::measure),
];

/// How much of it: all, or so little that it only shows that it runs.
pub struct Scale {
    is_test: bool,
}

impl Scale {
    /// That many, or a few.
    pub fn count(&self, full: u64) -> u64 {
        if self.is_test { full.div_ceil(100) } else { full }
    }
}

/// Prints a line of the table.
pub fn row(what: &str, result: &str) {
    println!("{what:<58} {result}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = Scale { is_test: arguments.iter().any(|argument| argument == "--test") };
    let chosen: Vec<&String> = arguments.iter().filter(|name| !name.starts_with('-')).collect();
    for name in &chosen {
        if MEASURES.iter().all(|(known, _)| known != name) {
            let known: Vec<&str> = MEASURES.iter().map(|(known, _)| *known).collect();
            eprintln!("{name}: no such measure; there are {}", known.join(", "));
            std::process::exit(254);
        }
    }
    for (name, measure) in MEASURES {
        if chosen.is_empty() || chosen.iter().any(|chosen| *chosen == name) {
            measure(&scale);
        }
    }
}
