//! Sequence Paxos: one log, replicated by one leader at a time.
//!
//! ```text
//!   recover ──boot is durable──▶ follower ──elected──▶ leader: prepare ──best log adopted──▶ accept
//!                                    ▲                        │                                │
//!                                    └────────── a higher ballot was promised ────────────────┘
//! ```
//! Source: Haridi, Kroll, Carbone: Lecture Notes on Leader-based Sequence Paxos (2020). It assumes
//! FIFO perfect links and processes that stay up; we assume fair-loss links that also repeat, delay
//! and reorder, and processes that crash and come back with their disk. Hence the differences:
//! entries carry their index; promises are of fixed size and logs are pulled; a log is replaced in
//! one atomic record; nothing is sent before what it claims is durable; everything is retransmitted.

mod accept;
pub(super) mod adoption;
pub(super) mod follower;
pub(super) mod leader;
mod prepare;
mod progress;
mod roles;

use follower::Follower;
use leader::Leader;

/// What a replica is at the moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Role<M> {
    /// It started, and the record of this start is not yet durable: it says and hears nothing,
    /// because freshness is counted from that record.
    Recover,
    /// It follows what it promised.
    Follower(Follower<M>),
    /// It leads, or prepares to.
    Leader(Box<Leader<M>>),
}
