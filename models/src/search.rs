//! The commands `list`, `check` and `explore`: what they are told, and what they tell.

use crate::catalogue::{self, Entry, MODELS, Run, Size};
use crate::check::{Limits, Progress, Report};
use crate::explore;
use crate::memory;
use crate::report::grouped;
use crate::wishes::Wishes;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use node::cli::BAD_ARGUMENTS;
use stateright::Expectation;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Search a model's states.
#[derive(Args)]
#[command(after_long_help = CHECK_HELP)]
pub struct Check {
    /// A model, as in `models list`, or `all`.
    model: String,
    /// Only the small bounds, those of the gate.
    #[arg(long)]
    small: bool,
    /// Only searches whose bounds, as in the table, contain these words.
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Threads. With more than one, paths to violations may differ from run to run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Stop a search behind so many states.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    states: Option<u64>,
    /// Stop a search after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    time: Option<u64>,
    /// Stop a search that needs more memory than this.
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    memory: u64,
    /// Search no deeper than so many actions from the start.
    #[arg(long, value_name = "ACTIONS", value_parser = clap::value_parser!(u64).range(1..))]
    depth: Option<u64>,
    #[command(flatten)]
    wishes: Wishes,
}

const CHECK_HELP: &str = "\
A search takes every choice in every state, until its bounds leave none: only then it says that a
property holds. It goes depth first, which takes some 45 bytes a state; with --depth breadth first,
some 750. If that is likely to pass --memory, or what the machine has left, a warning says so
beforehand. Where nobody has counted the states, their number is estimated from bounds that were
counted: 20 times as many for each choice more on a path, 6 times for each node more. Counted ones
grew by 10 to 300, and by 4 to 14, so it is an order of magnitude and more often too low.

Options under Bounds go for every search of the model; one that it does not have is refused. A
message that is lost is one that never arrives on a path, so loss needs no option of its own.
Exit codes: 0 holds, 1 violated, 2 truncated, 254 bad arguments. Where `course` shows a fault of the
protocol as it was taught, to find it violated is what holds.";

/// Click through a model in a browser.
#[derive(Args)]
pub struct Explore {
    /// A model, as in `models list`.
    model: String,
    /// Where the explorer listens.
    #[arg(default_value = "127.0.0.1:3000")]
    address: SocketAddr,
    #[command(flatten)]
    wishes: Wishes,
}

/// The explorer searches so many states within seconds.
const WHOLE_STATES_MAX: f64 = 200_000.0;

/// Everything was seen, and all is as it must be.
const HOLDS: u8 = 0;
/// Something is not as it must be.
const VIOLATED: u8 = 1;
/// A limit was hit: nothing bad was found in what was seen.
const TRUNCATED: u8 = 2;

/// Prints what there is.
pub fn list() -> ExitCode {
    for Entry { name, proves, runs, .. } in &MODELS {
        println!("{name:<12} {proves}");
        for Run { bounds, size, pinned, .. } in runs(&Wishes::default()) {
            let states =
                pinned.map_or("not counted".into(), |n| format!("{} states", grouped(n as u64)));
            let size = if size == Size::Small { "small" } else { "full " };
            println!("             {size}  {states:>18}  {bounds}");
        }
    }
    ExitCode::SUCCESS
}

fn entries(name: &str) -> Result<Vec<&'static Entry>, ExitCode> {
    if name == "all" {
        return Ok(MODELS.iter().collect());
    }
    catalogue::find(name).map(|entry| vec![entry]).ok_or_else(|| {
        let names: Vec<&str> = MODELS.iter().map(|entry| entry.name).collect();
        refused(&format!("there is no model `{name}`; there are {} and all", names.join(", ")))
    })
}

/// Says in a line what is wrong with the arguments.
fn refused(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(BAD_ARGUMENTS)
}

/// Whether every model can grant the wishes; if not, why.
fn grant(wishes: &Wishes, entries: &[&Entry]) -> Result<(), String> {
    entries.iter().try_for_each(|entry| wishes.grantable(entry.name, entry.lacks))
}

/// The searches of a model as wished, none of them twice. Where wishes come to bounds that somebody
/// has counted, the count is good for them too. What happened among other nodes is left out.
fn runs(entry: &Entry, wishes: &Wishes) -> Vec<Run> {
    let counted = (entry.runs)(&Wishes::default());
    let mut runs: Vec<Run> = Vec::new();
    for mut run in (entry.runs)(wishes) {
        if runs.iter().any(|other| other.bounds == run.bounds) {
            continue;
        }
        if run.has_past && wishes.nodes.is_some() {
            eprintln!("left out, for its past goes with its own nodes only: {}", run.bounds);
            continue;
        }
        let same = counted.iter().find(|known| known.bounds == run.bounds);
        run.pinned = run.pinned.or(same.and_then(|known| known.pinned));
        runs.push(run);
    }
    runs
}

impl Explore {
    /// Serves until the process is ended.
    pub fn run(&self) -> ExitCode {
        let Some(entry) = catalogue::find(&self.model) else {
            let all = || refused("name one model to explore, not all");
            return entries(&self.model).err().unwrap_or_else(all);
        };
        if let Err(why) = grant(&self.wishes, &[entry]) {
            return refused(&why);
        }
        let run = runs(entry, &self.wishes).into_iter().next().expect("a model has a run");
        match explore::reserve(self.address) {
            Err(error) => refused(&error),
            Ok(address) => {
                println!("exploring {}: {}", entry.name, run.bounds);
                println!("open http://{address}/ in a browser; end with Ctrl-C");
                let states = run.pinned.map_or(run.expected_states, |pinned| pinned as f64);
                run.subject.explore(address, states <= WHOLE_STATES_MAX)
            }
        }
    }
}

impl Check {
    /// Searches, and says what came of it.
    pub fn run(&self) -> ExitCode {
        let entries = match entries(&self.model) {
            Ok(entries) => entries,
            Err(code) => return code,
        };
        if let Err(why) = grant(&self.wishes, &entries) {
            return refused(&why);
        }
        let mut worst = HOLDS;
        let mut rows = Vec::new();
        for entry in entries {
            for run in runs(entry, &self.wishes) {
                let wanted = self.only.as_ref().is_none_or(|words| run.bounds.contains(words));
                if !wanted || self.small && run.size > Size::Small {
                    continue;
                }
                let (code, row) = self.search(entry, &run);
                // A violation outranks a limit, which outranks success.
                worst = if worst == VIOLATED {
                    worst
                } else if code == VIOLATED {
                    code
                } else {
                    worst.max(code)
                };
                rows.push(row);
            }
        }
        println!();
        if rows.is_empty() {
            return refused("no search has such bounds; see `models list`");
        }
        print_table(&rows);
        ExitCode::from(worst)
    }

    fn limits(&self) -> Limits {
        Limits {
            threads: self.threads.into(),
            states: self.states.map(|states| states as usize),
            time: self.time.map(Duration::from_secs),
            memory_bytes: memory::granted_bytes(self.memory << 20),
            depth: self.depth.map(|depth| depth as usize),
        }
    }

    fn search(&self, entry: &Entry, run: &Run) -> (u8, Row) {
        if let Some(tale) = run.tale {
            println!("\n{tale}\n");
        }
        println!("{}: {}", entry.name, run.bounds);
        let limits = self.limits();
        let counted = run.pinned.map(|pinned| pinned as f64);
        let states = counted.unwrap_or(run.expected_states);
        let breadth_first = limits.depth.is_some();
        let granted_bytes = limits.memory_bytes;
        if let Some(why) = memory::warning(states, counted.is_some(), breadth_first, granted_bytes)
        {
            eprintln!("  warning: {why}");
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("  {msg}").expect("a valid template"));
        let mut watch = |progress: &Progress| {
            let Progress { states, depth, elapsed } = progress;
            let rate = *states as f64 / elapsed.as_secs_f64().max(0.001);
            let (states, rate) = (grouped(*states as u64), grouped(rate as u64));
            bar.set_message(format!("{states} states, depth {depth}, {rate} states/s"));
        };
        let report = run.subject.check(&limits, run.expected, &mut watch);
        bar.finish_and_clear();
        let (code, verdict) = judge(&report, run);
        tell(&report, &verdict);
        let seconds = report.took.as_secs_f64();
        let row = [
            entry.name.to_owned(),
            run.bounds.clone(),
            grouped(report.states as u64),
            report.depth.to_string(),
            format!("{seconds:.1}"),
            grouped((report.states as f64 / seconds.max(0.001)) as u64),
            (report.memory_bytes >> 20).to_string(),
            verdict,
        ];
        (code, row)
    }
}

/// A search in the table at the end.
type Row = [String; 8];

/// Prints a table, each column as wide as it must be: words to the left, numbers to the right.
fn print_table(rows: &[Row]) {
    let head = ["model", "bounds", "states", "depth", "seconds", "states/s", "MiB", "verdict"];
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let wide: [usize; 7] =
        std::array::from_fn(|column| all().map(|row| row[column].len()).max().unwrap_or(0));
    for [model, bounds, numbers @ .., verdict] in all() {
        let (model_wide, bounds_wide) = (wide[0], wide[1]);
        print!("{model:<model_wide$}  {bounds:<bounds_wide$}");
        for (number, wide) in numbers.iter().zip(&wide[2..]) {
            print!("  {number:>wide$}");
        }
        println!("  {verdict}");
    }
}

/// What a search came to, as an exit code and in words.
fn judge(report: &Report, run: &Run) -> (u8, String) {
    let Report { truncated, violations, missing, states, .. } = report;
    if let Some(expected) = run.expected {
        let found = violations.iter().any(|violation| violation.property == expected);
        return match (found, truncated) {
            (true, _) => (HOLDS, "fault found".into()),
            (false, Some(limit)) => (TRUNCATED, format!("truncated at {limit}, fault not found")),
            (false, None) => (VIOLATED, "FAULT NOT FOUND".into()),
        };
    }
    match (violations.is_empty(), truncated, run.pinned) {
        (false, ..) => (VIOLATED, "VIOLATED".into()),
        (true, Some(limit), _) => (TRUNCATED, format!("truncated at {limit}")),
        (true, None, _) if !missing.is_empty() => (VIOLATED, "VACUOUS".into()),
        (true, None, Some(pinned)) if pinned != *states => {
            (VIOLATED, format!("COUNT CHANGED, was {}", grouped(pinned as u64)))
        }
        (true, None, _) => (HOLDS, "holds".into()),
    }
}

/// How much was seen by a search that hit a limit.
fn covered(report: &Report) -> String {
    let Report { states, depth, grown_bytes, complete_depth, .. } = report;
    let reach = match complete_depth {
        Some(complete) => format!("everything within {complete} actions of the start"),
        None => format!("some paths, up to {depth} actions long, and not all of any length"),
    };
    let each = grown_bytes / (*states as u64).max(1);
    let (states, mib) = (grouped(*states as u64), grown_bytes >> 20);
    format!("covered: {reach}; {states} states in {mib} MiB, {each} bytes each")
}

fn tell(report: &Report, verdict: &str) {
    let always = report.properties.iter().filter(|(kind, _)| *kind == Expectation::Always).count();
    let sometimes = report.properties.len() - always;
    let found = sometimes - report.missing.len();
    let all = if report.truncated.is_some() { "the first" } else { "all of" };
    println!(
        "  {verdict}: {always} properties in {all} {} states ({} steps), {found} of {sometimes} \
         things that must be possible seen",
        grouped(report.states as u64),
        grouped(report.transitions as u64),
    );
    if report.truncated.is_some() {
        println!("  {}", covered(report));
    } else {
        report.missing.iter().for_each(|name| println!("  never seen: {name}"));
    }
    for violation in &report.violations {
        println!("  VIOLATED: {}", violation.property);
        println!("  after {} steps:", violation.path);
        violation.story.iter().for_each(|line| println!("  {line}"));
    }
}
