//! Disks without room: a file system that is full, and a log that cannot grow. For campaigns.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use node::client::Outcome;

use crate::disk_faults::{assert_ended_by_disk, victim, wait_until_caught_up};
use crate::load::Load;
use crate::nodes::{Nodes, Shape, TIMEOUT};
use crate::size::Line;

/// A small file system in memory. A process in a mount namespace of its own holds it.
struct SmallDisk {
    holder: Child,
    root: PathBuf,
}

impl SmallDisk {
    fn mount(at: &Path) -> SmallDisk {
        const MOUNT: &str = "mount -t tmpfs -o size=48m quorate \"$1\" && echo ready && exec cat";
        fs::create_dir(at).expect("a folder of ours");
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", MOUNT, "sh"]).arg(at);
        let holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut holder = holder.expect("unshare (of util-linux) runs");
        let mut line = String::new();
        let told = BufReader::new(holder.stdout.as_mut().expect("piped")).read_line(&mut line);
        assert!(told.is_ok() && line == "ready\n", "this user may not mount in a namespace");
        let root = format!("/proc/{}/root{}", holder.id(), at.display()).into();
        SmallDisk { holder, root }
    }

    /// Fills it but for so many bytes, by a file that can be removed.
    fn fill(&self, free_bytes: u64) {
        let mut ballast = fs::File::create(self.root.join("ballast")).expect("there is room");
        loop {
            match ballast.write(&[0; 1 << 16]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        let size_bytes = ballast.metadata().expect("it is open").len();
        ballast.set_len(size_bytes - free_bytes).expect("smaller is possible");
    }

    fn make_room(&self) {
        fs::remove_file(self.root.join("ballast")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

pub fn a_disk_is_full() {
    let line = Line::begin("a real file system is full (ENOSPC), leader and follower in turn");
    let limits = serde_json::json!({"snapshot_every": 500, "keep": 50});
    let mut nodes = Nodes::prepare(Shape { limits, ..Shape::new(3, 1) });
    let disk = |id| {
        let disk = SmallDisk::mount(&nodes.folder().join(format!("disk-{id}")));
        fs::create_dir(disk.root.join("data")).expect("there is room");
        symlink(disk.root.join("data"), nodes.data(id)).expect("nothing is there");
        (id, disk)
    };
    let disks: Vec<_> = nodes.ids().into_iter().map(disk).collect();
    nodes.start_missing();
    let load = Load::start(&nodes, 4, TIMEOUT);
    const ROUNDS: u64 = 12;
    for round in 0..ROUNDS {
        load.wait_for(50);
        let id = victim(&nodes, round % 2 == 0);
        let (_, disk) = disks.iter().find(|(of, _)| *of == id).expect("each has one");
        let since = nodes.log(id).len();
        // Sometimes the log fills it, and sometimes a snapshot.
        disk.fill([4, 40, 200][round as usize % 3] << 10);
        let error = assert_ended_by_disk(&mut nodes, id, since);
        assert!(error.contains("No space left on device"), "{error}");
        // Nor does it start before there is room; and that changes nothing.
        disk.fill(0);
        let since = nodes.log(id).len();
        nodes.start_node(id);
        let error = assert_ended_by_disk(&mut nodes, id, since);
        assert!(error.contains("No space left on device"), "{error}");
        disk.make_room();
        nodes.start_node(id);
        wait_until_caught_up(&nodes, id);
    }
    let summary = load.finish(&nodes);
    assert_eq!(summary.indeterminate, 0);
    drop(nodes);
    line.end(ROUNDS, format!("{} acknowledged, 0 lost; exit 1, one line", summary.acknowledged));
}

pub fn a_log_cannot_grow() {
    let line = Line::begin("no second segment of the log can be made");
    let mut nodes = Nodes::start(Shape::new(3, 1));
    let mut client = nodes.client();
    let id = nodes.leader(b"k");
    let obstacle = nodes.data(id).join("wal-0000000000000002.log.new");
    fs::create_dir(&obstacle).expect("nothing is there");
    let value = vec![b'x'; 60_000];
    let mut acknowledged = 0_u64;
    while nodes.is_running(id) {
        assert_eq!(client.put(&acknowledged.to_le_bytes(), &value), Outcome::Ok(()));
        acknowledged += 1;
        assert!(acknowledged < 10_000, "it has a limit");
    }
    let error = assert_ended_by_disk(&mut nodes, id, 0);
    assert!(error.contains("wal-0000000000000002.log.new: cannot be created"), "{error}");
    fs::remove_dir(&obstacle).expect("it is ours");
    nodes.start_node(id);
    wait_until_caught_up(&nodes, id);
    for number in 0..acknowledged {
        assert!(client.get(&number.to_le_bytes()) == Outcome::Ok(value.as_slice().into()));
    }
    line.end(1, format!("{acknowledged} of 60 kB acknowledged, 0 lost; exit 1, one line"));
}
