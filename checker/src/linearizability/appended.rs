//! Keys to which bytes are appended.
//!
//! Such a key can hold very many values, but few of them matter: one that is a prefix of nothing
//! that anybody observes explains nothing any more, whatever is appended to it. So a state is a
//! *prefix of observed values*, told by where they begin among all, sorted, and by its length; all
//! others are one. This keeps the search narrow where the order of appends shows in a later read,
//! and that is nearly everywhere.

use hashbrown::HashMap;

use super::spec::{self, Spec, State};
use crate::history::{Action, Operation, Rank, Seen, Value, Values};

/// A map of one key with appends, as the search sees it.
pub(super) struct Appended<'a> {
    values: &'a Values,
    initial: Value,
    /// All values that are observed, by their bytes; without the missing one.
    sorted: Vec<Value>,
    /// Where each is among them.
    places: HashMap<Value, u32>,
    /// When each of `sorted` was last observed, in its second half; in front of it the maxima of
    /// pairs, of fours, and so on, as in a heap.
    latest: Vec<Rank>,
    /// By number of the state, the first two excepted.
    prefixes: Vec<Prefix>,
    numbers: HashMap<(u32, u32), State>,
    /// Where appends and writes lead to; a write leads there from `FORGOTTEN`.
    steps: HashMap<(State, Value), State>,
    /// When something that only must not be there was last looked for.
    not_old: Rank,
}

/// What the observed values from `begin` to `end` have in common: their first bytes.
#[derive(Clone, Copy)]
struct Prefix {
    begin: u32,
    end: u32,
    length: u32,
    /// When one of them was last observed.
    until: Rank,
}

/// Any value that is no prefix of those still observed.
const FORGOTTEN: State = State(0);
const MISSING: State = State(1);

impl<'a> Appended<'a> {
    pub(super) fn new(values: &'a Values, initial: Value) -> Appended<'a> {
        let nowhere = Prefix { begin: 0, end: 0, length: 0, until: Rank(0) };
        Appended {
            values,
            initial,
            sorted: Vec::new(),
            places: HashMap::new(),
            latest: Vec::new(),
            prefixes: vec![nowhere; 2],
            numbers: HashMap::new(),
            steps: HashMap::new(),
            not_old: Rank(0),
        }
    }

    fn bytes(&self, value: Value) -> &'a [u8] {
        self.values.bytes(value).unwrap_or_default()
    }

    /// The state of a key that holds `value`.
    fn whole(&mut self, value: Value) -> State {
        if value == Value::MISSING {
            return MISSING;
        }
        let all = Prefix { begin: 0, end: self.sorted.len() as u32, length: 0, until: Rank(0) };
        self.extended(FORGOTTEN, all, value)
    }

    /// `prefix`, with `value` behind it. `state` only tells steps apart.
    fn extended(&mut self, state: State, prefix: Prefix, value: Value) -> State {
        if let Some(&known) = self.steps.get(&(state, value)) {
            return known;
        }
        let more = self.bytes(value);
        let Prefix { begin, end, length, .. } = prefix;
        let rest = |&value: &Value| &self.bytes(value)[length as usize..];
        let range = &self.sorted[begin as usize..end as usize];
        let skipped = range.partition_point(|value| rest(value) < more);
        let fitting = range[skipped..].partition_point(|value| rest(value).starts_with(more));
        let (begin, length) = (begin + skipped as u32, length + more.len() as u32);
        let next = match fitting {
            0 => FORGOTTEN,
            fitting => self.number(begin, begin + fitting as u32, length),
        };
        self.steps.insert((state, value), next);
        next
    }

    fn number(&mut self, begin: u32, end: u32, length: u32) -> State {
        if let Some(&known) = self.numbers.get(&(begin, length)) {
            return known;
        }
        let state = State(self.prefixes.len() as u32);
        self.prefixes.push(Prefix { begin, end, length, until: self.latest(begin, end) });
        self.numbers.insert((begin, length), state);
        state
    }

    /// When one of `sorted` from `begin` to `end` was last observed.
    fn latest(&self, begin: u32, end: u32) -> Rank {
        let count = self.sorted.len();
        let (mut begin, mut end) = (begin as usize + count, end as usize + count);
        let mut latest = Rank(0);
        while begin < end {
            if begin % 2 == 1 {
                latest = latest.max(self.latest[begin]);
                begin += 1;
            }
            if end % 2 == 1 {
                end -= 1;
                latest = latest.max(self.latest[end]);
            }
            begin /= 2;
            end /= 2;
        }
        latest
    }

    fn is(&self, state: State, value: Value) -> bool {
        if value == Value::MISSING || state == MISSING {
            return value == Value::MISSING && state == MISSING;
        }
        let Some(&place) = self.places.get(&value) else { return false };
        let prefix = &self.prefixes[state.0 as usize];
        // A value comes before those of which it is a prefix.
        let has_its_length = prefix.length as usize == self.bytes(value).len();
        state != FORGOTTEN && prefix.begin == place && has_its_length
    }
}

impl Spec for Appended<'_> {
    type Action = Action;

    fn initial(&mut self) -> State {
        self.whole(self.initial)
    }

    fn step(&mut self, state: State, action: &Action) -> Option<State> {
        match *action {
            Action::Read(value) => self.is(state, value).then_some(state),
            Action::Write(value) => Some(self.whole(value)),
            Action::Append(value) if state == MISSING => {
                let all = Prefix { end: self.sorted.len() as u32, ..self.prefixes[0] };
                Some(self.extended(MISSING, all, value))
            }
            Action::Append(_) if state == FORGOTTEN => Some(FORGOTTEN),
            Action::Append(value) => {
                Some(self.extended(state, self.prefixes[state.0 as usize], value))
            }
            Action::Cas { old, new, seen } => match seen {
                Seen::Matched => self.is(state, old).then(|| self.whole(new)),
                Seen::Current(value) => (value != old && self.is(state, value)).then_some(state),
                Seen::NotOld => (!self.is(state, old)).then_some(state),
            },
        }
    }

    fn is_observer(&self, action: &Action) -> bool {
        spec::is_observer(action)
    }

    fn is_blind(&self, action: &Action) -> bool {
        matches!(action, Action::Write(_) | Action::Append(_))
    }

    fn is_overwrite(&self, action: &Action) -> bool {
        matches!(action, Action::Write(_))
    }

    fn prepare(&mut self, operations: &[Operation]) -> Vec<Rank> {
        let mut observed: Vec<(Value, Rank)> = operations
            .iter()
            .filter_map(|operation| {
                let value = match operation.action {
                    Action::Cas { old, seen: Seen::NotOld, .. } => Some(old),
                    action => spec::observed(&action),
                };
                value.map(|value| (value, operation.complete))
            })
            .collect();
        let not_old = |op: &&Operation| matches!(op.action, Action::Cas { seen: Seen::NotOld, .. });
        let not_old = operations.iter().filter(not_old).map(|op| op.complete);
        self.not_old = not_old.max().unwrap_or(Rank(0));
        let last = observed.iter().map(|&(_, at)| at).max().unwrap_or(Rank(0));
        observed.retain(|&(value, _)| value != Value::MISSING);
        // Of each value, only the latest observation.
        observed.sort_unstable_by(|a, b| b.cmp(a));
        observed.dedup_by_key(|&mut (value, _)| value);
        observed.sort_unstable_by_key(|&(value, _)| self.bytes(value));
        self.sorted = observed.iter().map(|&(value, _)| value).collect();
        self.places = self.sorted.iter().copied().zip(0..).collect();
        let count = observed.len();
        self.latest = vec![Rank(0); count];
        self.latest.extend(observed.iter().map(|&(_, at)| at));
        for index in (1..count).rev() {
            self.latest[index] = self.latest[2 * index].max(self.latest[2 * index + 1]);
        }
        vec![last; operations.len()]
    }

    fn canonical(&self, state: State, now: Rank) -> State {
        match state {
            FORGOTTEN | MISSING => state,
            _ if self.prefixes[state.0 as usize].until >= now => state,
            _ => FORGOTTEN,
        }
    }

    fn is_noticeable(&self, state: State, now: Rank) -> bool {
        state != FORGOTTEN || self.not_old >= now
    }
}
