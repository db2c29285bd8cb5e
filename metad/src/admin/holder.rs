//! Whose a name is while its daemon says nothing: the process that holds the lock of the run directory, as the kernel
//! shows it. A process that has the lock's file open is the holder; a number that was left in it, or one that another
//! process has by now, is nobody.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::claim::{LOCK, pid_in};
use crate::config::SOCKET;

/// The process that holds a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub state: State,
}

/// What a process does (`State:` in proc_pid_status(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Held by SIGSTOP or a terminal.
    Stopped,
    /// Held by a debugger.
    Traced,
    /// In a call that no signal interrupts.
    InKernel,
    /// It runs, or waits for something that it can be woken from.
    Alive,
}

impl Holder {
    /// Finds the holder of this run directory. `None`: there is none, or we may not look.
    pub fn of(run_dir: &Path) -> Option<Self> {
        let pid = pid_in(&mut fs::File::open(run_dir.join(LOCK)).ok()?)?;
        let state = state(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)?;
        holds(pid, run_dir).then_some(Self { pid, state })
    }

    /// The names of the other run directories beside this one that have a holder.
    pub fn beside(run_dir: &Path) -> Vec<String> {
        let all = run_dir.parent().and_then(|all| fs::read_dir(all).ok());
        let others = all.into_iter().flatten().flatten();
        let others = others.map(|entry| entry.path()).filter(|path| {
            path != run_dir && path.join(SOCKET).exists() && Self::of(path).is_some()
        });
        let mut names: Vec<String> = others
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort_unstable();
        names
    }

    /// Sends it a signal, unless it is another process by now.
    ///
    /// # Errors
    /// It is gone, or we may not.
    pub fn signal(&self, run_dir: &Path, signal: Signal) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // What has the descriptor cannot be replaced by another process of its number between the look and the signal.
        let process = pidfd_open(pid.ok_or_else(gone)?, PidfdFlags::empty())?;
        if !holds(self.pid, run_dir) {
            return Err(gone());
        }
        Ok(pidfd_send_signal(process, signal)?)
    }

    /// What it does, after "its process, N, ".
    fn does(&self) -> &'static str {
        match self.state {
            State::Stopped => "is stopped (SIGSTOP, or Ctrl-Z in its terminal)",
            State::Traced => "is held by a debugger",
            State::InKernel => "waits for the kernel, in a call that nothing interrupts",
            State::Alive => "is alive",
        }
    }

    /// What to do about it.
    fn advice(&self) -> String {
        let pid = self.pid;
        match self.state {
            State::Stopped => {
                format!("`kill -CONT {pid}` has it go on; `metad down` ends it")
            }
            State::Traced => "have the debugger let it go; `metad down` ends it".to_owned(),
            State::InKernel => {
                format!("`cat /proc/{pid}/stack`, as root, says in which; `dmesg` may say why")
            }
            State::Alive => {
                "its log says what it is doing; `metad down` ends it, by force where it must"
                    .to_owned()
            }
        }
    }
}

/// What is known of a daemon that says nothing: lines of an error's text, each after a line break.
pub fn of_silence(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!(
            "\nits process, {}, {}\nhelp: {}",
            holder.pid,
            holder.does(),
            holder.advice()
        ),
        None => "\nhelp: its log says what it is doing".to_owned(),
    }
}

/// Whether this process has the lock of this run directory open.
fn holds(pid: u32, run_dir: &Path) -> bool {
    let Ok(lock) = fs::metadata(run_dir.join(LOCK)) else {
        return false;
    };
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|file| (file.dev(), file.ino()) == (lock.dev(), lock.ino()))
}

/// Reads the state from the text of /proc/PID/status. `None`: the process has ended, or it is no such text.
fn state(status: &str) -> Option<State> {
    let mut lines = status.lines();
    let letter = lines.find_map(|line| line.strip_prefix("State:"))?.trim();
    match letter.chars().next()? {
        'T' => Some(State::Stopped),
        't' => Some(State::Traced),
        'D' => Some(State::InKernel),
        'Z' | 'X' | 'x' => None,
        _ => Some(State::Alive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Claim;

    #[test]
    fn a_state_is_read_from_what_the_kernel_says() {
        let status = |state: &str| format!("Name:\tmetad\nUmask:\t0077\n{state}\nTgid:\t4711\n");
        for (line, expected) in [
            ("State:\tT (stopped)", Some(State::Stopped)),
            ("State:\tt (tracing stop)", Some(State::Traced)),
            ("State:\tD (disk sleep)", Some(State::InKernel)),
            ("State:\tS (sleeping)", Some(State::Alive)),
            ("State:\tR (running)", Some(State::Alive)),
            ("State:\tZ (zombie)", None),
            ("State:", None),
            ("", None),
        ] {
            assert_eq!(state(&status(line)), expected, "{line}");
        }
    }

    #[test]
    fn silence_is_explained_by_what_the_process_does() {
        for (case, state, says, helps) in [
            (
                "stopped",
                Some(State::Stopped),
                "is stopped",
                "kill -CONT 7",
            ),
            ("traced", Some(State::Traced), "a debugger", "metad down"),
            (
                "in the kernel",
                Some(State::InKernel),
                "kernel",
                "/proc/7/stack",
            ),
            ("alive", Some(State::Alive), "is alive", "metad down"),
            ("unknown", None, "", "its log"),
        ] {
            let holder = state.map(|state| Holder { pid: 7, state });
            let text = of_silence(holder.as_ref());
            let (told, help) = text.split_once("\nhelp: ").unwrap();
            assert!(told.contains(says), "{case}: {text}");
            assert!(help.contains(helps), "{case}: {text}");
        }
    }

    #[test]
    fn only_who_has_the_lock_is_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        assert_eq!(Holder::of(&run_dir), None, "nobody was there");
        let claim = Claim::take(&run_dir).unwrap();
        let us = std::process::id();
        let holder = Holder::of(&run_dir).unwrap();
        assert_eq!((holder.pid, holder.state), (us, State::Alive));
        // Signal 0 would do; there is no name for it. This one is what a process ignores that nobody told otherwise.
        holder.signal(&run_dir, Signal::CONT).unwrap();
        // A number that another process has by now.
        let lock = run_dir.join(LOCK);
        let init = "1\n";
        fs::write(&lock, init).unwrap();
        assert_eq!(Holder::of(&run_dir), None, "init holds nothing of ours");
        let other = Holder {
            pid: 1,
            state: State::Alive,
        };
        other.signal(&run_dir, Signal::CONT).unwrap_err();
        fs::write(&lock, us.to_string()).unwrap();
        drop(claim);
        assert_eq!(Holder::of(&run_dir), None, "it has let go");
        holder.signal(&run_dir, Signal::CONT).unwrap_err();
    }
}
