//! The engines against exhaustive search, on many small histories: each order tried, and
//! stateright's own tester.
//!
//! `HISTORIES=300000 cargo test --release -p checker --test agreement` is the full size.

use checker::history::{Action, KeyHistory, Operation, Rank, Seen, Value, Values};
use checker::linearizability::search::{Outcome, search, search_in_passes};
use checker::linearizability::spec::{Register, Spec, State};
use checker::linearizability::{Bounds, Evidence, Model, Options, Verdict, Violation, judge};
use fastrand::Rng;
use random::Shape;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

mod random;

/// How many histories each test draws.
fn histories() -> u64 {
    std::env::var("HISTORIES").map_or(4_000, |count| count.parse().expect("HISTORIES: a number"))
}

/// A key, by its bytes: the plainest meaning of operations.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key(Option<Vec<u8>>);

/// An operation with its values spelt out.
type Plain = Action<Option<Vec<u8>>>;

fn plain(action: &Action, values: &Values) -> Plain {
    let bytes = |value: Value| values.bytes(value).map(<[u8]>::to_vec);
    match *action {
        Action::Read(value) => Action::Read(bytes(value)),
        Action::Write(value) => Action::Write(bytes(value)),
        Action::Append(value) => Action::Append(bytes(value)),
        Action::Cas { old, new, seen } => {
            let seen = match seen {
                Seen::Matched => Seen::Matched,
                Seen::NotOld => Seen::NotOld,
                Seen::Current(value) => Seen::Current(bytes(value)),
            };
            Action::Cas { old: bytes(old), new: bytes(new), seen }
        }
    }
}

fn spelt(op: &Operation, values: &Values) -> Operation<Plain> {
    let Operation { process, invoke, complete, action } = *op;
    Operation { process, invoke, complete, action: plain(&action, values) }
}

impl SequentialSpec for Key {
    type Op = Plain;
    /// Whether the answer is the one that was recorded.
    type Ret = bool;

    fn invoke(&mut self, action: &Plain) -> bool {
        match action {
            Action::Read(value) => self.0 == *value,
            Action::Write(value) => {
                self.0.clone_from(value);
                true
            }
            Action::Append(value) => {
                let more = value.as_deref().unwrap_or_default();
                self.0.get_or_insert_default().extend_from_slice(more);
                true
            }
            Action::Cas { old, new, seen } => {
                let matches = self.0 == *old;
                match seen {
                    Seen::Matched if matches => self.0.clone_from(new),
                    Seen::Matched => return false,
                    Seen::Current(value) => return !matches && self.0 == *value,
                    Seen::NotOld => return !matches,
                }
                true
            }
        }
    }
}

/// Whether any order of those not in `done` is legal after `key`: all are tried, with each subset
/// of the indeterminate ones.
fn any_order(operations: &[Operation<Plain>], done: u32, key: &Key) -> bool {
    let left = || (0..operations.len()).filter(|index| done >> index & 1 == 0);
    let first = left().map(|index| operations[index].complete).min();
    let Some(first) = first.filter(|&first| first != Rank::NEVER) else { return true };
    let may_be_next = |&index: &usize| operations[index].invoke < first;
    left().filter(may_be_next).any(|index| {
        let mut key = key.clone();
        key.invoke(&operations[index].action) && any_order(operations, done | 1 << index, &key)
    })
}

/// stateright's verdict.
fn tester(operations: &[Operation<Plain>], key: &Key) -> bool {
    let mut events: Vec<(Rank, usize)> = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        events.push((operation.invoke, index));
        if !operation.is_indeterminate() {
            events.push((operation.complete, index));
        }
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(key.clone());
    for (rank, index) in events {
        let Operation { process, invoke, action, .. } = &operations[index];
        if rank == *invoke {
            tester.on_invoke(*process, action.clone()).expect("processes are sequential");
        } else {
            tester.on_return(*process, true).expect("it was invoked");
        }
    }
    tester.is_consistent()
}

/// Any `SequentialSpec`, for our search: states are numbered as they are met.
struct Adapted<S> {
    states: Vec<S>,
    /// Whether the search is told which operations observe, and which do not look.
    tells: bool,
}

impl<S> Spec for Adapted<S>
where
    S: SequentialSpec<Op = Plain, Ret = bool> + Clone + Eq,
{
    type Action = Plain;

    fn initial(&mut self) -> State {
        State(0)
    }

    fn step(&mut self, state: State, action: &Plain) -> Option<State> {
        let mut after = self.states[state.0 as usize].clone();
        if !after.is_valid_step(action, &true) {
            return None;
        }
        let known = self.states.iter().position(|state| *state == after);
        Some(State(known.unwrap_or_else(|| {
            self.states.push(after);
            self.states.len() - 1
        }) as u32))
    }

    fn is_observer(&self, action: &Plain) -> bool {
        let is_answered =
            matches!(action, Action::Cas { seen: Seen::Current(_) | Seen::NotOld, .. });
        self.tells && (is_answered || matches!(action, Action::Read(_)))
    }

    fn is_blind(&self, action: &Plain) -> bool {
        self.tells && matches!(action, Action::Write(_) | Action::Append(_))
    }

    fn is_overwrite(&self, action: &Plain) -> bool {
        self.tells && matches!(action, Action::Write(_))
    }
}

/// One small history, lies included.
struct Case {
    history: KeyHistory,
    plain: Vec<Operation<Plain>>,
    key: Key,
    values: Values,
    initial: Value,
}

fn small(appends: bool, random: &mut Rng) -> Case {
    let mut values = Values::new();
    let kind = random.u32(..4);
    let shape = Shape {
        operations: 1 + random.usize(..10),
        clients: 1 + random.usize(..4),
        indeterminate_permille: random.u32(..400),
        values: random.u32(..6).saturating_sub(2),
        reads_percent: 30 + random.u32(..20),
        cas_percent: random.u32(..30),
        deletes_percent: if kind == 0 { 10 } else { 0 },
        appends_percent: if appends { 30 } else { 0 },
        not_old: kind == 1,
        crowded: random.bool(),
    };
    let initial = match random.u32(..3) {
        0 => values.intern(b"v0."),
        1 if appends => values.intern(b""),
        _ => Value::MISSING,
    };
    let mut history = random::legal(&shape, initial, &mut values, random);
    for _ in 0..random.u32(..4) {
        random::lie(&mut history, random);
    }
    let plain = history.operations.iter().map(|op| spelt(op, &values)).collect();
    let key = Key(values.bytes(initial).map(<[u8]>::to_vec));
    Case { history, plain, key, values, initial }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Option<Vec<u8>>| {
            value.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        write!(f, "{:?} at first", text(&self.key.0))?;
        for Operation { process, invoke, complete, action } in &self.plain {
            write!(f, "\n{invoke:>4} {complete:>5} process {process}: ")?;
            match action {
                Action::Read(value) => write!(f, "read {:?}", text(value))?,
                Action::Write(value) => write!(f, "write {:?}", text(value))?,
                Action::Append(value) => write!(f, "append {:?}", text(value))?,
                Action::Cas { old, new, seen: Seen::Current(value) } => {
                    write!(f, "cas {:?} {:?} found {:?}", text(old), text(new), text(value))?;
                }
                Action::Cas { old, new, seen } => {
                    write!(f, "cas {:?} {:?}: {seen:?}", text(old), text(new))?;
                }
            }
        }
        Ok(())
    }
}

fn assert_witness(case: &Case, witness: &[u32]) {
    let Case { plain, key, .. } = case;
    let mut key = key.clone();
    for (index, &at) in witness.iter().enumerate() {
        assert!(key.invoke(&plain[at as usize].action), "{witness:?} of {case}");
        let is_late = |&other: &u32| plain[at as usize].complete < plain[other as usize].invoke;
        assert!(!witness[..index].iter().any(is_late), "{witness:?} of {case}");
    }
    let mut placed = witness.to_vec();
    placed.sort_unstable();
    placed.dedup();
    assert_eq!(placed.len(), witness.len(), "{witness:?} of {case}");
    let is_missing = |&at: &u32| !plain[at as usize].is_indeterminate() && !placed.contains(&at);
    assert_eq!((0..plain.len() as u32).find(is_missing), None, "{witness:?} of {case}");
}

/// That a core says no more than the history, and is impossible by itself.
fn assert_core(case: &Case, violation: &Violation) {
    let core: Vec<Operation> = violation.core.iter().map(|one| one.counts_as).collect();
    for Evidence { operation, counts_as, shown_by } in &violation.core {
        assert!(case.history.operations.contains(operation), "{violation:?} of {case}");
        assert_weaker(counts_as, operation);
        if let Some(by) = *shown_by {
            assert!(operation.is_indeterminate() || counts_as.is_indeterminate());
            assert!(!violation.core[by].operation.is_indeterminate() || by < core.len());
        }
    }
    assert!(violation.accused < core.len(), "{violation:?}");
    let core: Vec<Operation<Plain>> = core.iter().map(|op| spelt(op, &case.values)).collect();
    assert!(!any_order(&core, 0, &case.key), "{violation:?} of {case}");
}

/// That whatever explains `whole` explains `part` too.
fn assert_weaker(part: &Operation, whole: &Operation) {
    assert_eq!((part.process, part.invoke), (whole.process, whole.invoke));
    assert!(part.complete == whole.complete || part.is_indeterminate());
    let is_weaker = match (part.action, whole.action) {
        (part, whole) if part == whole => true,
        (Action::Write(state), Action::Read(seen)) => state == seen,
        (Action::Write(state), Action::Cas { new, seen: Seen::Matched, .. }) => state == new,
        (Action::Write(state), Action::Cas { seen: Seen::Current(seen), .. }) => state == seen,
        _ => false,
    };
    assert!(is_weaker, "{part:?} of {whole:?}");
}

#[test]
fn the_search_agrees_on_any_object() {
    let seed = random::seed(1);
    let mut counts = [0; 2];
    for round in 0..histories() {
        let case = small(true, &mut Rng::with_seed(seed.wrapping_add(round)));
        let mut spec = Adapted { states: vec![case.key.clone()], tells: round % 2 == 0 };
        // Hardly any of these is too much for the passes that `search` begins with.
        let widths = [&[][..], &[1], &[1, 2, 3]][round as usize % 3];
        let outcome = search_in_passes(&mut spec, &case.plain, &Bounds::default(), widths);
        let is_valid = any_order(&case.plain, 0, &case.key);
        assert_eq!(is_valid, tester(&case.plain, &case.key), "SEED={}", seed + round);
        counts[usize::from(is_valid)] += 1;
        match outcome {
            Outcome::Linearizable(witness) if is_valid => assert_witness(&case, &witness),
            Outcome::Impossible(_) if !is_valid => {}
            other => panic!("SEED={}: {other:?} of {case}", seed + round),
        }
    }
    println!("{} invalid, {} valid", counts[0], counts[1]);
    assert!(counts.iter().all(|&count| count > histories() / 5), "{counts:?}");
}

fn judges_agree(model: Model) {
    let seed = random::seed(1);
    let mut counts = [0; 2];
    for round in 0..histories() {
        let is_append = model == Model::KvAppend;
        let case = small(is_append, &mut Rng::with_seed(seed.wrapping_add(round)));
        let options = Options { model, initial: case.initial, bounds: Bounds::default() };
        let verdict = judge(&case.history, &case.values, &options);
        let is_valid = any_order(&case.plain, 0, &case.key);
        if round % 8 == 0 {
            assert_eq!(is_valid, tester(&case.plain, &case.key), "SEED={}", seed + round);
        }
        counts[usize::from(is_valid)] += 1;
        if model == Model::CasRegister {
            // Where the zones decide, the search must come to the same.
            let mut register = Register::new(case.initial);
            let outcome = search(&mut register, &case.history.operations, &Bounds::default());
            let agrees = match outcome {
                Outcome::Linearizable(witness) => {
                    assert_witness(&case, &witness);
                    is_valid
                }
                Outcome::Impossible(_) => !is_valid,
                Outcome::Undecided(_) => false,
            };
            assert!(agrees, "SEED={}: {case}", seed + round);
        }
        match verdict {
            Ok(Verdict::Valid { witness }) if is_valid => assert_witness(&case, &witness),
            Ok(Verdict::Invalid { violations, omitted: 0 }) if !is_valid => {
                assert!(!violations.is_empty());
                violations.iter().for_each(|violation| assert_core(&case, violation));
            }
            other => panic!("SEED={}: {other:?} of {case}", seed + round),
        }
    }
    println!("{} invalid, {} valid", counts[0], counts[1]);
    assert!(counts.iter().all(|&count| count > histories() / 5), "{counts:?}");
}

#[test]
fn registers_are_judged_as_by_exhaustive_search() {
    judges_agree(Model::CasRegister);
}

#[test]
fn appends_are_judged_as_by_exhaustive_search() {
    judges_agree(Model::KvAppend);
}

#[test]
fn the_engines_agree_on_histories_too_long_to_exhaust() {
    let seed = random::seed(1);
    let mut counts = [0; 2];
    for round in 0..histories() / 4 {
        let random = &mut Rng::with_seed(seed.wrapping_add(round));
        let shape = Shape {
            indeterminate_permille: random.u32(..200),
            values: 50 * random.u32(..2),
            ..Shape::register(20 + random.usize(..100), 1 + random.usize(..8))
        };
        let mut values = Values::new();
        let initial = Value::MISSING;
        let mut history = random::legal(&shape, initial, &mut values, random);
        for _ in 0..random.u32(..2) {
            random::lie(&mut history, random);
        }
        let options = Options { model: Model::CasRegister, initial, bounds: Bounds::default() };
        let verdict = judge(&history, &values, &options).expect("the proof stands");
        let outcome = search(&mut Register::new(initial), &history.operations, &options.bounds);
        counts[usize::from(matches!(verdict, Verdict::Valid { .. }))] += 1;
        match (&verdict, &outcome) {
            (Verdict::Valid { .. }, Outcome::Linearizable(_)) => {}
            (Verdict::Invalid { .. }, Outcome::Impossible(_)) => {}
            _ => panic!("SEED={}: {verdict:?}, but {outcome:?}", seed + round),
        }
    }
    println!("{} invalid, {} valid", counts[0], counts[1]);
    assert!(counts.iter().all(|&count| count > histories() / 40), "{counts:?}");
}
