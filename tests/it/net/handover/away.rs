//! A take-over while a source is away: it says what it waits for, and the running daemon serves on.

use anyhow::{Result, ensure};
use metad_tests::lab::{Settings, until};
use metad_tests::needs;

use crate::net::{SOON, gets_its_own, guest, host_with_bridge};

const AWAY: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";

#[test]
fn a_take_over_says_at_once_what_it_waits_for() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let more = format!("[[source]]\nkind = \"libvirt\"\nuri = \"{AWAY}\"");
    let daemon = lab.serve(&Settings {
        more: &more,
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    let before = daemon.log().len();
    let mut heir = daemon.heir()?;
    let told = until("what the heir waits for", SOON, || {
        let log = daemon.log();
        let said = log.get(before..).unwrap_or_default().to_owned();
        let named = said
            .lines()
            .any(|line| line.contains("waiting for what is away") && line.contains(AWAY));
        named.then_some(said)
    });
    let waits = heir.try_wait()?.is_none();
    heir.kill()?;
    heir.wait()?;
    let told = told?;
    ensure!(waits, "it gave up: {told}");
    ensure!(told.contains("limit_s=60"), "for how long: {told}");
    gets_its_own(&alice)
}

#[test]
fn a_take_over_waits_no_longer_than_it_is_told_to() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let more = format!("[[source]]\nkind = \"libvirt\"\nuri = \"{AWAY}\"");
    let daemon = lab.serve(&Settings {
        more: &more,
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    let output = daemon.command(&["serve", "--take-over", "--wait", "2"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{told}");
    for part in [
        "no answer within 2 s from libvirt",
        AWAY,
        "the running metad serves on",
    ] {
        ensure!(told.contains(part), "{part} is not in {told}");
    }
    gets_its_own(&alice)
}

#[test]
fn records_that_are_nowhere_block_no_take_over() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings {
        more: "[[source]]\nkind = \"directory\"\npath = \"/nonexistent/records\"",
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    daemon.take_over()?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    let log = daemon.log();
    ensure!(log.contains("it is not there, so it says nothing"), "{log}");
    Ok(())
}
