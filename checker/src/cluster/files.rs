//! The files of a cluster, and addresses for its nodes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use node::wire::NodeId;
use serde_json::json;

use super::{Error, Site};

const CLUSTER_FILE: &str = "cluster.json";
const SECRET_FILE: &str = "cluster.secret";

/// Addresses that are free now, and will be: while a node is down, nobody must be given its port.
/// So they are below the ports that Linux gives to sockets which ask for none, and on a loopback
/// address drawn by lot.
pub fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    const TRIES: usize = 100;
    let mut refused = None;
    for _ in 0..TRIES {
        let ip = Ipv4Addr::new(127, fastrand::u8(..), fastrand::u8(..), fastrand::u8(1..255));
        let base = fastrand::u16(10_000..30_000);
        let addresses = (base..).take(count).map(|port| SocketAddr::from((ip, port)));
        let addresses: Vec<SocketAddr> = addresses.collect();
        match addresses.iter().try_for_each(|address| UdpSocket::bind(address).map(drop)) {
            Ok(()) => return Ok(addresses),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.expect("there was a last try"))
}

/// The file that has each node at its own address.
pub(super) fn all(dir: &Path) -> PathBuf {
    dir.join(CLUSTER_FILE)
}

pub(super) fn cluster(dir: &Path, id: NodeId) -> PathBuf {
    dir.join(id.0.to_string()).join(CLUSTER_FILE)
}

pub(super) fn data(dir: &Path, id: NodeId) -> PathBuf {
    dir.join(id.0.to_string()).join("data")
}

pub(super) fn clock(dir: &Path, id: NodeId) -> PathBuf {
    dir.join(id.0.to_string()).join("clock")
}

pub(super) fn log(dir: &Path, id: NodeId) -> PathBuf {
    dir.join(id.0.to_string()).join("node.log")
}

/// Writes all files and returns the path of the one that [`all`] names.
pub(super) fn write(
    site: &Site,
    view: impl Fn(NodeId, NodeId) -> SocketAddr,
) -> Result<PathBuf, Error> {
    let Site { dir, nodes, .. } = site;
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::Io { path, error }
    };
    let secret = dir.join(SECRET_FILE);
    write_secret(&secret).map_err(failed(&secret))?;
    for &(id, address) in nodes {
        let file = cluster(dir, id);
        let folder = dir.join(id.0.to_string());
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let seen = nodes.iter().map(|&(to, _)| (to, if to == id { address } else { view(id, to) }));
        let text = text(site, &format!("../{SECRET_FILE}"), seen);
        fs::write(&file, text).map_err(failed(&file))?;
    }
    let file = all(dir);
    fs::write(&file, text(site, SECRET_FILE, nodes.iter().copied())).map_err(failed(&file))?;
    Ok(file)
}

fn text(
    site: &Site,
    secret_file: &str,
    nodes: impl Iterator<Item = (NodeId, SocketAddr)>,
) -> String {
    let nodes = nodes.map(|(id, address)| json!({ "id": id.0, "address": address.to_string() }));
    let nodes: Vec<serde_json::Value> = nodes.collect();
    let cluster = json!({
        "cluster": "checked",
        "secret_file": secret_file,
        "partitions": site.partitions,
        "nodes": nodes,
    });
    format!("{cluster:#}\n")
}

/// It keeps runs on one machine apart, for some minutes. So it need not be hard to guess.
fn write_secret(file: &Path) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let words: String = (0..4).map(|_| format!("{:016x}", fastrand::u64(..))).collect();
    writeln!(open, "{words}")
}
