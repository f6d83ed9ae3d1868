//! The command lines of `node` and `kv`: what they mean, and what is said of a wrong one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use node::cli::{
    BAD_ARGUMENTS, KvOptions, LogFormat, LogLevel, NodePlan, Request, Run, Sync, kv, node,
};
use node::config;
use node::protocol::NodeId;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn asked(line: &str) -> Option<Request> {
    kv(words(line)).unwrap_or_else(|stop| panic!("{line}: {stop}")).request
}

/// A usage error: one line.
fn refused(line: &str) -> String {
    let stop = match line.starts_with("kv") {
        true => kv(words(line)).map(drop),
        false => node(words(line)).map(drop),
    };
    let stop = stop.expect_err(line);
    assert_eq!(stop.code(), BAD_ARGUMENTS, "{line}");
    let error = stop.to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn a_node_runs_with_three_flags() {
    let plan = node(words("node --id 1 --cluster c.json --data d")).expect("valid");
    let run = Run {
        id: NodeId(1),
        cluster: "c.json".into(),
        data: "d".into(),
        sync: Sync::Always,
        log_format: LogFormat::Text,
        log: LogLevel::Info,
        trace: None,
    };
    assert_eq!(plan, NodePlan::Run(run.clone()));
    let line = "node --id 65534 --cluster c.json --data d --sync os --log-format json --log debug";
    let plan = node(words(line)).expect("valid");
    let (sync, log_format, log) = (Sync::Os, LogFormat::Json, LogLevel::Debug);
    let plan_of = Run { id: NodeId(65534), sync, log_format, log, ..run.clone() };
    assert_eq!(plan, NodePlan::Run(plan_of));
    let plan = node(words("node --id 1 --cluster c.json --data d --trace t")).expect("valid");
    assert_eq!(plan, NodePlan::Run(Run { trace: Some("t".into()), ..run }));
}

#[test]
fn init_needs_a_number_and_a_folder() {
    let plan = node(words("node init --nodes 3 --dir d")).expect("valid");
    let init = config::Init {
        dir: "d".into(),
        name: "local".to_owned(),
        nodes: 3,
        partitions: 1,
        replication: None,
        base_port: None,
    };
    assert_eq!(plan, NodePlan::Init(init.clone()));
    let line =
        "node init --nodes 5 --dir d --partitions 8 --replication 3 --base-port 7001 --name x";
    let init = config::Init {
        nodes: 5,
        partitions: 8,
        replication: Some(3),
        base_port: Some(7001),
        name: "x".to_owned(),
        ..init
    };
    assert_eq!(node(words(line)).expect("valid"), NodePlan::Init(init));
}

#[test]
fn every_request_is_understood() {
    let key = bytes("k");
    assert_eq!(asked("kv"), None);
    assert_eq!(asked("kv get k"), Some(Request::Get { key: key.clone() }));
    let put = |value| Some(Request::Put { key: bytes("k"), value: bytes(value) });
    assert_eq!(asked("kv put k v"), put("v"));
    assert_eq!(asked("kv put k -5"), put("-5"));
    assert_eq!(asked("kv put k v --json"), put("v"));
    assert_eq!(asked("kv put k --what"), put("--what"));
    assert_eq!(asked("kv put k "), put(""));
    assert_eq!(asked("kv put -- k --json"), put("--json"));
    let cas = |old: Option<&str>| {
        Some(Request::Cas { key: bytes("k"), old: old.map(bytes), new: bytes("new") })
    };
    assert_eq!(asked("kv cas k old new"), cas(Some("old")));
    assert_eq!(asked("kv cas k -1 new"), cas(Some("-1")));
    assert_eq!(asked("kv cas k old new --json"), cas(Some("old")));
    assert_eq!(asked("kv cas --absent k new"), cas(None));
    assert_eq!(asked("kv cas k new --absent"), cas(None));
    assert_eq!(asked("kv delete k"), Some(Request::Delete { key: key.clone() }));
    assert_eq!(asked("kv status"), Some(Request::Status { node: None }));
    assert_eq!(asked("kv status 2"), Some(Request::Status { node: Some(NodeId(2)) }));
    assert_eq!(asked("kv route"), Some(Request::Route { key: None }));
    assert_eq!(asked("kv route k"), Some(Request::Route { key: Some(key) }));
}

#[test]
fn keys_and_values_may_be_any_bytes() {
    let mut line = words("kv put k");
    line.push(OsString::from_vec(vec![0xff, 0x00]));
    let request = kv(line).expect("valid").request;
    assert_eq!(request, Some(Request::Put { key: bytes("k"), value: vec![0xff, 0x00] }));
}

#[test]
fn options_stand_before_or_after_the_command() {
    let before = kv(words("kv --cluster c --timeout-ms 10 --json get k")).expect("valid");
    let after = kv(words("kv get k --cluster c --timeout-ms 10 --json")).expect("valid");
    assert_eq!(before, after);
    let options = KvOptions { cluster: "c".into(), timeout_ms: 10, json: true };
    assert_eq!(before.options, options);
}

#[test]
fn what_is_wrong_is_said() {
    #[rustfmt::skip]
    let errors = [
        ("node", "error: the following required arguments were not provided: --id <ID> --cluster <FILE> --data <DIR>; try --help"),
        ("node --id 0 --cluster c --data d", "error: invalid value '0' for '--id <ID>': 0 is not in 1..=65534; try --help"),
        ("node --id 1 --cluster c --data d --sync never", "error: invalid value 'never' for '--sync <WHEN>' [possible values: always, os]; try --help"),
        ("node --id 1 --cluster c --data d --snyc os", "error: unexpected argument '--snyc' found; tip: a similar argument exists: '--sync'; try --help"),
        ("node --id 1 --id 2 --cluster c --data d", "error: the argument '--id <ID>' cannot be used multiple times; try --help"),
        ("node init --nodes 0 --dir d", "error: invalid value '0' for '--nodes <N>': 0 is not in 1..=256; try --help"),
        ("node init --nodes 3", "error: the following required arguments were not provided: --dir <DIR>; try --help"),
        ("node --id 1 init --nodes 3 --dir d", "error: the subcommand 'init' cannot be used with '--id <ID>'; try --help"),
        ("kv fetch k", "error: unrecognized subcommand 'fetch'; try --help"),
        ("kv get", "error: the following required arguments were not provided: <KEY>; try --help"),
        ("kv cas k", "error: the following required arguments were not provided: <OLD>; try --help"),
        ("kv cas k new", "error: OLD and NEW follow KEY; if it is to be missing, say --absent; try --help"),
        ("kv cas --absent k old new", "error: with --absent, only NEW follows KEY; try --help"),
        ("kv --timeout-ms 0 get k", "error: invalid value '0' for '--timeout-ms <N>': 0 is not in 1..=600000; try --help"),
    ];
    for (line, error) in errors {
        assert_eq!(refused(line), error, "{line}");
    }
}

#[test]
fn help_is_no_error_and_names_the_exit_codes() {
    for stop in [node(words("node --help")).map(drop), kv(words("kv --help")).map(drop)] {
        let stop = stop.expect_err("help stops");
        assert_eq!(stop.code(), 0);
        assert!(stop.to_string().contains("Exit codes:\n  0 "), "{stop}");
    }
}
