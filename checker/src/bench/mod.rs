//! `checker bench`: how fast a cluster is while nothing goes wrong, and what that costs.
//!
//! ```text
//!   boot, or join ─► fill all keys ─► warm up ─► read the meters ─► load ─► read the meters ─► tell
//!                                     └─ all have ended ─┘           └─ all have ended ─┘
//! ```
//! No operation is under way when a meter is read. So what is counted belongs together: each
//! operation that was sent has its outcome, and what nodes counted meanwhile was for these.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use node::client::{Ask, ClusterError, Completion, Outcome, Pipeline, Traffic};
use rustix::thread::set_current_timer_slack;

use crate::cli::{BAD_ARGUMENTS, CRASHED};
use crate::cluster;
use crate::run::{self, Interrupts, StatusLine};

mod baseline;
mod load;
mod meter;
mod subject;
mod tally;
mod told;

use baseline::{Baseline, Medians};
pub use load::KEY_BYTES;
use load::{Course, Draw, Pace};
use meter::{Meter, Reading};
use subject::Opened;
pub use subject::{Own, Subject};
use tally::Tally;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cluster to measure.
    pub subject: Subject,
    /// How many clients, each with a thread and a socket of its own.
    pub clients: usize,
    /// Operations each client may have in flight.
    pub in_flight: usize,
    /// Operations a second over all clients, due whatever became of those before; or as fast as they
    /// complete.
    pub rate: Option<u32>,
    /// How many keys.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Reads among the operations, of a hundred.
    pub reads_percent: u8,
    /// How long to measure.
    pub duration: Duration,
    /// How long to load before that.
    pub warm_up: Duration,
    /// Print JSON.
    pub json: bool,
}

/// Why nothing was measured.
#[derive(Debug)]
pub enum Error {
    /// As with a test of a cluster.
    Run(run::Error),
    /// The file given is none of a cluster.
    File(ClusterError),
    /// The keys could not be given their first values.
    NotFilled(String),
}

/// No operation succeeded: nothing is shown of the cluster.
const VACUOUS: u8 = 3;

/// How long an operation may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Values in flight while keys get their first.
const FILLING: usize = 32;

/// What was measured.
struct Measured {
    tally: Tally,
    /// Operations of the warm-up that did not succeed.
    warm_up_bad: u64,
    /// From the first operation to the outcome of the last.
    time: Duration,
    /// Used meanwhile.
    used: Reading,
    /// Of all clients.
    traffic: Traffic,
    baseline: Option<Medians>,
    is_interrupted: bool,
    /// A node of ours ended though nobody killed it.
    ended: Option<cluster::Error>,
}

/// Measures as planned, prints what came of it, and returns the exit code. Must be called from the
/// main thread: nodes die with the thread that starts them.
pub fn run(plan: &Plan) -> Result<u8, Error> {
    let interrupts = Interrupts::watch().map_err(Error::io("signals"))?;
    let mut opened = plan.subject.open()?;
    fill(plan, &opened, &interrupts)?;
    let mut baseline = Baseline::new(plan);
    baseline.measure(&opened)?;
    let mut measured = measure(plan, &opened, &interrupts)?;
    opened.stop();
    baseline.measure(&opened)?;
    measured.baseline = baseline.medians();
    told::tell(plan, &measured, &opened)?;
    match measured.ended {
        Some(ended) => Err(ended.into()),
        None if measured.tally.ok() == 0 => Ok(VACUOUS),
        None => Ok(0),
    }
}

/// Gives all keys values, so that each read finds one; or as many as there is time for, if somebody
/// wants to see the end.
fn fill(plan: &Plan, opened: &Opened, interrupts: &Interrupts) -> Result<(), Error> {
    let mut pipeline = connect(opened)?;
    let draw = plan.draw(0);
    let mut keys = 0..plan.keys;
    loop {
        while pipeline.in_flight() < FILLING
            && !interrupts.came()
            && let Some(number) = keys.next()
        {
            pipeline.submit(number, Ask::Put { key: &load::key(number), value: draw.value() });
        }
        if pipeline.in_flight() == 0 {
            return Ok(());
        }
        match pipeline.poll(TIMEOUT) {
            None | Some(Completion { outcome: Outcome::Ok(_), .. }) => {}
            Some(Completion { outcome: Outcome::Fail(why), .. }) => {
                return Err(Error::NotFilled(why.to_string()));
            }
            Some(Completion { outcome: Outcome::Indeterminate(why), .. }) => {
                return Err(Error::NotFilled(format!("{why}; does a quorum run?")));
            }
        }
    }
}

fn connect(opened: &Opened) -> Result<Pipeline, Error> {
    let pipeline = Pipeline::connect(&opened.cluster, opened.secret.as_ref(), TIMEOUT);
    pipeline.map_err(Error::io("a client's socket"))
}

fn measure(plan: &Plan, opened: &Opened, interrupts: &Interrupts) -> Result<Measured, Error> {
    let mut meter = Meter::new(opened)?;
    let pipelines = (0..plan.clients).map(|_| connect(opened));
    let pipelines = pipelines.collect::<Result<Vec<Pipeline>, Error>>()?;
    let [is_warm, is_over] = [(); 2].map(|()| AtomicBool::new(false));
    let ended = AtomicU64::new(0);
    // Clients wait here twice: until all are done warming up, and until the meters are read.
    let gate = Barrier::new(plan.clients + 1);
    // None begins before all are there: some alone would wait at the gate for ever.
    let are_all_there = Mutex::new(false);
    thread::scope(|scope| {
        let mut starting = are_all_there.lock().expect("nobody panics with it");
        let clients = (0..).zip(pipelines).map(|(place, mut pipeline)| {
            let (is_warm, is_over, ended, gate) = (&is_warm, &is_over, &ended, &gate);
            let are_all_there = &are_all_there;
            thread::Builder::new().spawn_scoped(scope, move || {
                if !*are_all_there.lock().expect("nobody panics with it") {
                    return None;
                }
                // By default, Linux wakes us up to 50 microseconds later than asked.
                let _ = set_current_timer_slack(NonZeroU64::new(1));
                let mut draw = plan.draw(place);
                let course = |is_over| plan.course(place, is_over, ended);
                let warmed = course(is_warm).run(&mut pipeline, &mut draw);
                gate.wait();
                gate.wait();
                let before = pipeline.traffic();
                let tally = course(is_over).run(&mut pipeline, &mut draw);
                Some((warmed.submitted - warmed.ok(), tally, since(before, pipeline.traffic())))
            })
        });
        let clients = clients.collect::<io::Result<Vec<_>>>();
        let clients = clients.map_err(Error::io("a client's thread"))?;
        *starting = true;
        drop(starting);
        let watch = |what, limit| watch(what, limit, opened, interrupts, &ended);
        watch("warming up", plan.warm_up);
        is_warm.store(true, Ordering::Relaxed);
        gate.wait();
        let before = meter.read();
        let begun = Instant::now();
        gate.wait();
        let ended = watch("measuring", plan.duration);
        is_over.store(true, Ordering::Relaxed);
        let over = Instant::now();

        let (mut all, mut warm_up_bad, mut traffic) = (Tally::new(over), 0, Traffic::default());
        for client in clients {
            let used = client.join().expect("clients do not panic");
            let (bad, tally, passed) = used.expect("all were there");
            all.add(&tally);
            warm_up_bad += bad;
            traffic.sent += passed.sent;
            traffic.sent_bytes += passed.sent_bytes;
            traffic.received += passed.received;
            traffic.received_bytes += passed.received_bytes;
        }
        Ok(Measured {
            time: all.over.duration_since(begun),
            tally: all,
            warm_up_bad,
            used: meter.read().since(&before),
            traffic,
            baseline: None,
            is_interrupted: interrupts.came(),
            ended,
        })
    })
}

/// Looks on until the time is up, or somebody wants to see the end, or a node of ours has ended.
fn watch(
    what: &str,
    limit: Duration,
    opened: &Opened,
    interrupts: &Interrupts,
    count: &AtomicU64,
) -> Option<cluster::Error> {
    let (line, begun) = (StatusLine::new(limit), Instant::now());
    let before = count.load(Ordering::Relaxed);
    loop {
        let ended = opened.ended();
        let elapsed = begun.elapsed();
        if ended.is_some() || interrupts.came() || elapsed >= limit {
            line.clear();
            return ended;
        }
        line.show(elapsed, || {
            let done = count.load(Ordering::Relaxed) - before;
            let per_second = done as f64 / elapsed.as_secs_f64().max(0.001);
            format!("{what} · {done} operations · {per_second:.0}/s")
        });
        thread::sleep(load::LOOK.min(limit - elapsed));
    }
}

fn since(before: Traffic, after: Traffic) -> Traffic {
    Traffic {
        received: after.received - before.received,
        received_bytes: after.received_bytes - before.received_bytes,
        sent: after.sent - before.sent,
        sent_bytes: after.sent_bytes - before.sent_bytes,
        unsent: after.unsent - before.unsent,
    }
}

impl Plan {
    fn draw(&self, place: u64) -> Draw {
        Draw::new(place, self.keys, self.reads_percent, self.value_bytes)
    }

    fn course<'a>(&self, place: u64, is_over: &'a AtomicBool, ended: &'a AtomicU64) -> Course<'a> {
        let pace = self.rate.map_or(Pace::Closed, |rate| {
            let every_ns = 1_000_000_000 * self.clients as u64 / u64::from(rate);
            Pace::Open { first_ns: every_ns * place / self.clients as u64, every_ns }
        });
        Course { in_flight: self.in_flight, pace, is_over, ended }
    }
}

impl Error {
    /// The exit code that tells it.
    pub fn code(&self) -> u8 {
        match self {
            Error::Run(error) => error.code(),
            Error::File(_) => BAD_ARGUMENTS,
            Error::NotFilled(_) => CRASHED,
        }
    }

    fn io(what: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::Run(run::Error::Io { what, error })
    }
}

impl From<cluster::Error> for Error {
    fn from(error: cluster::Error) -> Error {
        Error::Run(run::Error::Cluster(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Run(error) => write!(f, "{error}"),
            Error::File(error) => write!(f, "{error}"),
            Error::NotFilled(why) => {
                write!(f, "the cluster did not take the first values: {why}")
            }
        }
    }
}

impl std::error::Error for Error {}
