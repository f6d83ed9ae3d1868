//! From a command line to replicas that remember: cluster file, data folder, log, snapshots.

use super::driver::Driver;
use super::groups::{Group, Groups};
use super::saver::Saver;
use super::status::Process;
use super::timers::Timers;
use crate::cli::{Run, Sync};
use crate::config::{self, Cluster, Secret};
use crate::identity::{self, DataFolder, Identity};
use crate::kv::Store;
use crate::partition::Table;
use crate::protocol::{
    Config, Contradiction, Durable, GroupId, Image, Index, Output, Replica, Unsynced,
};
use crate::snapshot::{Images, Unusable};
use crate::socket::KernelDrops;
use crate::storage::Disk;
use crate::trace::Trace;
use crate::wal::{self, Opened, Options, SyncMode, Wal};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tracing::{info, warn};

/// Called from another thread when it has news for the loop.
pub type Wake = Box<dyn Fn() + Send>;

/// Why a node cannot start or go on.
#[derive(Debug)]
pub enum Failure {
    /// The cluster file.
    Config(config::Error),
    /// The data folder.
    Folder(identity::Refused),
    /// The log.
    Log(wal::Refused),
    /// The snapshot of a group.
    Snapshot(Unusable),
    /// The memory of a replica contradicts itself.
    Replica(GroupId, Contradiction),
    /// The log knows nothing of a group, and it should.
    Unknown(GroupId),
    /// The address of the node.
    Bind(SocketAddr, io::Error),
    /// The machine: what it cannot do, and why.
    Machine(&'static str, io::Error),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Config(_) => crate::cli::BAD_ARGUMENTS,
            _ => 1,
        }
    }
}

/// Reads the cluster file.
pub fn load(run: &Run) -> Result<(Cluster, Option<Secret>), Failure> {
    Cluster::load(&run.cluster).map_err(Failure::Config)
}

/// Opens the data folder, and recovers or creates what it holds. `waker`: of the loop;
/// `kernel_drops`: of the socket. The folder is to be kept: it is locked only so long.
pub fn open(
    run: &Run,
    cluster: &Cluster,
    secret: Option<&Secret>,
    waker: Arc<mio::Waker>,
    kernel_drops: KernelDrops,
) -> Result<(Driver, DataFolder<Disk>), Failure> {
    let wake = || -> Wake {
        let waker = waker.clone();
        // A loop that cannot be woken still looks at its next heartbeat.
        Box::new(move || drop(waker.wake()))
    };
    let identity = Identity::new(&cluster.name, run.id, &cluster.layout());
    let mut folder = DataFolder::open(Disk, &run.data, identity).map_err(Failure::Folder)?;
    let sync = match run.sync {
        Sync::Always => SyncMode::Always,
        Sync::Os => SyncMode::Os,
    };
    let options = Options { sync, create: folder.is_new(), ..Options::new(run.id) };
    let Opened { mut wal, mut groups, torn_bytes } =
        Wal::open(Disk, &run.data, options).map_err(Failure::Log)?;
    if torn_bytes > 0 {
        warn!(bytes = torn_bytes, "cut off an unfinished write at the end of the log");
    }
    let images = Images::new(Disk, &run.data);
    let disk = |error| Failure::Machine("cannot start, the disk failed", error);
    let thread = |error| Failure::Machine("cannot start a thread", error);
    images.remove_unfinished().map_err(disk)?;

    let trace = run.trace.as_deref().map(|path| Trace::begin(path, run.id)).transpose();
    let mut trace = trace.map_err(|error| Failure::Machine("cannot trace", error))?;
    let mut begun = Vec::new();
    for config in Table::new(cluster).replicas(run.id, cluster) {
        let durable = groups.remove(&config.group);
        begun.push(begin(config, durable, folder.is_new(), &images, &mut wal, &mut trace)?);
    }
    // Before anything is sent: a boot number that is not durable could be used twice.
    let number = wal.write().map_err(disk)?;
    assert!(wal.durable().map_err(disk)? >= number, "written in our own time");
    folder.log_begun().map_err(disk)?;

    let boot = begun.iter().map(|(replica, ..)| replica.status().boot).max();
    let boot = boot.expect("no node of a valid cluster is without a group");
    let begun: Vec<Group> = begun
        .into_iter()
        .map(|(replica, output, unsynced)| Group::new(replica, output, unsynced.synced()))
        .collect();
    if run.sync == Sync::Always {
        wal = wal.into_background(wake()).map_err(thread)?;
    }
    let saver = Saver::start(images, wake()).map_err(thread)?;
    let random = |error: getrandom::Error| {
        Failure::Machine("no random numbers", io::Error::other(error.to_string()))
    };
    let timers = Timers::new(cluster.timing, begun.len(), getrandom::u64().map_err(random)?);
    let groups = Groups::new(begun, cluster.partitions, timers, wal, saver, trace);
    let mut token_key = [0; blake3::KEY_LEN];
    getrandom::fill(&mut token_key).map_err(random)?;
    let secret = secret.map_or(&[][..], |secret| secret.bytes());
    let (data, started) = (run.data.clone(), Instant::now());
    let process = Process { node: run.id, boot, data, kernel_drops, started };
    Ok((Driver::new(process, cluster, secret, token_key, groups), folder))
}

/// A replica, its output, and the write that the log was given of it.
type Begun = (Replica<Store>, Output<Store>, Unsynced);

/// Starts one replica; its first records are appended to the log.
fn begin(
    config: Config,
    durable: Option<Durable>,
    is_new: bool,
    images: &Images<Disk>,
    wal: &mut Wal,
    trace: &mut Option<Trace>,
) -> Result<Begun, Failure> {
    let (group, mut output) = (config.group, Output::default());
    let replica = match durable {
        // Nobody was told anything by a node whose first write did not last.
        None if is_new => {
            if let Some(trace) = trace {
                trace.start(&config, None, None);
            }
            Replica::create(config, Store::default(), &mut output)
        }
        None => return Err(Failure::Unknown(group)),
        Some(durable) => {
            let index = durable.snapshot();
            let image = (index > Index::ZERO).then(|| images.load(group, index)).transpose();
            let image = image.map_err(Failure::Snapshot)?.map(Image::new);
            if let Some(trace) = trace {
                trace.start(&config, Some(&durable), image.as_ref());
            }
            let replica = Replica::recover(config, Store::default(), durable, image, &mut output)
                .map_err(|contradiction| Failure::Replica(group, contradiction))?;
            let status = replica.status();
            let (accepted, decided) = (status.accepted.0, status.decided.0);
            info!(group = group.0, accepted, decided, snapshot = index.0, "recovered");
            replica
        }
    };
    let write = output.take_write().expect("a start is recorded");
    if let Some(trace) = trace {
        trace.write(group, &write);
    }
    wal.append(group, &write.records);
    output.recycle(write.records);
    Ok((replica, output, write.unsynced))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => error.fmt(f),
            Failure::Folder(refused) => refused.fmt(f),
            Failure::Log(refused) => refused.fmt(f),
            Failure::Snapshot(unusable) => unusable.fmt(f),
            Failure::Replica(group, contradiction) => {
                write!(f, "group {}: the log contradicts itself: {contradiction}", group.0)
            }
            Failure::Unknown(group) => write!(
                f,
                "group {}: the log has no record of it; a node without its memory must not vote: \
                 restore its folder, or leave it out for good",
                group.0
            ),
            Failure::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{address}: in use; does the node run already?")
            }
            Failure::Bind(address, error) => write!(f, "{address}: cannot be bound: {error}"),
            Failure::Machine(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}
