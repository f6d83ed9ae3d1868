//! `checker verify`: recorded histories in, verdicts out.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::history::{self, Format, History, Keyed, Pairing, ReadError, Value};
use crate::linearizability::{self, Bounds, Model, Unproven, Verdict, Violation};
use crate::{say, store};

mod json;
mod proofs;
mod told;

pub(crate) use json::line as json_of;
use proofs::Proofs;
pub(crate) use told::{explain, quoted};

/// What to verify, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// How they are written down; found out if not given.
    pub format: Option<Format>,
    /// What operations do; found out if not given: there are appends, or there are none.
    pub model: Option<Model>,
    /// What every key holds at first, `None` if missing. If not given: the empty string for
    /// [`Model::KvAppend`], else missing.
    pub initial: Option<Option<Vec<u8>>>,
    /// How events are understood.
    pub pairing: Pairing,
    /// When to give up.
    pub bounds: Bounds,
    /// Whether to print for machines.
    pub json: bool,
    /// Where to write the proofs.
    pub proof: Option<PathBuf>,
    /// The options among the arguments, as they were given: those that decide verdicts.
    pub switches: Vec<String>,
}

impl Plan {
    /// For a history that `checker run` recorded.
    pub(crate) fn of_own() -> Plan {
        Plan {
            files: Vec::new(),
            format: Some(Format::Jsonl),
            model: Some(Model::CasRegister),
            initial: None,
            pairing: Pairing { keyed: Keyed::Yes, ..Pairing::default() },
            bounds: Bounds::default(),
            json: false,
            proof: None,
            switches: Vec::new(),
        }
    }
}

/// What is known of one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Finding {
    /// Every key is linearizable.
    Valid,
    /// Nothing was proven: no operation succeeded.
    Vacuous,
    /// Some key was not decided, and none is invalid.
    Unknown,
    /// The file is no history, or cannot be read; or that of the proofs cannot be made.
    Unreadable,
    /// Some key is not linearizable.
    Invalid,
    /// The checker found its own proof to be wrong.
    Unproven,
}

/// A file that was judged.
pub(crate) struct Judged<'a> {
    name: &'a str,
    pub(crate) history: History,
    options: linearizability::Options,
    /// By key, as in `history`.
    pub(crate) verdicts: Vec<Result<Verdict, Unproven>>,
    pub(crate) finding: Finding,
    pub(crate) took: Duration,
}

impl Judged<'_> {
    /// When the first violation shows, in nanoseconds on the clock of the events.
    pub(crate) fn shows_at_ns(&self) -> Option<u64> {
        let violations = self.verdicts.iter().flat_map(|verdict| match verdict {
            Ok(Verdict::Invalid { violations, .. }) => &violations[..],
            _ => &[],
        });
        let first = violations.map(Violation::shows_at).min()?;
        self.history.events.time(first)?.try_into().ok()
    }
}

/// Verifies all files, prints what was found, and returns the worst of it.
/// Fails if the output, or the proofs, can no longer be written.
pub fn verify(plan: &Plan) -> io::Result<Finding> {
    let proofs = plan.proof.as_deref().map(|path| Proofs::create(path, &plan.files));
    let mut proofs = match proofs.transpose() {
        Ok(proofs) => proofs,
        Err(error) => {
            say::aside(format_args!("checker: --proof {error}"));
            return Ok(Finding::Unreadable);
        }
    };
    let unsaid = store::located(Path::new("standard output"));
    let mut out = say::Out::lock();
    let started = Instant::now();
    let mut findings = Vec::with_capacity(plan.files.len());
    for file in &plan.files {
        let name = file.to_string_lossy();
        let judged = judge(plan, file, &name);
        if let (Some(proofs), Ok(judged)) = (&mut proofs, &judged) {
            proofs.add(judged)?;
        }
        tell(&mut out, plan, &name, &judged).map_err(&unsaid)?;
        findings.push(judged.map_or(Finding::Unreadable, |judged| judged.finding));
    }
    proofs.map_or(Ok(()), Proofs::finish)?;
    if plan.files.len() > 1 && !plan.json {
        told::write_summary(&mut out, &findings, started.elapsed()).map_err(&unsaid)?;
    }
    out.flush().map_err(&unsaid)?;
    Ok(findings.into_iter().max().unwrap_or(Finding::Valid))
}

/// Says what was found in a file, or why there is nothing to find.
fn tell(
    out: &mut say::Out,
    plan: &Plan,
    name: &str,
    judged: &Result<Judged<'_>, ReadError>,
) -> io::Result<()> {
    match judged {
        Ok(judged) if plan.json => json::write(out, plan, judged),
        Ok(judged) => told::write(out, plan, judged),
        Err(error) if plan.json => json::write_error(out, name, error),
        Err(error) => {
            out.flush()?;
            say::aside(format_args!("checker: {}", located(name, error)));
            Ok(())
        }
    }
}

/// `FILE:LINE: why`.
fn located(name: &str, error: &ReadError) -> String {
    match error {
        ReadError::Io(error) => format!("{name}: {error}"),
        ReadError::Malformed { line, why } => format!("{name}:{line}: {why}"),
    }
}

/// Judges one file.
pub(crate) fn judge<'a>(plan: &Plan, file: &Path, name: &'a str) -> Result<Judged<'a>, ReadError> {
    let started = Instant::now();
    let mut history = read(plan, file)?;
    let model = match (plan.model, history.counts.first_append) {
        (Some(Model::CasRegister), Some(line)) => {
            let why = String::from("f is append, which --model cas-register does not have");
            return Err(ReadError::Malformed { line, why });
        }
        (Some(model), _) => model,
        (None, None) => Model::CasRegister,
        (None, Some(_)) => Model::KvAppend,
    };
    let initial = match (&plan.initial, model) {
        (Some(initial), _) => initial.as_deref(),
        (None, Model::CasRegister) => None,
        (None, Model::KvAppend) => Some(&b""[..]),
    };
    history.initial = initial.map_or(Value::MISSING, |bytes| history.values.intern(bytes));
    let bounds = plan.bounds;
    let options = linearizability::Options { model, initial: history.initial, bounds };
    let verdicts = linearizability::judge_all(&history, &options);
    let finding = verdicts.iter().map(finding).max().unwrap_or(Finding::Valid);
    let finding = finding.max(if is_vacuous(&history) { Finding::Vacuous } else { Finding::Valid });
    Ok(Judged { name, history, options, verdicts, finding, took: started.elapsed() })
}

fn finding(verdict: &Result<Verdict, Unproven>) -> Finding {
    match verdict {
        Ok(Verdict::Valid { .. }) => Finding::Valid,
        Ok(Verdict::Unknown(_)) => Finding::Unknown,
        Ok(Verdict::Invalid { .. }) => Finding::Invalid,
        Err(_) => Finding::Unproven,
    }
}

/// A history in which nothing was answered is linearizable, whatever the system did.
fn is_vacuous(history: &History) -> bool {
    let operations = history.keys.iter().flat_map(|key| &key.operations);
    !operations.into_iter().any(|operation| !operation.is_indeterminate())
}

/// Smaller files are read before anybody wonders.
const PROGRESS_BYTES_MIN: u64 = 32 << 20;

fn read(plan: &Plan, file: &Path) -> Result<History, ReadError> {
    let read = |input: &mut dyn Read| history::read(input, plan.format, &plan.pairing);
    if file == Path::new("-") {
        return read(&mut io::stdin().lock());
    }
    let mut input = File::open(file).map_err(ReadError::Io)?;
    let size = input.metadata().map_err(ReadError::Io)?.len();
    if size < PROGRESS_BYTES_MIN || !io::stderr().is_terminal() {
        return read(&mut input);
    }
    let style = "{msg} [{bar:40}] {bytes}/{total_bytes} {eta}";
    let style =
        ProgressStyle::with_template(style).expect("the template is right").progress_chars("=> ");
    let bar = ProgressBar::new(size).with_style(style);
    bar.set_message(format!("reading {}", file.display()));
    let history = read(&mut bar.wrap_read(input));
    bar.finish_and_clear();
    history
}

impl Finding {
    /// The exit code that tells it.
    pub fn code(self) -> u8 {
        match self {
            Finding::Valid => 0,
            Finding::Invalid => 1,
            Finding::Unknown => 2,
            Finding::Vacuous => 3,
            Finding::Unreadable => 254,
            Finding::Unproven => 255,
        }
    }

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Finding::Valid => "valid",
            Finding::Invalid => "invalid",
            Finding::Unknown => "unknown",
            Finding::Vacuous => "vacuous",
            Finding::Unreadable => "unreadable",
            Finding::Unproven => "unproven",
        }
    }
}
