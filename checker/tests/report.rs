//! `report.html` of folders written here: what is in it, what cannot break out of it, how large it is.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use checker::report;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// The folder of a run: two clients, three nodes, one fault, and this history.
fn folder(history: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("it can be written");
    };
    let fault = json!({
        "kind": "kill", "what": "kill leader: n1, n1 leads", "touched": 1,
        "begun_ns": 1_500_000, "healed_ns": 9_000_000, "quorum_ns": 0,
        "ok_meanwhile": {}, "written_ns": 4_000_000, "unwritten_ns": 2_500_000,
    });
    write(
        "test.json",
        &json!({
            "version": env!("CARGO_PKG_VERSION"), "command": "checker run --seed 7", "seed": 7,
            "nodes": 3, "time_limit_ms": 1000, "concurrency": 2, "rate": 200, "keys": 1,
            "nemesis": ["kill"], "nemesis_interval_ms": 100, "partitions": 1, "schedule": {},
        })
        .to_string(),
    );
    write(
        "results.json",
        &json!({
            "verdict": "invalid", "reasons": [], "replay": "checker run --replay it", "ended_early": false, "replicas_compared": true,
            "begun_at": "2026-01-02T03:04:05.500000000Z", "faults": [fault],
            "history": { "verdict": "invalid" },
        })
        .to_string(),
    );
    write("history.jsonl", history);
    write(
        "leaders.jsonl",
        "{\"time\":1000,\"node\":1,\"group\":0,\"leads\":true,\"ballot\":\"b1.1p3\"}\n\
         {\"time\":2000,\"node\":2,\"answers\":false}\n",
    );
    for node in 1..=3 {
        let log = "2026-01-02T03:04:05.503000Z  WARN suspected group=0 peer=<1>\n";
        write(&format!("nodes/{node}/node.log"), log);
    }
    folder
}

/// A write of `a`, one of `b` after it, and a read of `a` after that: which was stale.
fn stale(a: &str, b: &str) -> String {
    let event = |time: u64, process: u64, kind: &str, f: &str, value: Json| {
        let value = json!(["k", value]);
        let [kind, f] = [kind, f].map(Json::from);
        format!(
            "{{\"time\":{time},\"process\":{process},\"type\":{kind},\"f\":{f},\"value\":{value}}}\n"
        )
    };
    let fault = json!({
        "time": 1_500_000, "process": "nemesis", "type": "info",
        "f": "kill", "value": "kill leader: n1, n1 leads",
    });
    [
        event(1_000_000, 0, "invoke", "write", json!(a)),
        format!("{fault}\n"),
        event(2_000_000, 0, "ok", "write", json!(a)),
        event(3_000_000, 1, "invoke", "write", json!(b)),
        event(4_000_000, 1, "ok", "write", json!(b)),
        event(5_000_000, 2, "invoke", "read", Json::Null),
        event(6_000_000, 2, "ok", "read", json!(a)),
    ]
    .concat()
}

fn page(folder: &Path) -> String {
    let file = report::rebuild(folder).expect("it is the folder of a run");
    fs::read_to_string(file).expect("it was written")
}

/// What scripts get.
fn embedded(page: &str) -> Json {
    let (_, rest) = page.split_once(r#"id="run">"#).expect("it is there");
    let (json, _) = rest.split_once("</script>").expect("it ends");
    serde_json::from_str(json).expect("JSON")
}

/// The text before the scripts, in which each of `words` must follow the one before.
fn has_in_order(page: &str, words: &[&str]) {
    let (mut rest, _) = page.split_once(r#"<script type="application/json""#).expect("it is there");
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word:?} is not there, or too early"));
        rest = &rest[at..];
    }
}

#[test]
fn the_verdict_comes_first_then_the_command_the_core_the_faults_and_the_logs() {
    let folder = folder(&stale("a", "b"));
    let page = page(folder.path());
    has_in_order(
        &page,
        &[
            "<span class=\"word\">invalid</span> key k: stale read: process 2&#x27;s `read k` returned a",
            "checker run --replay it",
            "checker run --seed 7",
            "What is impossible",
            "<code>write k a</code>",
            "<code>write k b</code>",
            "<code>read k</code>",
            "does not fit",
            "id=\"operations\"",
            "id=\"latency\"",
            "id=\"rate\"",
            "id=\"leaders\"",
            "kill leader: n1, n1 leads",
            "2.5 ms",
            "log of node 1",
            "Around the violation",
            "invokes write k a",
            "<code>kill leader: n1",
            "suspected group=0 peer=&lt;1&gt;",
            "read k → a",
        ],
    );
    let run = embedded(&page);
    assert_eq!(run["core"], json!([0, 1, 2]));
    assert_eq!(run["accused"], 2);
    assert_eq!(run["operations"]["lane"], json!([0, 1, 0]), "process 2 is at the place of 0");
    assert_eq!(run["operations"]["call"][1], "write k b");
    assert_eq!(run["faults"][0]["from"], 1_500);
    assert_eq!(run["leaders"]["rows"][0]["intervals"][0]["ballot"], "b1.1p3");
}

#[test]
fn the_same_folder_gives_the_same_report() {
    let folder = folder(&stale("a", "b"));
    assert_eq!(page(folder.path()), page(folder.path()));
}

#[test]
fn what_strangers_wrote_stays_text() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)><!--'\"{{ run }}";
    let folder = folder(&stale(evil, "b"));
    let results = folder.path().join("results.json");
    let text = fs::read_to_string(&results).expect("it is there");
    let text = text.replace("kill leader: n1", "kill <b>leader</b>: </script>n1");
    fs::write(&results, text).expect("it can be written");
    let page = page(folder.path());
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "it breaks out");
    assert_eq!(page.matches("</script>").count(), 2, "of our own");
    assert!(!page.contains("<b>leader"));
    let run = embedded(&page);
    let call = run["operations"]["call"][0].as_str().expect("a string");
    assert!(call.starts_with("write k \"</script><script>alert(1)<"), "it is as it was: {call}");
    assert_eq!(run["faults"][0]["what"], "kill <b>leader</b>: </script>n1, n1 leads");
}

#[test]
fn a_history_that_was_changed_is_judged_as_it_is_now() {
    let folder = folder(
        &stale("a", "b").replace(r#""read","value":["k","a"]"#, r#""read","value":["k","b"]"#),
    );
    let page = page(folder.path());
    has_in_order(
        &page,
        &["<span class=\"word\">valid</span>", "was judged invalid: it was changed since"],
    );
    assert!(!page.contains("id=\"violations\""));
}

#[test]
fn a_million_operations_make_a_page_of_a_few_megabytes() {
    let folder = folder("");
    let file = File::create(folder.path().join("history.jsonl")).expect("a file");
    let mut out = BufWriter::new(file);
    for number in 0..1_000_000u64 {
        let (process, begun) = (number % 2, number * 30_000);
        let mut event = |time: u64, kind: &str| {
            writeln!(
                out,
                r#"{{"time":{time},"process":{process},"type":"{kind}","f":"write","value":["k","{number}"]}}"#
            )
            .expect("it can be written");
        };
        event(begun, "invoke");
        event(begun + 20_000, "ok");
    }
    // The last write, and a read of nothing after it.
    for kind in ["invoke", "ok"] {
        writeln!(
            out,
            r#"{{"time":30000000000,"process":0,"type":"{kind}","f":"read","value":["k",null]}}"#
        )
        .expect("it can be written");
    }
    out.into_inner().expect("it can be written").sync_all().expect("it can be written");
    let page = page(folder.path());
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
    assert!(page.contains("of 1000001 operations are shown one by one"));
    let run = embedded(&page);
    let begun = run["operations"]["begun"].as_array().expect("a column");
    assert!((30_000..=40_000).contains(&begun.len()), "{}", begun.len());
    assert_eq!(begun.last(), Some(&json!(30_000_000)), "the one that does not fit is shown");
    let ok: u64 =
        run["rates"]["ok"][1].as_array().expect("a column").iter().filter_map(Json::as_u64).sum();
    assert_eq!(ok, 1_000_000, "rates are of all");
}

#[test]
fn what_is_not_the_folder_of_a_run_is_said_in_one_line() {
    let said = |folder: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
        let output = command.arg("report").arg(folder).output().expect("it runs");
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert_eq!(output.status.code(), Some(254), "{error}");
        error
    };
    let folder = folder(&stale("a", "b"));
    let file = |name: &str| folder.path().join(name);
    assert!(said(&file("nodes")).contains("no test.json there"));
    let test = fs::read_to_string(file("test.json")).expect("it is there");
    let other = test.replace(concat!("\"", env!("CARGO_PKG_VERSION"), "\""), "\"9.9.9\"");
    fs::write(file("test.json"), other).expect("it can be written");
    assert!(said(folder.path()).contains("test.json: written by version 9.9.9"));
    fs::write(file("test.json"), test).expect("it can be written");
    fs::write(file("history.jsonl"), "{\"time\":").expect("it can be written");
    assert!(said(folder.path()).contains("history.jsonl: line 1"));
    fs::remove_file(file("history.jsonl")).expect("it is there");
    assert!(said(folder.path()).contains("no history.jsonl there"));
}
