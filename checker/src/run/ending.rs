//! The end of a run: all is healed, every key is read, and replicas must be equal.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use node::wire::NodeId;

use super::Interrupts;
use super::{BOOT, Error, Scene};
use crate::cluster::{self, Replica};
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
    /// Nodes that ended though nobody killed them, each in a sentence.
    pub ended: Vec<String>,
    /// Replicas that applied as much and have different states.
    pub diverged: Vec<String>,
    /// Whether the states of all replicas were compared, all at the same count of applied entries.
    pub are_compared: bool,
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
            Ended { .. } => ending.ended.push(error.to_string()),
            Silent { .. } | Unwanted => ending.failed.push(error.to_string()),
            error => return Err(Error::Cluster(error)),
        }
        return Ok(ending);
    }
    scene.recorder.noted("all is healed");
    for (position, &id) in scene.nodes.ids().iter().enumerate() {
        read_all(scene, position, id, &is_unwanted, &mut ending)?;
    }
    compare(scene, &is_unwanted, &mut ending);
    let ended = scene.nodes.ended().into_iter();
    ending.ended.extend(ended.map(|(id, status)| {
        format!("node {} ended by itself after the load: {status}; see its log", id.0)
    }));
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
    let mut seen = Comparison::default();
    loop {
        let nodes = scene.nodes.ids().into_iter();
        seen.look(nodes.map(|id| (id, scene.nodes.status(id))));
        if is_unwanted() && seen.diverged.is_empty() {
            return;
        }
        if seen.is_even() || !seen.diverged.is_empty() || Instant::now() >= deadline {
            return seen.conclude(ending);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// What nodes say of their replicas, one look after the other.
#[derive(Default)]
struct Comparison {
    /// The digest of each state, by group and count of applied entries, and who told it first.
    digests: BTreeMap<(u64, u64), (NodeId, String)>,
    /// Who told another one, in a sentence each.
    diverged: BTreeSet<String>,
    /// At the last look: the count of applied entries, by group and node.
    applied: BTreeMap<u64, BTreeMap<NodeId, u64>>,
    /// At the last look: who did not answer.
    silent: Vec<u16>,
    /// At the last look: somebody told no digest.
    lacks_digests: bool,
}

impl Comparison {
    /// Takes what each node says now; `None` if it does not answer.
    fn look(&mut self, nodes: impl Iterator<Item = (NodeId, Option<Vec<Replica>>)>) {
        self.applied.clear();
        self.silent.clear();
        self.lacks_digests = false;
        for (id, replicas) in nodes {
            match replicas {
                None => self.silent.push(id.0),
                Some(replicas) => replicas.into_iter().for_each(|replica| self.add(id, replica)),
            }
        }
    }

    fn add(&mut self, id: NodeId, Replica { group, applied, digest, .. }: Replica) {
        self.applied.entry(group).or_default().insert(id, applied);
        let Some(digest) = digest else {
            self.lacks_digests = true;
            return;
        };
        let known = self.digests.entry((group, applied));
        let (other, first) = known.or_insert_with(|| (id, digest.clone()));
        if *first != digest {
            self.diverged.insert(format!(
                "nodes {} and {} have applied {applied} entries of group {group} and differ: \
                 digests {first} and {digest}",
                other.0, id.0
            ));
        }
    }

    /// Whether all answered, and all of each group have applied as much.
    fn is_even(&self) -> bool {
        let is_even = |of: &BTreeMap<NodeId, u64>| of.values().collect::<BTreeSet<_>>().len() == 1;
        self.silent.is_empty() && self.applied.values().all(is_even)
    }

    fn conclude(self, ending: &mut Ending) {
        let (is_even, lacks_digests) = (self.is_even(), self.lacks_digests);
        ending.are_compared = is_even && !lacks_digests;
        if self.diverged.is_empty() && !is_even {
            ending.failed.push(format!(
                "replicas are not even {} s after all was healed: applied {:?}, silent {:?}",
                RECOVERY.as_secs(),
                self.applied,
                self.silent
            ));
        } else if self.diverged.is_empty() && lacks_digests {
            let why = "replicas were not compared: a node tells no digest of its state";
            ending.failed.push(String::from(why));
        }
        ending.diverged = self.diverged.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many entries a node has applied, and the digest; nothing if it is silent.
    type Says<'a> = Option<(u64, Option<&'a str>)>;

    /// What is found if two nodes say this, one look after the other.
    fn found(looks: &[[Says<'_>; 2]]) -> Ending {
        let mut seen = Comparison::default();
        for look in looks {
            let replicas = look.map(|says| {
                let (applied, digest) = says?;
                let (ballot, digest) = (String::new(), digest.map(String::from));
                Some(vec![Replica { group: 0, leads: false, ballot, applied, digest }])
            });
            seen.look((1..).map(NodeId).zip(replicas));
        }
        let mut ending = Ending::default();
        seen.conclude(&mut ending);
        ending
    }

    #[test]
    fn replicas_that_have_applied_as_much_must_be_equal() {
        let equal = found(&[[Some((7, Some("a"))), Some((7, Some("a")))]]);
        assert!(equal.are_compared && equal.failed.is_empty() && equal.diverged.is_empty());
        let differ = found(&[[Some((7, Some("a"))), Some((7, Some("b")))]]);
        assert!(differ.failed.is_empty(), "{:?}", differ.failed);
        assert_eq!(differ.diverged.len(), 1);
        assert!(differ.diverged[0].starts_with("nodes 1 and 2 have applied 7 entries of group 0"));
    }

    #[test]
    fn a_state_is_compared_with_that_of_another_moment() {
        let passed = [[Some((7, Some("a"))), Some((6, Some("b")))]];
        let later = [[Some((8, Some("c"))), Some((7, Some("d")))]];
        assert_eq!(found(&passed).diverged, Vec::<String>::new());
        assert_eq!(found(&[passed, later].concat()).diverged.len(), 1);
    }

    #[test]
    fn what_was_not_compared_is_no_proof() {
        for (says, why) in [
            ([Some((7, Some("a"))), None], "silent [2]"),
            ([Some((7, Some("a"))), Some((6, Some("b")))], "not even"),
            ([Some((7, Some("a"))), Some((7, None))], "a node tells no digest"),
        ] {
            let ending = found(&[says]);
            assert!(!ending.are_compared && ending.diverged.is_empty());
            assert!(ending.failed.len() == 1 && ending.failed[0].contains(why), "{why}");
        }
    }
}
