//! The process: feeds the replicas of one node with real datagrams, disks and time.
//!
//! ```text
//!   wait ──► receive ──► timers ──► settle ──► log ──► send ──► wait
//!             │            │                   │        │
//!        Input::Message  Input::Timeout   records to    one packer per peer and client,
//!        Input::Request                   the disk      sealed once a turn
//!             ▲                                │
//!             └── Input::Synced, SnapshotSaved ┘  two threads write, and wake the loop
//! ```
//! One thread owns everything but the disk. What queued up while a turn went on is taken together in
//! the next, so that load makes batches larger: fewer datagrams, fewer syncs.
//!
//! Reading order: this file, `driver.rs` (a turn in parts), `groups.rs` (the replicas and their
//! disk), `clients.rs`, `service.rs` (what a client's question means), `startup.rs`.

mod clients;
mod driver;
mod groups;
mod logging;
mod saver;
mod service;
mod startup;
mod status;
mod timers;

pub use logging::start as start_logging;
pub use startup::Failure;

use crate::cli::Run;
use crate::identity::DataFolder;
use crate::socket::Socket;
use crate::storage::Disk;
use driver::Driver;
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tracing::info;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
const SIGNAL: Token = Token(2);

/// A node, ready to run.
pub struct Server {
    poll: Poll,
    events: Events,
    socket: Socket,
    driver: Driver,
    /// Locked as long as we live.
    _folder: DataFolder<Disk>,
    /// Becomes readable on SIGTERM and SIGINT.
    _signals: UnixStream,
}

impl Server {
    /// Reads the cluster file and the data folder, recovers the replicas, binds the address.
    pub fn open(run: &Run) -> Result<Server, Failure> {
        let machine = |what: &'static str| move |error| Failure::Machine(what, error);
        let poll = Poll::new().map_err(machine("cannot wait for events"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(machine("cannot make a waker"))?;
        let mut signals = signals().map_err(machine("cannot listen to signals"))?;
        poll.registry()
            .register(&mut signals, SIGNAL, Interest::READABLE)
            .map_err(machine("cannot listen to signals"))?;
        // Bound before the disk is touched: a second start of the same node changes nothing.
        let (cluster, secret) = startup::load(run)?;
        let address = cluster.node(run.id).map_err(Failure::Config)?.address;
        let mut socket = Socket::bind(address).map_err(|error| Failure::Bind(address, error))?;
        socket.register(poll.registry(), SOCKET).map_err(machine("cannot wait for datagrams"))?;
        let (secret, waker, drops) = (secret.as_ref(), Arc::new(waker), socket.kernel_drops());
        let (driver, folder) = startup::open(run, &cluster, secret, waker, drops)?;
        let boot = driver.process.boot;
        info!(node = run.id.0, cluster = cluster.name, %address, boot, "started");
        let (events, _folder, _signals) = (Events::with_capacity(64), folder, signals);
        Ok(Server { poll, events, socket, driver, _folder, _signals })
    }

    /// Runs until SIGTERM or SIGINT, then leaves a log of which all is synced.
    pub fn run(mut self) -> Result<(), Failure> {
        let disk = |error| Failure::Machine("stopped, the disk failed", error);
        loop {
            self.turn().map_err(disk)?;
            if self.wait()? {
                break;
            }
        }
        let Driver { process, drops, .. } = &self.driver;
        let by_us = drops.iter().map(|(reason, count)| (reason.name(), count));
        let by_kernel = process.kernel_drops.count().map(|count| (status::BY_KERNEL, count));
        for (reason, count) in by_us.chain(by_kernel).filter(|(_, count)| *count > 0) {
            info!(reason, count, "dropped");
        }
        self.driver.groups.close().map_err(disk)?;
        info!("stopped");
        Ok(())
    }

    /// Takes what has come, lets the replicas act on it, and carries out what they want.
    fn turn(&mut self) -> io::Result<()> {
        let Server { socket, driver, .. } = self;
        driver.begin_turn(Instant::now());
        socket.receive(|datagram, from| driver.datagram(datagram, from));
        driver.act()?;
        driver.send(socket);
        Ok(())
    }

    /// Waits for a datagram, a timer or another thread. Returns whether it is time to stop.
    fn wait(&mut self) -> Result<bool, Failure> {
        let until = self.driver.groups.next_timer();
        let timeout = match self.socket.has_more() {
            true => Duration::ZERO,
            false => until.saturating_duration_since(Instant::now()),
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => polled.map_err(|error| Failure::Machine("cannot wait for events", error))?,
        }
        let mut stop = false;
        for event in &self.events {
            match event.token() {
                SOCKET => self.socket.ready(),
                SIGNAL => stop = true,
                // The loop asks the other threads for news in every turn.
                _ => {}
            }
        }
        Ok(stop)
    }
}

fn signals() -> io::Result<UnixStream> {
    let (receiver, sender) = std::os::unix::net::UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    // A file above the process's limit is to be an error, of which we can tell, and no sudden end.
    signal_hook::flag::register(SIGXFSZ, Arc::<AtomicBool>::default())?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    Ok(UnixStream::from_std(receiver))
}
