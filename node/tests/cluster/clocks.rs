//! Clocks that jump and run wild: no node looks at the time of day.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT};
use crate::size::{Line, is_full};

/// Sources below a folder.
fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    folders.iter().flat_map(|folder| sources(folder)).chain(files).collect()
}

#[test]
fn the_time_of_day_means_nothing_to_a_node() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let text = |path: &std::path::PathBuf| fs::read_to_string(path).expect("a source");
    assert!(files.iter().any(|file| text(file).contains("Instant")), "time is read somewhere");
    for file in &files {
        assert!(!text(file).contains("SystemTime"), "{} tells the time of day", file.display());
    }
    if is_full() {
        clocks_run_wild();
    }
}

/// Nodes in different years, whose clocks run backwards, a thousand times too fast, and in jumps.
fn clocks_run_wild() {
    const CLOCKS: [&str; 3] = ["-30y x1000", "+50y x-1", "@2000-01-01 00:00:00 i100000"];
    let line = Line::begin("clocks a thousand times too fast, backwards, and in jumps");
    let mut nodes = Nodes::prepare(Shape::new(3, 1));
    for (id, clock) in nodes.ids().into_iter().zip(CLOCKS) {
        let mut node = nodes.command(id);
        node.envs(faked(clock));
        nodes.start_as(id, node);
    }
    let leader = nodes.leader(b"k");
    let ballot = |id| nodes.status(id)["groups"][0]["ballot"].clone();
    let before = ballot(leader);
    let load = Load::start(&nodes, 8, TIMEOUT);
    load.wait_for(20_000);
    assert_eq!(ballot(leader), before, "nobody had a reason to follow another");
    let years: Vec<String> = nodes.ids().iter().map(|id| nodes.log(*id)[..4].to_owned()).collect();
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    let acknowledged = summary.acknowledged;
    let result = format!("{acknowledged} acknowledged, one leader throughout, in years {years:?}");
    line.end(CLOCKS.len() as u64, result);
}

/// The environment in which a program has such a clock. Taken over, because `faketime` itself waits
/// for its program, which would outlive a `kill -9` of it.
fn faked(clock: &str) -> Vec<(String, String)> {
    let mut command = Command::new("faketime");
    let output = command.args(["--exclude-monotonic", "-f", clock, "env"]).output();
    let text = String::from_utf8(output.expect("faketime runs").stdout).expect("text");
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let wanted = |name: &str| name == "LD_PRELOAD" || name.starts_with("FAKETIME");
    // The memory that its children share goes with it.
    let wanted = variables.filter(|(name, _)| wanted(name) && *name != "FAKETIME_SHARED");
    let wanted: Vec<_> = wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(wanted.iter().any(|(name, _)| name == "LD_PRELOAD"), "{text}");
    wanted
}
