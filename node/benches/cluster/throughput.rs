//! Three nodes, one connection: one request at a time, and 256 in flight.

use crate::load::{Kind, Latencies, Load};
use crate::nodes::{Nodes, Shape};
use crate::{Scale, row};
use std::time::Instant;

pub fn measure(scale: &Scale) {
    for flags in [&[][..], &["--sync", "os"]] {
        let nodes = Nodes::start(Shape { flags: flags.to_vec(), ..Shape::new(3, 1) });
        for (in_flight, count) in [(1, 5_000), (256, 1_000_000)] {
            for (kind, name) in [(Kind::Put, "put"), (Kind::Get, "get")] {
                let mut load = Load::connect(&nodes, in_flight);
                let mut latencies = Latencies::default();
                let (begun, count) = (Instant::now(), scale.count(count));
                // Keys that are there, so that the map does not grow meanwhile.
                let keys = (0..count).map(|number| number % in_flight as u64);
                load.run(keys, kind, |_, latency| latencies.record(latency));
                let per_second = count as f64 / begun.elapsed().as_secs_f64();
                let sync = flags.last().unwrap_or(&"always");
                let what = format!("{name}, {in_flight} in flight, --sync {sync}");
                row(&what, &format!("{per_second:.0}/s, {latencies}"));
            }
        }
    }
}
