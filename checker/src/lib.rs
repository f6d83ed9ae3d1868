//! Judges recorded histories of a replicated store.
//!
//! The checker sees what clients saw, and nothing else: it never looks into the replicas it judges.
//!
//! - [`linearizability`]: is there one legal order of all operations that respects real time?

pub mod linearizability;
