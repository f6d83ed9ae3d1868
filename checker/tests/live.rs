//! The judge that follows a key, against the one that has all the time: after every event, on many
//! small histories; and what it keeps, on long ones.
//!
//! `HISTORIES=300000 cargo test --release -p checker --test live` is the full size.

use checker::history::{Action, KeyHistory, Operation, Rank, Seen, Value, Values};
use checker::linearizability::live::{Answer, Call, Follower, Standing};
use checker::linearizability::{Bounds, Model, Options, Verdict, judge};
use fastrand::Rng;
use random::Shape;

mod random;

/// How many histories each test draws.
fn histories() -> u64 {
    std::env::var("HISTORIES").map_or(4_000, |count| count.parse().expect("HISTORIES: a number"))
}

/// An operation from its invocation to what became of it.
struct Life {
    /// As it was recorded; what did not happen is written down as if it had.
    operation: Operation,
    /// Its client was told that it did not happen.
    is_aborted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Invoke(usize),
    Complete(usize),
    /// Nobody waits any more for an answer.
    GiveUp(usize),
}

/// One key: lives, and events in their order.
struct Story {
    lives: Vec<Life>,
    events: Vec<Event>,
    initial: Value,
}

impl Story {
    /// Of what `shape` describes, with so many lies; and some operations may not have happened.
    fn draw(shape: &Shape, lies: u32, initial: Value, random: &mut Rng) -> (Story, Values) {
        let mut values = Values::new();
        if initial != Value::MISSING {
            assert_eq!(values.intern(b"v0."), initial);
        }
        let mut history = random::legal(shape, initial, &mut values, random);
        for _ in 0..lies {
            random::lie(&mut history, random);
        }
        (Story::of(history, initial, random), values)
    }

    fn of(history: KeyHistory, initial: Value, random: &mut Rng) -> Story {
        // One that only says what was not there is more than the judge of a run has to follow.
        let says = |op: &Operation| !matches!(op.action, Action::Cas { seen: Seen::NotOld, .. });
        let operations = history.operations.into_iter().filter(says);
        let aborts = [0, 0, 5][random.usize(..3)];
        let lives = operations.map(|operation| {
            let may_fail = !operation.is_indeterminate() && !is_refused(&operation.action);
            Life { operation, is_aborted: may_fail && random.u32(..100) < aborts }
        });
        let lives: Vec<Life> = lives.collect();
        let last = lives.iter().map(|life| life.operation.invoke.0).max().unwrap_or(0);
        let mut events: Vec<(u32, u32, Event)> = Vec::new();
        for (index, Life { operation, .. }) in lives.iter().enumerate() {
            events.push((operation.invoke.0, 0, Event::Invoke(index)));
            if !operation.is_indeterminate() {
                events.push((operation.complete.0, 0, Event::Complete(index)));
            } else if random.u32(..4) > 0 {
                let at = random.u32(operation.invoke.0..=last);
                events.push((at, 1 + random.u32(..9), Event::GiveUp(index)));
            }
        }
        events.sort_by_key(|&(at, order, _)| (at, order));
        let events = events.into_iter().map(|(_, _, event)| event).collect();
        Story { lives, events, initial }
    }

    /// What is recorded of the first events.
    fn beginning(&self, count: usize) -> KeyHistory {
        let mut is_invoked = vec![false; self.lives.len()];
        let mut is_complete = vec![false; self.lives.len()];
        for event in &self.events[..count] {
            match *event {
                Event::Invoke(index) => is_invoked[index] = true,
                Event::Complete(index) => is_complete[index] = true,
                Event::GiveUp(_) => {}
            }
        }
        let mut history = KeyHistory::default();
        for (index, Life { operation, is_aborted }) in self.lives.iter().enumerate() {
            match (&operation.action, is_invoked[index], is_complete[index]) {
                (_, false, _) | (Action::Read(_), true, false) => {}
                (action, true, true) if *is_aborted => history.aborted.extend(written(action)),
                (_, true, true) => history.operations.push(*operation),
                (action, true, false) => {
                    let (mut action, complete) = (*action, Rank::NEVER);
                    if let Action::Cas { seen, .. } = &mut action {
                        *seen = Seen::Matched;
                    }
                    history.operations.push(Operation { action, complete, ..*operation });
                }
            }
        }
        history
    }

    fn tell(&self, event: Event, follower: &mut Follower<Value>) {
        match event {
            Event::Invoke(index) => {
                follower.invoke(index as u64, call(&self.lives[index].operation.action));
            }
            Event::Complete(index) => {
                let Life { operation, is_aborted } = &self.lives[index];
                let answer = match operation.action {
                    _ if *is_aborted => Answer::NotExecuted,
                    Action::Read(value) | Action::Cas { seen: Seen::Current(value), .. } => {
                        Answer::Found(value)
                    }
                    _ => Answer::Done,
                };
                follower.complete(index as u64, answer);
            }
            Event::GiveUp(index) => {
                follower.complete(index as u64, Answer::Indeterminate);
            }
        }
    }

    /// Whether the judge of whole histories finds the first events possible.
    fn is_possible(&self, count: usize, values: &Values) -> bool {
        let (model, bounds) = (Model::CasRegister, Bounds::default());
        let options = Options { model, initial: self.initial, bounds };
        match judge(&self.beginning(count), values, &options) {
            Ok(Verdict::Valid { .. }) => true,
            Ok(Verdict::Invalid { .. }) => false,
            other => panic!("{other:?} of the first {count} events of {self}"),
        }
    }
}

fn is_refused(action: &Action) -> bool {
    matches!(action, Action::Cas { seen: Seen::Current(_), .. })
}

fn written(action: &Action) -> Option<Value> {
    match *action {
        Action::Write(new) | Action::Cas { new, .. } => Some(new),
        Action::Read(_) | Action::Append(_) => None,
    }
}

fn call(action: &Action) -> Call<Value> {
    match *action {
        Action::Read(_) => Call::Read,
        Action::Write(new) => Call::Write(new),
        Action::Cas { old, new, .. } => Call::Cas { old, new },
        Action::Append(_) => panic!("registers are not appended to"),
    }
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at first", self.initial)?;
        for event in &self.events {
            let (Event::Invoke(index) | Event::Complete(index) | Event::GiveUp(index)) = *event;
            let Life { operation, is_aborted } = &self.lives[index];
            write!(f, "\n{event:?}: {:?}, aborted: {is_aborted}", operation.action)?;
        }
        Ok(())
    }
}

fn small(random: &mut Rng) -> Shape {
    Shape {
        operations: 1 + random.usize(..12),
        clients: 1 + random.usize(..5),
        indeterminate_permille: random.u32(..400),
        // Mostly unique; else also values that come back when they are long forgotten.
        values: 5 * random.u32(..5).saturating_sub(3),
        reads_percent: 30 + random.u32(..20),
        cas_percent: random.u32(..50),
        deletes_percent: 0,
        appends_percent: 0,
        not_old: false,
        crowded: random.bool(),
    }
}

#[test]
fn it_knows_after_each_event_what_the_judge_of_that_beginning_knows() {
    let seed = random::seed(1);
    let (mut possible, mut impossible, mut lost) = (0, 0, 0);
    for round in 0..histories() {
        let random = &mut Rng::with_seed(seed.wrapping_add(round));
        let (shape, lies) = (small(random), random.u32(..4));
        let initial = Value(random.u32(..2));
        let (story, values) = Story::draw(&shape, lies, initial, random);
        let mut follower = Follower::new(story.initial);
        for (index, &event) in story.events.iter().enumerate() {
            story.tell(event, &mut follower);
            let is_possible = story.is_possible(index + 1, &values);
            match follower.standing() {
                Standing::Possible if is_possible => {}
                Standing::Impossible(_) if !is_possible => break,
                Standing::Lost if shape.values > 0 || initial == Value(1) => break,
                other => panic!("SEED={}: {other:?} after {event:?} of {story}", seed + round),
            }
        }
        match follower.standing() {
            Standing::Possible => possible += 1,
            Standing::Impossible(_) => {
                impossible += 1;
                assert!(!story.is_possible(story.events.len(), &values), "it is final: {story}");
            }
            Standing::Lost => lost += 1,
        }
    }
    println!("{impossible} impossible, {possible} possible, {lost} lost");
    assert!(impossible > histories() / 5 && possible > histories() / 5, "{impossible} {possible}");
    assert!(lost < histories() / 3, "{lost}");
}

#[test]
fn in_long_histories_it_finds_the_event_that_made_them_impossible() {
    let seed = random::seed(1);
    let mut counts = [0; 2];
    for round in 0..histories() / 4 {
        let random = &mut Rng::with_seed(seed.wrapping_add(round));
        let shape = Shape {
            indeterminate_permille: random.u32(..200),
            cas_percent: random.u32(..50),
            crowded: random.bool(),
            ..Shape::register(20 + random.usize(..200), 1 + random.usize(..8))
        };
        let lies = random.u32(..2);
        let (story, values) = Story::draw(&shape, lies, Value::MISSING, random);
        let mut follower = Follower::new(story.initial);
        let first = story.events.iter().position(|&event| {
            story.tell(event, &mut follower);
            follower.standing() != Standing::Possible
        });
        counts[usize::from(first.is_none())] += 1;
        let is_possible = |count| story.is_possible(count, &values);
        let place = format!("SEED={}: {first:?} of {}", seed + round, story.events.len());
        match first {
            None => assert!(is_possible(story.events.len()), "{place}"),
            Some(first) => {
                let standing = follower.standing();
                assert!(matches!(standing, Standing::Impossible(_)), "{place}: {standing:?}");
                assert!(is_possible(first) && !is_possible(first + 1), "{place}: {standing:?}");
            }
        }
    }
    println!("{} impossible, {} possible", counts[0], counts[1]);
    assert!(counts.iter().all(|&count| count > histories() / 20), "{counts:?}");
}

/// Ten keys of a hundred thousand operations each; returns how much was kept of a key, at most,
/// beside indeterminate writes.
fn kept(indeterminate_permille: u32, clients: usize) -> usize {
    let seed = random::seed(1);
    let mut most = 0;
    for key in 0..10 {
        let random = &mut Rng::with_seed(seed.wrapping_add(key));
        let shape = Shape { indeterminate_permille, ..Shape::register(100_000, clients) };
        let history = random::legal(&shape, Value::MISSING, &mut Values::new(), random);
        let lives = history.operations.into_iter();
        let lives = lives.map(|operation| Life { operation, is_aborted: false }).collect();
        let story = Story { lives, events: Vec::new(), initial: Value::MISSING };
        let mut events: Vec<(Rank, Event)> = Vec::new();
        for (index, Life { operation, .. }) in story.lives.iter().enumerate() {
            events.push((operation.invoke, Event::Invoke(index)));
            if operation.is_indeterminate() {
                // As clients do: they wait for a while.
                let at = Rank(operation.invoke.0 + 4 * clients as u32);
                events.push((at, Event::GiveUp(index)));
            } else {
                events.push((operation.complete, Event::Complete(index)));
            }
        }
        events.sort_by_key(|&(at, _)| at);
        let (mut follower, mut given_up) = (Follower::new(Value::MISSING), 0);
        for (_, event) in events {
            story.tell(event, &mut follower);
            given_up += usize::from(matches!(event, Event::GiveUp(_)));
            most = most.max(follower.size().saturating_sub(given_up));
        }
        assert_eq!(follower.standing(), Standing::Possible, "SEED={}", seed + key);
    }
    most
}

#[test]
fn a_million_operations_leave_nothing_behind_but_those_that_were_never_answered() {
    let clients = 20;
    let (calm, rough) = (kept(0, clients), kept(20, clients));
    println!("at most {calm} kept, with indeterminate ones {rough} more than there are of those");
    assert!(calm < 40 * clients && rough < 40 * clients, "{calm}, {rough}");
}
