//! Nodes that die with the checker, even if that is killed and can clean up nothing.
//!
//! Linux sends a process a signal of its choice when the thread that started it ends. The choice
//! must be made by the new process itself and survives an exec: so the checker starts itself, makes
//! the choice, and becomes the node.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The subcommand of the checker that [`become_guarded`] serves.
pub const SUBCOMMAND: &str = "guard";

/// A command for `program`, to which its arguments are to be added. It dies with the thread that
/// spawns it. Fails if this program does not know where it is.
pub fn command(program: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(SUBCOMMAND).arg(std::process::id().to_string()).arg("--").arg(program);
    Ok(command)
}

/// Becomes the given program, its arguments behind it, to be killed when its parent ends. Returns
/// only if that fails.
pub fn become_guarded(parent: u32, program: &OsStr, arguments: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have ended before it could be known to.
    if getppid().is_none_or(|id| id.as_raw_nonzero().get() as u32 != parent) {
        return io::Error::other("the checker that started this has ended");
    }
    Command::new(program).args(arguments).exec()
}
