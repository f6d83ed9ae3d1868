//! Judges recorded histories of a replicated store.
//!
//! The checker sees what clients saw, and nothing else: it never looks into the replicas it judges.
//!
//! - [`history`]: what clients did and saw;
//! - [`linearizability`]: is there one legal order of all operations that respects real time?
//! - [`check`]: the same question for a history of your own types;
//! - [`explain`]: why a history is impossible, in words and drawings;
//! - [`proxy`]: a network between real nodes that does as it is told;
//! - [`nemesis`]: what it is told, and what is done to the nodes;
//! - [`cluster`], [`workload`] and [`process`]: the nodes, what is asked of them, and by whom;
//! - [`run`] and [`store`]: one test from start to verdict, and where its results go;
//! - [`report`]: the same for people, as a page; [`summary`]: many runs as a table;
//! - [`mod@bench`]: how fast a cluster is while nothing goes wrong;
//! - [`verify`], [`cli`] and [`say`]: the program.

pub mod bench;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod explain;
pub mod history;
pub mod linearizability;
pub mod nemesis;
pub mod process;
pub mod proxy;
pub mod report;
pub mod run;
pub mod say;
pub mod store;
pub mod summary;
pub mod verify;
pub mod workload;
