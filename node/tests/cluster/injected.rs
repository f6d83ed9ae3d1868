//! System calls of a node made to fail by strace, one in each life of a node, at many points. For
//! campaigns: it needs strace, and takes minutes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use node::client::{Client, Outcome};
use node::wire::NodeId;

use crate::disk_faults::{errors, victim, wait_until_caught_up};
use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT, eventually};
use crate::size::Line;

/// What fails, and how.
const FAULTS: [(&str, &str); 9] = [
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("fsync", "EIO"),
    ("ftruncate", "ENOSPC"),
    ("openat", "EMFILE"),
    ("rename", "EIO"),
    ("unlink", "EIO"),
];

/// Which call of a thread fails: it counts for each thread apart.
const PLACES: [u32; 12] = [1, 2, 3, 4, 5, 6, 8, 10, 15, 30, 100, 300];

/// How long a node may take to come to the call that is to fail.
const LIFE: Duration = Duration::from_secs(2);

/// Since when the calls of a node are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Start,
    Leading,
    Following,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    error: &'static str,
    place: u32,
}

impl Fault {
    /// The tracer, with the trace going to a file; a program, or a process to attach to, follows.
    fn tracer(&self, trace: &Path) -> Command {
        let Fault { call, error, place } = self;
        let mut tracer = Command::new("strace");
        tracer.args(["-f", "-qq", "-o"]).arg(trace);
        tracer.args(["-e", &format!("trace={call}"), "-e"]);
        tracer.arg(format!("inject={call}:error={error}:when={place}"));
        tracer
    }

    /// A command that runs another with this fault, and becomes it: the tracer is its child.
    fn wrapped(&self, command: &Command, trace: &Path) -> Command {
        let mut tracer = self.tracer(trace);
        tracer
            .env_remove("LD_LIBRARY_PATH")
            .args(["-D", "--seccomp-bpf"])
            .arg(command.get_program())
            .args(command.get_args());
        tracer
    }
}

fn assert_strace() {
    let version = Command::new("strace").arg("-V").output();
    assert!(version.is_ok(), "strace is missing; install it: apt-get install strace");
}

/// What happened to nodes with a fault.
#[derive(Default)]
struct Tally {
    stopped_leading: u64,
    stopped_following: u64,
    refused_to_start: u64,
    not_reached: u64,
    /// The call was not about the data folder.
    harmless: u64,
}

pub fn one_call_fails_in_a_cluster() {
    assert_strace();
    let limits = serde_json::json!({"snapshot_every": 100, "keep": 20});
    let mut nodes = Nodes::start(Shape { limits, ..Shape::new(3, 1) });
    let all = Line::begin("strace: all of these under one load");
    let load = Load::start(&nodes, 4, TIMEOUT);
    let mut lives = 0;
    for (call, error) in FAULTS {
        let line = Line::begin("strace: one call fails in a life of a node");
        let (mut tally, before) = (Tally::default(), lives);
        for from in [From::Start, From::Leading, From::Following] {
            for place in PLACES {
                let (fault, missed) = (Fault { call, error, place }, tally.not_reached);
                live_with_fault(&mut nodes, &load, fault, from, &mut tally);
                lives += 1;
                // Who makes too few calls for this place makes too few for the next.
                if tally.not_reached > missed {
                    break;
                }
            }
        }
        let Tally { stopped_leading, stopped_following, refused_to_start, .. } = tally;
        let result = format!(
            "{call} {error}: stopped {stopped_leading} leading, {stopped_following} following, \
             {refused_to_start} starting; {} harmless, {} never came to it",
            tally.harmless, tally.not_reached
        );
        line.end(lives - before, result);
    }
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    all.end(lives, format!("{} acknowledged, 0 lost, 0 doubled", summary.acknowledged));
}

/// One life of a node, with one fault.
fn live_with_fault(nodes: &mut Nodes, load: &Load, fault: Fault, from: From, tally: &mut Tally) {
    let id = victim(nodes, from == From::Leading);
    let (file, since) = (nodes.folder().join("trace"), nodes.log(id).len());
    let _ = fs::remove_file(&file);
    let tracer = match from {
        From::Start => {
            nodes.kill(id);
            nodes.start_as(id, fault.wrapped(&nodes.command(id), &file));
            None
        }
        From::Leading | From::Following => {
            let pid = nodes.pid(id).to_string();
            Some(fault.tracer(&file).args(["-p", &pid]).spawn().expect("strace runs"))
        }
    };
    let begun = Instant::now();
    eventually("it ends, or has lived long enough", || {
        (!nodes.is_running(id) || begun.elapsed() > LIFE).then_some(())
    });
    let injected = || {
        let trace = fs::read_to_string(&file).unwrap_or_default();
        trace.lines().find(|line| line.contains("INJECTED")).map(str::to_owned)
    };
    // The system's libraries are looked for in several places.
    let data = nodes.data(id).display().to_string();
    let is_harmless = |call: &str| fault.call == "openat" && !call.contains(&data);
    if injected().is_some_and(|call| !is_harmless(&call)) {
        // It may have come in the last moment.
        eventually(&format!("{id} ends after {fault:?}"), || (!nodes.is_running(id)).then_some(()));
    }
    let survived = nodes.is_running(id);
    if survived {
        nodes.kill(id);
    }
    // It ends with what it traces.
    tracer.into_iter().for_each(|mut tracer| drop(tracer.wait()));
    let injected = injected();
    let log = nodes.log(id)[since..].to_owned();
    let what = format!("{fault:?} of {id}, {from:?}: {injected:?}\n{log}");
    match (survived, injected) {
        (true, None) => tally.not_reached += 1,
        (true, Some(call)) if is_harmless(&call) => tally.harmless += 1,
        (true, Some(_)) => panic!("it lives on after {what}"),
        (false, None) => panic!("it ended without {what}"),
        (false, Some(_)) => {
            let code = nodes.ended(id).code();
            assert!(matches!(code, Some(1 | 254)), "{code:?} after {what}");
            assert!(errors(&log).len() == 1 && !log.contains("panicked"), "words after {what}");
            match (from, log.contains("started")) {
                (From::Start, false) => tally.refused_to_start += 1,
                (From::Leading, _) => tally.stopped_leading += 1,
                _ => tally.stopped_following += 1,
            }
        }
    }
    load.wait_for(20);
    nodes.start_node(id);
    wait_until_caught_up(nodes, id);
}

/// The network fails, and not the disk: that is a network's right, and every node goes on.
pub fn the_socket_fails_now_and_then() {
    assert_strace();
    for (call, error, when) in [
        ("sendmsg,sendmmsg", "EPERM", "5+11"),
        ("sendmsg,sendmmsg", "ENOBUFS", "5+13"),
        // As if the network card could not cut what is sent at once.
        ("sendmsg,sendmmsg", "EIO", "200+200"),
        ("sendmsg,sendmmsg", "ENETUNREACH", "5+17"),
        ("recvmmsg", "ENOMEM", "5+7"),
        ("recvmmsg", "ECONNREFUSED", "5+5"),
        ("epoll_wait", "EINTR", "5+2"),
    ] {
        let line = Line::begin("strace: network calls fail at all nodes, again and again");
        let mut nodes = Nodes::prepare(Shape::new(3, 2));
        for id in nodes.ids() {
            let mut traced = Command::new("strace");
            traced.env_remove("LD_LIBRARY_PATH");
            traced.args(["-f", "-D", "--seccomp-bpf", "-qq", "-o", "/dev/null"]);
            traced.args(["-e", &format!("trace={call}"), "-e"]);
            traced.arg(format!("inject={call}:error={error}:when={when}"));
            let node = nodes.command(id);
            traced.arg(node.get_program()).args(node.get_args());
            nodes.start_as(id, traced);
        }
        let load = Load::start(&nodes, 4, TIMEOUT);
        load.wait_for(1_000);
        let summary = load.finish(&nodes);
        assert_eq!(summary.indeterminate, 0);
        for id in nodes.ids() {
            assert!(nodes.is_running(id), "{id} has ended");
            assert!(errors(&nodes.log(id)).is_empty(), "{}", nodes.log(id));
        }
        let result = format!("{call} {error} {when}: 0 lost, all nodes up");
        line.end(summary.acknowledged, result);
    }
}

/// A node that is alone has nobody else's disk to rely on: each of its acknowledgements needs a
/// write and a sync of its own to have succeeded before.
pub fn a_lone_node_acknowledges_what_is_synced() {
    assert_strace();
    let line = Line::begin("strace: lone node, acknowledgements against successful calls");
    let mut acknowledged_sum = 0;
    for (call, error) in [("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fdatasync", "EIO")] {
        for place in PLACES {
            acknowledged_sum += lone_node(Fault { call, error, place });
        }
    }
    let result = format!("{acknowledged_sum} acknowledged, each synced before, 0 lost");
    line.end(3 * PLACES.len() as u64, result);
}

fn lone_node(fault: Fault) -> u64 {
    let mut nodes = Nodes::prepare(Shape::new(1, 1));
    let [id] = nodes.ids()[..] else { panic!("one node") };
    let trace = nodes.folder().join("trace");
    nodes.start_as(id, fault.wrapped(&nodes.command(id), &trace));
    let pid = nodes.pid(id).to_string();
    let acknowledged = put_until_silent(&mut nodes, id);
    assert_eq!(nodes.ended(id).code(), Some(1));
    let trace = fs::read_to_string(&trace).expect("a trace");
    // Those of the main thread are of the start. What succeeds returns a number, and no error.
    let succeeded = trace.lines().filter(|line| !line.starts_with(&pid));
    let succeeded = succeeded.filter_map(|line| line.rsplit("= ").next()?.parse::<u64>().ok());
    let succeeded = succeeded.count() as u64;
    // To open a session is a write, too.
    assert!(
        acknowledged == 0 || acknowledged < succeeded,
        "{fault:?}: {acknowledged} acknowledged with {succeeded} calls\n{trace}"
    );
    nodes.start_node(id);
    let mut client = nodes.client();
    for number in 0..acknowledged {
        let value = Outcome::Ok(b"x".as_slice().into());
        assert_eq!(client.get(&number.to_le_bytes()), value, "{fault:?}: lost");
    }
    acknowledged
}

/// Puts until the node has ended. Returns how many were acknowledged.
fn put_until_silent(nodes: &mut Nodes, id: NodeId) -> u64 {
    let mut client: Client = nodes.client_within(Duration::from_millis(400));
    for number in 0_u64.. {
        match client.put(&number.to_le_bytes(), b"x") {
            Outcome::Ok(()) => {}
            Outcome::Indeterminate(_) if !nodes.is_running(id) => return number,
            // It is still starting.
            Outcome::Indeterminate(_) if number == 0 => return put_until_silent(nodes, id),
            other => panic!("{other:?}, and the node runs"),
        }
    }
    unreachable!("the numbers do not end")
}
