//! How much memory a search takes: what it will, by experience, and what it does.

use crate::report::grouped;

/// What a state costs a search that goes depth first, as the largest of the counted ones did: its
/// hash, and its part of the path.
const DEPTH_FIRST_BYTES: f64 = 45.0;
/// Breadth first, each state of the front is kept whole, and each hash with where it came from.
const BREADTH_FIRST_BYTES: f64 = 750.0;

/// What this process holds.
pub fn held_bytes() -> u64 {
    kib("/proc/self/status", "VmRSS:")
}

/// The most it held at once so far.
pub fn peak_bytes() -> u64 {
    kib("/proc/self/status", "VmHWM:")
}

/// What is there for it: what the user grants, or what the machine has left, if that is less.
pub fn granted_bytes(wished_bytes: u64) -> u64 {
    match kib("/proc/meminfo", "MemAvailable:") {
        0 => wished_bytes,
        available => wished_bytes.min(held_bytes() + available / 10 * 9),
    }
}

/// A line to warn with, if a search for so many states can be expected to need more than `granted`.
/// `counted`: somebody has counted the states; otherwise their number is a guess.
pub fn warning(
    states: f64,
    counted: bool,
    breadth_first: bool,
    granted_bytes: u64,
) -> Option<String> {
    let each = if breadth_first { BREADTH_FIRST_BYTES } else { DEPTH_FIRST_BYTES };
    let bytes = states * each;
    if bytes <= granted_bytes as f64 {
        return None;
    }
    let states = match counted {
        true => format!("{} states", grouped(states as u64)),
        false => format!("an estimate of 10^{:.0} states", states.log10()),
    };
    let mib = |bytes: f64| grouped((bytes / f64::from(1 << 20)) as u64);
    let (needed, granted) = (mib(bytes), mib(granted_bytes as f64));
    Some(format!(
        "{states}, {each:.0} bytes each, is {needed} MiB; there are {granted}, where the search stops"
    ))
}

/// A field of a file of the system; zero where it does not tell.
fn kib(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_fit_is_warned_of() {
        assert_eq!(warning(1e6, true, false, 64 << 20), None);
        let warned = warning(1e6, true, true, 64 << 20).expect("750 MB do not fit");
        assert!(warned.starts_with("1,000,000 states, 750 bytes each, is 715 MiB"), "{warned}");
        let guessed = warning(3e9, false, false, 4 << 30).expect("135 GB do not fit");
        assert!(guessed.starts_with("an estimate of 10^9 states"), "{guessed}");
    }

    #[test]
    fn this_process_holds_something_and_less_than_there_is() {
        assert!(held_bytes() > 0 && held_bytes() <= peak_bytes());
        assert_eq!(granted_bytes(1 << 20), 1 << 20);
    }
}
