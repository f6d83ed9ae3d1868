//! What is said of an impossible history is true of all of it, not only of its core.
//!
//! `SEED=` repeats a run.

use std::collections::BTreeMap;

use checker::history::{Action, KeyHistory, Operation, Seen, Value, Values};
use checker::linearizability::{Bounds, Cause, Model, Options, Verdict, Violation, judge};
use random::Shape;

mod random;

fn seen(operation: &Operation) -> Option<Value> {
    match operation.action {
        Action::Read(value) | Action::Cas { seen: Seen::Current(value), .. } => Some(value),
        Action::Cas { old, seen: Seen::Matched, .. } => Some(old),
        _ => None,
    }
}

fn written(operation: &Operation) -> Option<Value> {
    match operation.action {
        Action::Write(value) | Action::Cas { new: value, seen: Seen::Matched, .. } => Some(value),
        _ => None,
    }
}

fn assert_true(history: &KeyHistory, violation: &Violation) {
    let core = violation.core.iter().map(|evidence| evidence.operation);
    assert!(core.clone().all(|operation| history.operations.contains(&operation)));
    let core: Vec<Operation> = core.collect();
    let accused = &core[violation.accused];
    let against = || &core[violation.against.expect("this cause names two")];
    let is_written = |value| {
        // What replaces a value by itself wrote nothing new.
        let is_writer = |op: &Operation| written(op) == value && seen(op) != value;
        value == Some(Value::MISSING) || history.operations.iter().any(is_writer)
    };
    match violation.cause {
        Cause::Phantom => assert!(!is_written(seen(accused))),
        Cause::Aborted => {
            assert!(!is_written(seen(accused)));
            assert!(history.aborted.contains(&seen(accused).expect("it saw something")));
        }
        Cause::FromTheFuture => assert!(accused.complete < against().invoke),
        Cause::WentBack | Cause::Stale | Cause::LostWrite | Cause::Interleaved => {
            let after = written(against()).or(seen(against()));
            assert_ne!(seen(accused), after);
            assert!(against().complete < accused.invoke || against().is_indeterminate());
        }
        Cause::DoubleCas => {
            assert_ne!(accused, against());
            assert_eq!(seen(accused), seen(against()));
            assert!(written(accused).is_some() && written(against()).is_some());
        }
        Cause::Contradiction => {
            let Action::Cas { old, seen: Seen::Current(current), .. } = accused.action else {
                panic!("{accused:?} contradicts nothing");
            };
            assert_eq!(old, current);
        }
        Cause::CasCycle | Cause::NoOrder => {}
    }
}

#[test]
fn what_is_said_of_a_violation_is_true() {
    let mut random = fastrand::Rng::with_seed(random::seed(fastrand::u64(..)));
    let mut told: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..4_000 {
        let shape = Shape {
            values: [0, 3][random.usize(..2)],
            indeterminate_permille: [0, 50][random.usize(..2)],
            crowded: random.bool(),
            ..Shape::register(random.usize(4..60), random.usize(1..6))
        };
        let mut values = Values::new();
        let mut history = random::legal(&shape, Value::MISSING, &mut values, &mut random);
        // Any value of the history, or one that nobody wrote.
        random::lie(&mut history, &mut random);
        let bounds = Bounds { time: None, ..Bounds::default() };
        let options = Options { model: Model::CasRegister, initial: Value::MISSING, bounds };
        let verdict = judge(&history, &values, &options).expect("its proof stands");
        if let Verdict::Invalid { violations, .. } = verdict {
            for violation in violations {
                *told.entry(violation.cause.name()).or_default() += 1;
                assert_true(&history, &violation);
            }
        }
    }
    println!("{told:?}");
    assert!(told.len() > 4, "{told:?}");
}
