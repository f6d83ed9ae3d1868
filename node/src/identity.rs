//! Whose data a folder holds. A node must never vote with the memory of another, or with none after
//! it had one; and two processes must never write one log.
//!
//! ```text
//!   quorate identity, format 2      the file `identity`: for people to read, not to write
//!   cluster main
//!   node 1
//!   layout nodes 1,2,3; partitions 1; replication 3
//!   log begun                       or `log new` until the log has been made
//!   checksum 5ad0a9e4               CRC32C of the lines above
//! ```

use crate::protocol::NodeId;
use crate::storage::{self, Storage, UNFINISHED};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The format described here.
pub const FORMAT: u32 = 2;

const FILE: &str = "identity";
const LOCK: &str = "lock";
const TITLE: &str = "quorate identity, format ";

/// Who a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The name of the cluster: not empty, printable, no blanks.
    pub cluster: String,
    /// The node.
    pub node: NodeId,
    /// Who shares what with whom, in a line. Under another, quorums might not meet those of before.
    pub layout: String,
}

/// A data folder that belongs to this node, and to no other process while this lives.
pub struct DataFolder<S: Storage> {
    storage: S,
    path: PathBuf,
    identity: Identity,
    is_new: bool,
    /// Locked until the process ends, however it ends.
    _lock: Option<File>,
}

/// Why a folder cannot be used. The node must not start.
#[derive(Debug)]
pub enum Refused {
    /// The machine failed.
    Machine(io::Error),
    /// Another process has the folder: the lock file.
    InUse(PathBuf),
    /// The folder holds something, but no identity: the folder, and a name in it.
    NoIdentity(PathBuf, String),
    /// The identity cannot be read.
    Damaged(PathBuf),
    /// The identity is of a newer version of this program.
    Format(PathBuf, u32),
    /// The folder belongs to another node: the file, what it says, what it should say.
    Foreign(PathBuf, String, String),
    /// The cluster file has another layout than it had: the file, what it says, what it should say.
    Layout(PathBuf, String, String),
}

impl<S: Storage> DataFolder<S> {
    /// Makes the folder if there is none, locks it, and claims it.
    pub fn open(storage: S, path: &Path, identity: Identity) -> Result<DataFolder<S>, Refused> {
        make_folder(path).map_err(Refused::Machine)?;
        // What is not ours is left as it is, without even a lock in it.
        look(&storage, path, &identity)?;
        let lock = lock(path)?;
        let folder = DataFolder::claim(storage, path, identity)?;
        Ok(DataFolder { _lock: Some(lock), ..folder })
    }

    /// Checks that the folder belongs to this node, or makes it so if it is empty. Does not lock
    /// it.
    pub fn claim(storage: S, path: &Path, identity: Identity) -> Result<DataFolder<S>, Refused> {
        let is_new = match look(&storage, path, &identity)? {
            Some(is_new) => is_new,
            None => {
                let text = text(&identity, true);
                storage::put(&storage, path, FILE, &[text.as_bytes()]).map_err(Refused::Machine)?;
                true
            }
        };
        Ok(DataFolder { storage, path: path.to_owned(), identity, is_new, _lock: None })
    }

    /// Whether the folder never had a log.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Notes that there is a durable log from now on, so that its absence will be noticed.
    pub fn log_begun(&mut self) -> io::Result<()> {
        if self.is_new {
            let text = text(&self.identity, false);
            storage::put(&self.storage, &self.path, FILE, &[text.as_bytes()])?;
            self.is_new = false;
        }
        Ok(())
    }
}

impl Identity {
    /// Panics on a cluster name that the file cannot hold (the configuration reader reports it in
    /// words before it comes here).
    pub fn new(cluster: &str, node: NodeId, layout: &str) -> Identity {
        let printable = |letter: char| !letter.is_whitespace() && !letter.is_control();
        assert!(!cluster.is_empty() && cluster.chars().all(printable), "a name without blanks");
        assert!(!layout.contains(char::is_control), "a line");
        Identity { cluster: cluster.to_owned(), node, layout: layout.to_owned() }
    }
}

/// Whether the folder of this node never had a log; none if the folder is nobody's yet.
fn look<S: Storage>(
    storage: &S,
    path: &Path,
    identity: &Identity,
) -> Result<Option<bool>, Refused> {
    let names = storage.list(path).map_err(Refused::Machine)?;
    let file = path.join(FILE);
    if names.iter().any(|name| name == FILE) {
        let text = storage.read(&file).map_err(Refused::Machine)?;
        let (found, is_new) = parse(&text, &file)?;
        return match found == *identity {
            true => Ok(Some(is_new)),
            false if (&found.cluster, found.node) == (&identity.cluster, identity.node) => {
                Err(Refused::Layout(file, found.layout, identity.layout.clone()))
            }
            false => Err(Refused::Foreign(file, found.to_string(), identity.to_string())),
        };
    }
    let unfinished = format!("{FILE}{UNFINISHED}");
    // A folder that is a file system of its own is never quite empty.
    let ours = [LOCK, &unfinished, "lost+found"];
    match names.iter().find(|name| !ours.contains(&name.as_str())) {
        Some(name) => Err(Refused::NoIdentity(path.to_owned(), name.clone())),
        None => Ok(None),
    }
}

/// Makes a folder and those above it, durably.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let named = |error: io::Error| {
        let what = format!("{}: cannot be made: {error}", path.display());
        io::Error::new(error.kind(), what)
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_folder(parent)?;
    fs::create_dir(path).map_err(named)?;
    storage::Disk.sync_folder(parent)
}

fn lock(folder: &Path) -> Result<File, Refused> {
    let path = folder.join(LOCK);
    let named = |error: io::Error| {
        let what = format!("{}: cannot be locked: {error}", path.display());
        Refused::Machine(io::Error::new(error.kind(), what))
    };
    let file = File::options().create(true).append(true).open(&path).map_err(named)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refused::InUse(path)),
        Err(TryLockError::Error(error)) => Err(named(error)),
    }
}

fn text(identity: &Identity, is_new: bool) -> String {
    let Identity { cluster, node: NodeId(node), layout } = identity;
    let log = if is_new { "new" } else { "begun" };
    let lines =
        format!("{TITLE}{FORMAT}\ncluster {cluster}\nnode {node}\nlayout {layout}\nlog {log}\n");
    let checksum = crc32c::crc32c(lines.as_bytes());
    format!("{lines}checksum {checksum:08x}\n")
}

fn parse(bytes: &[u8], file: &Path) -> Result<(Identity, bool), Refused> {
    let damaged = || Refused::Damaged(file.to_owned());
    let text = str::from_utf8(bytes).map_err(|_| damaged())?;
    let mut lines = text.lines();
    let mut line = |label: &str| lines.next().and_then(|line| line.strip_prefix(label));
    match line(TITLE).and_then(|format| format.parse().ok()) {
        Some(FORMAT) => {}
        Some(format) => return Err(Refused::Format(file.to_owned(), format)),
        None => return Err(damaged()),
    }
    let cluster = line("cluster ").ok_or_else(damaged)?.to_owned();
    let node = line("node ").and_then(|node| node.parse().ok()).ok_or_else(damaged)?;
    let layout = line("layout ").ok_or_else(damaged)?.to_owned();
    let is_new = line("log ") == Some("new");
    let identity = Identity { cluster, node: NodeId(node), layout };
    // What is not exactly what we would have written, checksum and all, was not written by us.
    match self::text(&identity, is_new) == text {
        true => Ok((identity, is_new)),
        false => Err(damaged()),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Machine(error) => error.fmt(f),
            Refused::InUse(path) => {
                write!(f, "{}: another process uses this data folder", path.display())
            }
            Refused::NoIdentity(path, name) => write!(
                f,
                "{}: found {name} but no identity file; a new node begins in an empty folder, and \
                 one without its memory must not vote: restore it, or leave it out for good",
                path.display()
            ),
            Refused::Damaged(path) => write!(f, "{}: damaged", path.display()),
            Refused::Format(path, found) => {
                write!(f, "{}: found format {found}, expected format {FORMAT}", path.display())
            }
            Refused::Foreign(path, found, expected) => {
                write!(f, "{}: found {found}, expected {expected}", path.display())
            }
            Refused::Layout(path, found, expected) => write!(
                f,
                "{}: found {found}, expected {expected}; there are no membership changes yet: put \
                 the cluster file back as it was",
                path.display()
            ),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster {}", self.node.0, self.cluster)
    }
}

impl std::error::Error for Refused {}
