//! Who claims to lead: every node is asked ten times a second, and what changes is written down.
//!
//! ```text
//! {"time":52169000,"node":1,"group":0,"leads":true,"ballot":"b1.1p3"}    from now on it says so
//! {"time":1375526000,"node":2,"answers":false}                           from now on it is silent
//! ```
//! Times are nanoseconds since the run began, of the moment of the answer. A node that claims to lead
//! may have been deposed and not know it yet: that two claim it at a time is no violation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use node::wire::NodeId;
use serde_json::json;

use crate::cluster::{Asking, Nodes, Replica};

/// How often a node is asked.
const LOOK: Duration = Duration::from_millis(100);

/// Looks on until it is finished, or dropped.
pub(super) struct Observer {
    is_over: Arc<AtomicBool>,
    /// One for each node: to wait for one that is paused must not blind us for the others.
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Observer {
    /// Begins to write to this file. An error is that of the file, a socket or a thread.
    pub fn start(nodes: &Nodes, begun: Instant, file: &Path) -> io::Result<Observer> {
        let file = Arc::new(File::create(file)?);
        let mut observer = Observer { is_over: Arc::default(), threads: Vec::new() };
        for id in nodes.ids() {
            let (asking, file) = (nodes.asking()?, file.clone());
            let is_over = observer.is_over.clone();
            let watch = move || watch(id, asking, begun, &file, &is_over);
            observer.threads.push(thread::Builder::new().spawn(watch)?);
        }
        Ok(observer)
    }

    /// Looks no longer. An error is that of the file: it lacks what came after.
    pub fn finish(mut self) -> io::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        let join = |thread: JoinHandle<_>| thread.join().expect("observers do not panic");
        self.threads.drain(..).try_for_each(join)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn watch(
    id: NodeId,
    mut asking: Asking,
    begun: Instant,
    file: &File,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut known = Known::default();
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = asking.status(id).map(|status| status.replicas);
        let time = begun.elapsed().as_nanos() as u64;
        let lines = known.update(id, time, answer);
        if !lines.is_empty() {
            // All of it in one call, so that no other thread gets between.
            (&*file).write_all(lines.as_bytes())?;
        }
        thread::sleep(LOOK.saturating_sub(asked.elapsed()));
    }
    Ok(())
}

/// What a node said last.
#[derive(Default)]
struct Known {
    /// Whether it leads, and the ballot, by group.
    groups: BTreeMap<u64, (bool, String)>,
    is_silent: bool,
}

impl Known {
    /// The lines that tell what is new; none if nothing is.
    fn update(&mut self, id: NodeId, time: u64, answer: Option<Vec<Replica>>) -> String {
        let (node, mut lines) = (id.0, String::new());
        let Some(replicas) = answer else {
            if !self.is_silent {
                lines = format!(r#"{{"time":{time},"node":{node},"answers":false}}"#) + "\n";
            }
            // Whatever it says next is news.
            *self = Known { is_silent: true, ..Known::default() };
            return lines;
        };
        self.is_silent = false;
        for Replica { group, leads, ballot, .. } in replicas {
            let says = (leads, ballot);
            if self.groups.get(&group) == Some(&says) {
                continue;
            }
            let ballot = json!(says.1);
            lines += &format!(
                r#"{{"time":{time},"node":{node},"group":{group},"leads":{leads},"ballot":{ballot}}}"#
            );
            lines.push('\n');
            self.groups.insert(group, says);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_written_and_all_of_it_after_a_silence() {
        let mut known = Known::default();
        let mut update = |time, says: Option<(bool, &str)>| {
            let replica = |(leads, ballot): (bool, &str)| {
                let ballot = ballot.to_string();
                vec![Replica { group: 0, leads, ballot, applied: time, digest: None }]
            };
            known.update(NodeId(2), time, says.map(replica))
        };
        let leads = "{\"time\":1,\"node\":2,\"group\":0,\"leads\":true,\"ballot\":\"b1.2\"}\n";
        assert_eq!(update(1, Some((true, "b1.2"))), leads);
        assert_eq!(update(2, Some((true, "b1.2"))), "");
        assert!(update(3, Some((false, "b1.2"))).contains("\"leads\":false"));
        assert!(update(4, Some((false, "b2.1"))).contains("\"ballot\":\"b2.1\""));
        assert_eq!(update(5, None), "{\"time\":5,\"node\":2,\"answers\":false}\n");
        assert_eq!(update(6, None), "");
        assert!(update(7, Some((false, "b2.1"))).contains("\"time\":7"));
    }
}
