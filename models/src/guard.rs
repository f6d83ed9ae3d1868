//! Panics as findings: an assertion that fails in the core is reported like any other violation.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Whether this thread runs the core, whose failed assertions are reported with their story.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Panics of guarded runs are reported as violations; their message on standard error is noise.
pub fn silence_guarded_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !GUARDED.get() {
            default(panic);
        }
    }));
}

/// An assertion that fails in the core is a finding like any other.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    GUARDED.set(true);
    let ran = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(false);
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("an assertion failed: {text}"))
    })
}
