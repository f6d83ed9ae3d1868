//! Random histories, of clients of a real map: linearizable, until lies are told.
//! Used by the tests and by the benchmarks, each of which uses a part.
#![allow(dead_code, reason = "each user has its own needs")]

use checker::history::{Action, KeyHistory, Operation, Rank, Seen, Value, Values};
use fastrand::Rng;

/// Which histories to draw.
#[derive(Clone, Debug)]
pub struct Shape {
    pub operations: usize,
    pub clients: usize,
    /// How many of a thousand operations are never answered.
    pub indeterminate_permille: u32,
    /// Values are drawn from so many; 0: each is written once.
    pub values: u32,
    /// How many of a hundred operations are of each kind; the rest are writes.
    pub reads_percent: u32,
    pub cas_percent: u32,
    pub deletes_percent: u32,
    pub appends_percent: u32,
    /// Whether failed compare-and-sets say only that they found something else.
    pub not_old: bool,
    /// Whether a call lasts long, so that nearly all clients are always in one.
    pub crowded: bool,
}

impl Shape {
    /// Reads, writes and compare-and-sets.
    pub fn register(operations: usize, clients: usize) -> Shape {
        Shape {
            operations,
            clients,
            indeterminate_permille: 0,
            values: 0,
            reads_percent: 50,
            cas_percent: 20,
            deletes_percent: 0,
            appends_percent: 0,
            not_old: false,
            crowded: true,
        }
    }
}

/// The seed of a run: `SEED`, or `default`. Printed before anything else happens.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("SEED").map_or(default, |seed| seed.parse().expect("SEED: a number"));
    println!("SEED={seed}");
    seed
}

/// A map of one key, by the numbers of its values.
struct Server<'a> {
    state: Value,
    values: &'a mut Values,
}

impl Server<'_> {
    /// Carries out `action`, and puts into it what its client sees.
    fn perform(&mut self, action: &mut Action, not_old: bool) {
        match action {
            Action::Read(value) => *value = self.state,
            Action::Write(value) => self.state = *value,
            Action::Append(value) => {
                let bytes = |value| self.values.bytes(value).unwrap_or_default();
                let built = [bytes(self.state), bytes(*value)].concat();
                self.state = self.values.intern(&built);
            }
            Action::Cas { old, new, seen } if *old == self.state => {
                *seen = Seen::Matched;
                self.state = *new;
            }
            Action::Cas { seen, .. } if not_old => *seen = Seen::NotOld,
            Action::Cas { seen, .. } => *seen = Seen::Current(self.state),
        }
    }
}

/// An operation under way.
struct Pending {
    index: usize,
    client: usize,
    has_happened: bool,
}

/// What `shape` describes, for a key that holds `initial` at first.
pub fn legal(shape: &Shape, initial: Value, values: &mut Values, random: &mut Rng) -> KeyHistory {
    let mut operations: Vec<Operation> = Vec::with_capacity(shape.operations);
    let mut server = Server { state: initial, values };
    let mut idle: Vec<usize> = (0..shape.clients).collect();
    let mut process: Vec<u64> = (0..shape.clients as u64).collect();
    let mut open: Vec<Pending> = Vec::new();
    // Indeterminate, and still on their way.
    let mut astray: Vec<Action> = Vec::new();
    let mut rank = 0;
    let mut next_rank = || {
        rank += 1;
        Rank(rank - 1)
    };
    loop {
        if !astray.is_empty() && random.u32(..100) < 10 {
            let index = random.usize(..astray.len());
            server.perform(&mut astray.swap_remove(index), shape.not_old);
        }
        let may_invoke = !idle.is_empty() && operations.len() < shape.operations;
        let wants_to = if shape.crowded { 85 } else { 35 };
        if may_invoke && (open.is_empty() || random.u32(..100) < wants_to) {
            let client = idle.swap_remove(random.usize(..idle.len()));
            let action = draw(shape, operations.len(), &mut server, random);
            let (invoke, complete) = (next_rank(), Rank::NEVER);
            open.push(Pending { index: operations.len(), client, has_happened: false });
            operations.push(Operation { process: process[client], invoke, complete, action });
            continue;
        }
        if open.is_empty() {
            break;
        }
        let at = random.usize(..open.len());
        let pending = &mut open[at];
        let operation = &mut operations[pending.index];
        if random.u32(..1000) < shape.indeterminate_permille {
            if !pending.has_happened {
                astray.push(operation.action);
            }
            if let Action::Cas { seen, .. } = &mut operation.action {
                *seen = Seen::Matched;
            }
            process[pending.client] += shape.clients as u64;
        } else if pending.has_happened {
            operation.complete = next_rank();
        } else {
            server.perform(&mut operation.action, shape.not_old);
            pending.has_happened = true;
            continue;
        }
        idle.push(open.swap_remove(at).client);
    }
    let says_nothing =
        |op: &Operation| op.is_indeterminate() && matches!(op.action, Action::Read(_));
    operations.retain(|operation| !says_nothing(operation));
    KeyHistory { key: None, operations, aborted: Vec::new() }
}

fn draw(shape: &Shape, number: usize, server: &mut Server<'_>, random: &mut Rng) -> Action {
    let mut new = || {
        let name = if shape.values == 0 { number as u32 } else { random.u32(..shape.values) };
        server.values.intern(format!("v{name}.").as_bytes())
    };
    let value = new();
    let mut percent = random.u32(..100);
    let mut is_next = |share: u32| {
        let is_it = percent < share;
        percent = percent.wrapping_sub(share);
        is_it
    };
    if is_next(shape.reads_percent) {
        Action::Read(Value::MISSING)
    } else if is_next(shape.deletes_percent) {
        Action::Write(Value::MISSING)
    } else if is_next(shape.appends_percent) {
        Action::Append(value)
    } else if is_next(shape.cas_percent) {
        // Mostly of the value that is there, or else hardly any of unique values would match.
        let old = if random.u32(..100) < 80 { server.state } else { value };
        Action::Cas { old, new: value, seen: Seen::Matched }
    } else {
        Action::Write(value)
    }
}

/// Makes what an operation saw into something else. Returns which one, if there is any that saw.
pub fn lie(history: &mut KeyHistory, random: &mut Rng) -> Option<usize> {
    let saw = |op: &Operation| match op.action {
        Action::Read(_) | Action::Cas { .. } => !op.is_indeterminate(),
        Action::Write(_) | Action::Append(_) => false,
    };
    let liars: Vec<usize> =
        (0..history.operations.len()).filter(|&index| saw(&history.operations[index])).collect();
    let liar = *random.choice(&liars)?;
    // What somebody else saw or wrote, or just any value.
    let other = random.choice(&history.operations).expect("there is a liar").action;
    let value = match other {
        Action::Read(value) | Action::Write(value) => value,
        Action::Cas { new, .. } => new,
        Action::Append(_) => Value::MISSING,
    };
    match &mut history.operations[liar].action {
        Action::Read(seen) => *seen = value,
        Action::Cas { seen, .. } => {
            *seen = match (random.u32(..4), *seen) {
                (0, Seen::Matched) => Seen::NotOld,
                (0, _) => Seen::Matched,
                _ => Seen::Current(value),
            }
        }
        Action::Write(_) | Action::Append(_) => unreachable!("they saw nothing"),
    }
    Some(liar)
}
