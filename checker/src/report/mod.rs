//! `report.html`: what a run found, for a tired reader. One file that needs no other, and no network.
//!
//! ```text
//!   test.json  history.jsonl  results.json  leaders.jsonl  nodes/N/node.log
//!        └──────────┴──────┬──────┴─────────────┴──────────────┘
//!                          ▼
//!                     report.html     verdict, proof, pictures, tables, logs: in this order
//! ```
//! It is a pure function of these files: the same folder gives the same report, byte by byte, now or
//! years later. All that comes from them is text, whoever wrote it: see `page.rs`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::history::ReadError;
use crate::store;
use crate::verify::{self, Judged};

mod choice;
mod embedded;
mod leaders;
mod logs;
mod operations;
mod page;
mod rates;
mod stored;
mod violations;

/// Why there is no report.
#[derive(Debug)]
pub enum Error {
    /// A file could not be read or written.
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not what a run leaves behind.
    Malformed {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The folder has no such file, so that it is not that of a run which came to its end.
    NoRun {
        /// The folder.
        folder: PathBuf,
        /// The file.
        lacks: &'static str,
    },
}

/// What must be there.
const FILES: [&str; 3] = [store::TEST, store::HISTORY, store::RESULTS];

/// Judges the history in the folder of a run again, and writes its report. Returns where that is.
pub fn rebuild(folder: &Path) -> Result<PathBuf, Error> {
    if let Some(lacks) = FILES.into_iter().find(|name| !folder.join(name).is_file()) {
        return Err(Error::NoRun { folder: folder.to_path_buf(), lacks });
    }
    // Before a history is judged for minutes.
    stored::test(folder)?;
    let file = folder.join(store::HISTORY);
    let name = file.to_string_lossy();
    let judged = verify::judge(&verify::Plan::of_own(), &file, &name);
    let judged = judged.map_err(|error| match error {
        ReadError::Io(error) => Error::io(&file, error),
        error => Error::malformed(&file, error),
    })?;
    write(folder, &judged)
}

/// Writes the report of a run whose history was just judged. Returns where it is.
pub(crate) fn write(folder: &Path, judged: &Judged<'_>) -> Result<PathBuf, Error> {
    let file = folder.join(store::REPORT);
    let page = page::page(folder, judged)?;
    fs::write(&file, page).map_err(|error| Error::io(&file, error))?;
    Ok(file)
}

impl Error {
    /// The exit code that tells it.
    pub fn code(&self) -> u8 {
        match self {
            Error::Io { .. } => crate::cli::CRASHED,
            Error::Malformed { .. } | Error::NoRun { .. } => crate::cli::BAD_ARGUMENTS,
        }
    }

    fn io(file: &Path, error: io::Error) -> Error {
        Error::Io { file: file.to_path_buf(), error }
    }

    fn malformed(file: &Path, why: impl fmt::Display) -> Error {
        Error::Malformed { file: file.to_path_buf(), why: why.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { file, error } => write!(f, "{}: {error}", file.display()),
            Error::Malformed { file, why } => write!(f, "{}: {why}", file.display()),
            Error::NoRun { folder, lacks } => write!(
                f,
                "{}: no {lacks} there; give the folder of a run that came to its end, such as \
                 store/latest",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for Error {}
