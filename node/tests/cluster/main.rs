//! Real nodes on this machine, and everything done to break them.
//!
//! `nodes.rs` runs processes, `load.rs` has clients work and judges what they were told, `caller.rs`
//! speaks to one node at a time; the other files are one theme each. With `FULL=1` (see `size.rs`)
//! the tests have the size of a campaign: `scripts/nodes.sh` runs them so and prints a table.

mod caller;
mod clocks;
mod crashes;
mod datagrams;
mod disk_faults;
mod full_disks;
mod injected;
mod load;
mod nodes;
mod operations;
mod partitions;
mod pipeline;
mod refusals;
mod size;
mod strangers;
mod tap;
mod weather;
