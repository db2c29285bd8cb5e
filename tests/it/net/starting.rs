//! What a daemon is told by signals and by `metad down` while it comes up: its sources take their time, as a libvirt that
//! hangs does.

use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use metad_tests::lab::{Daemon, Lab, Settings, Snapshot, signal, until};
use metad_tests::needs;
use rustix::process::Signal;

use super::lifecycle::no_programs;
use super::{SOON, gets_its_own, guest, host_with_bridge};

/// A libvirt that takes connections and says nothing.
struct Hung {
    _socket: UnixListener,
    source: String,
}

impl Hung {
    fn new(lab: &Lab) -> Result<Self> {
        let path = lab.directory().join("libvirt-sock");
        let source = format!(
            "[[source]]\nkind = \"libvirt\"\nuri = \"qemu+unix:///system?socket={}\"",
            path.display()
        );
        Ok(Self {
            _socket: UnixListener::bind(path)?,
            source,
        })
    }
}

/// A daemon that has begun to start, has attached its programs, and waits for its sources.
fn begun(lab: &Lab, hung: &Hung) -> Result<Daemon> {
    let mut daemon = lab.serve(&Settings {
        more: &hung.source,
        ..Settings::default()
    })?;
    daemon.stop()?;
    let before = daemon.log().len();
    daemon.begin()?;
    until("a daemon that waits for its sources", SOON, || {
        let log = daemon.log();
        let said = log.get(before..).unwrap_or_default();
        said.contains("attached").then_some(())
    })?;
    Ok(daemon)
}

fn nothing_is_left(lab: &Lab, before: &Snapshot) -> Result<()> {
    let after = Snapshot::settled(lab)?;
    assert_eq!(before.differences(&after), Vec::<String>::new());
    no_programs(lab, &["br0", "tap-alice"])
}

#[test]
fn a_daemon_told_to_end_while_it_starts_leaves_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let _alice = guest(&lab, "alice", 5)?;
    let hung = Hung::new(&lab)?;
    let before = Snapshot::settled(&lab)?;
    for told in [Signal::TERM, Signal::INT] {
        let mut daemon = begun(&lab, &hung)?;
        daemon.signal(told)?;
        let ended = daemon.ends()?;
        ensure!(ended.success(), "{told:?}: {ended}\n{}", daemon.log());
        nothing_is_left(&lab, &before)?;
    }
    Ok(())
}

#[test]
fn down_waits_for_a_daemon_that_starts_and_ends_it_without_force() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let _alice = guest(&lab, "alice", 5)?;
    let hung = Hung::new(&lab)?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = begun(&lab, &hung)?;
    let down = daemon.command(&["down"])?;
    let told = String::from_utf8_lossy(&down.stdout);
    ensure!(down.status.success(), "{told}");
    let stopped = format!("stopped the metad called `{}`", lab.name());
    ensure!(told.contains(&stopped), "{told}");
    let ended = daemon.ends()?;
    ensure!(ended.success(), "{ended}\n{}", daemon.log());
    nothing_is_left(&lab, &before)
}

#[test]
fn an_heir_told_to_end_while_it_waits_leaves_the_running_daemon_serving() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let hung = Hung::new(&lab)?;
    let daemon = lab.serve(&Settings {
        more: &hung.source,
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    let mut heir = daemon.heir()?;
    until("an heir that waits", SOON, || {
        daemon
            .log()
            .contains("serves until every source")
            .then_some(())
    })?;
    signal(heir.id(), Signal::TERM)?;
    let ended = heir.wait()?;
    assert_eq!(ended.code(), Some(1), "{}", daemon.log());
    let log = daemon.log();
    ensure!(log.contains("the running one serves on"), "{log}");
    gets_its_own(&alice)?;
    let status = daemon.command(&["status"])?;
    ensure!(status.status.success(), "the elder's door is shut");
    Ok(())
}

#[test]
fn a_hang_up_without_a_terminal_ends_nothing_and_says_what_to_do() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    daemon.signal(Signal::HUP)?;
    until("a word about it", SOON, || {
        let said = daemon.log().contains("SIGHUP changes nothing");
        (said || daemon.has_ended().unwrap_or(true)).then_some(())
    })?;
    ensure!(!daemon.has_ended()?, "it ended");
    gets_its_own(&alice)
}
