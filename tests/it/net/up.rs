//! `metad up` and the daemons after it: what it made is there until `metad down`, whatever becomes of them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Lab, Settings, Snapshot};
use metad_tests::needs;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{gets_its_own, guest, host_with_bridge};

const PINS: &str = "/sys/fs/bpf";

fn done(daemon: &Daemon, words: &[&str]) -> Result<String> {
    let output = daemon.command(words)?;
    ensure!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The network namespace that has the daemon's name, as the kernel numbers it.
fn namespace(lab: &Lab) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let path = Path::new("/run/netns").join(lab.name());
    let found = std::fs::metadata(&path).with_context(|| format!("{}", path.display()))?;
    Ok(found.ino())
}

#[test]
fn a_start_that_fails_leaves_what_up_made_and_the_next_one_heals() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for words in [&[][..], &["--leave"]] {
        let lab = host_with_bridge()?;
        let alice = guest(&lab, "alice", 5)?;
        let before = Snapshot::settled(&lab)?;
        let mut daemon = lab.serve(&Settings::default())?;
        daemon.stop()?;
        before.restored(&lab)?;
        daemon.with_words(words);
        done(&daemon, &["up"])?;
        let made = namespace(&lab)?;
        let after_up = Snapshot::settled(&lab)?;

        // As often as a service manager tries; the datapath has no place to pin to.
        mount("tmpfs", PINS, "tmpfs", MountFlags::RDONLY, None)?;
        let starts: Vec<Result<()>> = (0..3).map(|_| daemon.start_again()).collect();
        unmount(PINS, UnmountFlags::DETACH)?;
        let log = daemon.log();
        ensure!(starts.iter().all(Result::is_err), "{words:?}: {log}");
        ensure!(
            log.contains("/sys/fs/bpf is read-only for this process"),
            "{words:?}: {log}"
        );
        ensure!(!log.contains("stays behind"), "{words:?}: {log}");
        ensure!(namespace(&lab)? == made, "{words:?}: another namespace");
        after_up
            .restored(&lab)
            .with_context(|| format!("{words:?}"))?;
        ensure!(done(&daemon, &["up"])?.contains("is there"), "{words:?}");

        daemon.start_again()?;
        daemon.seated(&["alice"])?;
        gets_its_own(&alice)?;
        ensure!(namespace(&lab)? == made, "{words:?}: another namespace");
        daemon.stop()?;
        done(&daemon, &["down"])?;
        before
            .restored(&lab)
            .with_context(|| format!("{words:?}"))?;
    }
    Ok(())
}

#[test]
fn a_first_start_after_up_misses_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.stop()?;
    done(&daemon, &["up"])?;
    let before = daemon.log().len();
    daemon.start_again()?;
    let log = daemon.log();
    let told = log.get(before..).unwrap_or_default();
    ensure!(!told.contains("slots.json"), "{told}");
    ensure!(!told.contains("anew"), "{told}");
    // One that was killed and has lost its slots is told.
    daemon.kill()?;
    std::fs::remove_file(Path::new("/run").join(lab.name()).join("slots.json"))?;
    daemon.start_again()?;
    let log = daemon.log();
    ensure!(log.contains("cannot read /run/"), "{log}");
    ensure!(log.contains("making programs and tables anew"), "{log}");
    Ok(())
}
