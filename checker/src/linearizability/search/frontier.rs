//! Configurations: what the past of a search means for its future.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

/// How many words a configuration has, and which is which:
///
/// ```text
///   state | owed | done, a bit for each slot | used, likewise | taken, a word for each kind | trail
/// ```
/// *Done* are the open operations that need no moment any more. *Used* are those that have had one,
/// and cannot have another; what is used is done. A blind write that was overwritten at once is done
/// and not used. *Taken* counts how many of each kind of indeterminate operations took effect.
/// *Owed* is 1 if the last step was only worth taking if something notices it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    masks: usize,
    kinds: usize,
}

impl Layout {
    pub(super) fn new(slots: usize, kinds: usize) -> Layout {
        Layout { masks: slots.div_ceil(32), kinds }
    }

    fn words(self) -> usize {
        2 + 2 * self.masks + self.kinds + 1
    }

    fn done(self) -> std::ops::Range<usize> {
        2..2 + self.masks
    }

    fn used(self) -> std::ops::Range<usize> {
        2 + self.masks..2 + 2 * self.masks
    }

    fn taken(self) -> std::ops::Range<usize> {
        2 + 2 * self.masks..self.words() - 1
    }
}

/// One configuration, on its own.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    layout: Layout,
    words: Vec<u32>,
}

impl Configuration {
    pub(super) fn new(layout: Layout, state: u32, trail: u32) -> Configuration {
        let mut configuration = Configuration { layout, words: vec![0; layout.words()] };
        configuration.words[0] = state;
        configuration.set_trail(trail);
        configuration
    }

    /// Without content, for a moment in which its place must not be empty.
    pub(super) fn empty() -> Configuration {
        Configuration { layout: Layout { masks: 0, kinds: 0 }, words: Vec::new() }
    }

    pub(super) fn copy_from(&mut self, row: &[u32]) {
        self.words.copy_from_slice(row);
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }

    pub(super) fn state(&self) -> u32 {
        self.words[0]
    }

    pub(super) fn set_state(&mut self, state: u32) {
        self.words[0] = state;
    }

    pub(super) fn owes(&self) -> bool {
        self.words[1] != 0
    }

    pub(super) fn set_owes(&mut self, owes: bool) {
        self.words[1] = u32::from(owes);
    }

    pub(super) fn trail(&self) -> u32 {
        self.words[self.words.len() - 1]
    }

    pub(super) fn set_trail(&mut self, trail: u32) {
        let last = self.words.len() - 1;
        self.words[last] = trail;
    }

    pub(super) fn is_done(&self, slot: usize) -> bool {
        self.words[2 + slot / 32] >> (slot % 32) & 1 == 1
    }

    pub(super) fn is_used(&self, slot: usize) -> bool {
        self.words[2 + self.layout.masks + slot / 32] >> (slot % 32) & 1 == 1
    }

    pub(super) fn set_done(&mut self, slot: usize) {
        self.words[2 + slot / 32] |= 1 << (slot % 32);
    }

    pub(super) fn set_used(&mut self, slot: usize) {
        self.set_done(slot);
        self.words[2 + self.layout.masks + slot / 32] |= 1 << (slot % 32);
    }

    /// Forgets the operation of `slot`, which has completed.
    pub(super) fn clear(&mut self, slot: usize) {
        self.words[2 + slot / 32] &= !(1 << (slot % 32));
        self.words[2 + self.layout.masks + slot / 32] &= !(1 << (slot % 32));
    }

    pub(super) fn taken(&self, kind: usize) -> u32 {
        self.words[self.layout.taken().start + kind]
    }

    pub(super) fn set_taken(&mut self, kind: usize, count: u32) {
        let at = self.layout.taken().start + kind;
        self.words[at] = count;
    }
}

/// A set of configurations, without those that can do nothing that another cannot.
pub(super) struct Frontier {
    layout: Layout,
    /// Row by row, those that were outdone included.
    words: Vec<u32>,
    /// For each row the one before it of the same state, or `END`, or `OUTDONE`.
    links: Vec<u32>,
    /// The latest row of each state.
    latest: HashMap<u32, u32>,
    /// All rows but for their trail, once there are many.
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    outdone: usize,
}

const END: u32 = u32::MAX;
const OUTDONE: u32 = u32::MAX - 1;

/// With how many of the same state a new configuration is compared. All, would be quadratic.
const COMPARED_MAX: usize = 64;

impl Frontier {
    pub(super) fn new(layout: Layout) -> Frontier {
        Frontier {
            layout,
            words: Vec::new(),
            links: Vec::new(),
            latest: HashMap::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            outdone: 0,
        }
    }

    /// How many configurations it has.
    pub(super) fn len(&self) -> usize {
        self.links.len() - self.outdone
    }

    /// How many rows there are to be visited with [`row`](Frontier::row).
    pub(super) fn rows(&self) -> usize {
        self.links.len()
    }

    /// A configuration; `None` if it was outdone.
    pub(super) fn row(&self, index: usize) -> Option<&[u32]> {
        (self.links[index] != OUTDONE).then(|| self.words_of(index as u32))
    }

    pub(super) fn trails(&mut self) -> impl Iterator<Item = &mut u32> {
        let words = self.layout.words();
        let links = &self.links;
        let rows = self.words.chunks_exact_mut(words).zip(links);
        rows.filter(|(_, link)| **link != OUTDONE).map(move |(row, _)| &mut row[words - 1])
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.links.clear();
        self.latest.clear();
        self.table.clear();
        self.outdone = 0;
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        let rows = 4 * (self.words.capacity() + self.links.capacity());
        (rows + 9 * self.latest.capacity() + 5 * self.table.capacity()) as u64
    }

    /// Empties this frontier into `other`, an empty one: all, or so many of those with the least left
    /// to do and the most left to use.
    pub(super) fn move_best(&mut self, count: usize, other: &mut Frontier) {
        if self.len() <= count {
            std::mem::swap(self, other);
            return;
        }
        let mut rows: Vec<(i64, usize)> =
            (0..self.rows()).filter_map(|row| Some((self.effort(self.row(row)?), row))).collect();
        rows.select_nth_unstable(count);
        let mut best = Configuration::new(self.layout, 0, 0);
        for &(_, row) in &rows[..count] {
            best.copy_from(self.words_of(row as u32));
            other.insert(&best);
        }
        self.clear();
    }

    fn effort(&self, row: &[u32]) -> i64 {
        let bits = |range: std::ops::Range<usize>| -> i64 {
            row[range].iter().map(|word| i64::from(word.count_ones())).sum()
        };
        let taken: i64 = row[self.layout.taken()].iter().map(|&count| i64::from(count)).sum();
        bits(self.layout.used()) + 4 * taken - 2 * bits(self.layout.done())
    }

    fn words_of(&self, row: u32) -> &[u32] {
        let words = self.layout.words();
        &self.words[row as usize * words..][..words]
    }

    /// Adds `new`, and drops those that it outdoes. Returns false, and adds nothing, if one that is
    /// there already can do all the same.
    pub(super) fn insert(&mut self, new: &Configuration) -> bool {
        let new = new.words();
        let first = self.latest.get(&new[0]).copied().unwrap_or(END);
        let (mut before, mut row) = (END, first);
        for _ in 0..COMPARED_MAX {
            if row == END {
                break;
            }
            let next = self.links[row as usize];
            let old = self.words_of(row);
            if self.layout.outdoes(old, new) {
                return false;
            }
            if self.layout.outdoes(new, old) {
                self.unlink(before, row, new[0]);
            } else {
                before = row;
            }
            row = next;
        }
        if row != END && self.is_known(new) {
            return false;
        }
        self.push(new);
        true
    }

    fn unlink(&mut self, before: u32, row: u32, state: u32) {
        let next = std::mem::replace(&mut self.links[row as usize], OUTDONE);
        match before {
            END => self.latest.insert(state, next),
            before => Some(std::mem::replace(&mut self.links[before as usize], next)),
        };
        self.outdone += 1;
    }

    fn is_known(&self, new: &[u32]) -> bool {
        let key = &new[..new.len() - 1];
        let is_it = |&row: &u32| self.words_of(row).starts_with(key);
        self.table.find(self.hasher.hash_one(key), is_it).is_some()
    }

    fn push(&mut self, new: &[u32]) {
        let row = self.links.len() as u32;
        let before = self.latest.insert(new[0], row).unwrap_or(END);
        self.links.push(before);
        self.words.extend_from_slice(new);
        // Few of them are compared one by one, and need no table.
        match self.links.len() {
            ..=COMPARED_MAX => {}
            count if count == COMPARED_MAX + 1 => (0..=row).for_each(|row| self.note(row)),
            _ => self.note(row),
        }
    }

    fn note(&mut self, row: u32) {
        let Frontier { layout, words, table, hasher, .. } = self;
        let width = layout.words();
        let hash = |row: u32| hasher.hash_one(&words[row as usize * width..][..width - 1]);
        table.insert_unique(hash(row), row, |&row| hash(row));
    }
}

impl Layout {
    /// Whether `a` can do all that `b` can; both have the same state. It can, if it has no more
    /// left to do, and no less left to use.
    fn outdoes(self, a: &[u32], b: &[u32]) -> bool {
        let all = |range: std::ops::Range<usize>, holds: fn(u32, u32) -> bool| {
            a[range.clone()].iter().zip(&b[range]).all(|(&a, &b)| holds(a, b))
        };
        a[1] <= b[1]
            && all(self.done(), |a, b| b & !a == 0)
            && all(self.used(), |a, b| a & !b == 0)
            && all(self.taken(), |a, b| a <= b)
    }
}
