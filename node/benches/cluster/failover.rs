//! From `kill -9` of the leader to the next successful write, with the timing that is the default.
//!
//! The client asks at once: it is the time that somebody waits who wants to write just then. It knew
//! the leader, so the time to notice that it is silent, and to find the next, is part of it.

use crate::load::{Latencies, VALUE};
use crate::nodes::{Nodes, Shape, eventually};
use crate::{Scale, row};
use node::client::Outcome;
use std::time::Instant;

pub fn measure(scale: &Scale) {
    let mut nodes = Nodes::start(Shape::new(3, 1));
    let mut client = nodes.client();
    let mut latencies = Latencies::default();
    let kills = scale.count(50);
    for _ in 0..kills {
        assert_eq!(client.put(b"key", &VALUE), Outcome::Ok(()));
        let leader = nodes.leader(b"key");
        let killed = Instant::now();
        nodes.kill(leader);
        assert_eq!(client.put(b"key", &VALUE), Outcome::Ok(()));
        latencies.record(killed.elapsed());
        nodes.start_missing();
        // The next kill must meet a cluster in which everybody follows, and whose preferred node
        // leads again.
        eventually("the node follows again, and leads if it is preferred", || {
            let status = nodes.ids().into_iter().map(|id| nodes.status(id)["groups"][0].clone());
            let status: Vec<_> = status.collect();
            let agreed = status.iter().all(|group| group["ballot"] == status[0]["ballot"]);
            let equal = status.iter().all(|group| group["decided"] == status[0]["decided"]);
            (agreed && equal && status[0]["leader"] == 1).then_some(())
        });
    }
    row(&format!("kill -9 of the leader to the next write, {kills} times"), &latencies.to_string());
}
