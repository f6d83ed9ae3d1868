//! Many runs in two tables: what became of each, and what each kind of fault cost.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::nemesis::Kind;
use crate::store;

/// Why there is no summary.
#[derive(Debug)]
pub enum Error {
    /// A file or folder cannot be read.
    Io(PathBuf, io::Error),
    /// A file is not as `checker run` writes it.
    Unfit(PathBuf, serde_json::Error),
    /// No run has left anything there.
    Empty(PathBuf),
}

/// What is read of `test.json`.
#[derive(Clone, Debug, Deserialize)]
struct Test {
    nodes: u16,
    partitions: u32,
    nemesis: Vec<Kind>,
    seed: u64,
}

/// What is read of `results.json`.
#[derive(Clone, Debug, Deserialize)]
struct Results {
    verdict: String,
    exit_code: u8,
    operations: u64,
    indeterminate: u64,
    faults: Vec<Fault>,
}

#[derive(Clone, Debug, Deserialize)]
struct Fault {
    what: String,
    touched: u64,
    unwritten_ns: u64,
}

#[derive(Clone, Debug)]
struct Run {
    test: Test,
    /// None if it ended before its verdict.
    results: Option<Results>,
}

/// All runs below some folders.
#[derive(Clone, Debug)]
pub struct Summary(Vec<Run>);

/// What a kind of fault cost, over all of its kind that had an effect.
#[derive(Default)]
struct Cost {
    count: usize,
    idle: usize,
    /// Longest times without a successful write, in nanoseconds, one of each fault.
    unwritten_ns: Vec<u64>,
}

impl Summary {
    /// Reads every run at or below this folder of the store, in the order in which they began.
    pub fn read(folder: &Path) -> Result<Summary, Error> {
        let mut found = Vec::new();
        find(folder, &mut found)?;
        // The folders of runs are named by the time at which they began.
        found.sort_by_key(|folder| folder.file_name().map(ToOwned::to_owned));
        let runs: Vec<Run> =
            found.iter().map(|folder| Run::read(folder)).collect::<Result<_, _>>()?;
        match runs.is_empty() {
            true => Err(Error::Empty(folder.to_path_buf())),
            false => Ok(Summary(runs)),
        }
    }

    /// The worst exit code of all: invalid, then crashed, then unknown, then vacuous, then valid.
    pub fn code(&self) -> u8 {
        const WORST: [u8; 5] = [1, 255, 2, 3, 0];
        let codes: Vec<u8> = self.0.iter().map(Run::code).collect();
        WORST.into_iter().find(|code| codes.contains(code)).unwrap_or(255)
    }

    /// By what was done, and to whom: "kill leader", "partition chained".
    fn costs(&self) -> BTreeMap<&str, Cost> {
        let mut costs: BTreeMap<&str, Cost> = BTreeMap::new();
        let faults = self.0.iter().filter_map(|run| run.results.as_ref());
        for fault in faults.flat_map(|results| &results.faults) {
            let name = fault.what.split(':').next().expect("the first part is always there");
            let cost = costs.entry(name).or_default();
            cost.count += 1;
            match fault.touched {
                0 => cost.idle += 1,
                _ => cost.unwritten_ns.push(fault.unwritten_ns),
            }
        }
        costs
    }
}

/// The folders of runs, at whatever depth; `latest` is there already by its own name.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |error| Error::Io(folder.to_path_buf(), error);
    if folder.join(store::TEST).exists() {
        found.push(folder.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            find(&entry.path(), found)?;
        }
    }
    Ok(())
}

impl Run {
    fn read(folder: &Path) -> Result<Run, Error> {
        let parse = |name: &str| {
            let file = folder.join(name);
            let text = fs::read(&file).map_err(|error| Error::Io(file.clone(), error))?;
            Ok((file, text))
        };
        let (file, text) = parse(store::TEST)?;
        let test = serde_json::from_slice(&text).map_err(|error| Error::Unfit(file, error))?;
        let results = match parse(store::RESULTS) {
            Err(Error::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            read => {
                let (file, text) = read?;
                Some(serde_json::from_slice(&text).map_err(|error| Error::Unfit(file, error))?)
            }
        };
        Ok(Run { test, results })
    }

    fn code(&self) -> u8 {
        self.results.as_ref().map_or(255, |results| results.exit_code)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<9} {:>5} {:>6} {:>10} {:>10} {:>7} {:>9}  nemesis",
            "verdict", "nodes", "groups", "seed", "operations", "unknown", "effective"
        )?;
        let (mut operations, mut effective, mut all) = (0, 0, 0);
        for Run { test, results } in &self.0 {
            let names: Vec<&str> = test.nemesis.iter().map(|kind| kind.name()).collect();
            let names = if names.is_empty() { String::from("none") } else { names.join(",") };
            let Test { nodes, partitions, seed, .. } = test;
            let Some(results) = results else {
                writeln!(
                    f,
                    "{:<9} {nodes:>5} {partitions:>6} {seed:>10} {:>29}  {names}",
                    "unended", ""
                )?;
                continue;
            };
            let touching = results.faults.iter().filter(|fault| fault.touched > 0).count();
            let faults = results.faults.len();
            writeln!(
                f,
                "{:<9} {nodes:>5} {partitions:>6} {seed:>10} {:>10} {:>7} {:>9}  {names}",
                results.verdict,
                results.operations,
                results.indeterminate,
                format!("{touching}/{faults}"),
            )?;
            operations += results.operations;
            (effective, all) = (effective + touching, all + faults);
        }
        writeln!(
            f,
            "{} runs, {operations} operations, {effective} of {all} faults had an effect",
            self.0.len()
        )?;
        if self.costs().is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{:<24} {:>6} {:>12} {:>12}", "fault", "times", "no write ms", "worst")?;
        for (name, mut cost) in self.costs() {
            cost.unwritten_ns.sort_unstable();
            let ms =
                |ns: Option<&u64>| ns.map_or(String::from("-"), |ns| (ns / 1_000_000).to_string());
            let median = ms(cost.unwritten_ns.get(cost.unwritten_ns.len() / 2));
            let worst = ms(cost.unwritten_ns.last());
            let mut line = format!("{name:<24} {:>6} {median:>12} {worst:>12}", cost.count);
            if cost.idle > 0 {
                write!(line, "  {} without an effect", cost.idle)?;
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl Error {
    /// The exit code that tells it.
    pub fn code(&self) -> u8 {
        match self {
            Error::Io(_, error) if error.kind() != io::ErrorKind::NotFound => crate::cli::CRASHED,
            _ => crate::cli::BAD_ARGUMENTS,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Error::Unfit(path, error) => {
                write!(
                    f,
                    "{}: not as `checker run` of this version writes it: {error}",
                    path.display()
                )
            }
            Error::Empty(path) => {
                write!(f, "{}: no run has left anything there; name a --store", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn leave(store: &Path, name: &str, code: u8, verdict: &str, faults: &[(&str, u64, u64)]) {
        let folder = store.join("kill").join(name);
        fs::create_dir_all(folder.join("nodes")).expect("a folder");
        let test = json!({ "nodes": 3, "partitions": 4, "nemesis": ["kill"], "seed": 7 });
        fs::write(folder.join("test.json"), test.to_string()).expect("a file");
        let faults = faults.iter().map(|(what, touched, ms)| {
            json!({ "what": what, "touched": touched, "unwritten_ns": ms * 1_000_000 })
        });
        let results = json!({
            "verdict": verdict, "exit_code": code, "operations": 100, "indeterminate": 2,
            "faults": faults.collect::<Vec<_>>(),
        });
        fs::write(folder.join("results.json"), results.to_string()).expect("a file");
    }

    #[test]
    fn runs_and_faults_are_counted_and_the_worst_run_decides() {
        let store = tempfile::tempdir().expect("a folder");
        let leader = "kill leader: n1, n1 leads";
        leave(store.path(), "2", 3, "vacuous", &[(leader, 1, 100), (leader, 1, 300)]);
        leave(store.path(), "1", 0, "valid", &[(leader, 1, 200), ("kill one: n2", 0, 0)]);
        std::os::unix::fs::symlink("kill/2", store.path().join("latest")).expect("a link");
        let summary = Summary::read(store.path()).expect("runs");
        assert_eq!(summary.code(), 3);
        let text = summary.to_string();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["valid", "3", "4", "7", "100", "2", "1/2", "kill"]);
        assert_eq!(lines[2][0], "vacuous");
        assert_eq!(lines[3].join(" "), "2 runs, 200 operations, 3 of 4 faults had an effect");
        assert_eq!(lines[6], ["kill", "leader", "3", "200", "300"]);
        assert_eq!(lines[7].join(" "), "kill one 1 - - 1 without an effect");

        leave(store.path(), "3", 1, "invalid", &[]);
        assert_eq!(Summary::read(store.path()).expect("runs").code(), 1);
        fs::remove_file(store.path().join("kill/3/results.json")).expect("it was there");
        let summary = Summary::read(store.path()).expect("runs");
        assert_eq!(summary.code(), 255, "a run without a verdict proves nothing");
        assert!(summary.to_string().contains("unended"));
    }

    #[test]
    fn what_is_no_store_is_refused_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |path: &Path| {
            let error = Summary::read(path).expect_err("nothing is there");
            assert_eq!(error.code(), crate::cli::BAD_ARGUMENTS);
            error.to_string()
        };
        assert!(refused(folder.path()).contains("no run"));
        assert!(refused(&folder.path().join("none")).contains("none: No such file"));
        fs::write(folder.path().join("test.json"), "{}").expect("a file");
        assert!(refused(folder.path()).contains("test.json: not as"));
    }
}
