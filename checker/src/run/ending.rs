//! The end of a run: all is healed, every key is read, and replicas must be equal.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use node::wire::NodeId;

use super::Interrupts;
use super::{BOOT, Error, Scene};
use crate::cluster;
use crate::process::{Access, Answer, Process};
use crate::proxy::Endpoint;
use crate::workload::Operation;

/// How long a healed cluster may take to answer a read, or to bring all replicas up to date.
const RECOVERY: Duration = Duration::from_secs(10);

/// Processes of final reads are numbered from here, far above those of the load.
pub(crate) const FINAL_READERS: u64 = 1_000_000_000;

/// What was found when all was healed.
#[derive(Default)]
pub(super) struct Ending {
    /// What should have worked, and did not.
    pub failed: Vec<String>,
    /// Replicas that applied as much and have different states.
    pub diverged: Vec<String>,
    /// Whether nodes tell a digest of their state; if not, replicas were not compared.
    pub has_digests: bool,
    /// Final reads that were answered.
    pub reads: u64,
}

/// Heals the cluster and looks at what it has become. An interrupt ends that too, unless it has ended
/// the load already: then the next one ends all. An error is that of a socket.
pub(super) fn end(scene: &Scene<'_>, interrupts: &Interrupts) -> Result<Ending, Error> {
    let mut ending = Ending::default();
    let came_before = interrupts.came();
    let is_unwanted = || interrupts.came() && !came_before;
    scene.proxy.heal();
    // Whoever has ended by itself is in the verdict already; what it kept is worth reading.
    scene.nodes.bury();
    if let Err(error) = scene.nodes.start_all_unless(BOOT, &is_unwanted) {
        use cluster::Error::{Ended, Silent, Unwanted};
        match error {
            Ended { .. } | Silent { .. } | Unwanted => {
                ending.failed.push(error.to_string());
                return Ok(ending);
            }
            error => return Err(Error::Cluster(error)),
        }
    }
    scene.recorder.noted("all is healed");
    for (position, &id) in scene.nodes.ids().iter().enumerate() {
        read_all(scene, position, id, &is_unwanted, &mut ending)?;
    }
    compare(scene, &is_unwanted, &mut ending);
    if is_unwanted() {
        ending.failed.push(String::from("ended before all was read and compared, as asked"));
    }
    Ok(ending)
}

/// Reads every key by a client at this node. Followers do not answer reads, so what is read through
/// each node is, wherever it was asked, what the leader has.
fn read_all(
    scene: &Scene<'_>,
    position: usize,
    id: NodeId,
    is_unwanted: &dyn Fn() -> bool,
    ending: &mut Ending,
) -> Result<(), Error> {
    let group = Endpoint::Client((scene.plan.concurrency + position) as u32);
    let (cluster, secret) = scene.nodes.view(|node| scene.proxy.address(group, node));
    let access = Access { cluster, secret, timeout: RECOVERY };
    let number = FINAL_READERS + position as u64;
    let process = Process::new(number, &access, scene.recorder);
    let mut process = process.map_err(Error::io("a client's socket"))?;
    for key in (0..scene.plan.keys).take_while(|_| !is_unwanted()) {
        match process.perform(&Operation::read(key)) {
            Answer::Ok(_) => ending.reads += 1,
            answer => {
                let name = Operation::read(key).name();
                let why = format!("final read of {name} by client {} failed: {answer:?}", id.0);
                ending.failed.push(why);
                // Who waited so long in vain would do so for each key.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Waits until all replicas of each group have applied as much; those must have equal states, then
/// and at any moment before.
fn compare(scene: &Scene<'_>, is_unwanted: &dyn Fn() -> bool, ending: &mut Ending) {
    let deadline = Instant::now() + RECOVERY;
    let mut digests: BTreeMap<(u64, u64), (NodeId, String)> = BTreeMap::new();
    let mut diverged = BTreeSet::new();
    loop {
        let mut applied: BTreeMap<u64, BTreeMap<NodeId, u64>> = BTreeMap::new();
        let mut silent = Vec::new();
        for id in scene.nodes.ids() {
            let Some(replicas) = scene.nodes.status(id) else {
                silent.push(id.0);
                continue;
            };
            for replica in replicas {
                applied.entry(replica.group).or_default().insert(id, replica.applied);
                let Some(digest) = replica.digest else { continue };
                ending.has_digests = true;
                let at = (replica.group, replica.applied);
                let (other, first) = digests.entry(at).or_insert((id, digest.clone()));
                if *first != digest {
                    diverged.insert(format!(
                        "nodes {} and {} have applied {} entries of group {} and differ: \
                         digests {first} and {digest}",
                        other.0, id.0, replica.applied, replica.group
                    ));
                }
            }
        }
        let equal = |of: &BTreeMap<NodeId, u64>| of.values().collect::<BTreeSet<_>>().len() == 1;
        if is_unwanted() && diverged.is_empty() {
            return;
        }
        let is_even = silent.is_empty() && applied.values().all(equal);
        if is_even || !diverged.is_empty() || Instant::now() >= deadline {
            ending.diverged = diverged.into_iter().collect();
            if !is_even && ending.diverged.is_empty() {
                ending.failed.push(format!(
                    "replicas are not even {} s after all was healed: applied {applied:?}, \
                     silent {silent:?}",
                    RECOVERY.as_secs()
                ));
            }
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
