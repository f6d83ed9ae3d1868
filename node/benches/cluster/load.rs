//! Clients that keep the nodes busy, and what they noticed.

use crate::nodes::{Nodes, TIMEOUT};
use hdrhistogram::Histogram;
use node::client::{Ask, Outcome, Pipeline};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Latencies in microseconds.
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(Histogram::new(3).expect("three digits are few enough"))
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.0.record(latency.as_micros() as u64).expect("it grows with what it holds");
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |us: u64| format!("{:.2}", us as f64 / 1_000.0);
        let [p50, p99] = [0.5, 0.99].map(|share| shown(self.0.value_at_quantile(share)));
        let (max, count) = (shown(self.0.max()), self.0.len());
        write!(f, "p50 {p50} ms, p99 {p99} ms, max {max} ms of {count}")
    }
}

/// One connection with many requests in flight.
pub struct Load {
    pipeline: Pipeline,
    in_flight: usize,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Put,
    Get,
}

impl Load {
    /// Sessions are open and leaders known when this returns.
    pub fn connect(nodes: &Nodes, in_flight: usize) -> Load {
        let pipeline = Pipeline::connect(&nodes.cluster, nodes.secret.as_ref(), TIMEOUT);
        let mut load = Load { pipeline: pipeline.expect("a socket"), in_flight };
        load.put(0..in_flight as u64);
        load
    }

    /// Gives these keys values.
    pub fn put(&mut self, keys: Range<u64>) -> Latencies {
        let mut latencies = Latencies::default();
        self.run(keys, Kind::Put, |_, latency| latencies.record(latency));
        latencies
    }

    /// Asks for these keys, one after the other, as many at a time as there may be in flight, and
    /// hands out when each was answered and how long that took.
    pub fn run(
        &mut self,
        keys: impl IntoIterator<Item = u64>,
        kind: Kind,
        mut answered: impl FnMut(Instant, Duration),
    ) {
        let mut keys = keys.into_iter().fuse();
        loop {
            while self.pipeline.in_flight() < self.in_flight
                && let Some(number) = keys.next()
            {
                self.submit(number, kind);
            }
            if self.pipeline.in_flight() == 0 {
                return;
            }
            if let Some(completion) = self.pipeline.poll(TIMEOUT) {
                assert!(matches!(completion.outcome, Outcome::Ok(_)), "{:?}", completion.outcome);
                answered(Instant::now(), completion.latency);
            }
        }
    }

    fn submit(&mut self, number: u64, kind: Kind) {
        let key = key(number);
        let ask = match kind {
            Kind::Put => Ask::Put { key: &key, value: &VALUE },
            Kind::Get => Ask::Get { key: &key },
        };
        self.pipeline.submit(number, ask);
    }
}

/// 16 bytes.
pub fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    let digits = format!("{number:012}");
    key[4..].copy_from_slice(&digits.as_bytes()[..12]);
    key
}

/// 32 bytes.
pub const VALUE: [u8; 32] = *b"a value of thirty-two characters";
