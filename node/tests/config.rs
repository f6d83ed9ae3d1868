//! The cluster file, from outside: what is accepted, what is said of everything else, and that all
//! machines work out the same table from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use node::config::{Cluster, Error, Limits, Timing};
use node::partition::Table;
use node::protocol::{GroupId, NodeId};
use serde_json::{Value, json};

const FILE: &str = "cluster.json";

/// Three nodes on three machines, all fields given.
fn valid() -> Value {
    json!({
        "cluster": "orders",
        "secret_file": "cluster.secret",
        "partitions": 4,
        "replication": 3,
        "nodes": [
            {"id": 3, "address": "10.0.0.3:7001"},
            {"id": 1, "address": "10.0.0.1:7001"},
            {"id": 7, "address": "10.0.0.7:7001"}
        ],
        "timing": {"heartbeat_ms": 20, "retransmit_ms": 5, "election_ticks": 6},
        "limits": {
            "datagram_bytes": 8900, "key_bytes": 100, "value_bytes": 1000, "message_bytes": 2000,
            "window_bytes": 3000, "undecided_max": 40, "snapshot_every": 0, "keep": 50
        }
    })
}

fn parse(text: &str) -> Result<Cluster, Error> {
    Cluster::parse(Path::new(FILE), text.as_bytes())
}

/// The message about a text, without the file's name; always one line.
fn refused(text: &str) -> String {
    let message = parse(text).expect_err(text).to_string();
    assert!(!message.contains('\n'), "{message}");
    message.strip_prefix("cluster.json: ").expect("messages begin with the file").to_owned()
}

/// The valid file with one place changed; no value takes the place out.
fn changed(pointer: &str, value: Option<Value>) -> String {
    let mut file = valid();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let parent = file.pointer_mut(parent).expect("a known place");
    match (parent, value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(field.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.remove(field)),
        (Value::Array(items), value) => {
            items[field.parse::<usize>().expect("a position")] = value.expect("a value")
        }
        _ => panic!("{pointer}"),
    }
    file.to_string()
}

#[test]
fn a_full_file_is_understood() {
    let cluster = parse(&valid().to_string()).expect("valid");
    assert_eq!((cluster.name.as_str(), cluster.partitions, cluster.replication), ("orders", 4, 3));
    assert_eq!(cluster.secret_file, Some(PathBuf::from("cluster.secret")));
    let ids: Vec<u16> = cluster.nodes.iter().map(|node| node.id.0).collect();
    assert_eq!(ids, [1, 3, 7], "sorted");
    let timing = Timing { heartbeat_ms: 20, retransmit_ms: 5, election_ticks: 6 };
    assert_eq!((cluster.timing, cluster.timing.election_ms()), (timing, 120));
    let limits = Limits {
        datagram_bytes: 8900,
        key_bytes: 100,
        value_bytes: 1000,
        message_bytes: 2000,
        window_bytes: 3000,
        undecided_max: 40,
        snapshot_every: 0,
        keep: 50,
    };
    assert_eq!(cluster.limits, limits);
    let first = cluster.node(NodeId(1)).expect("a member").address;
    assert_eq!(first, "10.0.0.1:7001".parse::<SocketAddr>().expect("an address"));
    let stranger = cluster.node(NodeId(2)).expect_err("no member").to_string();
    assert_eq!(stranger, "cluster.json: nodes: no node has the id 2; the ids are 1, 3, 7");
}

#[test]
fn a_short_file_gets_the_defaults() {
    let text = r#"{"cluster": "c", "nodes": [{"id": 1, "address": "[::1]:7001"}]}"#;
    let cluster = parse(text).expect("valid: loopback needs no secret");
    assert_eq!((cluster.partitions, cluster.replication, cluster.secret_file), (1, 1, None));
    assert_eq!((cluster.timing, cluster.limits), (Timing::default(), Limits::default()));
    let one = parse(&changed("/partitions", Some(json!(1))).replace(r#""replication":3,"#, ""));
    assert_eq!(one.expect("valid").replication, 3, "all nodes");
}

#[test]
fn the_core_and_the_file_have_the_same_default_limits() {
    let cluster = parse(r#"{"cluster": "c", "nodes": [{"id": 1, "address": "[::1]:7001"}]}"#);
    let cluster = cluster.expect("valid");
    let table = Table::new(&cluster);
    let replica = table.replicas(NodeId(1), &cluster).next().expect("one group");
    let members = table.members(GroupId(0));
    let default = node::protocol::Config::new(GroupId(0), NodeId(1), members);
    assert_eq!(replica, node::protocol::Config { priority: 1, ..default });
}

#[test]
fn every_field_says_what_is_wrong_with_it() {
    let long = "x".repeat(65);
    #[rustfmt::skip]
    let cases = [
        ("/cluster", json!(null), "cluster: null is no text; write 1 to 64 letters, digits, dots, hyphens or underscores"),
        ("/cluster", json!(""), "cluster: \"\" is no name; write 1 to 64 letters, digits, dots, hyphens or underscores"),
        ("/cluster", json!("a\nb"), "cluster: \"a\\nb\" is no name; write 1 to 64 letters, digits, dots, hyphens or underscores"),
        ("/cluster", json!(long), "cluster: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\".. is no name; write 1 to 64 letters, digits, dots, hyphens or underscores"),
        ("/secret_file", json!(5), "secret_file: 5 is no text; write the path of the secret, seen from this file"),
        ("/secret_file", json!(""), "secret_file: \"\" is no path; write the path of the secret, seen from this file"),
        ("/partitions", json!(0), "partitions: 0 is too small; write a whole number from 1 to 1024"),
        ("/partitions", json!(1025), "partitions: 1025 is too large; write a whole number from 1 to 1024"),
        ("/partitions", json!(1.5), "partitions: 1.5 is no whole number; write a whole number from 1 to 1024"),
        ("/partitions", json!("8"), "partitions: \"8\" is no whole number; write a whole number from 1 to 1024"),
        ("/replication", json!(0), "replication: 0 is too small; write a whole number from 1 to 32"),
        ("/replication", json!(33), "replication: 33 is too large; write a whole number from 1 to 32"),
        ("/replication", json!(4), "replication: 4 replicas need as many nodes, and there are 3; write less, or add nodes"),
        ("/nodes", json!({}), "nodes: an object is no list; write \"nodes\": [{\"id\": 1, \"address\": \"IP:PORT\"}, ...]"),
        ("/nodes", json!([]), "nodes: has 0 nodes; write from 1 to 256"),
        ("/nodes", json!(vec![0; 257]), "nodes: has 257 nodes; write from 1 to 256"),
        ("/nodes/1", json!("10.0.0.1:7001"), "nodes[1]: \"10.0.0.1:7001\" is no object; write {\"id\": 1, \"address\": \"IP:PORT\"}"),
        ("/nodes/1/id", json!(0), "nodes[1].id: 0 is too small; write a whole number from 1 to 65534"),
        ("/nodes/1/id", json!(65535), "nodes[1].id: 65535 is too large; write a whole number from 1 to 65534"),
        ("/nodes/1/id", json!(-1), "nodes[1].id: -1 is no whole number; write a whole number from 1 to 65534"),
        ("/nodes/1/id", json!(3), "nodes[1].id: 3 is nodes[0].id too; give every node its own id"),
        ("/nodes/2/address", json!(7001), "nodes[2].address: 7001 is no text; write IP:PORT, as in 10.0.0.1:7001 or [fd00::1]:7001"),
        ("/nodes/2/address", json!("foo"), "nodes[2].address: \"foo\" is no address; write IP:PORT, as in 10.0.0.1:7001 or [fd00::1]:7001"),
        ("/nodes/2/address", json!("localhost:7001"), "nodes[2].address: \"localhost:7001\" is no address; write IP:PORT, as in 10.0.0.1:7001 or [fd00::1]:7001"),
        ("/nodes/2/address", json!("10.0.0.1:0"), "nodes[2].address: \"10.0.0.1:0\" has no port; write one from 1 to 65535"),
        ("/nodes/2/address", json!("0.0.0.0:7001"), "nodes[2].address: \"0.0.0.0:7001\" is no address of one machine; write the one its peers reach"),
        ("/nodes/2/address", json!("224.0.0.1:7001"), "nodes[2].address: \"224.0.0.1:7001\" is no address of one machine; write the one its peers reach"),
        ("/nodes/2/address", json!("10.0.0.3:7001"), "nodes[2].address: \"10.0.0.3:7001\" is nodes[0].address too; give every node its own address"),
        ("/nodes/2/address", json!("[fd00::1]:7001"), "nodes[2].address: \"[fd00::1]:7001\" is of another family than nodes[1].address (10.0.0.1:7001); write all in IPv4 or all in IPv6: a node has one socket"),
        ("/nodes/2/port", json!(1), "nodes[2].port: is no field here; the fields here are id, address"),
        ("/nodes/2/adress", json!(1), "nodes[2].adress: is no field here; did you mean address?"),
        ("/timing", json!(25), "timing: 25 is no object; write {\"heartbeat_ms\": 25, ...}"),
        ("/timing/hearbeat_ms", json!(1), "timing.hearbeat_ms: is no field here; did you mean heartbeat_ms?"),
        ("/timing/heartbeat_ms", json!(0), "timing.heartbeat_ms: 0 is too small; write a whole number from 1 to 10000"),
        ("/timing/retransmit_ms", json!(10001), "timing.retransmit_ms: 10001 is too large; write a whole number from 1 to 10000"),
        ("/timing/retransmit_ms", json!(120), "timing.retransmit_ms: 120 is not below the election timeout of 120 ms; write less than heartbeat_ms times election_ticks"),
        ("/timing/election_ticks", json!(1), "timing.election_ticks: 1 is too small; write a whole number from 2 to 100"),
        ("/timing", json!({"heartbeat_ms": 10000, "election_ticks": 7}), "timing.election_ticks: with heartbeat_ms the election timeout is 70000 ms; lower one of them: at most 60000 ms"),
        ("/limits", json!([]), "limits: a list is no object; write {\"value_bytes\": 65536, ...}"),
        ("/limits/window", json!(1), "limits.window: is no field here; the fields here are datagram_bytes, key_bytes, value_bytes, message_bytes, window_bytes, undecided_max, snapshot_every, keep"),
        ("/limits/datagram_bytes", json!(9000), "limits.datagram_bytes: 9000 is too large; write a whole number from 512 to 8900"),
        ("/limits/key_bytes", json!(0), "limits.key_bytes: 0 is too small; write a whole number from 1 to 4096"),
        ("/limits/value_bytes", json!(65537), "limits.value_bytes: 65537 is too large; write a whole number from 1 to 65536"),
        ("/limits/message_bytes", json!(511), "limits.message_bytes: 511 is too small; write a whole number from 512 to 65536"),
        ("/limits/window_bytes", json!(1999), "limits.window_bytes: 1999 is less than one message; write message_bytes (2000) or more"),
        ("/limits/undecided_max", json!(0), "limits.undecided_max: 0 is too small; write a whole number from 1 to 10000000"),
        ("/limits/snapshot_every", json!(true), "limits.snapshot_every: true is no whole number; write a whole number from 0 to 1000000000"),
        ("/limits/keep", json!(1e300), "limits.keep: 1e300 is no whole number; write a whole number from 0 to 1000000000"),
        ("/partition", json!(1), "partition: is no field here; did you mean partitions?"),
        ("/a b\n", json!(1), "[\"a b\\n\"]: is no field here; the fields here are cluster, secret_file, partitions, replication, nodes, timing, limits"),
    ];
    for (pointer, value, message) in cases {
        assert_eq!(refused(&changed(pointer, Some(value))), message);
    }
}

#[test]
fn what_is_missing_is_named() {
    for (pointer, message) in [
        ("/cluster", r#"cluster: is missing; add "cluster": "NAME""#),
        ("/nodes", r#"nodes: is missing; write "nodes": [{"id": 1, "address": "IP:PORT"}, ...]"#),
        ("/nodes/0/id", "nodes[0].id: is missing; add \"id\": a number from 1 to 65534"),
        ("/nodes/0/address", r#"nodes[0].address: is missing; add "address": "IP:PORT""#),
        (
            "/secret_file",
            r#"secret_file: is missing, and node 1 is not on loopback; add "secret_file": "cluster.secret"; `node init` makes one"#,
        ),
    ] {
        assert_eq!(refused(&changed(pointer, None)), message);
    }
}

#[test]
fn a_node_without_a_replica_is_a_mistake() {
    let text = changed("/partitions", Some(json!(1)));
    let message = "replication: 2 replicas in all leave nodes idle: there are 3; raise replication or partitions, or remove nodes";
    assert_eq!(refused(&text.replace(r#""replication":3"#, r#""replication":2"#)), message);
}

#[test]
fn what_is_no_json_is_found_by_line_and_column() {
    for (text, message) in [
        (
            "",
            "line 1, column 0: is no JSON: EOF while parsing a value; correct it there or just before",
        ),
        (
            "{\n \"cluster\": ,}",
            "line 2, column 13: is no JSON: expected value; correct it there or just before",
        ),
        (
            "{\"a\": 1,\n \"a\": 2}",
            "line 2, column 4: is no JSON: \"a\" stands twice in one object; correct it there or just before",
        ),
        (
            "{} {}",
            "line 1, column 4: is no JSON: trailing characters; correct it there or just before",
        ),
        ("[]", r#"a list is no object; write {"cluster": "NAME", "nodes": [...]}"#),
    ] {
        assert_eq!(refused(text), message);
    }
}

/// Other machines, compilers and versions must come to these numbers, or keys are not found again.
/// A change here is a change of the format, and strands the keys of existing clusters.
#[test]
fn the_same_file_gives_the_same_table_on_any_machine() {
    let cluster = parse(&valid().to_string()).expect("valid");
    let table = Table::new(&cluster);
    let slots = ["", "a", "key", "another key"].map(|key| table.slot_of(key.as_bytes()));
    assert_eq!(slots, [10176, 8596, 12694, 12489]);
    let groups = ["", "a", "key", "another key"].map(|key| table.group_of(key.as_bytes()).0);
    assert_eq!(groups, [2, 2, 3, 3]);
    assert_eq!((cluster.tag(), table.version()), (7849116973927515004, 6980527358165113489));
}

#[test]
fn the_tag_covers_placement_and_nothing_else() {
    let tag = |text: &str| parse(text).expect(text).tag();
    let table = |text: &str| Table::new(&parse(text).expect(text)).version();
    let same = valid().to_string();
    for (pointer, value) in [
        ("/nodes/2/address", json!("10.9.9.9:1")),
        ("/timing", json!({})),
        ("/limits", json!({})),
        ("/secret_file", json!("other")),
        ("/nodes", json!(valid()["nodes"].as_array().unwrap().iter().rev().collect::<Vec<_>>())),
    ] {
        let other = changed(pointer, Some(value));
        assert_eq!((tag(&other), table(&other)), (tag(&same), table(&same)), "{pointer}");
    }
    for (pointer, value) in [
        ("/cluster", json!("order")),
        ("/partitions", json!(5)),
        ("/replication", json!(2)),
        ("/nodes/2/id", json!(8)),
    ] {
        let other = changed(pointer, Some(value));
        assert_ne!(tag(&other), tag(&same), "{pointer}");
        assert_ne!(table(&other), table(&same), "{pointer}");
    }
}

#[test]
fn every_replica_is_configured_once() {
    let cluster = parse(&valid().to_string()).expect("valid");
    let table = Table::new(&cluster);
    let mut replicas = 0;
    for node in cluster.nodes.iter().map(|node| node.id) {
        for config in table.replicas(node, &cluster) {
            assert_eq!((config.node, config.snapshot_every, config.keep), (node, 0, 50));
            assert_eq!((config.election_ticks, config.undecided_max), (6, 40));
            assert_eq!((config.message_bytes, config.window_bytes), (2000, 3000));
            let leads = table.preferred_leader(config.group) == node;
            assert_eq!(config.priority == 3, leads);
            assert!(config.priority >= 1);
            replicas += 1;
        }
    }
    assert_eq!(replicas, 12);
    assert_eq!(table.replicas(NodeId(2), &cluster).count(), 0);
}
