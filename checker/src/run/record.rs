//! The history as it happens: every event stamped by one clock and written down in one order.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value as Json, json};

use super::live::{Live, Sighting};
use crate::process::Answer;
use crate::workload::{Action, Kind, Operation};

/// Writes `history.jsonl`, and counts. An event is recorded when the lock is held: so the order in
/// the file is one in which things may have happened, whichever thread was faster afterwards.
pub struct Recorder {
    begun: Instant,
    /// The same moment by the clock on the wall, by which nodes date their logs.
    begun_at: SystemTime,
    book: Mutex<Book>,
    /// Something impossible was recorded.
    sighted: Condvar,
}

/// Who reads what a compare-and-set was told is numbered from here, above all other processes.
pub(crate) const CONTRADICTED: u64 = 2_000_000_000;

struct Book {
    out: BufWriter<File>,
    index: u64,
    counts: Counts,
    /// By the number of the fault.
    faults: Vec<Fault>,
    /// Numbers of those that last, or that no write has succeeded since: of a long run, few.
    open: Vec<usize>,
    /// Since when each group has a node that reaches a quorum of it; `None` if one has none.
    quorum_since: Option<u64>,
    /// Sees every event in this order, too.
    live: Live,
    /// When a write succeeded last; zero before the first.
    written: u64,
    /// The first failure to write. There is no history then, whatever comes later.
    failed: Option<io::Error>,
}

/// What clients did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Invoked.
    pub invoked: u64,
    /// Succeeded, by [`Kind::index`].
    pub ok: [u64; 3],
    /// Surely did not happen, or found what they did not expect.
    pub failed: u64,
    /// May have happened.
    pub indeterminate: u64,
}

/// A fault of the schedule, as it went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fault {
    /// What kind of fault.
    pub kind: String,
    /// What it did, and to whom.
    pub what: String,
    /// When it began, in nanoseconds since the run did.
    pub begun: u64,
    /// When it was healed, likewise.
    pub healed: Option<u64>,
    /// How long of that some node of each group reached a quorum of it, both ways, whatever other
    /// faults lasted.
    pub quorum_ns: u64,
    /// How many processes or datagrams it had an effect on.
    pub touched: u64,
    /// What succeeded meanwhile, by [`Kind::index`].
    pub ok: [u64; 3],
    /// When a write succeeded for the first time after it began. That may still be one that was
    /// answered before the fault took effect: see `unwritten_ns`.
    pub written: Option<u64>,
    /// The longest time without a successful write, from its beginning, or a write after that, to
    /// the next: of those times that began before it was healed.
    pub unwritten_ns: u64,
}

impl Recorder {
    /// Begins a history in this file.
    pub fn create(file: &Path) -> io::Result<Recorder> {
        let book = Book {
            out: BufWriter::new(File::create(file)?),
            index: 0,
            counts: Counts::default(),
            faults: Vec::new(),
            open: Vec::new(),
            quorum_since: Some(0),
            live: Live::default(),
            written: 0,
            failed: None,
        };
        let (begun, begun_at) = (Instant::now(), SystemTime::now());
        Ok(Recorder { begun, begun_at, book: Mutex::new(book), sighted: Condvar::new() })
    }

    /// When the run began: the zero of all times.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The same moment by the clock on the wall.
    pub fn begun_at(&self) -> SystemTime {
        self.begun_at
    }

    /// A process is about to send this.
    pub fn invoked(&self, process: u64, operation: &Operation) {
        let (kind, value) = (operation.kind(), value(operation));
        let mut book = self.book();
        book.counts.invoked += 1;
        self.write(&mut book, process.into(), "invoke", kind.name(), &value, None);
        book.live.invoked(process, operation);
    }

    /// A process had this answer.
    pub fn completed(&self, process: u64, operation: &Operation, answer: &Answer) {
        let (kind, mut value) = (operation.kind(), value(operation));
        let mut error = None;
        let what = match answer {
            Answer::Ok(found) => {
                if kind == Kind::Read {
                    value = json!([operation.name(), found]);
                }
                "ok"
            }
            Answer::Mismatch(found) => {
                error = Some(json!(["mismatch", found]));
                "fail"
            }
            Answer::Missing => {
                error = Some(json!(["missing"]));
                "fail"
            }
            Answer::NotExecuted(why) => {
                error = Some(json!(["not-executed", why]));
                "fail"
            }
            Answer::Indeterminate(why) => {
                error = Some(json!(["unknown", why]));
                "info"
            }
        };
        let mut book = self.book();
        book.count(kind, answer);
        let error = error.as_ref();
        let time = self.write(&mut book, process.into(), what, kind.name(), &value, error);
        if kind != Kind::Read && matches!(answer, Answer::Ok(_)) {
            book.write_succeeded(time);
        }
        if book.live.completed(process, operation, answer, time) {
            self.sighted.notify_all();
        }
        drop(book);
        if let (Action::Cas { new, .. }, Answer::Ok(Some(now))) = (&operation.action, answer) {
            self.contradicted(process, operation.key, new, now);
        }
    }

    /// A compare-and-set that put `new` there was told to have put `now`. No format has a place for
    /// that, and as a read of `now` it might be legal. So it becomes a read of what nobody wrote.
    fn contradicted(&self, process: u64, key: usize, new: &str, now: &str) {
        let told = format!("{now}, told to process {process}, whose cas put {new}");
        let (reader, read) = (CONTRADICTED + process, Operation::read(key));
        self.invoked(reader, &read);
        self.completed(reader, &read, &Answer::Ok(Some(told)));
    }

    /// A fault began. Returns its number. `has_quorum`: whether every group has one now.
    pub fn fault_begins(&self, kind: &str, what: &str, has_quorum: bool) -> usize {
        let mut book = self.book();
        let begun = self.write(&mut book, "nemesis".into(), "info", kind, &json!(what), None);
        let (kind, what) = (kind.to_string(), what.to_string());
        book.turn(begun, has_quorum);
        book.begin(Fault { kind, what, begun, ..Fault::default() })
    }

    /// A fault was healed, having had an effect on so many processes or datagrams.
    pub fn fault_ends(&self, number: usize, touched: u64, has_quorum: bool) {
        let mut book = self.book();
        let Fault { kind, what, .. } = book.faults[number].clone();
        let what = json!(format!("healed: {what}, touched {touched}"));
        let time = self.write(&mut book, "nemesis".into(), "info", &kind, &what, None);
        book.turn(time, has_quorum);
        let fault = &mut book.faults[number];
        (fault.healed, fault.touched) = (Some(time), touched);
    }

    /// Something else worth knowing happened.
    pub fn noted(&self, what: &str) {
        let mut book = self.book();
        self.write(&mut book, "nemesis".into(), "info", "note", &json!(what), None);
    }

    /// What clients did so far.
    pub fn counts(&self) -> Counts {
        self.book().counts
    }

    /// All faults so far.
    pub fn faults(&self) -> Vec<Fault> {
        self.book().faults.clone()
    }

    /// What each fault that lasts does, and to whom.
    pub fn lasting(&self) -> Vec<String> {
        let mut book = self.book();
        book.lasting().map(|fault| fault.what.clone()).collect()
    }

    /// Waits for something impossible, but no longer than that. Returns the first there was.
    pub fn await_sighting(&self, patience: Duration) -> Option<Sighting> {
        let is_well = |book: &mut Book| book.live.sightings().is_empty();
        let waited = self.sighted.wait_timeout_while(self.book(), patience, is_well);
        let (book, _) = waited.unwrap_or_else(PoisonError::into_inner);
        book.live.sightings().first().cloned()
    }

    /// Shows the judge that saw every event.
    pub(super) fn with_live<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.book().live)
    }

    /// Whether some of it could not be written: there will be no history.
    pub fn has_failed(&self) -> bool {
        self.book().failed.is_some()
    }

    /// All is in the file now, or never will be.
    pub fn finish(&self) -> io::Result<()> {
        let mut book = self.book();
        let flushed = book.out.flush();
        book.failed.take().map_or(flushed, Err)
    }

    /// Writes the next line, in the order of fields that our own reader knows best. Returns its time.
    fn write(
        &self,
        book: &mut Book,
        process: Json,
        what: &str,
        function: &str,
        value: &Json,
        error: Option<&Json>,
    ) -> u64 {
        let time = self.begun.elapsed().as_nanos() as u64;
        let index = book.index;
        let error = error.map_or(String::new(), |error| format!(",\"error\":{error}"));
        book.index += 1;
        let written = writeln!(
            book.out,
            r#"{{"index":{index},"time":{time},"process":{process},"type":"{what}","f":"{function}","value":{value}{error}}}"#
        );
        if let Err(error) = written {
            book.failed.get_or_insert(error);
        }
        time
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Takes a fault up, and returns its number.
    fn begin(&mut self, fault: Fault) -> usize {
        self.open.push(self.faults.len());
        self.faults.push(fault);
        self.faults.len() - 1
    }

    /// Those that are not healed.
    fn lasting(&mut self) -> impl Iterator<Item = &mut Fault> {
        let first = self.open.first().copied().unwrap_or(self.faults.len());
        self.faults[first..].iter_mut().filter(|fault| fault.healed.is_none())
    }

    /// From now on there is a quorum, or there is none.
    fn turn(&mut self, now: u64, has_quorum: bool) {
        if let Some(since) = self.quorum_since {
            for fault in self.lasting() {
                fault.quorum_ns += now - since.max(fault.begun);
            }
        }
        self.quorum_since = has_quorum.then_some(now);
    }

    /// A write, or a compare-and-set, succeeded now.
    fn write_succeeded(&mut self, now: u64) {
        for &number in &self.open {
            let fault = &mut self.faults[number];
            let since = self.written.max(fault.begun);
            fault.written.get_or_insert(now);
            if fault.healed.is_none_or(|healed| since < healed) {
                fault.unwritten_ns = fault.unwritten_ns.max(now - since);
            }
        }
        self.open.retain(|&number| self.faults[number].healed.is_none());
        self.written = now;
    }

    fn count(&mut self, kind: Kind, answer: &Answer) {
        match answer {
            Answer::Ok(_) => {
                self.counts.ok[kind.index()] += 1;
                for fault in self.lasting() {
                    fault.ok[kind.index()] += 1;
                }
            }
            Answer::Indeterminate(_) => self.counts.indeterminate += 1,
            _ => self.counts.failed += 1,
        }
    }
}

/// What is asked for, as invocations have it.
pub(super) fn value(operation: &Operation) -> Json {
    let name = operation.name();
    match &operation.action {
        Action::Read => json!([name, null]),
        Action::Write(new) => json!([name, new]),
        Action::Cas { old, new } => json!([name, [old, new]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{self, Pairing};
    use crate::verify;
    use std::fs;

    #[test]
    fn what_is_recorded_is_what_verify_reads() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("history.jsonl");
        let recorder = Recorder::create(&file).expect("a file");
        let write = Operation { key: 0, action: Action::Write("a \"b\"\n".to_string()) };
        let swap = Action::Cas { old: None, new: "c".to_string() };
        let swap = Operation { key: 0, action: swap };
        recorder.invoked(0, &write);
        let fault = recorder.fault_begins("kill", "n1", true);
        recorder.completed(0, &write, &Answer::Ok(None));
        recorder.fault_ends(fault, 1, true);
        for (process, operation, answer) in [
            (0, &swap, Answer::Mismatch("a \"b\"\n".to_string())),
            (0, &swap, Answer::Missing),
            (0, &swap, Answer::NotExecuted("no session".to_string())),
            (0, &Operation::read(1), Answer::Ok(None)),
            (0, &swap, Answer::Indeterminate("no answer".to_string())),
            (1, &Operation::read(0), Answer::Ok(Some("a \"b\"\n".to_string()))),
        ] {
            recorder.invoked(process, operation);
            recorder.completed(process, operation, &answer);
        }
        recorder.finish().expect("it is written");

        let text = fs::read(&file).expect("a file");
        let history = history::read(&text[..], None, &Pairing::default()).expect("a history");
        let counts = history.counts;
        assert_eq!((counts.operations, counts.indeterminate, counts.failed), (7, 1, 1));
        assert_eq!(counts.times_going_back, 0);
        let operations: Vec<usize> = history.keys.iter().map(|key| key.operations.len()).collect();
        assert_eq!((operations, history.faults.len()), (vec![5, 1], 2));
        let ours = recorder.counts();
        assert_eq!((ours.invoked, ours.ok, ours.failed), (7, [2, 1, 0], 3));
        assert_eq!(recorder.faults()[0].ok, [0, 1, 0], "only what succeeded before it was healed");
    }

    #[test]
    fn a_compare_and_set_that_tells_another_value_than_it_put_is_invalid() {
        let swap = Action::Cas { old: None, new: "1.1".to_string() };
        let swap = Operation { key: 0, action: swap };
        for (now, word) in [(None, "valid"), (Some("1.0"), "invalid")] {
            let dir = tempfile::tempdir().expect("a folder");
            let file = dir.path().join("history.jsonl");
            let recorder = Recorder::create(&file).expect("a file");
            recorder.invoked(3, &swap);
            recorder.completed(3, &swap, &Answer::Ok(now.map(String::from)));
            recorder.finish().expect("it is written");
            let judged = verify::judge(&verify::Plan::of_own(), &file, "ours").expect("a history");
            assert_eq!(judged.finding.name(), word);
            assert_eq!(recorder.with_live(|live| live.sightings().is_empty()), word == "valid");
            assert_eq!(recorder.with_live(|live| live.quarrels(&judged)), Vec::<String>::new());
        }
    }

    #[test]
    fn time_without_a_write_counts_from_the_fault_until_after_it_is_healed() {
        let dir = tempfile::tempdir().expect("a folder");
        let recorder = Recorder::create(&dir.path().join("history.jsonl")).expect("a file");
        let mut book = recorder.book();
        let fault = |begun| Fault { begun, ..Fault::default() };
        book.write_succeeded(5);
        book.begin(fault(10));
        for now in [12, 20] {
            book.write_succeeded(now);
        }
        book.begin(fault(40));
        book.faults[0].healed = Some(50);
        for now in [120, 500] {
            book.write_succeeded(now);
        }
        let told = |fault: &Fault| (fault.written, fault.unwritten_ns);
        assert_eq!(told(&book.faults[0]), (Some(12), 100), "from 20 to 120, and no later");
        assert_eq!(told(&book.faults[1]), (Some(120), 380), "it is not healed");
        assert_eq!(book.open, [1]);
    }
}
