//! Who writes: the caller itself, or one thread for all, so that the caller never waits for a disk.
//! What is handed over while the thread is busy goes to disk together, with one sync.

use super::segments::{Progress, Segments};
use super::syncs::Syncs;
use crate::storage::Storage;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Called by the thread after each change of its progress, and after an error.
pub type Waker = Box<dyn Fn() + Send>;

/// Who writes.
pub enum Writer<S: Storage> {
    /// The caller, before it goes on.
    Here(Box<Here<S>>),
    /// The thread.
    Background(Background<S>),
}

pub struct Here<S: Storage> {
    segments: Segments<S>,
    progress: Progress,
    failure: Option<Failure>,
}

pub struct Background<S: Storage> {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Segments<S>>>,
}

/// The error after which nothing is written any more: of a write that failed nobody knows what
/// reached the disk, and a sync that failed may succeed the next time without having done its work.
#[derive(Clone)]
struct Failure(io::ErrorKind, Arc<str>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// Invariant: `pending` is empty or begins with room for a mark.
struct State {
    pending: Vec<u8>,
    /// The number of the last write in `pending`.
    number: u64,
    /// The oldest segment needed once `pending` is durable.
    oldest: u64,
    progress: Progress,
    syncs: Syncs,
    failure: Option<Failure>,
    stop: bool,
}

impl<S: Storage> Writer<S> {
    /// Writes in the caller's time.
    pub fn here(segments: Segments<S>) -> Writer<S> {
        let progress = segments.progress(0);
        Writer::Here(Box::new(Here { segments, progress, failure: None }))
    }

    /// Starts the thread, and writes there from now on.
    pub fn into_background(self, waker: Waker) -> io::Result<Writer<S>> {
        let Writer::Here(here) = self else { return Ok(self) };
        let Here { segments, progress, failure } = *here;
        let (pending, number, oldest) = (Vec::new(), progress.durable, 0);
        let (syncs, stop) = (Syncs::default(), false);
        let state = State { pending, number, oldest, progress, syncs, failure, stop };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("wal".into())
            .spawn(move || write_all(segments, &theirs, &waker))?;
        Ok(Writer::Background(Background { shared, thread: Some(thread) }))
    }

    /// Takes over a batch, and leaves it empty. `number` names it; `oldest` is the oldest segment
    /// needed once it is durable.
    pub fn hand_over(&mut self, batch: &mut Vec<u8>, number: u64, oldest: u64) -> io::Result<()> {
        match self {
            Writer::Here(here) => {
                Failure::check(&here.failure)?;
                let committed = here.segments.commit(batch, oldest);
                batch.clear();
                here.failure = committed.err().map(Failure::of);
                here.progress = here.segments.progress(number);
                Failure::check(&here.failure)
            }
            Writer::Background(background) => {
                let mut state = background.shared.lock();
                Failure::check(&state.failure)?;
                (state.number, state.oldest) = (number, oldest);
                if state.pending.is_empty() {
                    std::mem::swap(&mut state.pending, batch);
                    background.shared.wake.notify_one();
                } else {
                    state.pending.extend_from_slice(&batch[super::format::MARK_BYTES..]);
                    batch.clear();
                }
                Ok(())
            }
        }
    }

    /// How far the log has come; the first failure, for ever after, if there was one.
    pub fn progress(&self) -> io::Result<Progress> {
        match self {
            Writer::Here(here) => Failure::check(&here.failure).map(|()| here.progress),
            Writer::Background(background) => {
                let state = background.shared.lock();
                Failure::check(&state.failure).map(|()| state.progress)
            }
        }
    }

    /// How long the syncs of the thread took; none if there is no thread.
    pub fn syncs(&self) -> Option<super::SyncTimes> {
        match self {
            Writer::Here(_) => None,
            Writer::Background(background) => Some(background.shared.lock().syncs.times()),
        }
    }

    /// Writes what is left, and a last mark.
    pub fn close(self) -> io::Result<()> {
        let mut segments = match self {
            Writer::Here(here) => {
                Failure::check(&here.failure)?;
                here.segments
            }
            Writer::Background(mut background) => {
                let segments = background.stop().expect("it is stopped only once");
                Failure::check(&background.shared.lock().failure)?;
                segments.expect("a thread that panics leaves a failure")
            }
        };
        segments.mark()
    }
}

impl<S: Storage> Background<S> {
    /// Has the thread write what is pending, and waits for its end. None if it has been.
    fn stop(&mut self) -> Option<thread::Result<Segments<S>>> {
        let thread = self.thread.take()?;
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        Some(thread.join())
    }
}

impl<S: Storage> Drop for Background<S> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Nothing under this lock can panic half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write; false when there will be nothing more.
    fn next(&self, batch: &mut Vec<u8>) -> Option<(u64, u64)> {
        let state = self.lock();
        let mut state = self
            .wake
            .wait_while(state, |state| state.pending.is_empty() && !state.stop)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(batch, &mut state.pending);
        (!batch.is_empty()).then_some((state.number, state.oldest))
    }
}

/// The thread.
fn write_all<S: Storage>(mut segments: Segments<S>, shared: &Shared, waker: &Waker) -> Segments<S> {
    let _guard = PanicGuard { shared, waker };
    let mut batch = Vec::new();
    while let Some((number, oldest)) = shared.next(&mut batch) {
        let committed = segments.commit(&mut batch, oldest);
        batch.clear();
        let failed = committed.is_err();
        let mut state = shared.lock();
        match committed {
            Ok(sync_time) => {
                state.progress = segments.progress(number);
                sync_time.into_iter().for_each(|time| state.syncs.record(time));
            }
            Err(error) => state.failure = Some(Failure::of(error)),
        }
        drop(state);
        waker();
        if failed {
            break;
        }
    }
    segments
}

/// Tells of a panic of the thread, or the caller would wait for its syncs for ever.
struct PanicGuard<'a> {
    shared: &'a Shared,
    waker: &'a Waker,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let failure =
                Failure(io::ErrorKind::Other, "the thread that writes the log died".into());
            self.shared.lock().failure = Some(failure);
            (self.waker)();
        }
    }
}

impl Failure {
    fn of(error: io::Error) -> Failure {
        Failure(error.kind(), error.to_string().into())
    }

    fn check(failure: &Option<Failure>) -> io::Result<()> {
        match failure {
            None => Ok(()),
            Some(Failure(kind, message)) => Err(io::Error::new(*kind, message.to_string())),
        }
    }
}
