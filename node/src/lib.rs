//! Quorate: a replicated key-value store, which stays linearizable whatever the network does to its
//! datagrams, and whoever is killed and comes back. This crate is the programs `node` and `kv`, and the
//! library that they and the checker are made of.
//!
//! ```text
//!            datagrams, timers                      messages, timers
//!    socket ───────────────────▶  replica.step(..) ──────────────────▶ socket
//!     wire                           protocol      ──▶ wal ──▶ disk      wire
//!                                       │ decided    before messages
//!                                       ▼
//!                                  session ▶ kv
//! ```
//!
//! In the order in which to read it:
//!
//! 1. [`protocol`] is the core, a pure function: no clock, socket, file, thread or randomness. It is
//!    Sequence Paxos; its [`invariants`](protocol::invariants) say what must hold.
//! 2. [`kv`] is the replicated map it drives; [`session`] makes its commands happen exactly once.
//! 3. [`wire`] is what nodes and clients send each other: the layout of datagrams.
//! 4. [`wal`], [`snapshot`] and [`identity`] are what a node keeps on its disk, through [`storage`].
//! 5. [`server`] is the process: it feeds the core with datagrams, time and what it once kept.
//! 6. [`config`] reads the cluster file, [`partition`] maps keys to groups and groups to nodes.
//! 7. [`client`] asks a cluster, one request or many at a time, each until an answer or the deadline.
//! 8. [`cli`] is the command lines; [`trace`] writes down what the core was fed with, to repeat it.

mod bytes;
pub mod cli;
pub mod client;
mod command;
pub mod config;
mod digest;
pub mod identity;
pub mod kv;
pub mod partition;
pub mod protocol;
pub mod server;
pub mod session;
pub mod snapshot;
mod socket;
pub mod storage;
pub mod trace;
pub mod wal;
pub mod wire;
