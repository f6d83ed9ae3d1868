//! One logical client: invokes, waits, records. A process has one session and one operation at a
//! time; when it no longer knows what became of one, it retires, and a new process takes its place.
//!
//! As in Jepsen, the number of a process tells its place: that of the place, plus the number of
//! places for each process that was there before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use node::client::{Client, Cluster, Failure, Outcome, Secret, Why};

use crate::run::Recorder;
use crate::workload::{Action, Draw, Known, Operation, Pace};

/// How a process reaches the cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// The nodes, each where this process sees it.
    pub cluster: Cluster,
    /// The secret of the cluster.
    pub secret: Option<Secret>,
    /// How long an operation may take before its outcome is indeterminate.
    pub timeout: Duration,
}

/// What became of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It happened. Of a read: this was there. Of a compare-and-set: this was told to be there
    /// afterwards, if it is something else than was to be.
    Ok(Option<String>),
    /// A compare-and-set found something else than it expected, and did nothing.
    Mismatch(String),
    /// A compare-and-set found no value, and did nothing.
    Missing,
    /// It surely did not happen, for this reason.
    NotExecuted(String),
    /// Nobody knows, for this reason.
    Indeterminate(String),
}

/// One process.
pub struct Process<'a> {
    number: u64,
    client: Client,
    recorder: &'a Recorder,
}

impl<'a> Process<'a> {
    /// A process that has done nothing yet. An error is that of its socket.
    pub fn new(number: u64, access: &Access, recorder: &'a Recorder) -> io::Result<Process<'a>> {
        let client = Client::connect(&access.cluster, access.secret.as_ref(), access.timeout)?;
        Ok(Process { number, client, recorder })
    }

    /// Carries out an operation. Both its events are recorded: the first before anything is sent,
    /// the second when all is known. After [`Answer::Indeterminate`] the process must not go on.
    pub fn perform(&mut self, operation: &Operation) -> Answer {
        self.recorder.invoked(self.number, operation);
        let answer = self.ask(operation);
        self.recorder.completed(self.number, operation, &answer);
        answer
    }

    fn ask(&mut self, operation: &Operation) -> Answer {
        let key = operation.name();
        let key = key.as_bytes();
        match &operation.action {
            Action::Read => match self.client.get(key) {
                Outcome::Ok(value) => Answer::Ok(Some(text(&value))),
                Outcome::Fail(Failure::Missing) => Answer::Ok(None),
                Outcome::Fail(failure) => Answer::NotExecuted(failure.to_string()),
                Outcome::Indeterminate(why) => Answer::Indeterminate(why.to_string()),
            },
            Action::Write(value) => match self.client.put(key, value.as_bytes()) {
                Outcome::Ok(()) => Answer::Ok(None),
                Outcome::Fail(failure) => Answer::NotExecuted(failure.to_string()),
                Outcome::Indeterminate(why) => unknown(why),
            },
            Action::Cas { old, new } => {
                let old = old.as_ref().map(|old| old.as_bytes());
                match self.client.cas(key, old, new.as_bytes()) {
                    Outcome::Ok(now) => Answer::Ok((*now != *new.as_bytes()).then(|| text(&now))),
                    Outcome::Fail(Failure::Mismatch(value)) => Answer::Mismatch(text(&value)),
                    Outcome::Fail(Failure::Missing) => Answer::Missing,
                    Outcome::Fail(failure) => Answer::NotExecuted(failure.to_string()),
                    Outcome::Indeterminate(why) => unknown(why),
                }
            }
        }
    }
}

/// A command that got no session was never sent.
fn unknown(why: Why) -> Answer {
    match why {
        Why::NoSession => Answer::NotExecuted(why.to_string()),
        _ => Answer::Indeterminate(why.to_string()),
    }
}

/// We write text only; what else a store may return, nobody wrote.
fn text(value: &Arc<[u8]>) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// What all places share.
pub struct Shared<'a> {
    /// Where events go.
    pub recorder: &'a Recorder,
    /// When operations may begin.
    pub pace: &'a Pace,
    /// What was last seen of each key.
    pub known: &'a Known,
    /// How many places there are.
    pub places: usize,
    /// When the load began.
    pub begun: Instant,
    /// No further operation shall begin.
    pub is_over: &'a AtomicBool,
}

/// What processes at one place do, one after another.
pub struct Place<'a> {
    /// Which, from 0; the number of the first process there. That of each further one is greater by
    /// the count of places, so that a history tells what was asked for at which place.
    pub number: usize,
    /// What is asked for.
    pub draw: Draw,
    /// When, in nanoseconds from the beginning of the load, or as soon as the operation before is
    /// over. What comes behind these goes by the pace.
    pub begins: &'a [u64],
}

/// Processes at one place, one after another, until it is over. An error is that of a socket.
pub fn occupy(place: Place<'_>, access: &Access, shared: &Shared<'_>) -> io::Result<()> {
    let Shared { recorder, pace, known, places, begun, is_over } = *shared;
    let Place { number, mut draw, begins } = place;
    let mut numbers = (number as u64..).step_by(places);
    let mut begin = || {
        let number = numbers.next().expect("there are more numbers than time");
        Process::new(number, access, recorder)
    };
    let mut begins = begins.iter().map(|after_ns| begun + Duration::from_nanos(*after_ns));
    let mut process = begin()?;
    while wait_until(begins.next().unwrap_or_else(|| pace.next()), is_over) {
        let operation = draw.next(known);
        match (process.perform(&operation), operation.action) {
            (Answer::Ok(value), Action::Read) => known.saw(operation.key, value),
            (Answer::Ok(_), Action::Write(new) | Action::Cas { new, .. }) => {
                known.saw(operation.key, Some(new));
            }
            (Answer::Mismatch(value), _) => known.saw(operation.key, Some(value)),
            (Answer::Missing, _) => known.saw(operation.key, None),
            (Answer::NotExecuted(_), _) => {}
            (Answer::Indeterminate(_), _) => process = begin()?,
        }
    }
    Ok(())
}

/// Returns whether the time came before it was over.
fn wait_until(time: Instant, is_over: &AtomicBool) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    loop {
        if is_over.load(Ordering::Relaxed) {
            return false;
        }
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(SLICE));
    }
}
