//! What is done to a cluster, and when: a plan drawn from a seed, and its execution.
//!
//! A [`Plan`] is complete before the run begins, and is written down: [`draw()`] needs nothing but
//! the seed and the [`Options`], and a plan that was read back does the same again. Only one thing
//! is found out when the time comes: who leads. [`execute()`] carries a plan out on a [`Cluster`]
//! and a [`Proxy`](crate::proxy::Proxy), tells each [`Event`], and heals everything, whatever
//! happens.

mod active;
mod draw;
mod execute;
mod pace;
mod plan;
mod shapes;

pub use draw::{Options, draw};
pub use execute::{Cluster, Event, What, execute};
pub use pace::{Interrupt, Pace, Waited, WallClock};
pub use plan::{Fault, Kind, Plan, Shape, Step, Target};
