//! A new cluster on this machine: a valid cluster file and a fresh secret.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::place::Error;
use super::secret::Secret;
use super::{Cluster, replication_default};

/// The name of the cluster file in its folder.
pub const CLUSTER_FILE: &str = "cluster.json";
/// The name of the secret file beside it.
pub const SECRET_FILE: &str = "cluster.secret";

/// What a new cluster shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Init {
    /// Where the two files go; created if it is not there.
    pub dir: PathBuf,
    /// The cluster's name.
    pub name: String,
    /// How many nodes; their ids count from one.
    pub nodes: u16,
    /// How many replication groups.
    pub partitions: u32,
    /// Replicas of each group; by default as in the cluster file.
    pub replication: Option<usize>,
    /// The port of node 1; the others follow. By default ports that are free now, which is good for
    /// a test but not for long: while a node is down, anybody may be given its port.
    pub base_port: Option<u16>,
}

/// Writes the files of a new cluster on the loopback address and returns the path of its cluster
/// file. Existing files are an error and stay as they are.
pub fn init(init: &Init) -> Result<PathBuf, Error> {
    let file = init.dir.join(CLUSTER_FILE);
    let secret_file = init.dir.join(SECRET_FILE);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::new(&path, "", "exists", "choose another --dir; no cluster is overwritten")
            }
            _ => Error::new(&path, "", error, "see to the folder, or choose another --dir"),
        }
    };
    let text = cluster_text(init, &ports(init).map_err(failed(&file))?);
    // One set of rules: what `init` writes is what the reader accepts, and in the reader's words.
    Cluster::parse(&file, text.as_bytes())?;
    let secret = Secret::fresh()
        .map_err(|error| Error::new(&secret_file, "", error, "see to the random generator"))?;

    fs::create_dir_all(&init.dir).map_err(failed(&init.dir))?;
    create(&file, 0o644, &text).map_err(failed(&file))?;
    create(&secret_file, 0o600, &secret.text()).map_err(|error| {
        // Without its secret it would only be in the way of the next try.
        let _ = fs::remove_file(&file);
        failed(&secret_file)(error)
    })?;
    Ok(file)
}

/// One port per node. A base port may run out of numbers: the reader will say so.
fn ports(init: &Init) -> io::Result<Vec<u32>> {
    if let Some(base) = init.base_port {
        return Ok((0..init.nodes).map(|node| u32::from(base) + u32::from(node)).collect());
    }
    // All are held until all are known, so that none is given twice.
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let held = (0..init.nodes).map(bind).collect::<io::Result<Vec<UdpSocket>>>()?;
    held.iter().map(|socket| Ok(socket.local_addr()?.port().into())).collect()
}

fn cluster_text(init: &Init, ports: &[u32]) -> String {
    let Init { name, partitions, .. } = init;
    let default = replication_default(init.nodes.into(), *partitions);
    let replication = init.replication.unwrap_or(default);
    let nodes: Vec<String> = (1..)
        .zip(ports)
        .map(|(id, port)| format!("    {{\"id\": {id}, \"address\": \"127.0.0.1:{port}\"}}"))
        .collect();
    let mut text = String::from("{\n");
    let name = serde_json::Value::from(name.as_str());
    let fields = [
        format!("\"cluster\": {name}"),
        format!("\"secret_file\": \"{SECRET_FILE}\""),
        format!("\"partitions\": {partitions}"),
        format!("\"replication\": {replication}"),
    ];
    for field in fields {
        writeln!(text, "  {field},").expect("a string takes all");
    }
    write!(text, "  \"nodes\": [\n{}\n  ]\n}}\n", nodes.join(",\n")).expect("a string takes all");
    text
}

fn create(file: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    open.write_all(text.as_bytes()).inspect_err(|_| {
        // Half a file is worse than none, and it is ours.
        let _ = fs::remove_file(file);
    })
}
