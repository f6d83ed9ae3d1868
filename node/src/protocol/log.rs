//! Accepted entries. Bytes are shared, not copied: the batch a leader sealed is the same allocation
//! in its log, in the record for the disk, in the message to each follower and in their logs.

use super::ballot::Index;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Entries in the making. Sealing turns them into an [`Entries`] without copying.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Batch {
    /// Most bytes in one batch, so that offsets fit 32 bits with room to spare.
    pub const SIZE_BYTES_MAX: usize = 1 << 30;

    /// Adds one entry. Panics above [`Batch::SIZE_BYTES_MAX`] (callers bound their batches).
    pub fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        assert!(self.bytes.len() <= Self::SIZE_BYTES_MAX, "a batch outgrew its offsets");
        self.ends.push(self.bytes.len() as u32);
    }

    /// Takes the entries out, leaving an empty batch of the same expected size.
    pub fn seal(&mut self) -> Entries {
        let (bytes, ends) = (self.bytes.capacity(), self.ends.capacity());
        let next = Batch { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(ends) };
        Entries::from(std::mem::replace(self, next))
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all entries together.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// A run of consecutive entries: a view of a shared batch, compared and hashed by content.
#[derive(Clone)]
pub struct Entries {
    batch: Arc<Batch>,
    from: u32,
    to: u32,
}

impl Entries {
    /// No entries.
    pub fn none() -> Entries {
        Entries::from(Batch::default())
    }

    /// Copies `entries` into a batch of their own.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Entries {
        let mut batch = Batch::default();
        entries.into_iter().for_each(|entry| batch.push(entry));
        Entries::from(batch)
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The entry at `position`, counted from the start of this run. Panics beyond its end.
    pub fn get(&self, position: usize) -> &[u8] {
        assert!(position < self.len());
        let at = self.from as usize + position;
        &self.batch.bytes[self.start(at)..self.batch.ends[at] as usize]
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        (0..self.len()).map(|position| self.get(position))
    }

    /// The entries `from..to` of this run, sharing its bytes. Panics beyond its end.
    pub fn slice(&self, from: usize, to: usize) -> Entries {
        assert!(from <= to && to <= self.len());
        let start = self.from;
        Entries { batch: self.batch.clone(), from: start + from as u32, to: start + to as u32 }
    }

    /// Bytes of the entries together.
    pub fn size_bytes(&self) -> usize {
        self.start(self.to as usize) - self.start(self.from as usize)
    }

    /// Where the entry `at` of the whole batch begins.
    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.batch.ends[at - 1] as usize }
    }

    /// The most entries, from the start, that fit `bytes_max`; at least one if there is any.
    fn fitting(&self, bytes_max: usize) -> usize {
        if self.size_bytes() <= bytes_max {
            return self.len();
        }
        let limit = self.start(self.from as usize) + bytes_max;
        let ends = &self.batch.ends[self.from as usize..self.to as usize];
        ends.partition_point(|end| *end as usize <= limit).max(1)
    }
}

impl From<Batch> for Entries {
    fn from(batch: Batch) -> Entries {
        let to = batch.ends.len() as u32;
        Entries { batch: Arc::new(batch), from: 0, to }
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Entries) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

impl Hash for Entries {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|entry| entry.escape_ascii().to_string())).finish()
    }
}

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
            let start_bytes = run.start_bytes + run.entries.slice(0, drop).size_bytes() as u64;
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
        self.runs_of(from, to).flat_map(|(run, from, to)| (from..to).map(|at| run.get(at)))
    }

    /// Entries from the start of `from..to` that fit `bytes_max`, at least one if there is any.
    /// Shares the log's bytes when they lie in one batch, else copies.
    pub fn slice(&self, from: Index, to: Index, bytes_max: usize) -> Entries {
        let mut left = bytes_max;
        let mut merged: Option<Batch> = None;
        let mut single: Option<Entries> = None;
        for (run, start, end) in self.runs_of(from, to) {
            let part = run.slice(start, end);
            let fitting = part.fitting(left);
            let part = part.slice(0, fitting);
            if single.is_some() && part.size_bytes() > left {
                break;
            }
            left = left.saturating_sub(part.size_bytes());
            match (&mut single, &mut merged) {
                (None, _) => single = Some(part),
                (Some(_), Some(batch)) => part.iter().for_each(|entry| batch.push(entry)),
                (Some(first), None) => {
                    let mut batch = Batch::default();
                    first.iter().chain(part.iter()).for_each(|entry| batch.push(entry));
                    merged = Some(batch);
                }
            }
            if fitting < end - start || left == 0 {
                break;
            }
        }
        merged.map(Entries::from).or(single).unwrap_or_else(Entries::none)
    }

    /// Bytes of all entries before `index`, counted from an arbitrary but fixed origin.
    /// Panics outside `first..=accepted`.
    pub fn position_bytes(&self, index: Index) -> u64 {
        assert!(self.first <= index && index <= self.accepted, "a position outside the log");
        if index == self.accepted {
            return self.end_bytes;
        }
        let run = &self.runs[self.run_of(index)];
        let within = run.entries.slice(0, index.since(run.start) as usize);
        run.start_bytes + within.size_bytes() as u64
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
        // Readers are nearly always at the tail, so look there before searching.
        match self.runs.back() {
            Some(last) if last.start <= index => self.runs.len() - 1,
            _ => self.runs.partition_point(|run| run.start <= index) - 1,
        }
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
        assert!(Arc::ptr_eq(&slice.batch, &log.runs[1].entries.batch));
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
}
