//! Whatever a peer says, a replica stays legal.
//!
//! Three replicas in memory take actions drawn from a seed: honest ones (a delivery, a tick, a
//! sync, a crash, a request) and lies. A lie is any message at all, or a fitting answer to a real
//! message with false content. Lies may well break the agreement *between* replicas, for the
//! protocol trusts its members; so only what is local is asserted, at every step:
//! - it does not panic, and breaks no invariant of its own;
//! - it writes only records that a restart understands, and says only what is on its disk;
//! - it allocates, keeps and sends no more than configuration and what it was sent account for;
//! - what a message sets off comes to an end without a timer.
//!
//! ```text
//!   any_message/search.rs     runs; the reduction of one that fails
//!               replica.rs    a replica and its disk; what is asserted
//!               cluster.rs    three of them and a network; what correct clusters go through
//!               lies.rs       ways to lie
//!               forge.rs      what lies are made of
//!               disk.rs       damaged records
//!               random.rs memory.rs
//! ```
//! `SEED= RUNS= ACTIONS= cargo test -p node --test any_message -- --nocapture` searches elsewhere
//! or longer. A run that fails is cut down to the actions it needs, and their trace is printed.

#[path = "any_message/cluster.rs"]
mod cluster;
#[path = "any_message/disk.rs"]
mod disk;
#[path = "any_message/forge.rs"]
mod forge;
#[path = "any_message/lies.rs"]
mod lies;
#[path = "any_message/memory.rs"]
mod memory;
#[path = "any_message/random.rs"]
mod random;
#[path = "any_message/replica.rs"]
mod replica;
#[path = "any_message/search.rs"]
mod search;

use cluster::Cluster;
use node::protocol::Contradiction;
use random::{Random, setting};
use search::search;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};

#[test]
fn any_message_in_any_state_leaves_a_legal_replica() {
    let sometimes = [
        "recover",
        "follower",
        "prepare",
        "leader",
        "entries were decided",
        "a snapshot was taken",
        "a snapshot came from a peer",
        "a snapshot was installed",
        "the log was trimmed",
        "a log was replaced",
        "prepare to a leader",
        "promise to a leader",
        "hello to a leader",
        "nack to a leader",
        "accept-sync to a follower",
        "accept to a follower",
        "accepted to a leader",
        "decide to a follower",
        "pull to a leader",
        "pulled to a follower",
        "pulled to a leader in prepare",
        "snapshot-pull to a leader",
        "snapshot-piece to a follower",
        "snapshot-piece to a leader in prepare",
        "confirmed to a leader",
        "heartbeat-reply to a follower",
        "entries overtook others",
        "pieces of a snapshot overtook others",
    ];
    search(Cluster::act, &sometimes);
}

#[test]
fn without_timers_what_a_lie_sets_off_dies_away() {
    let act = |cluster: &mut Cluster, random: &mut Random| match random.below(8) {
        // On a copy: the lies of one try are no part of the state that the next begins in.
        0 => {
            let mut lied_to = cluster.clone();
            lied_to.die_away(random);
            cluster.met = lied_to.met;
        }
        _ => cluster.act_honestly(random),
    };
    let sometimes = ["prepare", "leader", "a snapshot was installed", "a cause had four effects"];
    search(act, &sometimes);
}

#[test]
fn a_disk_that_contradicts_itself_is_refused_by_name() {
    let mut random = Random::seeded();
    let (mut refused, mut started) = (BTreeSet::new(), 0);
    for _ in 0..setting("RUNS", search::RUNS) {
        let mut cluster = Cluster::new(false);
        (0..60 + random.below(200)).for_each(|_| cluster.act(&mut Random::of(random.next())));
        for _ in 0..20 {
            let at = random.below(3) as usize;
            let mut records = cluster.nodes[at].history.clone();
            (0..1 + random.below(3)).for_each(|_| disk::damage(&mut records, &mut random));
            // Either the disk is refused, or the replica is legal and stays so.
            let live = || -> Result<(), Contradiction> {
                let (mut cluster, mut random) = (cluster.clone(), Random::of(random.next()));
                cluster.nodes[at].start_from(&records, &mut random)?;
                cluster.settle(at);
                (0..40).for_each(|_| cluster.act_honestly(&mut random));
                Ok(())
            };
            match panic::catch_unwind(AssertUnwindSafe(live)) {
                Ok(Ok(())) => started += 1,
                Ok(Err(contradiction)) => {
                    assert!(!contradiction.to_string().is_empty());
                    let name = format!("{contradiction:?}");
                    refused.extend(name.split('(').next().map(str::to_owned));
                }
                Err(panic) => {
                    records.iter().for_each(|record| println!("{record}"));
                    panic::resume_unwind(panic)
                }
            }
        }
    }
    println!("{started} damaged disks are still legal; refused: {refused:?}");
    assert!(started > 0 && refused.len() == 11, "each contradiction was met");
}
