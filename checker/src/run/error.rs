//! Why there is no verdict.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::io::Errno;

use super::Unfit;
use crate::cluster;
use crate::history::ReadError;
use crate::store::located;

/// Why there is no verdict.
#[derive(Debug)]
pub enum Error {
    /// There is no program to judge.
    NoProgram(PathBuf),
    /// The options contradict each other.
    Impossible(&'static str),
    /// This machine has no means to set the clocks of nodes.
    NoClocks,
    /// What is to be replayed is none of our runs.
    Unfit(Unfit),
    /// There is no cluster.
    Cluster(cluster::Error),
    /// A file, a socket or a signal failed.
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        error: io::Error,
    },
    /// Our own history is none.
    History(ReadError),
}

/// Why clocks cannot be set, and what to do about it.
pub(super) const NO_CLOCKS: &str =
    "there is no libfaketime to set the clocks of nodes: install the package faketime";

/// What the system says when a process has as many files and sockets open as it may.
const FILES_RUN_OUT: i32 = Errno::MFILE.raw_os_error();

impl Error {
    /// The exit code that tells it.
    pub fn code(&self) -> u8 {
        match self {
            Error::NoProgram(_) | Error::Impossible(_) | Error::NoClocks | Error::Unfit(_) => {
                crate::cli::BAD_ARGUMENTS
            }
            _ => crate::cli::CRASHED,
        }
    }

    /// The history failed.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Error {
        let located = located(path);
        move |error| Error::Io { what: "the history", error: located(error) }
    }

    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::Io { what, error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoProgram(path) => write!(
                f,
                "{}: no such program; build it with `cargo build -p node`, or name one with --node-bin",
                path.display()
            ),
            Error::Impossible(why) => write!(f, "--nemesis: {why}"),
            Error::NoClocks => write!(f, "--nemesis clock: {NO_CLOCKS}, or leave clock out"),
            Error::Unfit(unfit) => write!(f, "--replay {unfit}"),
            Error::Cluster(error) => write!(f, "{error}"),
            Error::Io { what, error } if error.kind() == io::ErrorKind::StorageFull => {
                write!(f, "{what}: {error}; make room, or name another --store")
            }
            Error::Io { what, error } if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{what}: no UDP port is free; end what holds them, ask for less --nodes or \
                 --concurrency, or widen net.ipv4.ip_local_port_range"
            ),
            Error::Io { what, error } if error.raw_os_error() == Some(FILES_RUN_OUT) => {
                write!(f, "{what}: {error}; ask for fewer clients or nodes, or raise `ulimit -n`")
            }
            Error::Io { what, error } if error.kind() == io::ErrorKind::WouldBlock => {
                write!(f, "{what}: {error}; ask for fewer clients, or raise `ulimit -u`")
            }
            Error::Io { what, error } => write!(f, "{what}: {error}"),
            Error::History(error) => write!(f, "what was recorded is no history: {error}"),
        }
    }
}

impl std::error::Error for Error {}
