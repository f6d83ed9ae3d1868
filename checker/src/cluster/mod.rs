//! Real nodes as processes of this machine: started, killed, paused, and asked how they are.
//!
//! ```text
//!   DIR/cluster.json         all nodes at their own addresses: how the checker asks for status
//!   DIR/N/cluster.json       as node N sees the cluster: itself as it is, its peers through proxies
//!   DIR/N/data/, node.log    what it keeps, and what it said in all its lives
//!   DIR/N/clock              how its clock runs, if clocks can be set: see [`clocks`]
//! ```
//! A node dies with the checker, however that ends: see [`guard`]. That holds for nodes started by
//! the main thread only, so no other may start any.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use node::client::{Cluster, Secret, Table};
use node::wire::NodeId;
use rustix::process::{Pid, Signal, kill_process};

mod asking;
pub mod clocks;
mod error;
mod files;
pub mod guard;

pub use asking::{Asking, Replica, Status};
use clocks::{Clock, Library};
pub use error::Error;
pub use files::free_addresses;

/// How often to ask again for what is not yet so.
const PATIENCE: Duration = Duration::from_millis(10);

/// How long to wait for a node to show its clock for the first time before that is set.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// The rate of a clock that is right.
pub const TRUE_PERCENT: u32 = 100;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where its files go; it must be there.
    pub dir: PathBuf,
    /// The program of a node.
    pub program: PathBuf,
    /// How many replication groups share the keys.
    pub partitions: u32,
    /// What sets the clocks of nodes, if anybody is going to.
    pub clocks: Option<Library>,
    /// The nodes, and where each listens.
    pub nodes: Vec<(NodeId, SocketAddr)>,
    /// What else the program is to be told.
    pub arguments: Vec<String>,
}

/// The nodes of one cluster. They are killed when it is dropped.
pub struct Nodes {
    site: Site,
    cluster: Cluster,
    secret: Option<Secret>,
    /// Those that were started, and not killed by us since.
    running: Mutex<BTreeMap<NodeId, Child>>,
    /// None is started or let go on any more. Changes only while `running` is locked.
    is_frozen: AtomicBool,
    /// Of those that were started last, if clocks can be set.
    clocks: Mutex<BTreeMap<NodeId, Clock>>,
    asking: Mutex<Asking>,
}

/// Where to find a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which one.
    pub id: NodeId,
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// What it keeps.
    pub data: PathBuf,
    /// What it said.
    pub log: PathBuf,
}

impl Nodes {
    /// Writes the files of a cluster; none of its nodes runs yet.
    /// `view`: the address that the first node has to use for the second.
    pub fn prepare(
        site: Site,
        view: impl Fn(NodeId, NodeId) -> SocketAddr,
    ) -> Result<Nodes, Error> {
        if site.clocks.is_some() {
            clocks::clean_up_after_others();
        }
        let file = files::write(&site, view)?;
        let (cluster, secret) = Cluster::load(&file).map_err(Error::File)?;
        let asking = Asking::new(&cluster, secret.as_ref()).map_err(Error::Socket)?;
        let (running, clocks, asking) = (Mutex::default(), Mutex::default(), Mutex::new(asking));
        let is_frozen = AtomicBool::new(false);
        Ok(Nodes { site, cluster, secret, running, is_frozen, clocks, asking })
    }

    /// Another one to ask nodes with, who waits for nobody else. An error is that of a socket.
    pub fn asking(&self) -> io::Result<Asking> {
        Asking::new(&self.cluster, self.secret.as_ref())
    }

    /// All of them, by ascending id.
    pub fn ids(&self) -> Vec<NodeId> {
        self.site.nodes.iter().map(|&(id, _)| id).collect()
    }

    /// The cluster file as a client has it who sees each node at this address, and the secret.
    pub fn view(&self, address: impl Fn(NodeId) -> SocketAddr) -> (Cluster, Option<Secret>) {
        let mut cluster = self.cluster.clone();
        for node in &mut cluster.nodes {
            node.address = address(node.id);
        }
        (cluster, self.secret.clone())
    }

    /// Starts a node, unless it runs, or all are frozen. Only the main thread may: the node dies
    /// with its thread.
    pub fn start(&self, id: NodeId) -> Result<(), Error> {
        let mut running = self.running();
        if running.contains_key(&id) || self.is_frozen() {
            return Ok(());
        }
        let log = files::log(&self.site.dir, id);
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |error| Error::Io { path, error }
        };
        let log_file =
            File::options().create(true).append(true).open(&log).map_err(failed(&log))?;
        let mut command = guard::command(&self.site.program).map_err(failed(&self.site.program))?;
        command.arg("--id").arg(id.0.to_string());
        command.arg("--cluster").arg(files::cluster(&self.site.dir, id));
        command.arg("--data").arg(files::data(&self.site.dir, id));
        command.args(&self.site.arguments);
        if let Some(library) = &self.site.clocks {
            let file = files::clock(&self.site.dir, id);
            let mut clocks = lock(&self.clocks);
            let percent = clocks.get(&id).map_or(TRUE_PERCENT, Clock::percent);
            let clock = Clock::of(&mut command, library, file.clone(), percent);
            clocks.insert(id, clock.map_err(failed(&file))?);
        }
        // Ctrl-C is for the checker, which knows what to do about it.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
        let child = command.spawn().map_err(failed(&self.site.program))?;
        running.insert(id, child);
        Ok(())
    }

    /// Starts every node that does not run, lets go on what is paused, and waits until all answer.
    pub fn start_all(&self, timeout: Duration) -> Result<(), Error> {
        self.start_all_unless(timeout, &|| false)
    }

    /// The same, but gives up as soon as nobody wants it any more.
    pub fn start_all_unless(
        &self,
        timeout: Duration,
        is_unwanted: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        for id in self.ids() {
            self.start(id)?;
            self.resume(id);
        }
        let deadline = Instant::now() + timeout;
        for id in self.ids() {
            while self.status(id).is_none() {
                if let Some((id, status)) = self.ended().into_iter().next() {
                    return Err(Error::Ended { id, status, log: self.last_words(id) });
                }
                if is_unwanted() {
                    return Err(Error::Unwanted);
                }
                if Instant::now() >= deadline {
                    return Err(Error::Silent { id, log: self.last_words(id) });
                }
                std::thread::sleep(PATIENCE);
            }
        }
        Ok(())
    }

    /// SIGKILL, unless all are frozen; returns when the node is gone, and whether there was one.
    pub fn kill(&self, id: NodeId) -> bool {
        let mut running = self.running();
        // One that ended by itself stays, for `ended` to tell: a kill must not hide a crash.
        let is_there = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if self.is_frozen() || !running.get_mut(&id).is_some_and(is_there) {
            return false;
        }
        let child = running.remove(&id).expect("it was there, and the lock is held");
        drop(running);
        self.end(child);
        true
    }

    fn end(&self, mut child: Child) {
        // That it is gone already is just as well.
        let _ = child.kill();
        let _ = child.wait();
        if self.site.clocks.is_some() {
            clocks::clean_up(child.id());
        }
    }

    /// SIGSTOP: the node is there, and does nothing. Returns whether there was one.
    pub fn pause(&self, id: NodeId) -> bool {
        signal(&mut self.running(), id, Signal::STOP)
    }

    /// SIGCONT, unless all are frozen. Returns whether there was a node.
    pub fn resume(&self, id: NodeId) -> bool {
        let mut running = self.running();
        match self.is_frozen() {
            true => running.contains_key(&id),
            false => signal(&mut running, id, Signal::CONT),
        }
    }

    /// SIGSTOP to all, for good: from now on none is started or let go on.
    pub fn freeze(&self) {
        let mut running = self.running();
        self.is_frozen.store(true, Ordering::Relaxed);
        for id in self.ids() {
            signal(&mut running, id, Signal::STOP);
        }
    }

    /// Whether all stand still for good.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen.load(Ordering::Relaxed)
    }

    /// Where to find each node, by id.
    pub fn places(&self) -> Vec<Place> {
        let (running, dir) = (self.running(), &self.site.dir);
        let place = |id| Place {
            id,
            pid: running.get(&id).map(Child::id),
            data: files::data(dir, id),
            log: files::log(dir, id),
        };
        self.ids().into_iter().map(place).collect()
    }

    /// The cluster file that has each node at its own address.
    pub fn cluster_file(&self) -> PathBuf {
        files::all(&self.site.dir)
    }

    /// The number of a node's process, if there is one.
    pub fn process(&self, id: NodeId) -> Option<u32> {
        self.running().get(&id).map(Child::id)
    }

    /// Lets the clock of a node jump forward by so much and run at this rate from now on, also when it
    /// is started again. Panics if clocks cannot be set.
    pub fn set_clock(&self, id: NodeId, percent: u32, jump: Duration) -> Result<(), Error> {
        // What it shows before is what tells that it was changed. Who was started just now shows
        // nothing yet, and what was never shown cannot be seen to jump.
        let deadline = Instant::now() + FIRST_LOOK;
        let is_unread = || lock(&self.clocks).get(&id).is_some_and(Clock::is_unread);
        // Who does not run will not show it either, and nobody is started meanwhile.
        let may_show = || self.process(id).is_some() && is_unread();
        while self.status(id).is_none() && may_show() && Instant::now() < deadline {
            std::thread::sleep(PATIENCE);
        }
        let mut clocks = lock(&self.clocks);
        let clock = clocks.get_mut(&id).expect("it was started with a clock that can be set");
        let path = files::clock(&self.site.dir, id);
        clock.set(percent, jump).map_err(|error| Error::Io { path, error })
    }

    /// Whether a node shows by what it says that its clock has changed since it was last set.
    pub fn clock_is_off(&self, id: NodeId) -> bool {
        self.status(id).is_some() && lock(&self.clocks).get(&id).is_some_and(Clock::is_off)
    }

    /// Those that ended although nobody killed them, and how.
    pub fn ended(&self) -> Vec<(NodeId, ExitStatus)> {
        let mut running = self.running();
        let ended = running.iter_mut().map(|(&id, child)| Some((id, child.try_wait().ok()??)));
        ended.flatten().collect()
    }

    /// Those that ended by themselves count as killed from now on, and can be started again.
    pub fn bury(&self) {
        for (id, _) in self.ended() {
            self.running().remove(&id);
        }
    }

    /// What a node says of its replicas; `None` if it does not answer within a moment.
    pub fn status(&self, id: NodeId) -> Option<Vec<Replica>> {
        if !self.running().contains_key(&id) {
            return None;
        }
        let mut asking = lock(&self.asking);
        let asked = Instant::now();
        let Status { uptime, replicas } = asking.status(id)?;
        let answered = Instant::now();
        if let Some(clock) = lock(&self.clocks).get_mut(&id) {
            clock.read(asked, answered, uptime);
        }
        Some(replicas)
    }

    /// The members of each replication group, by its number.
    pub fn groups(&self) -> Vec<Vec<NodeId>> {
        let table = Table::new(&self.cluster);
        table.groups().map(|group| table.preference(group).to_vec()).collect()
    }

    /// Who leads a replication group; `None` if nobody who answers says so.
    pub fn leader(&self, group: u64) -> Option<NodeId> {
        let leads = |id: &NodeId| {
            let replicas = self.status(*id);
            replicas.is_some_and(|all| all.iter().any(|one| one.leads && one.group == group))
        };
        self.ids().into_iter().find(leads)
    }

    /// The last lines of a node's log.
    pub fn last_words(&self, id: NodeId) -> String {
        const LINES: usize = 5;
        let log = fs::read(files::log(&self.site.dir, id)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<NodeId, Child>> {
        lock(&self.running)
    }
}

/// Returns whether there was a node.
fn signal(running: &mut BTreeMap<NodeId, Child>, id: NodeId, signal: Signal) -> bool {
    let Some(child) = running.get_mut(&id) else { return false };
    // Not waited for by anybody else, so its number is still its own.
    let is_there = matches!(child.try_wait(), Ok(None));
    is_there && kill_process(Pid::from_child(child), signal).is_ok()
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let running = std::mem::take(&mut *self.running());
        running.into_values().for_each(|child| self.end(child));
    }
}
