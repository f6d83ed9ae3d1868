//! Many seeds on several threads, with progress on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs `run` for each of `count` seeds from `first` on, on `jobs` threads, and gives every result
/// to `take`, in any order. Stops at the first failure and returns that of the lowest seed: seeds
/// are begun in order, so every lower one has been run.
pub fn campaign<T: Send, E: Send>(
    (first, count): (u64, u64),
    jobs: usize,
    run: impl Fn(u64) -> Result<T, E> + Sync,
    take: impl FnMut(u64, T) + Send,
) -> Result<(), (u64, E)> {
    let progress = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
    let style = "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left";
    progress.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let (take, failed) = (Mutex::new(take), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count {
                        break;
                    }
                    match run(seed) {
                        Ok(result) => (take.lock().expect("no thread panics"))(seed, result),
                        Err(error) => {
                            stop.store(true, Ordering::Relaxed);
                            let mut failed = failed.lock().expect("no thread panics");
                            if failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                                *failed = Some((seed, error));
                            }
                        }
                    }
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    match failed.into_inner().expect("no thread panics") {
        Some(failed) => Err(failed),
        None => Ok(()),
    }
}
