//! What an administrator sets while guests run counts at their next request, wakes those who wait, and is kept.

use std::sync::mpsc::channel;
use std::thread;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Request, Settings, until};
use metad_tests::needs;

use super::{SOON, guest, host_with_bridge, text};

const TIME: &str = "/latest/meta-data/spot/termination-time";
const WAIT: &str = "/latest/meta-data/spot/termination-time?wait_for_change=true&timeout_sec=120";
const WHEN: &str = "2026-01-31T12:00:00Z";

/// Runs a command that must succeed.
fn done(daemon: &Daemon, words: &[&str]) -> Result<String> {
    let output = daemon.command(words)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "metad {words:?}: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_guest_that_waits_for_its_end_is_told_when_it_is_set() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    let missing = alice.get(TIME)?;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("etag"), Some("0000000000000000"));
    let stream = alice.connect(80)??;
    let (asked, asks) = channel();
    let waiting = thread::spawn(move || {
        let request = Request::get(WAIT);
        asked.send(()).ok();
        request.send(stream)
    });
    asks.recv().context("nobody asks")?;
    // Something else changes, of the same guest and of another.
    done(&daemon, &["set", "bob", "spot/termination-time", WHEN])?;
    done(&daemon, &["set", "alice", "tags/instance/role", "web"])?;
    assert_eq!(text(&alice, "/latest/meta-data/tags/instance/role")?, "web");
    ensure!(!waiting.is_finished(), "woken by what is not its own");
    done(&daemon, &["set", "alice", "spot/termination-time", WHEN])?;
    let told = waiting.join().ok().context("the guest failed")??;
    assert_eq!((told.status, told.text().as_str()), (200, WHEN));
    assert_eq!(text(&bob, TIME)?, WHEN);
    Ok(())
}

#[test]
fn what_was_set_outlives_the_daemon_and_goes_when_taken_back() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    done(&daemon, &["set", "alice", "spot/termination-time", WHEN])?;
    for ending in ["stopped", "killed"] {
        match ending {
            "stopped" => daemon.stop()?,
            _ => daemon.kill()?,
        };
        daemon.start_again()?;
        daemon.seated(&["alice"])?;
        assert_eq!(text(&alice, TIME)?, WHEN, "{ending}");
    }
    let listed = done(&daemon, &["settings", "alice"])?;
    assert!(listed.contains("spot/termination-time"), "{listed}");
    done(&daemon, &["unset", "alice", "spot"])?;
    assert_eq!(alice.get(TIME)?.status, 404);

    let refused = daemon.command(&["set", "alice", "spot/termination-time", "soon"])?;
    assert_eq!(
        refused.status.code(),
        Some(2),
        "no client would understand it"
    );
    let refused = daemon.command(&["unset", "alcie", "--all"])?;
    assert_eq!(refused.status.code(), Some(7), "nobody is called so");
    Ok(())
}

#[test]
fn what_is_kept_of_a_guest_that_is_gone_stays_until_it_is_taken_back() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let _alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    done(&daemon, &["set", "alice", "a/b", "c"])?;
    lab.forget("alice")?;
    until("an orphan", SOON, || {
        let listed = done(&daemon, &["settings"]).ok()?;
        listed.contains("alice (gone: ").then_some(())
    })?;
    done(&daemon, &["unset", "alice", "--all"])?;
    assert_eq!(done(&daemon, &["settings"])?, "Nothing is set.\n");
    let kept = lab.directory().join("state");
    let told = done(&daemon, &["down"])?;
    assert!(told.contains("--purge removes them"), "{told}");
    assert!(kept.exists(), "down keeps the state");
    let told = done(&daemon, &["down", "--purge"])?;
    assert!(told.contains("removed state directory"), "{told}");
    assert!(!kept.exists(), "down --purge does not");
    Ok(())
}
