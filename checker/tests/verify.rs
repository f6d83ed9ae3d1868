//! The program `checker verify`, from outside.
//!
//! `histories/NAME-VERDICT.*` are judged as their names say; those that have a file `.told` beside
//! them are explained just so. `REWRITE=1` accepts new explanations; read the diff.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// What the program said, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn verify<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Said {
    verify_input(arguments, b"")
}

fn verify_input<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
    command.arg("verify").args(arguments).current_dir(histories());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program is built");
    // A program that looks at no input may be gone already.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn histories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

/// The names of the fixtures, and the verdicts their names promise.
fn fixtures() -> Vec<(String, String)> {
    let entries = fs::read_dir(histories()).expect("the fixtures are there");
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let names = names.map(|name| name.into_string().expect("its name is plain"));
    let mut fixtures: Vec<(String, String)> = names
        .filter(|name| !name.ends_with(".told"))
        .map(|name| {
            let (stem, _) = name.split_once('.').expect("a name has a format");
            let (_, verdict) = stem.rsplit_once('-').expect("a name has a verdict");
            (name.clone(), verdict.to_string())
        })
        .collect();
    fixtures.sort();
    fixtures
}

fn code_of(verdict: &str) -> i32 {
    match verdict {
        "valid" => 0,
        "invalid" => 1,
        "unknown" => 2,
        other => panic!("{other} is no verdict of a fixture"),
    }
}

#[test]
fn who_reads_no_further_still_gets_the_exit_code() {
    for (name, verdict) in fixtures().into_iter().filter(|(_, verdict)| verdict != "unknown") {
        let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
        command.arg("verify").arg(name).current_dir(histories());
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let status = command.stdout(writer).status().expect("the program is built");
        assert_eq!(status.code(), Some(code_of(&verdict)));
    }
}

#[test]
fn every_fixture_has_the_verdict_of_its_name() {
    let fixtures = fixtures();
    assert!(fixtures.len() > 10, "the fixtures are lost");
    for (name, verdict) in fixtures {
        let bound = (verdict == "unknown").then_some(["--max-configurations", "1"]);
        let said = verify(bound.into_iter().flatten().chain([&*name]));
        assert!(said.out.starts_with(&format!("{name}: {verdict} · ")), "{}{}", said.out, said.err);
        assert_eq!((said.code, &*said.err), (Some(code_of(&verdict)), ""), "{name}");
    }
}

#[test]
fn explanations_are_as_recorded() {
    let told = [
        "stale-invalid.jsonl",
        "stale-repeated-invalid.edn",
        "double-cas-invalid.edn",
        "append-invalid.txt",
    ];
    for name in told {
        let said = timeless(&verify([name]).out);
        let path = histories().join(format!("{name}.told"));
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&path, &said).expect("the fixtures can be written");
        }
        let recorded = fs::read_to_string(&path).expect("it was recorded; else say REWRITE=1");
        assert_eq!(said, recorded, "{name}: if this is better, say REWRITE=1");
    }
}

/// With N in place of the milliseconds it took.
fn timeless(said: &str) -> String {
    let parts = said.split(" · ").map(|part| match part.split_once(" ms") {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("N ms{rest}")
        }
        _ => part.to_string(),
    });
    parts.collect::<Vec<_>>().join(" · ")
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let invoke = r#"{"process":0,"type":"invoke","f":"write","value":1}"#;
    let ok = r#"{"process":0,"type":"ok","f":"write","value":1}"#;
    let info = r#"{"process":0,"type":"info","f":"write","value":1}"#;
    let read = r#"{"process":0,"type":"ok","f":"read","value":1}"#;
    let other = r#"{"process":0,"type":"ok","f":"write","value":["k",1]}"#;
    let keyed = r#"{"process":0,"type":"invoke","f":"write","value":["k",1]}"#;
    let cases = [
        (format!("{invoke}\n{}", &ok[..20]), "2: EOF while parsing a value, at column 20"),
        (
            format!("{invoke}\n\n{invoke}\n"),
            "3: process 0 invokes again, but what it invoked in line 1 has no completion",
        ),
        (format!("{invoke}\n{ok}\n{ok}"), "3: process 0 completes what it did not invoke"),
        (ok.to_string(), "1: process 0 completes what it did not invoke"),
        (
            format!("{invoke}\n{read}"),
            "2: process 0 completes \"read\", but in line 1 it invoked something else",
        ),
        (
            format!("{invoke}\n{info}\n{invoke}"),
            "3: process 0 goes on, but nobody knows what became of its operation completed in \
             line 2; a new process must take over",
        ),
        (format!("{keyed}\n{ok}"), "2: expected a pair of key and value, found 1; see --keyed"),
        (
            format!("{keyed}\n{}", other.replace("[\"k\"", "[\"l\"")),
            "2: another key than in line 1, where it was invoked",
        ),
        (
            invoke.replace("write", "add"),
            "1: f is add; expected read, write, cas, delete or append",
        ),
        (invoke.replace("write", "cas"), "1: expected [old new] for cas, found 1"),
        (
            String::from("hello"),
            "1: expected EDN, JSON lines, a log of jepsen.util or a history.txt, found \"hello\"",
        ),
        (
            String::from("[{\"process\":0}]"),
            "1: a JSON array; expected one object a line, as `jq -c '.[]'` writes them",
        ),
        (
            String::from("[{:process 0, :type :invoke, :f :read}\n"),
            "1: the collection that begins here never ends: no ']'",
        ),
        (
            String::from("{:process 0, :type :invoke, :f :read}\n{:process 0"),
            "2: the file ends within a value",
        ),
        (
            String::from("; all is well\n{:process 0, :type :begin, :f :read}"),
            "2: :type is :begin; expected :invoke, :ok, :fail or :info",
        ),
        (
            String::from("INFO  jepsen.util - 0\t:invoke\t:read\tnil\nnoise\n"),
            "2: expected a log line, as in \"INFO  jepsen.util - 3\\t:invoke\\t:read\\tnil\"; of \
             other output, keep jepsen.util only",
        ),
        (
            String::from("0\t:invoke\t:read\tnil\n0\t:ok\t:re"),
            "2: expected process, type, f and value, as in \"3\\t:ok\\t:read\\tnil\"",
        ),
    ];
    for (history, expected) in cases {
        let said = verify_input(["-"], history.as_bytes());
        assert_eq!(said.err, format!("checker: -:{expected}\n"), "{history}");
        assert_eq!((said.code, &*said.out), (Some(254), ""), "{history}");
    }
}

#[test]
fn zeros_without_end_are_refused_at_once() {
    for zero in [0, b'0'] {
        for arguments in [&["-"][..], &["--format", "edn", "-"], &["--format", "jsonl", "-"]] {
            let said = verify_input(arguments, &vec![zero; 20 << 20]);
            assert_eq!(said.code, Some(254), "{arguments:?}");
            assert!(said.err.starts_with("checker: -:1: "), "{}", said.err);
            assert!(said.err.len() < 200, "{}", said.err);
        }
    }
}

#[test]
fn bad_arguments_are_254() {
    let said = verify(["nowhere.edn"]);
    assert_eq!(said.err, "checker: nowhere.edn: No such file or directory (os error 2)\n");
    assert_eq!(said.code, Some(254));
    let said = verify(["--proof", "nowhere/proof.json", "text-valid.txt"]);
    let why = "No such file or directory (os error 2)";
    assert_eq!(said.err, format!("checker: --proof nowhere/proof.json: {why}\n"));
    assert_eq!((said.code, &*said.out), (Some(254), ""));
    let before = fs::read(histories().join("text-valid.txt")).expect("it is there");
    let said = verify(["--proof", "./text-valid.txt", "text-valid.txt"]);
    let why = "this would overwrite a history: give another file";
    assert_eq!(said.err, format!("checker: --proof ./text-valid.txt: {why}\n"));
    assert_eq!((said.code, &*said.out), (Some(254), ""));
    assert_eq!(fs::read(histories().join("text-valid.txt")).expect("it is there"), before);
    let said = verify(["--model", "cas-register", "append-valid.txt"]);
    let why = "f is append, which --model cas-register does not have";
    assert_eq!(said.err, format!("checker: append-valid.txt:1: {why}\n"));
    assert_eq!((said.code, &*said.out), (Some(254), ""));
    for arguments in [
        &[][..],
        &["-", "-"],
        &["--initial", "[1", "a.edn"],
        &["--proof", "a.edn", "a.edn"],
        &["--keyed", "perhaps", "a.edn"],
        &["--max-configurations", "0", "a.edn"],
    ] {
        let said = verify(arguments);
        assert_eq!((said.code, &*said.out), (Some(254), ""), "{arguments:?}");
        assert!(said.err.contains("error: "), "{}", said.err);
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let said = verify(["--proof", "/dev/full", "text-valid.txt"]);
    let why = "No space left on device (os error 28)";
    assert_eq!(said.err, format!("checker: /dev/full: {why}\n"));
    assert_eq!(said.code, Some(255));
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has one");
    let mut command = Command::new(env!("CARGO_BIN_EXE_checker"));
    command.args(["verify", "text-valid.txt"]).current_dir(histories()).stdout(full);
    let output = command.output().expect("the program is built");
    let said = String::from_utf8(output.stderr).expect("it speaks UTF-8");
    assert_eq!(said, format!("checker: standard output: {why}\n"));
    assert_eq!(output.status.code(), Some(255));
}

#[test]
fn nothing_answered_is_nothing_proven() {
    let pending = b"{:process 0, :type :invoke, :f :write, :value 1}";
    for history in [&b""[..], b"\n ; nothing\n", b"[]", pending] {
        let said = verify_input(["-"], history);
        assert!(said.out.starts_with("-: vacuous · "), "{}{}", said.out, said.err);
        assert!(said.out.contains("nothing is proven"), "{}", said.out);
        assert_eq!(said.code, Some(3));
    }
}

#[test]
fn several_files_have_a_summary_and_the_worst_code() {
    let valid = "text-valid.txt";
    let said = verify([valid, "phantom-invalid.edn", "nowhere.edn", valid]);
    assert_eq!(said.code, Some(1));
    let summary = said.out.lines().last().expect("it said something");
    assert!(summary.starts_with("4 files: 2 valid, 1 invalid, 1 unreadable · "), "{summary}");
    assert_eq!(verify([valid, "nowhere.edn"]).code, Some(254));
    assert_eq!(verify([valid, valid]).code, Some(0));
}

#[test]
fn switches_decide_and_are_shown() {
    let code = |switch: &[&str], events: &str| {
        let said = verify_input(switch.iter().chain(&["-"]), events.as_bytes());
        let line = said.out.lines().next().expect("a verdict");
        let shown = [" ms", &switch.join(" ")].join(if switch.is_empty() { "" } else { " · " });
        assert!(line.ends_with(&shown), "{line}");
        let again = format!("again: checker verify {}", [switch, &["-"]].concat().join(" "));
        assert_eq!(said.out.contains(&again), said.code == Some(1), "{}", said.out);
        said.code
    };
    let done = |f: &str, value: &str, end: &str| {
        let event = |kind| format!("{{:process 0, :type {kind}, :f {f}, :value {value}}}\n");
        event(":invoke") + &event(end)
    };
    let write = done(":write", "1", ":ok");

    let zero = done(":read", "0", ":ok");
    assert_eq!(code(&[], &zero), Some(1));
    assert_eq!(code(&["--initial", "0"], &zero), Some(0));
    let word = done(":read", "\"no_1-a\"", ":ok");
    assert_eq!(code(&["--initial", "no_1-a"], &word), Some(0));
    let empty = done(":read", "\"\"", ":ok");
    assert_eq!(code(&[], &empty), Some(1));
    assert_eq!(code(&["--model", "kv-append"], &empty), Some(0));
    let nothing = write.clone() + &done(":read", "nil", ":ok");
    assert_eq!(code(&[], &nothing), Some(1));
    assert_eq!(code(&["--nil", "any"], &nothing), Some(0));
    let failed = write + &done(":cas", "[1 2]", ":fail");
    assert_eq!(code(&[], &failed), Some(0));
    assert_eq!(code(&["--failed-cas", "constraint"], &failed), Some(1));
    let pairs = done(":write", "[1 2]", ":ok") + &done(":read", "[2 nil]", ":ok");
    assert_eq!(code(&[], &pairs), Some(0));
    assert_eq!(code(&["--keyed", "no"], &pairs), Some(1));
    assert_eq!(code(&["--keyed", "yes"], &pairs), Some(0));
}

#[test]
fn a_clock_that_goes_back_is_mentioned_and_changes_nothing() {
    let event =
        |kind, time| format!("{{:process 0, :type {kind}, :f :write, :value 1, :time {time}}}\n");
    let said = verify_input(["-"], (event(":invoke", 9) + &event(":ok", 3)).as_bytes());
    assert!(said.out.contains(" · the clock went back 1 time, which changes nothing · "));
    assert_eq!(said.code, Some(0));
}

#[test]
fn machines_get_one_object_a_file_and_proofs() {
    let folder = tempfile::tempdir().expect("a folder for the proof");
    let proof = folder.path().join("proof.json");
    let files = ["answers-valid.jsonl", "stale-invalid.jsonl", "nowhere.edn"];
    let flags = ["--json".as_ref(), "--proof".as_ref(), proof.as_os_str()];
    let said = verify(flags.into_iter().chain(files.map(OsStr::new)));
    assert_eq!((said.code, &*said.err), (Some(1), ""));
    let objects = |text: &str| -> Vec<Json> {
        text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
    };
    let found = objects(&said.out);
    let verdicts: Vec<_> = found.iter().map(|file| file["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("valid"), Some("invalid"), Some("unreadable")]);
    assert_eq!(found[0]["operations"], 11);
    assert_eq!(found[1]["not_valid"][0]["key"], "k7");
    let violation = &found[1]["not_valid"][0]["violations"][0];
    assert!(violation["sentence"].is_string());
    let accused = &violation["core"][violation["accused"].as_u64().expect("a number") as usize];
    assert_eq!(accused["f"], "read");
    assert_eq!(accused["invoked"]["line"], 8);

    let proofs = objects(&fs::read_to_string(&proof).expect("it was written"));
    assert_eq!(proofs.len(), 2);
    let witness = proofs[0]["keys"][0]["witness"].as_array().expect("a witness");
    // All of them but the failed write and the read that was not answered.
    assert_eq!(witness.len(), 9);
    assert!(proofs[1]["keys"][0]["violations"][0]["core"].is_array());
    assert_eq!(proofs[1]["keys"][1]["verdict"], "valid");
}
