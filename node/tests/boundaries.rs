//! The boundaries of the architecture, read from the sources: the core is a pure function, and the
//! checker does not know the core it judges.

use std::fs;
use std::path::{Path, PathBuf};

/// What a pure, deterministic function has no business with.
const IMPURE: [&str; 13] = [
    "std::net",
    "std::fs",
    "std::io",
    "std::time",
    "std::thread",
    "std::env",
    "std::process",
    "HashMap",
    "HashSet",
    "rand::",
    "mio::",
    "thread_local",
    "static mut",
];

fn sources(under: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(under);
    if root.is_file() {
        return vec![root];
    }
    let entries = fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = format!("{under}/{}", path.file_name().expect("a name").to_string_lossy());
        match path.is_dir() {
            true => files.extend(sources(&name)),
            false if name.ends_with(".rs") => files.push(path),
            false => {}
        }
    }
    files
}

/// Lines of code that name any of `words`. Comments may, and so may tests, which end each file.
fn naming(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    lines(files, |code| words.iter().any(|word| code.contains(word)))
}

/// Lines of code that name any part of the node but these, whole modules in braces included.
fn naming_others(files: &[PathBuf], parts: &[&str]) -> Vec<String> {
    lines(files, |code| {
        let mut named = code.match_indices("node::").filter(|(at, _)| {
            // The end of another name is not this one.
            !code[..*at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
        });
        named.any(|(at, word)| {
            let rest = &code[at + word.len()..];
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            !parts.contains(&&rest[..end.unwrap_or(rest.len())])
        })
    })
}

/// Lines of code, without comments and tests, that are as wanted; each with its place.
fn lines(files: &[PathBuf], is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).expect("a readable source");
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
        for (number, line) in (1..).zip(code) {
            let code = line.split("//").next().unwrap_or_default();
            if is_wanted(code) {
                found.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    found
}

#[test]
fn the_core_names_no_clock_socket_file_thread_or_randomness() {
    let mut files = sources("node/src/protocol");
    for file in ["kv", "session", "command", "digest", "bytes"] {
        files.extend(sources(&format!("node/src/{file}.rs")));
    }
    assert!(files.len() > 15, "the core has moved; this test must move with it: {files:?}");
    let found = naming(&files, &IMPURE);
    assert!(found.is_empty(), "the core is impure:\n{}", found.join("\n"));
}

#[test]
fn the_checker_names_the_wire_and_the_client_only() {
    let files = sources("checker/src");
    assert!(!files.is_empty());
    let found = naming_others(&files, &["wire", "client"]);
    assert!(found.is_empty(), "the checker knows what it judges:\n{}", found.join("\n"));
}

#[test]
fn the_test_itself_can_fail() {
    let files = sources("node/tests/boundaries.rs");
    assert!(naming(&files, &["std::fs"]).len() > 1);
    let users = sources("node/src/main.rs");
    assert!(!naming_others(&users, &["cli", "config"]).is_empty(), "it names the server");
    assert!(naming_others(&users, &["cli", "config", "server"]).is_empty());
}
