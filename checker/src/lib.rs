//! Tests replicated stores from outside, and judges what their clients saw. It never looks into the
//! replicas it judges: of the node it knows the wire and the client, as any other program may.
//!
//! ```text
//!    workload ▶ process ▶ proxy ▶ nodes        what is done: run
//!                 │         ▲       ▲
//!                 │         └───────┴─ nemesis
//!                 ▼
//!              history ▶ linearizability ▶ explain, report        what is said: verify
//! ```
//!
//! In the order in which to read it:
//!
//! 1. [`history`]: what clients did and saw, in one of four formats, key by key;
//! 2. [`linearizability`]: is there one legal order of all operations that respects real time?
//!    [`check`] asks the same for a history of your own types, in one call;
//! 3. [`explain`]: why a history is impossible, in words and drawings;
//! 4. [`proxy`]: a network between real nodes that does as it is told; [`nemesis`]: what it is told,
//!    and what is done to the nodes;
//! 5. [`cluster`], [`workload`] and [`process`]: the nodes, what is asked of them, and by whom;
//! 6. [`run`] and [`store`]: one test from start to verdict, and where its results go;
//! 7. [`report`]: the same for people, as a page; [`summary`]: many runs as a table;
//! 8. [`mod@bench`]: how fast a cluster is while nothing goes wrong;
//! 9. [`verify`], [`cli`] and [`say`]: the program.

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
