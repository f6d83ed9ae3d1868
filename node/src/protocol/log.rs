//! The accepted entries of a replica, as the runs in which they came.

use super::ballot::Index;
use super::entries::{Batch, Entries};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// The entries `first..accepted`; those before `first` live in a snapshot only.
/// Invariant: runs are not empty, adjoin each other, and cover `first..accepted` exactly.
#[derive(Clone, Debug, Default)]
pub struct Log {
    first: Index,
    accepted: Index,
    runs: VecDeque<Run>,
    /// Bytes of every entry ever appended and still counted; positions in it measure windows.
    end_bytes: u64,
}

#[derive(Clone, Debug)]
struct Run {
    start: Index,
    start_bytes: u64,
    entries: Entries,
}

impl Log {
    /// An empty log whose next entry has index `first`.
    pub fn starting_at(first: Index) -> Log {
        Log { first, accepted: first, runs: VecDeque::new(), end_bytes: 0 }
    }

    /// The first index still held.
    pub fn first(&self) -> Index {
        self.first
    }

    /// The number of entries accepted, those before `first` included.
    pub fn accepted(&self) -> Index {
        self.accepted
    }

    /// Appends behind the last entry.
    pub fn append(&mut self, entries: Entries) {
        if entries.is_empty() {
            return;
        }
        let run = Run { start: self.accepted, start_bytes: self.end_bytes, entries };
        self.accepted = self.accepted.plus(run.entries.len());
        self.end_bytes += run.entries.size_bytes() as u64;
        self.runs.push_back(run);
    }

    /// Drops every entry at and behind `end`. Panics unless `first <= end <= accepted`.
    pub fn truncate(&mut self, end: Index) {
        assert!(self.first <= end && end <= self.accepted, "a cut outside the log");
        self.end_bytes = self.position_bytes(end);
        while let Some(run) = self.runs.back_mut() {
            let keep = end.since(run.start) as usize;
            if keep >= run.entries.len() {
                break;
            }
            if keep > 0 {
                run.entries = run.entries.slice(0, keep);
                break;
            }
            self.runs.pop_back();
        }
        self.accepted = end;
    }

    /// Drops every entry before `first`. Panics beyond `accepted`; does nothing if they are gone.
    pub fn trim(&mut self, first: Index) {
        assert!(first <= self.accepted, "a trim beyond the log");
        if first <= self.first {
            return;
        }
        while let Some(run) = self.runs.front_mut() {
            let (drop, len) = (first.since(run.start) as usize, run.entries.len());
            if drop >= len {
                self.runs.pop_front();
                continue;
            }
            let start_bytes = run.start_bytes + run.entries.prefix_bytes(drop) as u64;
            *run = Run { start: first, start_bytes, entries: run.entries.slice(drop, len) };
            break;
        }
        self.first = first;
    }

    /// The entry at `index`. Panics outside `first..accepted`.
    pub fn get(&self, index: Index) -> &[u8] {
        let run = &self.runs[self.run_of(index)];
        run.entries.get(index.since(run.start) as usize)
    }

    /// All entries of `from..to`. Panics outside `first..=accepted`.
    pub fn iter(&self, from: Index, to: Index) -> impl Iterator<Item = &[u8]> + '_ {
        self.runs_of(from, to).flat_map(|(run, from, to)| run.between(from, to))
    }

    /// Entries from the start of `from..to` that fit `bytes_max`, at least one if there is any.
    /// Shares the log's bytes when they lie in one batch, else copies.
    pub fn slice(&self, from: Index, to: Index, bytes_max: usize) -> Entries {
        let mut runs = self.runs_of(from, to);
        let Some((run, start, end)) = runs.next() else { return Entries::none() };
        let stop = run.fitting(start, end, bytes_max).max(start + 1);
        let first = run.slice(start, stop);
        if stop < end || from.plus(first.len()) == to {
            return first;
        }
        let mut left = bytes_max.saturating_sub(first.size_bytes());
        let mut merged = Batch::default();
        for (run, start, end) in runs {
            let stop = run.fitting(start, end, left);
            if stop == start || left == 0 {
                break;
            }
            if merged.is_empty() {
                first.iter().for_each(|entry| merged.push(entry));
            }
            let part = run.between(start, stop);
            part.for_each(|entry| merged.push(entry));
            left -= run.prefix_bytes(stop) - run.prefix_bytes(start);
            if stop < end {
                break;
            }
        }
        if merged.is_empty() { first } else { merged.seal() }
    }

    /// Bytes of all entries before `index`, counted from an arbitrary but fixed origin.
    /// Panics outside `first..=accepted`.
    pub fn position_bytes(&self, index: Index) -> u64 {
        assert!(self.first <= index && index <= self.accepted, "a position outside the log");
        if index == self.accepted {
            return self.end_bytes;
        }
        let run = &self.runs[self.run_of(index)];
        run.start_bytes + run.entries.prefix_bytes(index.since(run.start) as usize) as u64
    }

    /// Bytes of all entries held.
    pub fn size_bytes(&self) -> u64 {
        self.runs.front().map_or(0, |run| self.end_bytes - run.start_bytes)
    }

    /// How far back from `end` so many bytes reach, give or take a run: there some run begins.
    /// Panics outside `first..=accepted`.
    pub fn within_bytes(&self, end: Index, bytes: u64) -> Index {
        let end_bytes = self.position_bytes(end);
        let reached = |run: &Run| run.start < end && end_bytes - run.start_bytes > bytes;
        let run = self.runs.get(self.runs.partition_point(reached));
        run.map_or(end, |run| run.start.min(end))
    }

    /// The runs that meet `from..to`, each with the part of it that does.
    fn runs_of(
        &self,
        from: Index,
        to: Index,
    ) -> impl Iterator<Item = (&Entries, usize, usize)> + '_ {
        assert!(self.first <= from && from <= to && to <= self.accepted, "a range outside the log");
        let first = if from == to { self.runs.len() } else { self.run_of(from) };
        let runs = self.runs.range(first..).take_while(move |run| run.start < to);
        runs.map(move |run| {
            let end = (to.since(run.start) as usize).min(run.entries.len());
            (&run.entries, from.since(run.start) as usize, end)
        })
    }

    fn run_of(&self, index: Index) -> usize {
        assert!(self.first <= index && index < self.accepted, "an index outside the log");
        // Readers are nearly always near the tail, so double the distance from it before halving.
        let mut end = self.runs.len();
        let (mut run, mut distance) = (end - 1, 1);
        while self.runs[run].start > index {
            (end, run) = (run, run.saturating_sub(distance));
            distance *= 2;
        }
        while end - run > 1 {
            let middle = run.midpoint(end);
            match self.runs[middle].start <= index {
                true => run = middle,
                false => end = middle,
            }
        }
        run
    }
}

/// Logs are equal when they hold the same entries, however these were batched.
impl PartialEq for Log {
    fn eq(&self, other: &Log) -> bool {
        (self.first, self.accepted) == (other.first, other.accepted)
            && self.iter(self.first, self.accepted).eq(other.iter(other.first, other.accepted))
    }
}

impl Eq for Log {}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.first, self.accepted).hash(state);
        self.iter(self.first, self.accepted).for_each(|entry| entry.hash(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of `batches`, each entry one letter.
    fn log(batches: &[&str]) -> Log {
        let mut log = Log::default();
        for batch in batches {
            log.append(Entries::of(batch.as_bytes().chunks(1)));
        }
        log
    }

    fn text(entries: &Entries) -> String {
        entries.iter().map(|entry| entry.escape_ascii().to_string()).collect()
    }

    #[test]
    fn a_slice_within_a_batch_shares_its_bytes() {
        let log = log(&["abc", "def"]);
        let slice = log.slice(Index(3), Index(5), usize::MAX);
        assert!(std::ptr::eq(slice.get(0), log.get(Index(3))));
        assert_eq!(text(&slice), "de");
    }

    #[test]
    fn a_slice_across_batches_is_in_order_and_within_its_limit() {
        let log = log(&["abc", "d", "ef"]);
        assert_eq!(text(&log.slice(Index(1), Index(6), usize::MAX)), "bcdef");
        assert_eq!(text(&log.slice(Index(1), Index(6), 4)), "bcde");
        assert_eq!(text(&log.slice(Index(1), Index(6), 0)), "b");
        assert_eq!(text(&log.slice(Index(1), Index(1), 9)), "");
    }

    #[test]
    fn an_entry_is_found_in_whichever_batch_it_came() {
        let sizes = (0..100).map(|batch| 1 + batch % 3);
        let mut log = Log::default();
        let mut next = 0_u8..;
        sizes.for_each(|size| {
            let entries: Vec<[u8; 1]> = next.by_ref().take(size).map(|entry| [entry]).collect();
            log.append(Entries::of(entries.iter().map(|entry| entry.as_slice())));
        });
        for index in 0..log.accepted().0 {
            assert_eq!(log.get(Index(index)), [index as u8]);
            assert_eq!(log.position_bytes(Index(index)), index);
        }
    }

    #[test]
    fn a_truncated_log_grows_again_from_the_cut() {
        let mut log = log(&["abc", "def"]);
        log.truncate(Index(4));
        log.append(Entries::of([b"x".as_slice()]));
        assert_eq!(text(&log.slice(Index(0), Index(5), 9)), "abcdx");
        assert_eq!(log.position_bytes(Index(5)), 5);
        log.truncate(Index(0));
        assert_eq!((log.accepted(), log.runs.len(), log.end_bytes), (Index(0), 0, 0));
    }

    #[test]
    fn a_trimmed_log_keeps_its_positions() {
        let mut log = log(&["abc", "def"]);
        log.trim(Index(4));
        assert_eq!((log.first(), log.get(Index(4))), (Index(4), b"e".as_slice()));
        assert_eq!(log.position_bytes(Index(6)) - log.position_bytes(Index(4)), 2);
        log.trim(Index(6));
        assert_eq!(log.slice(Index(6), Index(6), 9).len(), 0);
        assert_eq!((log.first(), log.accepted()), (Index(6), Index(6)));
    }

    #[test]
    fn equal_logs_may_be_batched_differently() {
        assert_eq!(log(&["abc"]), log(&["a", "bc"]));
        assert_ne!(log(&["abc"]), log(&["abd"]));
    }

    #[test]
    fn bytes_reach_back_to_where_a_run_begins() {
        let mut log = log(&["abc", "d", "ef"]);
        assert_eq!(log.size_bytes(), 6);
        let reached = |log: &Log, bytes| log.within_bytes(Index(6), bytes);
        assert_eq!([0, 1, 2, 3, 5, 6, 9].map(|b| reached(&log, b).0), [6, 6, 4, 3, 3, 0, 0]);
        assert_eq!(log.within_bytes(Index(5), 1), Index(4));
        assert_eq!(log.within_bytes(Index(2), 0), Index(2));
        log.trim(Index(2));
        assert_eq!((log.size_bytes(), reached(&log, 5)), (4, Index(2)));
        assert_eq!(log.within_bytes(Index(2), 0), Index(2));
        assert_eq!(Log::starting_at(Index(7)).within_bytes(Index(7), 0), Index(7));
    }
}
