//! What a leader knows of one follower, and when to repeat itself.

use super::super::ballot::{Ballot, Index};
use super::super::log::Log;
use super::super::message::Report;

/// Invariant: `acked <= next`, both zero unless accepting.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Progress {
    pub stage: Stage,
    /// The first entry not yet sent.
    pub next: Index,
    /// Entries accepted durably under our ballot.
    pub acked: Index,
    /// The decided index it was last told.
    pub told: Index,
    /// Retransmission ticks since it made progress, or since it was first sent something.
    quiet_ticks: u32,
    /// So many more must pass before we repeat ourselves.
    patience_ticks: u32,
    /// Sending went back to a reported gap; further reports of the same gap change nothing.
    rewound: bool,
    /// The window is halved so many times: once for each time we went back, one less for each
    /// window that was acknowledged since.
    halvings: u32,
    /// What was sent when the halvings were last counted down.
    window_end: Index,
}

/// What a follower needs next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum Stage {
    /// A prepare: it has not promised us anything.
    #[default]
    Unpromised,
    /// Our log: it promised, and reported this.
    Syncing(Report),
    /// Entries: its log is a prefix of ours.
    Accepting,
}

/// Repetitions are at most so many retransmission ticks apart.
const PATIENCE_TICKS_MAX: u32 = 16;

/// A window shrinks to no less than a 256th.
const HALVINGS_MAX: u32 = 8;

impl Progress {
    /// Anything came from it: it lives, so there is no reason to repeat ourselves more rarely. What
    /// it misses it still misses, so this is no reason to wait longer either.
    pub fn heard(&mut self) {
        self.patience_ticks = 0;
    }

    /// It has accepted so many of our entries, of which we still hold those from `first` on.
    pub fn accepted(&mut self, accepted: Index, first: Index) {
        self.heard();
        let needs_snapshot = matches!(self.stage, Stage::Syncing(_)) && accepted < first;
        if self.stage != Stage::Accepting && !needs_snapshot {
            self.stage = Stage::Accepting;
            self.next = accepted.max(self.acked);
        }
        if accepted > self.acked {
            self.acked = accepted;
            (self.quiet_ticks, self.rewound) = (0, false);
            if accepted >= self.window_end {
                self.window_end = self.next;
                self.halvings = self.halvings.saturating_sub(1);
            }
        }
        self.next = self.next.max(accepted);
    }

    /// Entries before `next` were sent, with the decided index.
    pub fn sent(&mut self, next: Index, decided: Index) {
        if self.acked == self.next {
            self.quiet_ticks = 0;
        }
        (self.next, self.told) = (next, self.told.max(decided));
    }

    /// Sends again from `index` on: once, until something is acknowledged or time passes.
    pub fn rewind(&mut self, index: Index) {
        if index < self.next && !self.rewound {
            self.next = index.max(self.acked);
            self.rewound = true;
            self.halvings = (self.halvings + 1).min(HALVINGS_MAX);
        }
    }

    /// Bytes that may be under way: fewer to a follower, or over a link, that loses what we send.
    pub fn window_bytes(&self, full_bytes: u64) -> u64 {
        (full_bytes >> self.halvings).max(1)
    }

    /// A retransmission tick. Whether it is time to repeat what was not answered.
    pub fn is_due(&mut self) -> bool {
        self.quiet_ticks += 1;
        if self.quiet_ticks <= self.patience_ticks + 1 {
            return false;
        }
        self.quiet_ticks = 0;
        self.patience_ticks = (2 * self.patience_ticks + 1).min(PATIENCE_TICKS_MAX);
        self.rewound = false;
        true
    }

    /// Whether it has yet to answer something, or to learn something.
    pub fn is_outstanding(&self, log: &Log, decided: Index) -> bool {
        self.stage != Stage::Accepting || self.acked < log.accepted() || self.told < decided
    }

    /// What we know of it, as it would report it.
    pub fn as_report(&self, ballot: Ballot) -> Report {
        Report {
            promised: ballot,
            accepted_ballot: ballot,
            accepted: self.acked,
            decided: self.told.min(self.acked),
            first: self.acked,
        }
    }
}
