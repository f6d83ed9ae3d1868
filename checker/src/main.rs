//! The program `checker`: parses its arguments and does what they say.

use std::fmt::Display;
use std::io;
use std::panic;
use std::path::Path;
use std::process::ExitCode;

use checker::cli::{self, CRASHED, Guard, Plan};
use checker::cluster::guard;
use checker::summary::Summary;
use checker::{bench, report, run, say, verify};

fn main() -> ExitCode {
    let plan = match cli::checker(std::env::args_os()) {
        Ok(plan) => plan,
        Err(stop) => return stop.report(),
    };
    // A panic has told its reason; its own exit code would be none of those in the help.
    let code = panic::catch_unwind(|| match &plan {
        Plan::Verify(plan) => verify::verify(plan).map(verify::Finding::code),
        Plan::Run(plan) => Ok(code_of(run::run(plan).map(|outcome| outcome.code))),
        Plan::Replay(replay) => Ok(code_of(run::replay(replay).map(|outcome| outcome.code))),
        Plan::Shrink(shrink) => Ok(code_of(run::shrink(shrink))),
        Plan::Bench(plan) => Ok(code_of_bench(plan)),
        Plan::Report(folder) => Ok(code_of_report(folder)),
        Plan::Summary(folder) => Ok(code_of_summary(folder)),
        Plan::Guard(Guard { parent, command }) => {
            Err(guard::become_guarded(*parent, &command[0], &command[1..]))
        }
    });
    match code.unwrap_or(Ok(CRASHED)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(failed(&error, CRASHED)),
    }
}

/// The exit code of many runs.
fn code_of_summary(folder: &Path) -> u8 {
    match Summary::read(folder) {
        Ok(summary) => told(say::out(&summary), summary.code()),
        Err(error) => failed(&error, error.code()),
    }
}

/// The exit code of a report, whatever it tells.
fn code_of_report(folder: &Path) -> u8 {
    match report::rebuild(folder) {
        Ok(file) => told(say::out(format_args!("{}\n", file.display())), 0),
        Err(error) => failed(&error, error.code()),
    }
}

/// This exit code, if what goes with it could be written.
fn told(written: io::Result<()>, code: u8) -> u8 {
    match written {
        Ok(()) => code,
        Err(error) => failed(format_args!("standard output: {error}"), CRASHED),
    }
}

/// This exit code, when it is said why.
fn failed(why: impl Display, code: u8) -> u8 {
    say::aside(format_args!("checker: {why}"));
    code
}

/// The exit code of a test.
fn code_of(ended: Result<u8, run::Error>) -> u8 {
    ended.unwrap_or_else(|error| failed(&error, error.code()))
}

/// The exit code of a measurement.
fn code_of_bench(plan: &bench::Plan) -> u8 {
    bench::run(plan).unwrap_or_else(|error| failed(&error, error.code()))
}
