//! The file that proofs are written to.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Judged, json};
use crate::store::located;

/// Proofs, one line a history. Errors name the file.
pub(super) struct Proofs<'a> {
    path: &'a Path,
    out: BufWriter<File>,
}

impl Proofs<'_> {
    /// Begins this file anew, unless it is one of the histories to be judged, by whatever name.
    pub fn create<'a>(path: &'a Path, histories: &[PathBuf]) -> io::Result<Proofs<'a>> {
        if histories.iter().any(|history| is_same(history, path)) {
            let why = "this would overwrite a history: give another file";
            return Err(located(path)(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let out = BufWriter::new(File::create(path).map_err(located(path))?);
        Ok(Proofs { path, out })
    }

    /// Adds the proof of every key of a history.
    pub fn add(&mut self, judged: &Judged<'_>) -> io::Result<()> {
        json::write_proof(&mut self.out, judged).map_err(located(self.path))
    }

    /// All is in the file now.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush().map_err(located(self.path))
    }
}

/// Whether both are one file on a disk.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let file = fs::metadata(path).ok().filter(|file| file.is_file())?;
        Some((file.dev(), file.ino()))
    };
    identity(one).is_some_and(|identity_of_one| identity(other) == Some(identity_of_one))
}
