//! Quorate: a replicated key-value store.
//!
//! [`protocol`] is the core, a pure function: no clock, socket, file, thread or randomness.
//! [`kv`] is the replicated map it drives, [`session`] makes its commands happen exactly once.
//! Around it, towards a process: [`wire`] is the layout of datagrams; [`identity`], [`wal`] and
//! [`snapshot`] are what a node keeps on its disk, through [`storage`]; [`config`] reads the cluster
//! file, [`partition`] maps keys to groups and groups to nodes, [`cli`] reads command lines.

mod bytes;
pub mod cli;
mod command;
pub mod config;
mod digest;
pub mod identity;
pub mod kv;
pub mod partition;
pub mod protocol;
pub mod session;
pub mod snapshot;
pub mod storage;
pub mod wal;
pub mod wire;
