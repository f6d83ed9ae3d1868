//! What the machine itself takes for the least a replicated write can do: five datagrams one after
//! the other, and one record on a disk. No tags, no log, no map, and nobody who fails.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::load::times_ns;

/// For a datagram on this machine: longer means that it is lost, and none should be.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a key, a header, a tag and the like take of a datagram or a record besides the value.
const OVERHEAD_BYTES: usize = 100;

/// Median times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline {
    /// Client to leader, leader to followers, a quorum of them back, leader to client.
    pub echo: Duration,
    /// One append and fdatasync.
    pub sync: Duration,
}

/// Measures both, each for so long; `dir` is where a file may be made.
pub(super) fn measure(
    nodes: u16,
    value_bytes: usize,
    dir: &Path,
    time: Duration,
) -> io::Result<Baseline> {
    // One datagram even for values that take more: it is the least.
    let size_bytes = (value_bytes + OVERHEAD_BYTES).min(1_200);
    let echo = echo(nodes, size_bytes, time)?;
    Ok(Baseline { echo, sync: sync(dir, value_bytes + OVERHEAD_BYTES, time)? })
}

/// The file has its size in advance, as a log should: a size that grows must be synced, too.
fn sync(dir: &Path, size_bytes: usize, time: Duration) -> io::Result<Duration> {
    const FILE_BYTES: u64 = 64 << 20;
    let mut file = File::create_new(dir.join("baseline"))?;
    file.set_len(FILE_BYTES)?;
    let record = vec![7; size_bytes];
    median(time, |_| {
        file.write_all(&record)?;
        file.sync_data()
    })
}

/// Each place is a thread with a socket, which ends on a datagram of nothing.
fn echo(nodes: u16, size_bytes: usize, time: Duration) -> io::Result<Duration> {
    let socket = || -> io::Result<(UdpSocket, SocketAddr)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    let (client, (leader, to_leader)) = (socket()?.0, socket()?);
    let followers: Vec<_> = (1..nodes).map(|_| socket()).collect::<io::Result<_>>()?;
    let to_followers: Vec<SocketAddr> = followers.iter().map(|&(_, address)| address).collect();
    thread::scope(|scope| {
        for (follower, _) in &followers {
            scope.spawn(move || follow(follower));
        }
        scope.spawn(|| lead(&leader, &to_followers));
        let mut buffer = vec![0; size_bytes];
        let measured = median(time, |number| {
            buffer[..8].copy_from_slice(&number.to_le_bytes());
            client.send_to(&buffer, to_leader)?;
            client.recv(&mut buffer).map(drop)
        });
        for to in to_followers.iter().chain([&to_leader]) {
            client.send_to(&[], to)?;
        }
        measured
    })
}

/// Ends early on an error: then no answer comes, which the client tells.
fn follow(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 2_000];
    loop {
        match socket.recv_from(&mut buffer)? {
            (0, _) => return Ok(()),
            (size_bytes, from) => socket.send_to(&buffer[..size_bytes], from)?,
        };
    }
}

/// Answers a client as soon as a quorum has, itself included.
fn lead(socket: &UdpSocket, followers: &[SocketAddr]) -> io::Result<()> {
    let mut buffer = [0; 2_000];
    let quorum_others = followers.len().div_ceil(2);
    let (mut asked, mut answers) = (None, 0);
    loop {
        let (size_bytes, from) = socket.recv_from(&mut buffer)?;
        let datagram = &buffer[..size_bytes];
        let Some(number) = datagram.first_chunk::<8>() else { return Ok(()) };
        if !followers.contains(&from) {
            (asked, answers) = (Some((from, *number)), 0);
            for to in followers {
                socket.send_to(datagram, to)?;
            }
        } else if asked.is_some_and(|(_, asked)| asked == *number) {
            answers += 1;
        }
        if let Some((client, _)) = asked.filter(|_| answers >= quorum_others) {
            socket.send_to(datagram, client)?;
            asked = None;
        }
    }
}

/// Of as many as fit into the time, the first tenth of it left out; each is given its number.
fn median(time: Duration, mut once: impl FnMut(u64) -> io::Result<()>) -> io::Result<Duration> {
    let mut times = times_ns();
    let begun = Instant::now();
    for number in 0.. {
        let before = begun.elapsed();
        if before >= time {
            break;
        }
        once(number)?;
        if before >= time / 10 {
            times.saturating_record((begun.elapsed() - before).as_nanos() as u64);
        }
    }
    Ok(Duration::from_nanos(times.value_at_quantile(0.5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_measured_for_any_number_of_nodes() {
        for nodes in [1, 3] {
            let dir = tempfile::tempdir().expect("a folder");
            let measured = measure(nodes, 16, dir.path(), Duration::from_millis(100));
            let Baseline { echo, sync } = measured.expect("loopback and a disk");
            // A system call takes longer than this, and a disk or a thread rarely so long.
            let plausible = Duration::from_nanos(200)..Duration::from_secs(1);
            assert!(plausible.contains(&echo) && plausible.contains(&sync), "{echo:?} {sync:?}");
        }
    }
}
