//! Clocks of nodes that run at the rate they are told, and jump when they are told to.
//!
//! libfaketime, loaded into a node, computes what the node takes for the time from a line in a file,
//! which it reads whenever the node asks: `+OFFSET xRATE` means that `OFFSET + RATE * e` seconds have
//! passed `e` seconds after the start of the node. So a clock is changed by replacing that file, and
//! no node has to be restarted. It changes the monotonic clock, the one that nodes go by, and what
//! `epoll_wait` takes for a timeout; the time of day goes along with it.
//!
//! No clock is ever set back. A monotonic clock that goes back breaks the promise of the system, and
//! nodes may rely on that. When the library took its start is known only to within some
//! milliseconds; where that leaves a doubt, a clock jumps forward by as much.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How to load the library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Library {
    preload: String,
}

/// The clock of one process.
#[derive(Debug)]
pub(super) struct Clock {
    file: PathBuf,
    percent: u32,
    line: Line,
    /// The library took its start after the first and before the second, if that is known.
    started: (Instant, Option<Instant>),
    /// When the clock was set, and the rate before; a clock that is true from its start until now.
    set: (Instant, f64),
    /// What it showed just before that, or else as soon as it could be asked.
    before: Option<Reading>,
    /// What it showed last, since then.
    last: Option<Reading>,
}

/// What a clock says, `e` seconds after its start.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Line {
    offset_s: f64,
    rate: f64,
}

/// A look at a clock: it showed this at some moment between the two.
#[derive(Clone, Copy, Debug)]
struct Reading {
    asked: Instant,
    answered: Instant,
    shown: Duration,
}

/// How soon a file is where it is read, and how long before that a node may have asked the system for
/// the time that it is about to compute with.
const HASTE: Duration = Duration::from_millis(10);

/// To what nodes round the time they tell.
const ROUNDING_S: f64 = 0.001;

impl Library {
    /// The library of this machine, as its own program `faketime` would load it; `None` if there is
    /// none.
    pub fn find() -> Option<Library> {
        let mut command = Command::new("faketime");
        // The one that programs with threads need; and one that prints what it was given.
        command.args(["-m", "-f", "+0", "env"]).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        let preload = text.lines().find_map(|line| line.strip_prefix("LD_PRELOAD="))?;
        Some(Library { preload: preload.to_string() })
    }
}

impl Clock {
    /// The clock of a process about to be started by `command`: a true one, but for its rate.
    pub fn of(
        command: &mut Command,
        library: &Library,
        file: PathBuf,
        percent: u32,
    ) -> io::Result<Clock> {
        command.env("LD_PRELOAD", &library.preload);
        command.env("FAKETIME_TIMESTAMP_FILE", &file);
        command.env("FAKETIME_NO_CACHE", "1");
        let line = Line { offset_s: 0.0, rate: f64::from(percent) / 100.0 };
        fs::write(&file, line.to_string())?;
        let now = Instant::now();
        let (started, set) = ((now, None), (now, 1.0));
        Ok(Clock { file, percent, line, started, set, before: None, last: None })
    }

    /// Whether it has shown nothing since its process was started.
    pub fn is_unread(&self) -> bool {
        self.started.1.is_none()
    }

    /// The rate it was told last.
    pub fn percent(&self) -> u32 {
        self.percent
    }

    /// Lets the clock jump forward by so much, and run at this rate from now on.
    pub fn set(&mut self, percent: u32, jump: Duration) -> io::Result<()> {
        let rate = f64::from(percent) / 100.0;
        let new = self.file.with_extension("new");
        let mut haste = HASTE;
        let next = loop {
            let now = Instant::now();
            let (first, last) = (self.started.0, self.started.1.unwrap_or(now));
            let least = (now - haste).saturating_duration_since(last);
            let most = (now + haste).saturating_duration_since(first);
            let next = self.line.followed_by(rate, jump, least, most);
            fs::write(&new, next.to_string())?;
            if now.elapsed() < haste / 2 {
                break next;
            }
            haste *= 2;
        };
        // In one step: whoever reads it finds the line before, or this one.
        fs::rename(&new, &self.file)?;
        // What was read before the clock was set the last time, says nothing about this time.
        let since = |reading: &Reading| reading.asked > self.set.0;
        self.before = self.last.take().or(self.before.filter(since));
        self.set = (Instant::now(), self.line.rate);
        (self.percent, self.line) = (percent, next);
        Ok(())
    }

    /// Takes note of a look at the clock.
    pub fn read(&mut self, asked: Instant, answered: Instant, shown: Duration) {
        self.started.1.get_or_insert(answered);
        // Nobody knows whether what was asked before shows it as it was or as it is.
        if asked > self.set.0 {
            let reading = Reading { asked, answered, shown };
            match self.before {
                Some(_) => self.last = Some(reading),
                None => self.before = Some(reading),
            }
        }
    }

    /// Whether readings show that the clock no longer runs as it did before it was set.
    pub fn is_off(&self) -> bool {
        match (self.before, self.last) {
            (Some(before), Some(last)) => before.contradicts(&last, self.set.1),
            _ => false,
        }
    }
}

impl Line {
    /// The line that runs at `rate` and is `jump` before this one, or a little more: at no moment
    /// from `least` to `most` after the start it is less.
    fn followed_by(self, rate: f64, jump: Duration, least: Duration, most: Duration) -> Line {
        let behind = |after: Duration| after.as_secs_f64() * (self.rate - rate);
        let offset_s = self.offset_s + jump.as_secs_f64() + behind(least).max(behind(most));
        Line { offset_s, rate }
    }
}

impl Reading {
    /// Whether no clock of this rate can have shown this and `later`.
    fn contradicts(&self, later: &Reading, rate: f64) -> bool {
        let least = later.asked.saturating_duration_since(self.answered).as_secs_f64() * rate;
        let most = later.answered.saturating_duration_since(self.asked).as_secs_f64() * rate;
        let shown = later.shown.as_secs_f64() - self.shown.as_secs_f64();
        shown < least - ROUNDING_S || shown > most + ROUNDING_S
    }
}

/// As the library reads it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:+.6} x{}", self.offset_s, self.rate)
    }
}

/// Where the library keeps what processes share.
const SHARED: &str = "/dev/shm";
const SHARED_PREFIX: &str = "faketime_shm_";

/// Removes what the library leaves behind of a process that was killed.
pub(super) fn clean_up(process: u32) {
    clean_up_in(Path::new(SHARED), process);
}

/// The same of all processes that are gone: those of a checker that was killed itself.
pub(super) fn clean_up_after_others() {
    clean_up_where(Path::new(SHARED), |process| {
        !Path::new("/proc").join(process.to_string()).exists()
    });
}

fn clean_up_in(shared: &Path, process: u32) {
    for name in [format!("{SHARED_PREFIX}{process}"), format!("sem.faketime_sem_{process}")] {
        // It may have none, or none left, or belong to somebody else.
        let _ = fs::remove_file(shared.join(name));
    }
}

fn clean_up_where(shared: &Path, is_gone: impl Fn(u32) -> bool) {
    let entries = fs::read_dir(shared).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let processes = names.filter_map(|name| name.strip_prefix(SHARED_PREFIX)?.parse().ok());
    processes.filter(|process| is_gone(*process)).for_each(|process| clean_up_in(shared, process));
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_clock_never_goes_back_wherever_its_start_was() {
        let rates = [0.25, 0.5, 1.0, 1.25, 4.0];
        for (before, after) in rates.into_iter().flat_map(|a| rates.map(|b| (a, b))) {
            let line = Line { offset_s: -3.0, rate: before };
            for jump in [ms(0), ms(2_000)] {
                let next = line.followed_by(after, jump, ms(10_000), ms(10_050));
                for elapsed_s in [10.0, 10.02, 10.05] {
                    let at = |line: Line| line.offset_s + line.rate * elapsed_s;
                    let ahead_s = at(next) - at(line) - jump.as_secs_f64();
                    assert!((-1e-9..0.2).contains(&ahead_s), "{before} {after}: {ahead_s}");
                }
            }
        }
    }

    #[test]
    fn only_what_cannot_be_is_off() {
        let begun = Instant::now();
        // Asked and answered at these milliseconds, it showed this.
        let read = |asked, answered, shown| Reading {
            asked: begun + ms(asked),
            answered: begun + ms(answered),
            shown: ms(shown),
        };
        let first = read(0, 4, 1_000);
        for (later, rate, is_off) in [
            (read(100, 101, 1_100), 1.0, false),
            (read(100, 101, 1_096), 1.0, false),
            (read(100, 101, 1_101), 1.0, false),
            (read(100, 101, 1_104), 1.0, true),
            (read(100, 101, 1_090), 1.0, true),
            (read(100, 101, 1_025), 0.25, false),
            (read(100, 101, 1_400), 1.0, true),
            (read(100, 900, 1_400), 1.0, false),
        ] {
            assert_eq!(first.contradicts(&later, rate), is_off, "{later:?}");
        }
    }

    #[test]
    fn what_the_dead_left_is_removed_and_what_the_living_use_is_not() {
        let shared = tempfile::tempdir().expect("a folder");
        for process in [7, 8] {
            for name in [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")] {
                fs::write(shared.path().join(name), "").expect("ours");
            }
        }
        fs::write(shared.path().join("faketime_shm_x"), "").expect("ours");
        clean_up_where(shared.path(), |process| process == 7);
        let left = fs::read_dir(shared.path()).expect("a folder");
        let left = left.map(|entry| entry.expect("an entry").file_name().into_string());
        let mut left: Vec<String> = left.map(|name| name.expect("plain")).collect();
        left.sort();
        assert_eq!(left, ["faketime_shm_8", "faketime_shm_x", "sem.faketime_sem_8"]);
    }

    #[test]
    fn the_file_says_what_the_library_understands() {
        let written = |offset_s, rate| Line { offset_s, rate }.to_string();
        assert_eq!(written(0.0, 1.0), "+0.000000 x1\n");
        assert_eq!(written(-2.5, 0.25), "-2.500000 x0.25\n");
    }
}
