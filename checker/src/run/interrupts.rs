//! Whoever wants to see the end of a run.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::cli::CRASHED;

/// Ctrl-C and its like: the first ends the load, the second ends us, and the nodes with us.
pub(crate) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    pub fn watch() -> io::Result<Interrupts> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, CRASHED.into(), flag.clone())?;
            flag::register(signal, flag.clone())?;
        }
        // A file above the limit is to be an error, of which we can tell, and no sudden end.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(Interrupts(flag))
    }

    /// Whether the first came.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
