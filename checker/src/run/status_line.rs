//! How a run is going, for who looks on.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Recorder;
use super::live::Sighting;

/// What one sees on a terminal while it lasts.
pub(crate) struct StatusLine(Option<ProgressBar>);

impl StatusLine {
    pub fn new(time_limit: Duration) -> StatusLine {
        let style = ProgressStyle::with_template("[{bar:20}] {wide_msg}");
        let style = style.expect("the template is right").progress_chars("=> ");
        let bar = || ProgressBar::new(time_limit.as_millis() as u64).with_style(style);
        StatusLine(io::stderr().is_terminal().then(bar))
    }

    /// Whether there is somebody to see it.
    pub fn is_seen(&self) -> bool {
        self.0.is_some()
    }

    /// `state` is asked for only where somebody sees it.
    pub fn show(&self, elapsed: Duration, state: impl FnOnce() -> String) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(elapsed.as_millis() as u64);
        bar.set_message(format!("{} s · {}", elapsed.as_secs(), state()));
    }

    pub fn clear(&self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// How a run is going, in a line.
pub(super) fn state(recorder: &Recorder, first: Option<&Sighting>) -> String {
    let counts = recorder.counts();
    let faults = recorder.lasting();
    let ok: u64 = counts.ok.iter().sum();
    format!(
        "{ok} ok · {} failed · {} indeterminate · {}{}",
        counts.failed,
        counts.indeterminate,
        if faults.is_empty() { String::from("no fault") } else { faults.join(", ") },
        first.map_or(String::new(), |first| format!(" · INVALID: {first}"))
    )
}
