//! The cluster to measure: nodes of our own, or those that run already.

use std::io;
use std::path::{Path, PathBuf};

use node::client::{Cluster, Secret};
use node::wire::NodeId;
use rustix::fs::statfs;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::Error;
use crate::cluster::{self, Nodes, Site};
use crate::run;
use crate::store::Folder;

/// The cluster to measure.
#[derive(Clone, Debug)]
pub enum Subject {
    /// One that is started for it.
    Own(Own),
    /// One that runs, by its cluster file.
    Running(PathBuf),
}

/// A cluster that is started to be measured.
#[derive(Clone, Debug)]
pub struct Own {
    /// How many nodes.
    pub nodes: u16,
    /// How many replication groups.
    pub partitions: u32,
    /// When a write counts as durable: `always` or `os`, as nodes call it.
    pub sync: &'static str,
    /// Where results, logs and data go; by default, they go away.
    pub store: Option<PathBuf>,
    /// The program of a node; by default the `node` beside this program.
    pub node_bin: Option<PathBuf>,
    /// Measure the machine itself, too.
    pub baseline: bool,
}

/// A cluster that runs, as far as we know.
pub(super) struct Opened {
    pub cluster: Cluster,
    pub secret: Option<Secret>,
    /// Those that are ours. They are gone before their folder is.
    nodes: Option<Nodes>,
    home: Option<Home>,
}

enum Home {
    Passing(TempDir),
    Kept(Folder),
}

impl Subject {
    pub(super) fn open(&self) -> Result<Opened, Error> {
        match self {
            Subject::Own(own) => own.start(),
            Subject::Running(file) => {
                let (cluster, secret) = Cluster::load(file).map_err(Error::File)?;
                Ok(Opened { cluster, secret, nodes: None, home: None })
            }
        }
    }

    /// The cluster that is ours.
    pub(super) fn own(&self) -> Option<&Own> {
        match self {
            Subject::Own(own) => Some(own),
            Subject::Running(_) => None,
        }
    }
}

impl Own {
    fn start(&self) -> Result<Opened, Error> {
        let program = run::program(self.node_bin.as_deref()).map_err(Error::Run)?;
        let home = match &self.store {
            Some(store) => Folder::create(store, "bench").map(Home::Kept),
            None => tempfile::Builder::new().prefix("checker-bench-").tempdir().map(Home::Passing),
        };
        let home = home.map_err(Error::io("a folder for the nodes"))?;
        let addresses = cluster::free_addresses(self.nodes.into());
        let addresses = addresses.map_err(Error::io("addresses"))?;
        let nodes: Vec<_> = (1..=self.nodes).map(NodeId).zip(addresses).collect();
        let site = Site {
            dir: home.nodes(),
            program,
            partitions: self.partitions,
            clocks: None,
            nodes: nodes.clone(),
            arguments: vec!["--sync".to_string(), self.sync.to_string()],
        };
        let address = |id| nodes.iter().find(|node| node.0 == id).expect("all are there").1;
        let nodes = Nodes::prepare(site, |_, to| address(to))?;
        nodes.start_all(run::BOOT)?;
        let (cluster, secret) = nodes.view(address);
        Ok(Opened { cluster, secret, nodes: Some(nodes), home: Some(home) })
    }
}

impl Opened {
    /// The process of a node of ours.
    pub fn process(&self, id: NodeId) -> Option<u32> {
        self.nodes.as_ref()?.process(id)
    }

    /// A node of ours that ended though nobody killed it, and how.
    pub fn ended(&self) -> Option<cluster::Error> {
        let nodes = self.nodes.as_ref()?;
        let (id, status) = nodes.ended().into_iter().next()?;
        Some(cluster::Error::Ended { id, status, log: nodes.last_words(id) })
    }

    /// Ends the nodes that are ours.
    pub fn stop(&mut self) {
        self.nodes = None;
    }

    /// Where the files of our nodes are.
    pub fn dir(&self) -> Option<PathBuf> {
        self.home.as_ref().map(Home::nodes)
    }

    /// Whether the files of our nodes are in memory, so that a sync costs nothing.
    pub fn is_in_memory(&self) -> bool {
        const TMPFS_MAGIC: u64 = 0x0102_1994;
        let system = self.dir().and_then(|dir| statfs(dir.as_path()).ok());
        system.is_some_and(|system| system.f_type as u64 == TMPFS_MAGIC)
    }

    /// Writes down what was found, where that is wanted, and returns where.
    pub fn keep(&self, results: &Json) -> io::Result<Option<&Path>> {
        match &self.home {
            Some(Home::Kept(folder)) => {
                folder.write_results(results)?;
                Ok(Some(folder.path()))
            }
            Some(Home::Passing(_)) | None => Ok(None),
        }
    }
}

impl Home {
    fn nodes(&self) -> PathBuf {
        match self {
            Home::Passing(dir) => dir.path().to_path_buf(),
            Home::Kept(folder) => folder.nodes(),
        }
    }
}
