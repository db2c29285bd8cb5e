//! The processes between the caller and the command: each dies with its parent and hands the exit status up.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, wait,
    waitpid,
};
use rustix::system::sethostname;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{STAGE, mounts, namespace};

/// Enters new namespaces and starts the init in them.
pub(super) fn usher(command: &Command, parent: &str) -> Result<i32> {
    die_with_parent()?;
    // It may have ended before the line above; then nobody else ends this process.
    let still = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    ensure!(
        still.to_string() == parent,
        "the process that started this one is gone"
    );
    // Compared once outside and once inside: whatever a lab does, it does not do it to the machine.
    let before = namespace("/proc/self/ns/net")?;
    let flags = UnshareFlags::NEWNET
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC;
    // SAFETY: unsafe for CLONE_FILES alone, which would split the descriptor table under other threads; not asked for.
    unsafe { unshare_unsafe(flags) }.context("cannot make new namespaces")?;
    let after = namespace("/proc/self/ns/net")?;
    ensure!(
        before != after,
        "the kernel left this process in the machine's network namespace"
    );
    let mut init = Command::new(super::own_path()?);
    init.arg(command.get_program()).args(command.get_args());
    init.env(STAGE, "init");
    supervise(init)
}

/// Process 1 of the sandbox: mounts, starts the command, reaps, and ends with the command; the kernel then ends all
/// that is left.
pub(super) fn init(command: Command) -> Result<i32> {
    die_with_parent()?;
    ensure!(
        getpid() == Pid::INIT,
        "the init must be process 1 of its namespace"
    );
    mounts::isolate()?;
    sethostname(b"metad-lab").context("cannot set the host name")?;
    let lo = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .stdin(Stdio::null())
        .status()
        .context("cannot run `ip` (package iproute2)")?;
    ensure!(lo.success(), "cannot bring lo up");
    supervise(command)
}

/// Starts a command, forwards the signals that ask for an end, reaps every child, and returns the command's status.
pub(super) fn supervise(mut command: Command) -> Result<i32> {
    // Before the start: a child that ends at once must not be missed.
    let mut signals =
        Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGTERM]).context("cannot listen to signals")?;
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let child = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id out of range")?;
    for signal in signals.forever() {
        if signal == SIGCHLD {
            if let Some(code) = reap(child)? {
                return Ok(code);
            }
        } else if let Some(signal) = Signal::from_named_raw(signal) {
            // It may have ended at this moment; SIGCHLD tells.
            let _gone = kill_process(child, signal);
        }
    }
    bail!("the stream of signals ended before {program} did")
}

/// Reaps all that ended; `Some` once `child` is among them. In process 1 that includes orphans.
fn reap(child: Pid) -> Result<Option<i32>> {
    // Outside process 1 other children belong to someone else.
    let everyone = getpid() == Pid::INIT;
    loop {
        // Not `waitpid(None, …)`: that means the own process group, and daemons have left it.
        let ended = if everyone {
            wait(WaitOptions::NOHANG)
        } else {
            waitpid(Some(child), WaitOptions::NOHANG)
        };
        match ended {
            Ok(Some((pid, status))) if pid == child => {
                let status = ExitStatus::from_raw(status.as_raw());
                let code = status.code();
                let signal = status.signal().map(|signal| 128 + signal);
                return Ok(code.or(signal));
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error).context("cannot wait for a child"),
        }
    }
}

/// Asks for SIGKILL when the parent ends.
fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot tie this process to its parent")
}
