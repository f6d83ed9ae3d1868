//! Quorate: a replicated key-value store.
//!
//! [`protocol`] is the core, a pure function: no clock, socket, file, thread or randomness.
//! [`kv`] is the replicated map it drives, [`session`] makes its commands happen exactly once.

mod bytes;
mod command;
mod digest;
pub mod kv;
pub mod protocol;
pub mod session;
