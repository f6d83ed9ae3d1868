//! Judges recorded histories of a replicated store.
//!
//! The checker sees what clients saw, and nothing else: it never looks into the replicas it judges.
//!
//! - [`history`]: what clients did and saw;
//! - [`linearizability`]: is there one legal order of all operations that respects real time?
//! - [`check`]: the same question for a history of your own types.

pub mod check;
pub mod history;
pub mod linearizability;
