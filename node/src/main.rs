//! The program `node`.

use node::cli::{self, BAD_ARGUMENTS, LogLevel, NodePlan, Run};
use node::config;
use node::server::{self, Server};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::node(std::env::args_os()) {
        Err(stop) => stop.report(),
        Ok(NodePlan::Init(plan)) => init(&plan),
        Ok(NodePlan::Run(plan)) => run(&plan),
    }
}

fn init(plan: &config::Init) -> ExitCode {
    match config::init(plan) {
        Ok(file) => {
            println!("{}", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(BAD_ARGUMENTS)
        }
    }
}

fn run(plan: &Run) -> ExitCode {
    server::start_logging(plan);
    match Server::open(plan).and_then(Server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            // Who wants no log wants to know all the same why there is no node.
            if plan.log == LogLevel::Off {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
