//! One daemon after another, the flood guard, and events that were lost, by what this kernel has for them.

use anyhow::{Context, Result, ensure};
use metad_tests::lab::Settings;
use metad_tests::needs;
use serde_json::Value;

use crate::net::lifecycle::{End, compare};
use crate::net::taps::does_not_inherit_after_lost_events;
use crate::net::{gets_its_own, guest, host_with_bridge};

#[test]
fn a_daemon_that_leaves_or_is_followed_is_gone_on_with() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.with_words(&["--leave"]);
    daemon.stop()?;
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    let nic = |status: &Value| status["instances"][0]["nics"][0].clone();
    let before = nic(&daemon.status()?);
    for how in ["a restart that leaves", "a crash", "a take-over"] {
        let logged = daemon.log().len();
        match how {
            "a take-over" => {
                daemon.take_over()?;
            }
            "a crash" => {
                daemon.kill()?;
                daemon.start_again()?;
            }
            _ => {
                daemon.stop()?;
                daemon.start_again()?;
            }
        }
        daemon.seated(&["alice"])?;
        gets_its_own(&alice).with_context(|| how.to_owned())?;
        ensure!(nic(&daemon.status()?) == before, "{how}: another slot");
        let log = daemon.log().split_off(logged);
        ensure!(!log.contains("anew"), "{how}:\n{log}");
    }
    Ok(())
}

#[test]
fn the_flood_guard_comes_and_goes() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    compare("auto", "flood-guard = \"on\"", End::Down)
}

#[test]
fn a_tap_made_anew_while_events_were_lost_does_not_inherit() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    does_not_inherit_after_lost_events("auto")
}
