//! Where the results of a run go.
//!
//! ```text
//!   store/NAME/TIMESTAMP/   test.json       everything needed to repeat it
//!                           history.jsonl   what clients did and saw, for `checker verify`
//!                           leaders.jsonl   who claimed to lead, and when
//!                           results.json    the verdict, and what it rests on
//!                           report.html     all of it, for people
//!                           nodes/N/        the log, the cluster file and the data of node N, and
//!                                           how its clock ran, if clocks could be set
//!   store/latest            the newest of these folders
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value as Json;

// The names of what a run leaves in its folder.
pub(crate) const TEST: &str = "test.json";
pub(crate) const HISTORY: &str = "history.jsonl";
pub(crate) const LEADERS: &str = "leaders.jsonl";
pub(crate) const RESULTS: &str = "results.json";
pub(crate) const REPORT: &str = "report.html";

/// That of whoever wrote a run's [`TEST`].
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a new folder in `store` for a run of this name, and lets `latest` point there.
    /// An error names the path.
    pub fn create(store: &Path, name: &str) -> io::Result<Folder> {
        let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        // As Jepsen spells it: no colons, which some tools take for something else.
        let relative = Path::new(name).join(now.replace([':', '-'], ""));
        let folder = store.join(&relative);
        fs::create_dir_all(store.join(name)).map_err(located(store))?;
        // Not there yet, or two runs would write into one.
        fs::create_dir(&folder).map_err(located(&folder))?;
        fs::create_dir(folder.join("nodes")).map_err(located(&folder))?;
        point_latest(store, &relative)?;
        Ok(Folder(folder))
    }

    /// Lets `latest` of its store point here.
    pub fn make_latest(&self, store: &Path) -> io::Result<()> {
        let relative = self.0.strip_prefix(store).expect("it was made in its store");
        point_latest(store, relative)
    }

    /// Takes it away, with all that is in it.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.0).map_err(located(&self.0))?;
        // Others may have left theirs beside it.
        let _ = self.0.parent().map(fs::remove_dir);
        Ok(())
    }

    /// How to repeat the run that left this folder.
    pub fn test_in(folder: &Path) -> PathBuf {
        folder.join(TEST)
    }

    /// What its clients did and saw.
    pub fn history_in(folder: &Path) -> PathBuf {
        folder.join(HISTORY)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the files of the nodes go.
    pub fn nodes(&self) -> PathBuf {
        self.0.join("nodes")
    }

    /// Where the history goes.
    pub fn history(&self) -> PathBuf {
        Folder::history_in(&self.0)
    }

    /// Where it is written who claimed to lead.
    pub fn leaders(&self) -> PathBuf {
        self.0.join(LEADERS)
    }

    /// Writes how to repeat the run.
    pub fn write_test(&self, test: &Json) -> io::Result<()> {
        self.write(TEST, test)
    }

    /// Writes what was found.
    pub fn write_results(&self, results: &Json) -> io::Result<()> {
        self.write(RESULTS, results)
    }

    fn write(&self, name: &str, content: &Json) -> io::Result<()> {
        let file = self.0.join(name);
        fs::write(&file, format!("{content:#}\n")).map_err(located(&file))
    }
}

/// Whether a [`TEST`] is of this version: of what another one wrote, nothing else can be relied on.
/// An error says which one did.
pub(crate) fn check_version(test: &Json) -> Result<(), String> {
    match test["version"].as_str() {
        Some(VERSION) => Ok(()),
        Some(other) => {
            Err(format!("written by version {other}; this is {VERSION}, which reads its own"))
        }
        None => Err(String::from("no version; expected that of `checker run`")),
    }
}

/// What `latest` of a store points to, to be put back later.
pub(crate) struct Latest<'a> {
    store: &'a Path,
    target: Option<PathBuf>,
}

impl Latest<'_> {
    pub fn of(store: &Path) -> Latest<'_> {
        Latest { store, target: fs::read_link(store.join("latest")).ok() }
    }

    /// Lets it point there again; there is none if there was none.
    pub fn put_back(self) -> io::Result<()> {
        let latest = self.store.join("latest");
        match self.target {
            Some(target) => point_latest(self.store, &target),
            None => match fs::remove_file(&latest) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.map_err(located(&latest)),
            },
        }
    }
}

/// In one step, so that there always is a `latest`, whoever else does the same.
fn point_latest(store: &Path, relative: &Path) -> io::Result<()> {
    let latest = store.join("latest");
    let new = store.join(format!(".latest-{}", std::process::id()));
    symlink(relative, &new).map_err(located(&new))?;
    fs::rename(&new, &latest).map_err(located(&latest))
}

/// The error with this path in front of it.
pub(crate) fn located(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.to_path_buf();
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn latest_is_the_newest_run() {
        let store = tempfile::tempdir().expect("a folder");
        for seed in [1, 2] {
            // A run that begins in the same millisecond is refused, and must begin again.
            let folder = loop {
                match Folder::create(store.path(), "kill") {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    folder => break folder.expect("it can be made"),
                }
            };
            folder.write_test(&json!({ "seed": seed })).expect("it can be written");
            let test = fs::read_to_string(store.path().join("latest/test.json")).expect("a file");
            assert_eq!(serde_json::from_str::<Json>(&test).expect("JSON")["seed"], seed);
        }
        assert_eq!(fs::read_dir(store.path().join("kill")).expect("a folder").count(), 2);
    }
}
