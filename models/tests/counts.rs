//! The small bounds of every model, as a user runs them: each property holds, everything that must
//! be possible is seen, and there are exactly as many states as were counted.

use std::process::{Command, Output};

/// Runs the program.
fn models(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_models"));
    command.args(arguments).output().expect("the program was built with this test")
}

/// Its exit code and what it said on standard output.
fn said(output: Output) -> (i32, String) {
    let said = String::from_utf8(output.stdout).expect("the program speaks UTF-8");
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn every_model_holds_within_its_small_bounds() {
    let (code, said) = said(models(&["check", "all", "--small"]));
    assert_eq!(code, 0, "{said}");
    let (_, table) = said.split_once("verdict\n").expect("a table");
    let good = |row: &str| row.ends_with("  holds") || row.ends_with("  fault found");
    assert!(table.lines().all(good), "{table}");
    for model in ["election", "replication", "recovery", "store", "snapshot", "course"] {
        assert!(table.lines().any(|row| row.starts_with(model)), "{model} was not checked");
    }
}

#[test]
fn a_search_that_hit_a_limit_does_not_hold() {
    for [option, limit] in [["--states", "2000"], ["--depth", "6"]] {
        let (code, said) = said(models(&["check", "replication", "--small", option, limit]));
        assert_eq!(code, 2, "{said}");
        let (_, table) = said.split_once("verdict\n").expect("a table");
        let largest =
            table.lines().find(|row| row.contains("2 elections")).expect("it was checked");
        assert!(largest.contains("  truncated at "), "{said}");
    }
}

#[test]
fn bounds_that_cannot_fit_are_warned_of_and_what_was_covered_is_said() {
    let bounds = ["--elections", "4", "--entries", "6", "--nodes", "5", "--only", "1 heartbeat"];
    let mut arguments = vec!["check", "replication", "--memory", "64", "--states", "3000"];
    arguments.extend(bounds);
    let output = models(&arguments);
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warned.contains("warning: an estimate of 10^"), "{warned}");
    let (code, said) = said(output);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("  covered: some paths, up to "), "{said}");
}

#[test]
fn breadth_first_all_within_the_depth_is_covered() {
    let (code, said) =
        said(models(&["check", "replication", "--only", "2 elections, 1 entry", "--depth", "6"]));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("  covered: everything within 6 actions of the start"), "{said}");
}

#[test]
fn the_repaired_course_heeds_bounds_and_links() {
    let arguments = ["check", "course", "--network", "duplicating", "--entries", "1"];
    let (code, said) = said(models(&arguments));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("repaired, datagrams, 1 election, 1 command, 1 duplicate"), "{said}");
    assert!(!said.contains("FIFO"), "{said}");
}

#[test]
fn bad_arguments_and_a_taken_address_are_refused_in_a_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let cases: [&[&str]; 12] = [
        &["check", "raft"],
        &["explore", "all"],
        &["explore", "replication", &address],
        &["explore", "store", "--network", "fifo"],
        &["check", "course", "--nodes", "4"],
        &["check", "store", "--entries", "2"],
        &["check", "replication", "--network", "lossy", "--duplicates", "1"],
        &["check", "election", "--network", "fifo"],
        &["check", "snapshot", "--only", "no such words"],
        &["check"],
        &["simulate", "--sed", "1"],
        &["simulate", "--jobs", "0"],
    ];
    for arguments in cases {
        let output = models(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(254), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
