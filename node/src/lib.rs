//! Quorate: a replicated key-value store.
//!
//! [`protocol`] is the core, a pure function: no clock, socket, file, thread or randomness.
//! [`kv`] is the replicated map it drives, [`session`] makes its commands happen exactly once.
//! [`wire`] is the layout of datagrams.
//! [`identity`], [`wal`] and [`snapshot`] are what a node keeps on its disk, through [`storage`].

mod bytes;
mod command;
mod digest;
pub mod identity;
pub mod kv;
pub mod protocol;
pub mod session;
pub mod snapshot;
pub mod storage;
pub mod wal;
pub mod wire;
