//! The verdict over a run: that over its history, and whether it proves anything.

use std::collections::BTreeMap;

use super::ending::Ending;
use super::load::Loaded;
use super::record::{Counts, Fault};
use crate::verify::Finding;
use crate::workload::Kind;

/// What was found, worst first.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In one word.
    pub word: &'static str,
    /// The exit code that tells it.
    pub code: u8,
    /// Why, besides what the history shows; each in one sentence.
    pub reasons: Vec<String>,
    /// The load was ended early.
    pub is_interrupted: bool,
    /// It was ended by what was seen, and the nodes stood still.
    pub is_frozen: bool,
}

/// What was recorded.
pub(super) struct Facts {
    pub counts: Counts,
    pub faults: Vec<Fault>,
    pub asked_for_faults: bool,
    /// Where the judge of the run and that of its history contradict each other.
    pub quarrels: Vec<String>,
    /// Something impossible was seen, and the nodes stand still.
    pub is_frozen: bool,
}

/// So many operations of each kind must succeed, in all, and while faults of each kind lasted.
const OK_MIN: u64 = 5;

/// The latter only if they left a quorum for so long, some elections and what can be done then.
const QUORUM_NS_MIN: u64 = 1_000_000_000;

impl Outcome {
    pub(super) fn of(facts: &Facts, loaded: &Loaded, ending: &Ending, finding: Finding) -> Outcome {
        let ended = loaded.ended.iter().map(|(id, status)| {
            format!("node {} ended by itself during the load: {status}; see its log", id.0)
        });
        let ended: Vec<String> = ended.chain(ending.ended.iter().cloned()).collect();
        // What was stopped had no time to prove anything else.
        let vacuous = if facts.is_frozen { vec![] } else { vacuous(facts, loaded, ending) };
        let (word, code) = match finding {
            _ if !facts.quarrels.is_empty() => (Finding::Unproven.name(), 255),
            Finding::Unproven | Finding::Unreadable => (Finding::Unproven.name(), 255),
            Finding::Invalid => (Finding::Invalid.name(), 1),
            _ if !ending.diverged.is_empty() => (Finding::Invalid.name(), 1),
            _ if !ended.is_empty() => ("crashed", 255),
            Finding::Unknown => (Finding::Unknown.name(), 2),
            Finding::Vacuous => (Finding::Vacuous.name(), 3),
            Finding::Valid if !vacuous.is_empty() => (Finding::Vacuous.name(), 3),
            Finding::Valid => (Finding::Valid.name(), 0),
        };
        let quarrels = facts.quarrels.iter().chain(&ending.diverged).cloned();
        let reasons = quarrels.chain(ended).chain(vacuous).collect();
        let (is_interrupted, is_frozen) = (loaded.is_interrupted, facts.is_frozen);
        Outcome { word, code, reasons, is_interrupted, is_frozen }
    }
}

/// Why nothing was proven, even if all that was seen is well.
fn vacuous(facts: &Facts, loaded: &Loaded, ending: &Ending) -> Vec<String> {
    let mut reasons = ending.failed.clone();
    for kind in Kind::ALL {
        let ok = facts.counts.ok[kind.index()];
        if ok < OK_MIN {
            reasons.push(format!("only {ok} operations of the kind {} succeeded", kind.name()));
        }
    }
    if facts.asked_for_faults && facts.faults.is_empty() {
        let advice = "allow more time, or a shorter --nemesis-interval";
        reasons.push(format!("no fault took place: {advice}"));
    }
    for fault in facts.faults.iter().filter(|fault| fault.touched == 0) {
        reasons.push(format!("a fault touched nothing: {}", fault.what));
    }
    if loaded.wanted_leader && !loaded.hit_leader {
        reasons.push(String::from("no leader was ever hit, although faults were aimed at it"));
    }
    for (family, Meanwhile { ok, quorum_ns }) in meanwhile(&facts.faults) {
        // While no quorum is left, nothing can succeed.
        if quorum_ns < QUORUM_NS_MIN {
            continue;
        }
        for kind in Kind::ALL.into_iter().filter(|kind| ok[kind.index()] < OK_MIN) {
            let (count, kind) = (ok[kind.index()], kind.name());
            reasons.push(format!("only {count} {kind} succeeded while {family} lasted"));
        }
    }
    reasons
}

/// What went on while faults of one kind lasted.
#[derive(Clone, Copy, Default)]
pub(super) struct Meanwhile {
    /// What succeeded, by [`Kind::index`].
    pub ok: [u64; 3],
    /// How long of it there was a quorum.
    pub quorum_ns: u64,
}

/// What went on while faults of each kind lasted.
pub(super) fn meanwhile(faults: &[Fault]) -> BTreeMap<&str, Meanwhile> {
    let mut all: BTreeMap<&str, Meanwhile> = BTreeMap::new();
    for fault in faults {
        let sum = all.entry(&fault.kind).or_default();
        sum.quorum_ns += fault.quorum_ns;
        (0..3).for_each(|index| sum.ok[index] += fault.ok[index]);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use node::wire::NodeId;

    use super::*;

    fn kill() -> Fault {
        let (kind, what) = ("kill".to_string(), "kill leader: n1".to_string());
        let (begun, healed, quorum_ns) = (1, Some(1 + QUORUM_NS_MIN), QUORUM_NS_MIN);
        let (touched, ok) = (1, [9, 9, 9]);
        Fault { kind, what, begun, healed, quorum_ns, touched, ok, ..Fault::default() }
    }

    fn good() -> (Facts, Loaded, Ending) {
        let counts = Counts { invoked: 60, ok: [20, 20, 20], failed: 0, indeterminate: 0 };
        let (faults, quarrels) = (vec![kill()], Vec::new());
        let (asked_for_faults, is_frozen) = (true, false);
        let facts = Facts { counts, faults, asked_for_faults, quarrels, is_frozen };
        let loaded = Loaded {
            ended: Vec::new(),
            is_interrupted: false,
            wanted_leader: true,
            hit_leader: true,
        };
        (facts, loaded, Ending::default())
    }

    fn of(facts: &Facts, loaded: &Loaded, ending: &Ending, finding: Finding) -> (u8, Vec<String>) {
        let outcome = Outcome::of(facts, loaded, ending, finding);
        (outcome.code, outcome.reasons)
    }

    #[test]
    fn a_good_run_is_what_its_history_is() {
        let (facts, loaded, ending) = good();
        for (finding, code) in [
            (Finding::Valid, 0),
            (Finding::Invalid, 1),
            (Finding::Unknown, 2),
            (Finding::Vacuous, 3),
            (Finding::Unproven, 255),
        ] {
            assert_eq!(of(&facts, &loaded, &ending, finding), (code, vec![]));
        }
    }

    #[test]
    fn what_proves_nothing_is_vacuous_and_says_why() {
        let says = |facts: &Facts, loaded: &Loaded, ending: &Ending, why: &str| {
            let (code, reasons) = of(facts, loaded, ending, Finding::Valid);
            assert_eq!((code, reasons.len()), (3, 1), "{reasons:?}");
            assert!(reasons[0].contains(why), "{reasons:?}");
        };
        let (mut facts, loaded, ending) = good();
        facts.counts.ok[Kind::Cas.index()] = 4;
        says(&facts, &loaded, &ending, "only 4 operations of the kind cas");
        let (mut facts, mut loaded, mut ending) = good();
        facts.faults[0].touched = 0;
        says(&facts, &loaded, &ending, "touched nothing: kill leader");
        facts.faults[0] = Fault { ok: [9, 0, 9], ..kill() };
        says(&facts, &loaded, &ending, "only 0 write succeeded while kill lasted");
        facts.faults = vec![Fault { quorum_ns: QUORUM_NS_MIN - 1, ok: [0; 3], ..kill() }];
        assert_eq!(of(&facts, &loaded, &ending, Finding::Valid).0, 0);
        loaded.hit_leader = false;
        says(&facts, &loaded, &ending, "no leader was ever hit");
        loaded.hit_leader = true;
        facts.faults.clear();
        says(&facts, &loaded, &ending, "no fault took place");
        facts.asked_for_faults = false;
        ending.failed.push("final read of k3 failed".to_string());
        says(&facts, &loaded, &ending, "final read of k3");
    }

    #[test]
    fn replicas_that_differ_are_invalid_whatever_clients_saw() {
        let (facts, loaded, mut ending) = good();
        ending.diverged.push("nodes 1 and 2 differ".to_string());
        for finding in [Finding::Valid, Finding::Unknown, Finding::Vacuous] {
            assert_eq!(of(&facts, &loaded, &ending, finding).0, 1);
        }
    }

    #[test]
    fn a_node_that_ends_by_itself_is_a_crash_whenever_it_does() {
        let (facts, mut loaded, mut ending) = good();
        ending.ended.push("node 2 ended by itself after the load".to_string());
        assert_eq!(of(&facts, &loaded, &ending, Finding::Valid), (255, ending.ended.clone()));
        assert_eq!(of(&facts, &loaded, &ending, Finding::Invalid).0, 1);
        ending.ended.clear();
        loaded.ended.push((NodeId(2), ExitStatus::default()));
        let (code, reasons) = of(&facts, &loaded, &ending, Finding::Valid);
        assert_eq!((code, reasons.len()), (255, 1));
        assert!(reasons[0].contains("node 2 ended by itself during the load"), "{reasons:?}");
    }

    #[test]
    fn judges_that_contradict_each_other_are_no_verdict() {
        let (mut facts, loaded, ending) = good();
        facts.quarrels.push("k3 is both".to_string());
        for finding in [Finding::Valid, Finding::Invalid] {
            assert_eq!(of(&facts, &loaded, &ending, finding), (255, vec!["k3 is both".into()]));
        }
    }
}
