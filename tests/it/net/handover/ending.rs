//! A daemon is told to end while another one has everything on trial.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Lab, Settings, Snapshot, until};
use metad_tests::needs;
use rustix::fs::{Mode, OFlags, mkfifoat};
use rustix::process::Signal;

use super::nothing_is_left;
use crate::net::{SOON, gets_its_own, guest, host_with_bridge};

/// An heir that the elder has stood aside for, and that waits for the slots: they come through a pipe.
struct Held {
    heir: Child,
    slots: String,
    path: PathBuf,
}

impl Held {
    fn new(lab: &Lab, daemon: &Daemon) -> Result<Self> {
        let path = Path::new("/run").join(lab.name()).join("slots.json");
        let slots = fs::read_to_string(&path)?;
        let pipe = path.with_extension("pipe");
        mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR)?;
        fs::rename(&pipe, &path)?;
        let heir = daemon.heir()?;
        Ok(Self { heir, slots, path })
    }

    /// Waits until it asks for the slots; the pipe to give them by.
    fn asks(&mut self) -> Result<fs::File> {
        // Nobody can open it for writing, without waiting, before somebody has it open for reading.
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits())?;
        until("an heir that asks for the slots", SOON, || {
            let mut options = fs::File::options();
            options.write(true).custom_flags(nonblocking);
            match (options.open(&self.path), self.heir.try_wait()) {
                (Ok(pipe), _) => Some(Ok(pipe)),
                (Err(_), Ok(None)) => None,
                (Err(error), _) => Some(Err(error)),
            }
        })?
        .context("the heir ended")
    }
}

/// Tells the daemon to end, and waits until it knows.
fn tell_to_end(daemon: &Daemon) -> Result<()> {
    daemon.signal(Signal::TERM)?;
    until("a daemon that waits for what becomes of it", SOON, || {
        let log = daemon.log();
        log.contains("ending once that is decided").then_some(())
    })
}

#[test]
fn a_daemon_told_to_end_after_it_stood_aside_leaves_its_heir_everything() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let before = Snapshot::settled(&lab)?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let mut held = Held::new(&lab, &daemon)?;
    let mut pipe = held.asks()?;
    tell_to_end(&daemon)?;
    pipe.write_all(held.slots.as_bytes())?;
    drop(pipe);
    let ended = daemon.ends()?;
    ensure!(ended.success(), "the elder ended with {ended}");
    // Found by its name, and with all that it stands on.
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    let run_dir = Path::new("/run").join(lab.name());
    for name in ["admin.sock", "successor.sock", "lock", "slots.json"] {
        ensure!(run_dir.join(name).exists(), "{name} is gone");
    }
    let down = daemon.command(&["down"])?;
    let told = String::from_utf8_lossy(&down.stderr);
    ensure!(down.status.success(), "{told}");
    let ended = held.heir.wait()?;
    ensure!(ended.success(), "the heir ended with {ended}");
    nothing_is_left(&lab, &before)
}

#[test]
fn a_daemon_told_to_end_whose_heir_fails_then_removes_everything() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&Settings::default())?;
    let mut held = Held::new(&lab, &daemon)?;
    let pipe = held.asks()?;
    tell_to_end(&daemon)?;
    // The elder will want to read them too.
    let whole = held.path.with_extension("whole");
    fs::write(&whole, &held.slots)?;
    fs::rename(&whole, &held.path)?;
    held.heir.kill()?;
    held.heir.wait()?;
    drop(pipe);
    let ended = daemon.ends()?;
    ensure!(ended.success(), "the elder ended with {ended}");
    nothing_is_left(&lab, &before)
}
