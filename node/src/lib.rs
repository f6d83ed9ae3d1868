//! Quorate: a replicated key-value store.
//!
//! [`protocol`] is the core, a pure function: no clock, socket, file, thread or randomness.
//! [`wire`] is what nodes and clients send each other: the layout of datagrams.
//! [`config`] reads the cluster file, [`partition`] maps keys to groups and groups to nodes.
//! [`server`] is the process: it feeds the core with datagrams, and with what [`identity`], [`wal`]
//! and [`snapshot`] keep on disk, through [`storage`]. [`trace`] writes down what it fed the core with.
//! [`kv`] is the replicated map it drives, [`session`] makes its commands happen exactly once.
//! [`client`] asks a cluster, one request or many at a time, each until an answer or the deadline.

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
