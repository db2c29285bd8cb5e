//! Credentials from a command, by the rules of AWS's `credential_process`.
//!
//! The program is run as it is named, without a shell. What it prints is read up to a limit, in a limited time, and goes
//! nowhere else; what it says on standard error goes where metad's own log goes.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};

use super::parse::LENGTH_MAX;

/// How long a command may take.
const TIME: Duration = Duration::from_secs(30);
/// What a command that has ended left in its pipe is there at once.
const REST_TIME: Duration = Duration::from_secs(1);
/// The role, for commands that serve several.
const ROLE: &str = "METAD_ROLE";

/// Why a command gave no credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no command is configured")]
    Nothing,
    #[error("{program} cannot be run: {why}")]
    NotRun { program: String, why: io::Error },
    #[error("{program} cannot be read from: {why}")]
    Unreadable { program: String, why: io::Error },
    #[error("{program} ended with {status}")]
    Failed { program: String, status: ExitStatus },
    #[error("{program} took longer than {} s", TIME.as_secs())]
    TooSlow { program: String },
    #[error("{program} printed more than {LENGTH_MAX} octets")]
    TooMuch { program: String },
}

/// Runs `words`, a program and its arguments, and returns what it prints.
pub(super) async fn run(role: &str, words: &[String]) -> Result<Vec<u8>, Failure> {
    run_within(TIME, role, words).await
}

async fn run_within(time: Duration, role: &str, words: &[String]) -> Result<Vec<u8>, Failure> {
    let (program, arguments) = words.split_first().ok_or(Failure::Nothing)?;
    let program = program.clone();
    let child = Command::new(&program)
        .args(arguments)
        .env(ROLE, role)
        // It must not speak for metad to systemd.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // What it starts itself ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(why) => return Err(Failure::NotRun { program, why }),
    };
    let group = Group::of(&child);
    let ended = tokio::time::timeout(time, output(&program, &mut child, group)).await;
    match ended {
        Ok(output) => output,
        Err(_elapsed) => Err(Failure::TooSlow { program }),
    }
}

/// The command has printed what it prints when it ends, even if something that it started holds on to its output.
async fn output(program: &str, child: &mut Child, group: Group) -> Result<Vec<u8>, Failure> {
    let program = program.to_owned();
    let mut printed = Vec::new();
    let mut pipe = child.stdout.take();
    let mut ended = None;
    let mut read = tokio::select! {
        read = fill(&mut printed, pipe.as_mut()) => read,
        status = child.wait() => {
            ended = Some(status);
            Ok(())
        }
    };
    if ended.is_some() {
        drop(group);
        let rest = tokio::time::timeout(REST_TIME, fill(&mut printed, pipe.as_mut())).await;
        read = rest.unwrap_or(Ok(()));
    }
    if let Err(why) = read {
        return Err(Failure::Unreadable { program, why });
    }
    if printed.len() > LENGTH_MAX {
        return Err(Failure::TooMuch { program });
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().await,
    };
    match status {
        Ok(status) if status.success() => Ok(printed),
        Ok(status) => Err(Failure::Failed { program, status }),
        Err(why) => Err(Failure::Unreadable { program, why }),
    }
}

/// Reads up to one octet more than are taken. What was read is kept where this is given up.
async fn fill(printed: &mut Vec<u8>, pipe: Option<&mut ChildStdout>) -> io::Result<()> {
    let Some(pipe) = pipe else {
        return Ok(());
    };
    while printed.len() <= LENGTH_MAX {
        if pipe.read_buf(printed).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Ends a command with all that it started and that has not left its group.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Where nobody is left, there is nobody to end.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(time: Duration, script: &str) -> Result<String, String> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        let printed = run_within(time, "web", &words).await;
        printed
            .map(|octets| String::from_utf8(octets).unwrap())
            .map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn what_a_command_prints_is_read_or_it_is_said_why_not() {
        let long = Duration::from_secs(60);
        for (case, script, expected) in [
            ("prints", "printf %s $METAD_ROLE", Ok("web")),
            ("has no input", "cat", Ok("")),
            (
                "leaves somebody behind",
                "sleep 600 & printf kept",
                Ok("kept"),
            ),
            (
                "leaves a daemon behind",
                "setsid sleep 20 & printf kept",
                Ok("kept"),
            ),
            (
                "fails",
                "echo x; exit 3",
                Err("/bin/sh ended with exit status: 3"),
            ),
            (
                "prints too much",
                "yes",
                Err("/bin/sh printed more than 65536 octets"),
            ),
        ] {
            let ended = shell(long, script).await;
            let ended = ended.as_deref().map_err(String::as_str);
            assert_eq!(ended, expected, "{case}");
        }
        let missing = run_within(long, "web", &["/nowhere".to_owned()]).await;
        let missing = missing.unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere cannot be run: "), "{missing}");
    }

    #[tokio::test]
    async fn command_that_takes_too_long_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let words = ["/bin/sh", "-c", &script].map(str::to_owned);
        let mut child = None;
        // A machine under load may not even have begun.
        for seconds in [1, 5, 30] {
            let running = run_within(Duration::from_secs(seconds), "web", &words).await;
            assert!(
                matches!(running, Err(Failure::TooSlow { .. })),
                "{running:?}"
            );
            let read = std::fs::read_to_string(&pid).unwrap_or_default();
            child = read.trim().parse::<i32>().ok();
            if child.is_some() {
                break;
            }
        }
        let child = child.expect("a process that the command started");
        let stat = format!("/proc/{child}/stat");
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        // It may be a zombie until its new parent notices.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(std::time::Instant::now() < deadline, "{stat} still runs");
            tokio::task::yield_now().await;
        }
    }
}
