//! The UDP socket of a node or a client: many datagrams a system call, in both directions.

use crate::wire::Run;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockRef, Type};
use std::fs;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use tracing::warn;

/// Asked of the kernel, which may give less: room for what comes while a turn goes on.
const BUFFER_BYTES: usize = 4 << 20;
/// The most that the kernel puts together to one (UDP GRO).
const MERGED_BYTES_MAX: usize = 1 << 16;
/// Datagrams taken in one turn, about: then it is time to write and answer.
const TURN_MAX: usize = 512;

/// Datagrams that passed through a socket. Bytes are theirs, without the headers of UDP and below.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// Taken from the kernel.
    pub received: u64,
    /// The bytes of these.
    pub received_bytes: u64,
    /// Given to the kernel.
    pub sent: u64,
    /// The bytes of these.
    pub sent_bytes: u64,
    /// The kernel did not take them.
    pub unsent: u64,
}

/// A bound socket, and what passed through it.
pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Datagrams may be waiting; the kernel says so only once.
    ready: bool,
    buffers: Vec<u8>,
    /// What passed through it.
    pub traffic: Traffic,
    complained: bool,
}

impl Socket {
    /// Binds the address. Nobody else can while it lives.
    pub fn bind(address: SocketAddr) -> io::Result<Socket> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into());
        let buffers = SockRef::from(&socket);
        buffers.set_recv_buffer_size(BUFFER_BYTES)?;
        buffers.set_send_buffer_size(BUFFER_BYTES)?;
        let state = UdpSocketState::new((&socket).into())?;
        let buffers = vec![0; BATCH_SIZE * MERGED_BYTES_MAX];
        let traffic = Traffic::default();
        Ok(Socket { socket, state, ready: true, buffers, traffic, complained: false })
    }

    /// Has the registry tell of datagrams.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The registry told of datagrams.
    pub fn ready(&mut self) {
        self.ready = true;
    }

    /// Whether datagrams may be left that nobody will tell of.
    pub fn has_more(&self) -> bool {
        self.ready
    }

    /// Waits for a datagram, but no longer than `timeout`, which counts in nanoseconds: that of a
    /// registry is rounded up to milliseconds, some tens of round trips. An error is the kernel's.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).expect("nobody waits for centuries");
        let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
        self.ready |= poll(&mut sockets, Some(&timeout))? > 0;
        Ok(())
    }

    /// Hands the datagrams that wait to `take`, so many as make a good turn.
    pub fn receive(&mut self, mut take: impl FnMut(&[u8], SocketAddr)) {
        let mut taken = 0;
        while self.ready && taken < TURN_MAX {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut buffers = self.buffers.chunks_exact_mut(MERGED_BYTES_MAX);
            let mut slices: [IoSliceMut; BATCH_SIZE] = std::array::from_fn(|_| {
                IoSliceMut::new(buffers.next().expect("there are as many as that"))
            });
            let count = match self.state.recv((&self.socket).into(), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) => {
                    self.ready = error.kind() == io::ErrorKind::Interrupted;
                    if !self.ready && error.kind() != io::ErrorKind::WouldBlock {
                        self.complain("cannot receive", &error);
                    }
                    continue;
                }
            };
            for (meta, buffer) in metas.iter().zip(&slices).take(count) {
                self.traffic.received_bytes += meta.len as u64;
                let received = &buffer[..meta.len];
                // Whoever sends nothing has sent a datagram, and it would be no chunk.
                let empty = received.is_empty().then_some(received);
                for datagram in received.chunks(meta.stride.max(1)).chain(empty) {
                    take(datagram, meta.addr);
                    taken += 1;
                }
            }
        }
        self.traffic.received += taken as u64;
    }

    /// How many datagrams of equal size go in one call.
    pub fn run_max(&self) -> usize {
        self.state.max_gso_segments().max(1)
    }

    /// Gives datagrams to the kernel. What it does not take is lost, as on any network.
    pub fn send(&mut self, to: SocketAddr, run: &Run<'_>) {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: run.contents,
            segment_size: Some(run.datagram_bytes),
            src_ip: None,
        };
        let count = run.contents.len().div_ceil(run.datagram_bytes) as u64;
        match self.state.try_send((&self.socket).into(), &transmit) {
            Ok(()) => {
                self.traffic.sent += count;
                self.traffic.sent_bytes += run.contents.len() as u64;
            }
            Err(error) => {
                self.traffic.unsent += count;
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.complain("cannot send", &error);
                }
            }
        }
    }

    /// Whoever wants to know later what the kernel dropped.
    pub fn kernel_drops(&self) -> KernelDrops {
        KernelDrops::of(self.socket.as_raw_fd())
    }

    /// Gives one datagram to the kernel.
    pub fn send_one(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.send(to, &Run { contents: datagram, datagram_bytes: datagram.len() });
    }

    /// Says the first failure; the others are counted.
    fn complain(&mut self, what: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            warn!(%error, "{what}; this is said only once");
        }
    }
}

/// Asks the kernel what it dropped of the datagrams to one socket.
#[derive(Clone, Copy)]
pub struct KernelDrops {
    /// The socket's name in the kernel's tables, if it has such.
    inode: Option<u64>,
}

impl KernelDrops {
    fn of(socket: i32) -> KernelDrops {
        let metadata = fs::metadata(format!("/proc/self/fd/{socket}"));
        KernelDrops { inode: metadata.ok().map(|metadata| metadata.ino()) }
    }

    /// Datagrams that came for the socket since it was made, and that nobody can receive: its buffer
    /// was full, or, rarely, their checksum was wrong. Those lost before, in a network card's queue
    /// or on the way, are counted nowhere here. None where the kernel does not tell (Linux does).
    /// Reads a table of all UDP sockets of the machine: nothing for each message.
    pub fn count(&self) -> Option<u64> {
        let inode = self.inode?;
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        tables.iter().find_map(|table| in_table(&fs::read_to_string(table).ok()?, inode))
    }
}

/// The last column of the socket's line: `sl local_address rem_address st tx_queue:rx_queue
/// tr:tm->when retrnsmt uid timeout inode ref pointer drops`.
fn in_table(table: &str, inode: u64) -> Option<u64> {
    let mut lines = table.lines().map(|line| line.split_ascii_whitespace());
    lines.find_map(|mut columns| {
        let is_it = columns.nth(9)?.parse() == Ok(inode);
        columns.nth(2).filter(|_| is_it)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_does_not_fit_the_buffer_is_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let mut socket = Socket::bind(address.parse().unwrap()).expect("loopback");
            SockRef::from(&socket.socket)
                .set_recv_buffer_size(8 << 10)
                .expect("smaller is allowed");
            let drops = socket.kernel_drops();
            assert_eq!(drops.count(), Some(0));
            let sender = UdpSocket::bind(address).expect("loopback");
            let to = socket.socket.local_addr().expect("it is bound");
            for _ in 0..1_000 {
                sender.send_to(&[7; 1_000], to).expect("loopback");
            }
            let mut received = 0;
            while socket.has_more() {
                socket.receive(|_, _| received += 1);
            }
            assert!(received > 0, "some did fit");
            assert_eq!(drops.count(), Some(1_000 - received));
        }
    }

    #[test]
    fn an_empty_datagram_is_one_too() {
        let mut socket = Socket::bind("127.0.0.1:0".parse().unwrap()).expect("loopback");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let to = socket.socket.local_addr().expect("it is bound");
        let sent: [&[u8]; 4] = [b"", b"before", b"", b"after"];
        sent.iter().for_each(|datagram| _ = sender.send_to(datagram, to).expect("loopback"));
        let mut received = Vec::new();
        while received.len() < sent.len() {
            socket.wait(Duration::from_secs(10)).expect("the kernel waits");
            assert!(socket.has_more(), "only {received:?} came");
            socket.receive(|datagram, _| received.push(datagram.to_vec()));
        }
        assert_eq!(received, sent);
        assert_eq!((socket.traffic.received, socket.traffic.received_bytes), (4, 11));
    }

    #[test]
    fn a_line_is_found_by_its_inode_and_nothing_else() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
            uid  timeout inode ref pointer drops\n\
            7: 0100007F:1B59 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        \
            0 41 2 ffff8881 17\n\
            12345: 0100007F:1B5A 00000000:0000 07 00000000:00000000 00:00000000 00000000    41    \
            41 42 2 ffff8882 18\n";
        assert_eq!(in_table(table, 41), Some(17));
        assert_eq!(in_table(table, 42), Some(18));
        assert_eq!(in_table(table, 2), None);
        assert_eq!(in_table("garbage 41", 41), None);
    }
}
