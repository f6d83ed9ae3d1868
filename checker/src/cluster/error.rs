//! Why there is no cluster.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use node::client::ClusterError;
use node::wire::NodeId;

/// Why there is no cluster.
#[derive(Debug)]
pub enum Error {
    /// A file or a program could not be made, opened or run.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The node's reader refuses a file of ours.
    File(ClusterError),
    /// No socket to ask nodes from, or none free for them.
    Socket(io::Error),
    /// A node ended by itself.
    Ended {
        /// Which.
        id: NodeId,
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// Nobody wanted to wait for it any longer.
    Unwanted,
    /// A node runs, but does not answer.
    Silent {
        /// Which.
        id: NodeId,
        /// The last lines of its log.
        log: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Error::File(error) => write!(f, "{error}"),
            Error::Socket(error) => write!(f, "no socket for the cluster: {error}"),
            Error::Ended { id, status, log } => {
                write!(f, "node {} ended by itself, {status}; the end of its log:\n{log}", id.0)
            }
            Error::Unwanted => write!(f, "ended before all nodes answered, as asked"),
            Error::Silent { id, log } => {
                write!(f, "node {} does not answer; the end of its log:\n{log}", id.0)
            }
        }
    }
}

impl std::error::Error for Error {}
