//! The process that compiles and renders templates: a job goes to its standard input, what has come of it comes back on
//! its standard output, both as JSON. A template that takes too much ends this process, and not the daemon.
//!
//! Nothing of it reaches the log but what the engine itself says of a template.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, Signal};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::engine::{Done, Job};
use crate::exit;

/// The command, for nobody but the daemon.
pub const COMMAND: &str = "render-install";

/// Seconds of a processor that a job may take, and when nothing stops the end any more.
const CPU: (u64, u64) = (2, 3);
/// How long a job may take on a machine where others take the processors.
const TIME: Duration = Duration::from_secs(10);
/// The memory of the process, itself included, in octets.
const MEMORY: u64 = 512 * 1024 * 1024;
/// The longest answer, in octets: files and what JSON makes of them.
const ANSWER_MAX: u64 = 8 * 1024 * 1024;

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The template is not at fault.
    #[error(
        "no process to render it can be run: {0}; it is tried again when a template or the instance changes"
    )]
    NotRun(io::Error),
    #[error("the process that renders it has ended before its time")]
    Ended,
}

/// Has a child do a job, within limits; other tasks of the runtime go on meanwhile.
pub(super) fn run(job: &Job<'_>) -> Result<Done, Failure> {
    let wait = || run_within(TIME, COMMAND, job);
    let handle = Handle::try_current();
    if handle.is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread) {
        tokio::task::block_in_place(wait)
    } else {
        wait()
    }
}

fn run_within(time: Duration, command: &str, job: &Job<'_>) -> Result<Done, Failure> {
    let job = serde_json::to_vec(job).map_err(|error| Failure::NotRun(error.into()))?;
    let child = Command::new("/proc/self/exe")
        .arg0("metad")
        .arg(command)
        // It must not speak for metad to systemd.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // What a terminal sends to metad is not the template's fault.
        .process_group(0)
        .spawn()
        .map_err(Failure::NotRun)?;
    let answer = answer(Guard(child), &job, time)?;
    serde_json::from_slice(&answer).map_err(|_no_answer| Failure::Ended)
}

/// The thread that starts a child waits for it here: the child would die with it.
fn answer(mut child: Guard, job: &[u8], time: Duration) -> Result<Vec<u8>, Failure> {
    let (Some(mut input), Some(output)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err(Failure::NotRun(io::ErrorKind::BrokenPipe.into()));
    };
    thread::scope(move |scope| {
        // Ends with this closure, before the threads are waited for: they may wait for it.
        let mut child = child;
        let (sender, receiver) = mpsc::channel();
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        thread("install-job")
            // Where nobody reads it to its end, there is no answer either.
            .spawn_scoped(scope, move || drop(input.write_all(job)))
            .map_err(Failure::NotRun)?;
        thread("install-answer")
            .spawn_scoped(scope, move || {
                let mut answer = Vec::new();
                let read = output.take(ANSWER_MAX + 1).read_to_end(&mut answer);
                drop(sender.send(read.map(|_length| answer)));
            })
            .map_err(Failure::NotRun)?;
        let answer = match receiver.recv_timeout(time) {
            Ok(Ok(answer)) if answer.len() as u64 <= ANSWER_MAX => answer,
            Ok(_) | Err(_) => return Err(Failure::Ended),
        };
        match child.0.wait() {
            Ok(status) if status.success() => Ok(answer),
            Ok(_) => Err(Failure::Ended),
            Err(error) => Err(Failure::NotRun(error)),
        }
    })
}

/// Ends a child that was not waited for.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // One that was waited for is left alone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does the job on `input`, as the child.
///
/// # Errors
/// When it cannot limit itself, or is given no job.
pub fn main(input: &mut dyn Read, output: &mut dyn Write) -> anyhow::Result<u8> {
    limit().context("cannot limit what templates may take")?;
    exchange(input, output)?;
    Ok(exit::SUCCESS)
}

fn exchange(input: &mut dyn Read, output: &mut dyn Write) -> anyhow::Result<()> {
    let mut octets = Vec::new();
    input
        .read_to_end(&mut octets)
        .context("cannot read the job")?;
    let job: Job<'_> = serde_json::from_slice(&octets)
        .context("standard input is no job\nhelp: `metad serve` starts this command by itself")?;
    let done = serde_json::to_vec(&job.run())?;
    output.write_all(&done)?;
    Ok(output.flush()?)
}

fn limit() -> io::Result<()> {
    for (resource, current, maximum) in [
        (Resource::Core, 0, 0),
        (Resource::Cpu, CPU.0, CPU.1),
        (Resource::As, MEMORY, MEMORY),
    ] {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        rustix::process::setrlimit(resource, limit)?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

#[cfg(test)]
mod tests;
