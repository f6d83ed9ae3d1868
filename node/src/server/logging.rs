//! The node's own log, on standard error.

use crate::cli::{LogFormat, LogLevel, Run};
use tracing_subscriber::filter::LevelFilter;

/// Starts logging as the command line says. To be called once, before the node is opened.
pub fn start(run: &Run) {
    let level = match run.log {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        // Of a line that cannot be written, to a full disk or to nobody, nothing can be said in the
        // same place: the attempt to do so panics, and a node needs no log to be a node.
        .log_internal_errors(false);
    match run.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
