//! Keeps so many requests in flight at a running cluster, and says how fast they were answered:
//!
//! ```sh
//! cargo run --release -p node --example load -- CLUSTER_FILE put|get IN_FLIGHT SECONDS
//! ```

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use node::client::{Ask, Cluster, Outcome, Pipeline};

const KEYS: u64 = 10_000;
const VALUE: [u8; 16] = *b"sixteen bytes ..";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, kind, in_flight, seconds] = &words[..] else {
        return Err("what follows is CLUSTER_FILE put|get IN_FLIGHT SECONDS".into());
    };
    let is_put = match kind.as_str() {
        "put" => true,
        "get" => false,
        other => return Err(format!("put or get, not {other}").into()),
    };
    let in_flight = in_flight.parse()?;
    let time = Duration::from_secs(seconds.parse()?);
    let (cluster, secret) = Cluster::load(file.as_ref())?;
    let mut pipeline = Pipeline::connect(&cluster, secret.as_ref(), Duration::from_secs(10))?;

    // Every key is there before it is read; sessions are open, and leaders known.
    run(&mut pipeline, in_flight, |count| count < KEYS, true)?;
    let begun = Instant::now();
    let latencies_us = run(&mut pipeline, in_flight, |_| begun.elapsed() < time, is_put)?;
    let per_second = latencies_us.len() as f64 / begun.elapsed().as_secs_f64();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| latencies_us.value_at_quantile(share));
    println!(
        "{kind}, {in_flight} in flight: {per_second:.0}/s, p50 {p50} us, p99 {p99} us, max {max} us"
    );
    Ok(())
}

/// Submits as long as `goes_on` with the number of the next, then waits for those in flight.
fn run(
    pipeline: &mut Pipeline,
    in_flight: usize,
    goes_on: impl Fn(u64) -> bool,
    is_put: bool,
) -> Result<Histogram<u64>, Box<dyn std::error::Error>> {
    let mut latencies_us = Histogram::new(3)?;
    let mut count = 0;
    loop {
        while pipeline.in_flight() < in_flight && goes_on(count) {
            let key = (count % KEYS).to_le_bytes();
            let ask = match is_put {
                true => Ask::Put { key: &key, value: &VALUE },
                false => Ask::Get { key: &key },
            };
            pipeline.submit(count, ask);
            count += 1;
        }
        if pipeline.in_flight() == 0 {
            return Ok(latencies_us);
        }
        let Some(completion) = pipeline.poll(Duration::from_secs(1)) else { continue };
        match completion.outcome {
            Outcome::Ok(_) => latencies_us.record(completion.latency.as_micros() as u64)?,
            Outcome::Fail(failure) => return Err(failure.to_string().into()),
            Outcome::Indeterminate(why) => return Err(why.to_string().into()),
        }
    }
}
