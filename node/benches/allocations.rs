//! What the leader allocates for one operation, from datagram to datagram and to the disk.
//!
//! A real leader runs in this program, where an allocator that counts stands before that of the
//! system; its followers are processes of their own, and so are the clients: this program, started
//! again. All threads of the leader are counted, between the moment when every client has its
//! session and the last answer. No snapshot falls due in that time.
//!
//! Then what the replicated state itself keeps, for each key and each session, in this process.

use node::cli::{LogFormat, LogLevel, Run, Sync};
use node::client::{Client, Outcome};
use node::config::Cluster;
use node::kv::{self, Operation, Reply, Store};
use node::protocol::{Index, NodeId, StateMachine};
use node::server::Server;
use node::session::{Limits, SessionId};
use nodes::{Nodes, Shape, TIMEOUT, eventually};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

#[path = "../tests/cluster/nodes.rs"]
#[allow(dead_code, reason = "tests need more of it than measurements")]
mod nodes;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Operations of all clients together.
const OPERATIONS: u64 = 20_000;
/// The one that leads where all else is equal.
const LEADER: NodeId = NodeId(1);
/// How this program is told to be the clients.
const CLIENTS: &str = "clients";

/// A cluster whose leader is yet to be run.
fn followers() -> Nodes {
    let mut nodes = Nodes::prepare(Shape::new(3, 1));
    for id in nodes.ids().into_iter().filter(|id| *id != LEADER) {
        nodes.start_node(id);
    }
    nodes
}

/// What the leader allocated while clients of that many threads had their operations done.
fn run(nodes: &Nodes, load: &str, clients: u64, operations: u64) -> Stats {
    let run = Run {
        id: LEADER,
        cluster: nodes.file.clone(),
        data: nodes.data(LEADER),
        sync: Sync::Always,
        log_format: LogFormat::Text,
        log: LogLevel::Off,
        trace: None,
    };
    let server = Server::open(&run).expect("the leader starts");
    let leader = thread::spawn(|| server.run().expect("the leader runs"));
    eventually("the node of this program leads", || {
        (nodes.status(LEADER)["groups"][0]["leader"] == LEADER.0).then_some(())
    });
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(CLIENTS).arg(&nodes.file).arg(load);
    command.args([clients, operations].map(|number| number.to_string()));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("clients start");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || said.next().expect("clients go on").expect("a pipe works");
    assert_eq!(next(), "ready");
    let region = Region::new(ALLOCATOR);
    writeln!(child.stdin.take().expect("a pipe"), "go").expect("clients listen");
    assert_eq!(next(), "done");
    let stats = region.change();
    assert!(child.wait().expect("a child").success());
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).expect("a signal");
    leader.join().expect("the leader stops");
    stats
}

/// The clients: each opens its session and makes its key, waits for the word, and begins.
fn clients(arguments: &[String]) {
    let [file, load, clients, operations] = arguments else { panic!("started by hand") };
    let (cluster, secret) = Cluster::load(Path::new(file)).expect("the file of the leader");
    let parse = |number: &String| number.parse::<u64>().expect("a number");
    let (clients, operations) = (parse(clients), parse(operations));
    let connect = |number: u64| {
        let client = Client::connect(&cluster, secret.as_ref(), TIMEOUT);
        let (mut client, key) = (client.expect("a socket"), format!("key-{number}").into_bytes());
        assert_eq!(client.put(&key, b"a value"), Outcome::Ok(()));
        (client, key)
    };
    let ready: Vec<_> = (0..clients).map(connect).collect();
    println!("ready");
    stdin().read_line(&mut String::new()).expect("the word");
    thread::scope(|scope| {
        for (mut client, key) in ready {
            scope.spawn(move || {
                for _ in 0..operations / clients {
                    match load.as_str() {
                        "put" => assert_eq!(client.put(&key, b"another value"), Outcome::Ok(())),
                        _ => assert!(matches!(client.get(&key), Outcome::Ok(_))),
                    }
                }
            });
        }
    });
    println!("done");
    stdout().flush().expect("a pipe works");
}

/// Prints what a store keeps for each of so many keys, of 16 bytes and 32 bytes of value, and then
/// for each of all the sessions there can be, that remember one result each.
fn memory(keys: u64) {
    let mut store = Store::default();
    let mut applied = 0;
    let mut apply = |store: &mut Store, command: kv::Command<'_>| {
        let mut entry = Vec::new();
        command.encode(&mut entry);
        applied += 1;
        store.apply(Index(applied - 1), &entry)
    };
    let open = |reply| match reply {
        Reply::Opened(session) => session,
        other => panic!("no session: {other}"),
    };
    let session = open(apply(&mut store, kv::Command::OPEN));
    let region = Region::new(ALLOCATOR);
    for number in 1..=keys {
        let key = format!("key-{number:012}");
        assert_eq!(apply(&mut store, put(session, number, key.as_bytes())), Reply::Put);
    }
    print_kept("key", keys, region.change());
    let region = Region::new(ALLOCATOR);
    let sessions = u64::from(Limits::default().sessions_max) - 1;
    for _ in 0..sessions {
        let session = open(apply(&mut store, kv::Command::OPEN));
        assert_eq!(apply(&mut store, put(session, 1, b"key-000000000001")), Reply::Put);
    }
    print_kept("session", sessions, region.change());
}

fn put(session: SessionId, number: u64, key: &[u8]) -> kv::Command<'_> {
    let operation = Operation::Put { key, value: &[7; 32] };
    kv::Command { session, number, acknowledged: number - 1, operation }
}

fn print_kept(what: &str, count: u64, stats: Stats) {
    let kept = stats.bytes_allocated - stats.bytes_deallocated;
    println!("{what:>8} {count:>9} {:>12.1} bytes kept for each", kept as f64 / count as f64);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((CLIENTS, rest)) = arguments.split_first().map(|(first, rest)| (&**first, rest)) {
        return clients(rest);
    }
    // With `--test`, as `cargo test --benches` runs it, only that it runs is of interest.
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let operations = if is_test { 640 } else { OPERATIONS };
    println!("{:>6} {:>9} {:>16} {:>12}", "load", "clients", "allocations/op", "bytes/op");
    for load in ["put", "get"] {
        for clients in [1, 64] {
            let operations = if clients == 1 { operations / 8 } else { operations };
            let stats = run(&followers(), load, clients, operations);
            let allocations = (stats.allocations + stats.reallocations) as f64 / operations as f64;
            let bytes = stats.bytes_allocated as f64 / operations as f64;
            println!("{load:>6} {clients:>9} {allocations:>16.3} {bytes:>12.1}");
        }
    }
    memory(if is_test { 10_000 } else { 1_000_000 });
}
