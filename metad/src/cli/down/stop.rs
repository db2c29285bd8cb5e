//! How `metad down` has a daemon end: it is asked; one that says nothing is told by signals, and one that does not end is
//! ended. It is root's order, and what it leaves is removed all the same.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;

use crate::admin::{Claim, Client, ClientError, Error, Holder, State};
use crate::cli::block_on;
use crate::config::{Config, SOCKET};

/// Time between two looks at the claim.
const LOOKS: Duration = Duration::from_millis(50);

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// There is no daemon.
    Nobody,
    /// It ends.
    Ends,
    /// It says nothing.
    Silent(Holder),
}

impl Asked {
    pub(super) fn anybody(&self) -> bool {
        *self != Self::Nobody
    }
}

/// How long a daemon may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From being asked, or told by SIGTERM, to SIGKILL.
    pub(super) ends: Duration,
    /// From SIGKILL to its end: the kernel may have to finish a call of its first.
    pub(super) dies: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ends: Duration::from_secs(30),
            dies: Duration::from_secs(30),
        }
    }
}

/// Asks the daemon to end.
///
/// # Errors
/// It cannot be asked, or says nothing and its process is not to be found.
pub(super) fn ask(config: &Config) -> Result<Asked> {
    // One that is stopped would keep us waiting for nothing.
    if let Some(holder) = Holder::of(&config.run_dir())
        && holder.state == State::Stopped
    {
        return Ok(Asked::Silent(holder));
    }
    match block_on(Client::new(&config.admin_socket()).stop())? {
        Ok(()) => Ok(Asked::Ends),
        // It ends already, and hears no more; whether it does, its claim will tell.
        Err(ClientError::Broken { .. }) => Ok(Asked::Ends),
        Err(ClientError::NotRunning { .. }) => Ok(Asked::Nobody),
        Err(ClientError::Silent {
            holder: Some(holder),
            ..
        }) => Ok(Asked::Silent(holder)),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the daemon has let go of its name, and sees to it that it does. One that could not be asked, since it was
/// starting, is asked as soon as it can be. Says why where it took force.
///
/// # Errors
/// The name cannot be had, or the daemon outlives everything.
pub(super) fn claim(
    name: &str,
    run_dir: &Path,
    asked: &mut Asked,
    patience: Patience,
) -> Result<(Claim, Option<String>)> {
    let mut force = None;
    if let Asked::Silent(holder) = asked {
        // A signal that it handles is delivered once it goes on.
        signal(name, run_dir, holder, Signal::TERM)?;
        signal(name, run_dir, holder, Signal::CONT)?;
        force = Some(format!(
            "its process, {}, {}",
            holder.pid,
            match holder.state {
                State::Stopped => "was stopped",
                State::Traced | State::InKernel | State::Alive => "did not answer",
            }
        ));
    }
    let ask_again = || {
        if *asked == Asked::Nobody && ends_now(run_dir) {
            *asked = Asked::Ends;
        }
    };
    if let Some(claim) = free_within(run_dir, patience.ends, ask_again)? {
        return Ok((claim, force));
    }
    if let Some(holder) = Holder::of(run_dir) {
        signal(name, run_dir, &holder, Signal::KILL)?;
        force = Some(format!(
            "its process, {}, did not end within {} s and was killed",
            holder.pid,
            patience.ends.as_secs()
        ));
    }
    if let Some(claim) = free_within(run_dir, patience.dies, || {})? {
        return Ok((claim, force));
    }
    let (whom, how) = match Holder::of(run_dir) {
        Some(Holder { pid, .. }) => (
            format!("process {pid}"),
            format!(
                "`cat /proc/{pid}/stack` says what it waits for in the kernel; once it is gone, "
            ),
        ),
        None => (
            "a process that is not to be found".to_owned(),
            format!(
                "`fuser -v {}/lock` shows it; end it, then ",
                run_dir.display()
            ),
        ),
    };
    Err(anyhow!(
        "cannot stop the metad called `{}`: {whom} still holds its name\nhelp: {how}run `metad down` again",
        name
    ))
}

/// Whether a daemon of this run directory can be asked to end by now, and was.
fn ends_now(run_dir: &Path) -> bool {
    let socket = run_dir.join(SOCKET);
    socket.exists() && block_on(Client::new(&socket).stop()).is_ok_and(|asked| asked.is_ok())
}

/// Takes the name as soon as it is free. `None`: it is not within this time. Does something else between two looks.
fn free_within(
    run_dir: &Path,
    limit: Duration,
    mut meanwhile: impl FnMut(),
) -> Result<Option<Claim>> {
    let deadline = Instant::now() + limit;
    loop {
        match Claim::take(run_dir) {
            Err(Error::Taken { .. }) if Instant::now() < deadline => {
                meanwhile();
                std::thread::sleep(LOOKS);
            }
            Err(Error::Taken { .. }) => return Ok(None),
            claimed => return Ok(Some(claimed?)),
        }
    }
}

/// Sends a signal. One that is gone needs none.
fn signal(name: &str, run_dir: &Path, holder: &Holder, signal: Signal) -> Result<()> {
    match holder.signal(run_dir, signal) {
        Err(error) if Holder::of(run_dir).is_some() => Err(error).with_context(|| {
            format!(
                "cannot end process {} of the metad called `{name}`",
                holder.pid
            )
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    use super::*;

    /// Ended in any case.
    struct Process(Child);

    impl Drop for Process {
        fn drop(&mut self) {
            let _ended = self.0.kill();
            let _reaped = self.0.wait();
        }
    }

    /// A process that holds the name of `run_dir` and then does as the rest of its script says.
    fn holder(run_dir: &Path, script: &str) -> (Process, Holder) {
        std::fs::create_dir(run_dir).unwrap();
        rustix::fs::chmod(run_dir, rustix::fs::Mode::RWXU).unwrap();
        let script = format!("exec 9<>lock && flock 9 && {script}");
        let child = Command::new("sh")
            .args(["-c", &script])
            .current_dir(run_dir)
            .spawn()
            .unwrap();
        let child = Process(child);
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            assert!(Instant::now() < deadline, "it holds nothing");
            if let Some(holder) = Holder::of(run_dir)
                && run_dir.join("set").exists()
                && (holder.state == State::Stopped) == script.contains("STOP")
            {
                return (child, holder);
            }
            std::thread::sleep(LOOKS);
        }
    }

    const GENEROUS: Duration = Duration::from_secs(120);

    #[test]
    fn what_does_not_end_is_ended() {
        // `echo` writes the number after the lock is there to be found; `set` says that the rest is in force.
        const READY: &str = "echo $$ > lock; : > set";
        for (case, script, silent, ends, expected, word) in [
            (
                "one that ends",
                format!("{READY}; exec sleep 600"),
                true,
                GENEROUS,
                Signal::TERM,
                Some("did not answer"),
            ),
            (
                "one that is stopped",
                format!("{READY}; kill -STOP $$; exec sleep 600"),
                true,
                GENEROUS,
                Signal::TERM,
                Some("was stopped"),
            ),
            (
                "one that is deaf",
                format!("trap '' TERM; {READY}; exec sleep 600"),
                true,
                Duration::from_millis(200),
                Signal::KILL,
                Some("was killed"),
            ),
            (
                "one that said that it ends",
                format!("{READY}; exec sleep 600"),
                false,
                Duration::from_millis(200),
                Signal::KILL,
                Some("was killed"),
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let run_dir = dir.path().join("run");
            let (mut process, holder) = holder(&run_dir, &script);
            let mut asked = if silent {
                Asked::Silent(holder)
            } else {
                Asked::Ends
            };
            let patience = Patience {
                ends,
                dies: GENEROUS,
            };
            let (_claim, force) = claim("lab", &run_dir, &mut asked, patience).unwrap();
            let ended = process.0.wait().unwrap();
            assert_eq!(ended.signal(), Some(expected.as_raw()), "{case}");
            let told = word.is_none_or(|word| force.as_deref().is_some_and(|it| it.contains(word)));
            assert!(told, "{case}: {force:?}");
        }
    }

    #[test]
    fn a_name_that_is_free_is_had_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let patience = Patience {
            ends: Duration::ZERO,
            dies: Duration::ZERO,
        };
        let (_claim, force) = claim("lab", &run_dir, &mut Asked::Nobody, patience).unwrap();
        assert_eq!(force, None);
    }

    #[test]
    fn what_holds_the_name_and_is_not_to_be_found_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let _claim = Claim::take(&run_dir).unwrap();
        // As after a crash, where a process that it started has the lock still.
        std::fs::write(run_dir.join("lock"), "1\n").unwrap();
        let patience = Patience {
            ends: Duration::ZERO,
            dies: Duration::ZERO,
        };
        let error = claim("lab", &run_dir, &mut Asked::Ends, patience).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("not to be found still holds its name"),
            "{told}"
        );
        assert!(told.contains("help: `fuser -v "), "{told}");
    }
}
