//! A sandbox: new network, mount, process, host-name and IPC namespaces that vanish with their first process.
//!
//! In comes a command, out comes its exit status. The current executable runs itself again as the *usher*, which
//! enters the new namespaces, and as the *init*, process 1 of them, which mounts what must be private, starts the
//! command, reaps orphans and ends with it. Each dies with its parent, so ending any of them removes everything.
//! Nothing in here may change the namespaces, mounts or addresses of the machine outside.

mod mounts;
mod stages;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

/// Inside a sandbox: the inode of the network namespace that it was made from.
const OUTSIDE: &str = "METAD_SANDBOX";
/// Which of its stages the executable is to be; only ever set by this module.
const STAGE: &str = "METAD_SANDBOX_STAGE";

/// Turns this process into a stage of a sandbox if it was started as one; then it does not return.
///
/// Every executable that calls [`enter`] or [`run`] must call this first in `main`, before any thread starts.
pub fn stage() {
    let Ok(stage) = std::env::var(STAGE) else {
        return;
    };
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        return;
    };
    let mut command = Command::new(program);
    command.args(words).env_remove(STAGE);
    let ended = match stage.strip_prefix("usher of ") {
        Some(parent) => stages::usher(&command, parent),
        None => stages::init(command),
    };
    match ended {
        Ok(code) => exit(code),
        Err(error) => {
            tell(&format!("sandbox: {error:#}"));
            exit(SANDBOX_FAILED)
        }
    }
}

/// The exit status when the sandbox itself could not be made (the command never ran).
pub const SANDBOX_FAILED: i32 = 125;

/// Returns inside a sandbox. Outside, runs this executable with the same arguments in a fresh one and exits with
/// its status.
///
/// # Errors
/// Not root, or the executable cannot be started again.
pub fn enter() -> Result<()> {
    if inside() {
        return Ok(());
    }
    let mut again = Command::new(own_path()?);
    again.args(std::env::args_os().skip(1));
    exit(run(&again)?)
}

/// Runs a command (program, arguments, environment, directory) in a fresh sandbox, forwards SIGINT, SIGTERM and
/// SIGHUP to it and returns its exit status, 128 + N after signal N.
///
/// Call it from the main thread: the sandbox dies with the thread that made it.
///
/// # Errors
/// Not root, already inside a sandbox, or the executable cannot be started again.
pub fn run(command: &Command) -> Result<i32> {
    ensure!(
        geteuid().is_root(),
        "a sandbox needs root: run this again with sudo"
    );
    ensure!(!inside(), "this process is already inside a sandbox");
    let mut usher = Command::new(own_path()?);
    usher.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => usher.env(key, value),
            None => usher.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        usher.current_dir(directory);
    }
    usher
        .env(STAGE, format!("usher of {}", std::process::id()))
        .env(OUTSIDE, namespace("/proc/self/ns/net")?.to_string());
    // Its own process group: the terminal's Ctrl-C then arrives once, by way of this process.
    usher.process_group(0);
    stages::supervise(usher)
}

/// Whether this process runs inside a sandbox: it says so, and its network namespace is not the one outside.
pub fn inside() -> bool {
    let Some(outside) = std::env::var_os(OUTSIDE) else {
        return false;
    };
    namespace("/proc/self/ns/net")
        .is_ok_and(|here| outside.as_bytes() != here.to_string().as_bytes())
}

/// Refuses to go on outside a sandbox; everything that makes links, addresses or BPF programs calls it first.
///
/// # Errors
/// This process shares the machine's network namespace.
pub fn demand() -> Result<()> {
    if inside() {
        Ok(())
    } else {
        bail!(
            "this would change the machine's own network; it only runs inside a sandbox: use `cargo xtask test`"
        )
    }
}

/// The inode that names a namespace.
fn namespace(path: impl AsRef<Path>) -> Result<u64> {
    let path = path.as_ref();
    fs::metadata(path)
        .map(|found| found.ino())
        .with_context(|| format!("cannot read namespace {}", path.display()))
}

/// The file of this executable; stages must be this very build.
fn own_path() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this executable")
}

#[expect(clippy::print_stderr, reason = "a stage has no other voice")]
fn tell(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_sandbox_nothing_may_touch_the_network() {
        if std::env::var_os(OUTSIDE).is_none() {
            assert!(!inside(), "no marker, no sandbox");
            assert!(demand().is_err(), "the machine's own network is refused");
        }
    }
}
