//! What runs did, counted: a simulation that never lost a datagram proves nothing.

use super::plan::Fault;
use std::collections::BTreeMap;

/// Counts of one run, or of many.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Tally {
    pub seeds: u64,
    pub events: u64,
    pub virtual_us: u64,
    pub sent: u64,
    pub lost: u64,
    pub cut: u64,
    pub duplicated: u64,
    pub replayed: u64,
    pub reordered: u64,
    pub elections: u64,
    pub suspicions: u64,
    pub crashes: u64,
    pub restarts: u64,
    pub records_lost: u64,
    pub records_torn: u64,
    pub refused: u64,
    pub snapshots_taken: u64,
    pub snapshots_installed: u64,
    pub decided: u64,
    pub operations: u64,
    pub indeterminate: u64,
    pub retries: u64,
    pub expired: u64,
    pub histories_undecided: u64,
    /// The longest time from the healing of all faults to full agreement.
    pub recovery_us_max: u64,
    /// The longest time until every client was answered with some faults lasting.
    pub endured_us_max: u64,
    /// By fault: how often, and how often it touched anything.
    pub faults: BTreeMap<Fault, (u64, u64)>,
}

impl Tally {
    /// A fault was injected.
    pub fn injected(&mut self, fault: Fault) {
        self.faults.entry(fault).or_default().0 += 1;
    }

    /// A fault touched something for the first time.
    pub fn effective(&mut self, fault: Fault) {
        self.faults.entry(fault).or_default().1 += 1;
    }

    /// Adds the counts of other runs.
    pub fn add(&mut self, other: &Tally) {
        let Tally { faults, recovery_us_max, endured_us_max, .. } = other;
        for (fault, (injected, effective)) in faults {
            let counts = self.faults.entry(*fault).or_default();
            *counts = (counts.0 + injected, counts.1 + effective);
        }
        self.endured_us_max = self.endured_us_max.max(*endured_us_max);
        self.recovery_us_max = self.recovery_us_max.max(*recovery_us_max);
        let mut theirs = other.clone();
        for (mine, theirs) in self.counts().into_iter().zip(theirs.counts()) {
            *mine += *theirs;
        }
    }

    /// Every count that adds up.
    fn counts(&mut self) -> [&mut u64; 24] {
        [
            &mut self.seeds,
            &mut self.events,
            &mut self.virtual_us,
            &mut self.sent,
            &mut self.lost,
            &mut self.cut,
            &mut self.duplicated,
            &mut self.replayed,
            &mut self.reordered,
            &mut self.elections,
            &mut self.suspicions,
            &mut self.crashes,
            &mut self.restarts,
            &mut self.records_lost,
            &mut self.records_torn,
            &mut self.refused,
            &mut self.snapshots_taken,
            &mut self.snapshots_installed,
            &mut self.decided,
            &mut self.operations,
            &mut self.indeterminate,
            &mut self.retries,
            &mut self.expired,
            &mut self.histories_undecided,
        ]
    }
}
