//! The UDP socket: many datagrams a system call, in both directions.

use super::status::Traffic;
use crate::wire::Run;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Type};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use tracing::warn;

/// Asked of the kernel, which may give less: room for what comes while a turn goes on.
const BUFFER_BYTES: usize = 4 << 20;
/// The most that the kernel puts together to one (UDP GRO).
const MERGED_BYTES_MAX: usize = 1 << 16;
/// Datagrams taken in one turn, about: then it is time to write and answer.
const TURN_MAX: usize = 512;

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
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
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
            Ok(()) => self.traffic.sent += count,
            Err(error) => {
                self.traffic.unsent += count;
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.complain("cannot send", &error);
                }
            }
        }
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
