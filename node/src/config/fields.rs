//! What each field of the cluster file may be.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::json::Json;
use super::place::{Error, Object, Place};
use super::replication_default;
use super::{Cluster, ID_MAX, Limits, NODES_MAX, Node, PARTITIONS_MAX, Timing};
use crate::protocol::{Members, NodeId};

const NODE: &str = r#"write {"id": 1, "address": "IP:PORT"}"#;
const NODES: &str = r#"write "nodes": [{"id": 1, "address": "IP:PORT"}, ...]"#;
const SECRET: &str = r#"add "secret_file": "cluster.secret"; `node init` makes one"#;

pub(super) fn json(file: &Path, text: &[u8]) -> Result<Json, Error> {
    serde_json::from_slice(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let found = error.to_string();
        let found = found.split(" at line ").next().unwrap_or_default();
        Error::new(file, &place, format!("is no JSON: {found}"), "correct it there or just before")
    })
}

pub(super) fn cluster(file: &Path, root: Place<'_>) -> Result<Cluster, Error> {
    let known =
        ["cluster", "secret_file", "partitions", "replication", "nodes", "timing", "limits"];
    let root = root.object(&known, r#"write {"cluster": "NAME", "nodes": [...]}"#)?;
    let name = name(&root.need("cluster", r#"add "cluster": "NAME""#)?)?;
    let nodes = nodes(&root.need("nodes", NODES)?)?;
    let secret_file = secret_file(file, &root, &nodes)?;
    let partitions = root.whole("partitions", 1, 1..=u64::from(PARTITIONS_MAX))? as u32;
    let replication = replication(&root, nodes.len(), partitions)?;
    let timing = root.get("timing").map_or(Ok(Timing::default()), timing)?;
    let limits = root.get("limits").map_or(Ok(Limits::default()), limits)?;
    let (file, nodes) = (file.to_owned(), nodes.into_values().collect());
    Ok(Cluster { file, name, secret_file, partitions, replication, nodes, timing, limits })
}

fn name(place: &Place<'_>) -> Result<String, Error> {
    const REMEDY: &str = "write 1 to 64 letters, digits, dots, hyphens or underscores";
    let name = place.text(REMEDY)?;
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
    match (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(name.to_owned()),
        false => Err(place.refuse("is no name", REMEDY)),
    }
}

fn nodes(list: &Place<'_>) -> Result<BTreeMap<NodeId, Node>, Error> {
    let places = list.list(NODES)?;
    if !(1..=NODES_MAX).contains(&places.len()) {
        let remedy = format!("write from 1 to {NODES_MAX}");
        return Err(list.error(format!("has {} nodes", places.len()), &remedy));
    }
    let mut nodes = BTreeMap::new();
    let mut addresses: BTreeMap<SocketAddr, String> = BTreeMap::new();
    let mut ids: BTreeMap<NodeId, String> = BTreeMap::new();
    for place in places {
        let node = place.object(&["id", "address"], NODE)?;
        let at = node.need("id", &format!("add \"id\": a number from 1 to {ID_MAX}"))?;
        let id = NodeId(at.whole(1..=u64::from(ID_MAX))? as u16);
        if let Some(first) = ids.insert(id, at.path().to_owned()) {
            return Err(at.refuse(format!("is {first} too"), "give every node its own id"));
        }
        let at = node.need("address", r#"add "address": "IP:PORT""#)?;
        let address = address(&at)?;
        if let Some(first) = addresses.get(&address) {
            return Err(at.refuse(format!("is {first} too"), "give every node its own address"));
        }
        if let Some((other, first)) = addresses.first_key_value()
            && other.is_ipv4() != address.is_ipv4()
        {
            let why = format!("is of another family than {first} ({other})");
            return Err(at.refuse(why, "write all in IPv4 or all in IPv6: a node has one socket"));
        }
        addresses.insert(address, at.path().to_owned());
        nodes.insert(id, Node { id, address });
    }
    Ok(nodes)
}

/// No host names: their resolver is one more thing that blocks, fails and changes its mind.
fn address(place: &Place<'_>) -> Result<SocketAddr, Error> {
    const REMEDY: &str = "write IP:PORT, as in 10.0.0.1:7001 or [fd00::1]:7001";
    let address = place.text(REMEDY)?.parse::<SocketAddr>();
    let address = address.map_err(|_| place.refuse("is no address", REMEDY))?;
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(place.refuse("is no address of one machine", "write the one its peers reach"));
    }
    if address.port() == 0 {
        return Err(place.refuse("has no port", "write one from 1 to 65535"));
    }
    Ok(address)
}

fn secret_file(
    file: &Path,
    root: &Object<'_>,
    nodes: &BTreeMap<NodeId, Node>,
) -> Result<Option<PathBuf>, Error> {
    let Some(place) = root.get("secret_file") else {
        let exposed = nodes.values().find(|node| !node.address.ip().is_loopback());
        return exposed.map_or(Ok(None), |node| {
            let found = format!("is missing, and node {} is not on loopback", node.id.0);
            Err(root.error("secret_file", found, SECRET))
        });
    };
    match place.text("write the path of the secret, seen from this file")? {
        "" => Err(place.refuse("is no path", "write the path of the secret, seen from this file")),
        path => Ok(Some(file.parent().unwrap_or(Path::new("")).join(path))),
    }
}

fn replication(root: &Object<'_>, nodes: usize, partitions: u32) -> Result<usize, Error> {
    let default = replication_default(nodes, partitions);
    let read = root.whole("replication", default as u64, 1..=Members::MAX as u64)?;
    let replication = read as usize;
    if replication > nodes {
        let found = format!("{replication} replicas need as many nodes, and there are {nodes}");
        return Err(root.error("replication", found, "write less, or add nodes"));
    }
    // Membership is fixed, so a node without a replica would stay so: always a mistake.
    let replicas = partitions as usize * replication;
    if replicas < nodes {
        let found = format!("{replicas} replicas in all leave nodes idle: there are {nodes}");
        let remedy = "raise replication or partitions, or remove nodes";
        return Err(root.error("replication", found, remedy));
    }
    Ok(replication)
}

fn timing(place: Place<'_>) -> Result<Timing, Error> {
    const ELECTION_MS_MAX: u64 = 60_000;
    let known = ["heartbeat_ms", "retransmit_ms", "election_ticks"];
    let from = place.object(&known, r#"write {"heartbeat_ms": 25, ...}"#)?;
    let default = Timing::default();
    let timing = Timing {
        heartbeat_ms: from.whole("heartbeat_ms", default.heartbeat_ms, 1..=10_000)?,
        retransmit_ms: from.whole("retransmit_ms", default.retransmit_ms, 1..=10_000)?,
        election_ticks: from.whole("election_ticks", default.election_ticks.into(), 2..=100)?
            as u32,
    };
    let election_ms = timing.election_ms();
    if election_ms > ELECTION_MS_MAX {
        let found = format!("with heartbeat_ms the election timeout is {election_ms} ms");
        let remedy = format!("lower one of them: at most {ELECTION_MS_MAX} ms");
        return Err(from.error("election_ticks", found, &remedy));
    }
    if timing.retransmit_ms >= election_ms {
        let found = format!(
            "{} is not below the election timeout of {election_ms} ms",
            timing.retransmit_ms
        );
        let remedy = "write less than heartbeat_ms times election_ticks";
        return Err(from.error("retransmit_ms", found, remedy));
    }
    Ok(timing)
}

fn limits(place: Place<'_>) -> Result<Limits, Error> {
    const ENTRIES_MAX: u64 = 1_000_000_000;
    let known = [
        "datagram_bytes",
        "key_bytes",
        "value_bytes",
        "message_bytes",
        "window_bytes",
        "undecided_max",
        "snapshot_every",
        "keep",
    ];
    let from = place.object(&known, r#"write {"value_bytes": 65536, ...}"#)?;
    let size = |field, default: usize, range| {
        from.whole(field, default as u64, range).map(|bytes| bytes as usize)
    };
    let default = Limits::default();
    let limits = Limits {
        datagram_bytes: size("datagram_bytes", default.datagram_bytes, 512..=8900)?,
        key_bytes: size("key_bytes", default.key_bytes, 1..=4096)?,
        value_bytes: size("value_bytes", default.value_bytes, 1..=64 << 10)?,
        message_bytes: size("message_bytes", default.message_bytes, 512..=64 << 10)?,
        window_bytes: from.whole("window_bytes", default.window_bytes, 512..=1 << 30)?,
        undecided_max: from.whole("undecided_max", default.undecided_max, 1..=10_000_000)?,
        snapshot_every: from.whole("snapshot_every", default.snapshot_every, 0..=ENTRIES_MAX)?,
        keep: from.whole("keep", default.keep, 0..=ENTRIES_MAX)?,
    };
    if limits.window_bytes < limits.message_bytes as u64 {
        let found = format!("{} is less than one message", limits.window_bytes);
        let remedy = format!("write message_bytes ({}) or more", limits.message_bytes);
        return Err(from.error("window_bytes", found, &remedy));
    }
    Ok(limits)
}
