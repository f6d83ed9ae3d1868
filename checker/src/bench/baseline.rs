//! What the machine itself takes for the least a replicated write can do: four datagrams one after
//! the other, and one record on a disk. No tags, no log, no map, and nobody who fails.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::tally::times_ns;
use super::{Error, Opened, Plan};

/// For a datagram on this machine: longer means that it is lost, and none should be.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a key, a header, a tag and the like take of a datagram or a record besides the value.
const OVERHEAD_BYTES: usize = 100;

/// How long to try each, each time.
const TIME: Duration = Duration::from_millis(500);

/// All that was measured. Half of it before the load and half behind it: others use the machine, too.
pub(super) struct Baseline {
    /// None if it is not wanted.
    nodes: Option<u16>,
    value_bytes: usize,
    echo_ns: Histogram<u64>,
    sync_ns: Histogram<u64>,
}

/// What is in the middle of all that was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Medians {
    /// Client to leader, leader to followers, a quorum of them back, leader to client.
    pub echo: Duration,
    /// One append and fdatasync.
    pub sync: Duration,
}

impl Baseline {
    pub fn new(plan: &Plan) -> Baseline {
        Baseline {
            nodes: plan.subject.own().filter(|own| own.baseline).map(|own| own.nodes),
            value_bytes: plan.value_bytes,
            echo_ns: times_ns(),
            sync_ns: times_ns(),
        }
    }

    /// Measures some more of both, if that is wanted.
    pub fn measure(&mut self, opened: &Opened) -> Result<(), Error> {
        let (Some(nodes), Some(dir)) = (self.nodes, opened.dir()) else { return Ok(()) };
        self.add(nodes, &dir, TIME).map_err(Error::io("the baseline"))
    }

    /// None if nothing was measured.
    pub fn medians(&self) -> Option<Medians> {
        let median = |times: &Histogram<u64>| Duration::from_nanos(times.value_at_quantile(0.5));
        let is_measured = !self.echo_ns.is_empty();
        is_measured.then(|| Medians { echo: median(&self.echo_ns), sync: median(&self.sync_ns) })
    }

    fn add(&mut self, nodes: u16, dir: &Path, time: Duration) -> io::Result<()> {
        let size_bytes = self.value_bytes + OVERHEAD_BYTES;
        // One datagram even for values that take more: it is the least.
        echo(nodes, size_bytes.min(1_200), time, &mut self.echo_ns)?;
        sync(dir, size_bytes, time, &mut self.sync_ns)
    }
}

/// The file has its size in advance, as a log should: a size that grows must be synced, too.
fn sync(
    dir: &Path,
    size_bytes: usize,
    time: Duration,
    times_ns: &mut Histogram<u64>,
) -> io::Result<()> {
    const FILE_BYTES: u64 = 64 << 20;
    let mut file = File::create(dir.join("baseline"))?;
    file.set_len(FILE_BYTES)?;
    let record = vec![7; size_bytes];
    each(time, times_ns, |_| {
        file.write_all(&record)?;
        file.sync_data()
    })
}

/// Each place is a thread with a socket, which ends on a datagram of nothing.
fn echo(
    nodes: u16,
    size_bytes: usize,
    time: Duration,
    times_ns: &mut Histogram<u64>,
) -> io::Result<()> {
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
        let measured = each(time, times_ns, |number| {
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

/// Does something as often as fits into the time, the first tenth of which does not count; each is
/// given its number.
fn each(
    time: Duration,
    times_ns: &mut Histogram<u64>,
    mut once: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let begun = Instant::now();
    for number in 0.. {
        let before = begun.elapsed();
        if before >= time {
            break;
        }
        once(number)?;
        if before >= time / 10 {
            times_ns.saturating_record((begun.elapsed() - before).as_nanos() as u64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_measured_for_any_number_of_nodes() {
        for nodes in [1, 3] {
            let dir = tempfile::tempdir().expect("a folder");
            let (echo_ns, sync_ns) = (times_ns(), times_ns());
            let mut baseline = Baseline { nodes: Some(nodes), value_bytes: 16, echo_ns, sync_ns };
            assert!(baseline.medians().is_none());
            for _ in 0..2 {
                let added = baseline.add(nodes, dir.path(), Duration::from_millis(50));
                added.expect("loopback and a disk");
            }
            let Medians { echo, sync } = baseline.medians().expect("there are some");
            // A system call takes longer than this, and a disk or a thread rarely so long.
            let plausible = Duration::from_nanos(200)..Duration::from_secs(1);
            assert!(plausible.contains(&echo) && plausible.contains(&sync), "{echo:?} {sync:?}");
        }
    }
}
