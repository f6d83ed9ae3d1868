//! The commands `list`, `check` and `explore`: what they are told, and what they tell.

use crate::catalogue::{self, Entry, MODELS, Run, Size, Wishes};
use crate::check::{Limits, Progress, Report};
use crate::explore;
use crate::report::grouped;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use node::cli::BAD_ARGUMENTS;
use stateright::Expectation;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Search a model's states.
#[derive(Args)]
pub struct Check {
    /// A model, as in `models list`, or `all`.
    model: String,
    /// Only the small bounds, those of the gate.
    #[arg(long)]
    small: bool,
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

/// Everything was seen, and all is as it must be.
const HOLDS: u8 = 0;
/// Something is not as it must be.
const VIOLATED: u8 = 1;
/// A limit was hit: nothing bad was found in what was seen.
const TRUNCATED: u8 = 2;

/// Prints what there is.
pub fn list() -> ExitCode {
    for Entry { name, proves, runs } in &MODELS {
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
        eprintln!("error: there is no model `{name}`; there are {} and all", names.join(", "));
        ExitCode::from(BAD_ARGUMENTS)
    })
}

impl Explore {
    /// Serves until the process is ended.
    pub fn run(&self) -> ExitCode {
        let Some(entry) = catalogue::find(&self.model) else {
            return entries(&self.model).err().unwrap_or_else(|| {
                eprintln!("error: name one model to explore, not all");
                ExitCode::from(BAD_ARGUMENTS)
            });
        };
        let run = (entry.runs)(&self.wishes).into_iter().next().expect("a model has a run");
        match explore::reserve(self.address) {
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(BAD_ARGUMENTS)
            }
            Ok(address) => {
                println!("exploring {}: {}", entry.name, run.bounds);
                println!("open http://{address}/ in a browser; end with Ctrl-C");
                run.subject.explore(address)
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
        if !self.wishes.is_empty() {
            println!(
                "nobody has counted the states of these bounds: they may not fit in memory; \
                 a search stops at {} MiB",
                self.memory
            );
        }
        let mut worst = HOLDS;
        let mut rows = Vec::new();
        for entry in entries {
            for run in (entry.runs)(&self.wishes) {
                if self.small && run.size > Size::Small {
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
        println!(
            "{:<12} {:<58} {:>11} {:>6} {:>8} {:>9} {:>8}  verdict",
            "model", "bounds", "states", "depth", "seconds", "states/s", "MiB"
        );
        rows.iter().for_each(|row| println!("{row}"));
        ExitCode::from(worst)
    }

    fn limits(&self) -> Limits {
        Limits {
            threads: self.threads.into(),
            states: self.states.map(|states| states as usize),
            time: self.time.map(Duration::from_secs),
            memory_bytes: self.memory << 20,
            depth: self.depth.map(|depth| depth as usize),
        }
    }

    fn search(&self, entry: &Entry, run: &Run) -> (u8, String) {
        if let Some(tale) = run.tale {
            println!("\n{tale}\n");
        }
        println!("{}: {}", entry.name, run.bounds);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("  {msg}").expect("a valid template"));
        let mut watch = |progress: &Progress| {
            let Progress { states, depth, elapsed } = progress;
            let rate = *states as f64 / elapsed.as_secs_f64().max(0.001);
            let (states, rate) = (grouped(*states as u64), grouped(rate as u64));
            bar.set_message(format!("{states} states, depth {depth}, {rate} states/s"));
        };
        let report = run.subject.check(&self.limits(), run.expected, &mut watch);
        bar.finish_and_clear();
        let (code, verdict) = judge(&report, run);
        tell(&report, &verdict);
        let seconds = report.took.as_secs_f64();
        let row = format!(
            "{:<12} {:<58} {:>11} {:>6} {seconds:>8.1} {:>9} {:>8}  {verdict}",
            entry.name,
            run.bounds,
            grouped(report.states as u64),
            report.depth,
            grouped((report.states as f64 / seconds.max(0.001)) as u64),
            report.memory_bytes >> 20,
        );
        (code, row)
    }
}

/// What a search came to, as an exit code and in words.
fn judge(report: &Report, run: &Run) -> (u8, String) {
    let Report { truncated, violations, missing, states, .. } = report;
    if let Some(expected) = run.expected {
        return match violations.iter().any(|violation| violation.property == expected) {
            true => (HOLDS, "fault found".into()),
            false => (VIOLATED, "FAULT NOT FOUND".into()),
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

fn tell(report: &Report, verdict: &str) {
    let always = report.properties.iter().filter(|(kind, _)| *kind == Expectation::Always).count();
    let sometimes = report.properties.len() - always;
    let found = sometimes - report.missing.len();
    println!(
        "  {verdict}: {always} properties in all of {} states ({} steps), {found} of {sometimes} \
         things that must be possible seen",
        grouped(report.states as u64),
        grouped(report.transitions as u64),
    );
    if report.truncated.is_none() {
        report.missing.iter().for_each(|name| println!("  never seen: {name}"));
    }
    for violation in &report.violations {
        println!("  VIOLATED: {}", violation.property);
        println!("  after {} steps:", violation.path);
        violation.story.iter().for_each(|line| println!("  {line}"));
    }
}
