//! What an administrator writes counts at the guest's next request, and a slip of the pen costs nothing.

use anyhow::Result;
use metad_tests::lab::Settings;
use metad_tests::needs;
use serde_json::{Value, json};

use super::{gets_its_own, guest, host_with_bridge, text};

const TYPE: &str = "/latest/meta-data/instance-type";

#[test]
fn an_edited_record_counts_at_the_next_request() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for kind in ["c1.small", "c2.large", "c3.huge"] {
        let mut record = alice.record();
        record["instance-type"] = json!(kind);
        lab.record("alice", &record)?;
        metad_tests::lab::until("the new instance-type", super::SOON, || {
            (text(&alice, TYPE).ok()? == kind).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn a_record_that_cannot_be_read_leaves_the_last_good_one() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut record = alice.record();
    record["instance-type"] = json!("c1.small");
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    lab.record_text(
        "alice.json",
        "{ \"hostname\": \"alice\",\n  \"instance-type\": ",
    )?;
    daemon.status_until("a problem with the line", |status| {
        let problems = status["problems"].as_array().map_or(&[][..], Vec::as_slice);
        problems.iter().any(|it| {
            let problem = it["problem"].as_str().unwrap_or_default();
            problem.contains("line") && problem.contains('2')
        })
    })?;
    assert_eq!(
        text(&alice, TYPE)?,
        "c1.small",
        "the last good record still counts"
    );
    record["instance-type"] = json!("c2.large");
    lab.record("alice", &record)?;
    daemon.status_until("no problem any more", |status| {
        status["problems"].as_array().is_some_and(Vec::is_empty)
    })?;
    assert_eq!(
        text(&alice, TYPE)?,
        "c2.large",
        "the next good record counts"
    );
    Ok(())
}

#[test]
fn a_removed_record_ends_the_answers_of_its_guest_alone() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    gets_its_own(&alice)?;
    lab.forget("alice")?;
    daemon.status_until("an inventory without alice", |status| {
        let instances = status["instances"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        instances.iter().all(|it| it["name"] != json!("alice"))
    })?;
    let refused = alice.try_connect(80, super::BRIEFLY)?;
    assert!(refused.is_err(), "alice is a stranger");
    gets_its_own(&bob)
}

#[test]
fn query_tells_an_administrator_what_the_guest_is_told() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for path in [
        "/",
        "/latest/meta-data/",
        "/latest/meta-data/hostname",
        "/nocloud/meta-data",
    ] {
        let asked = daemon.command(&["query", "--as", "alice", path])?;
        let told = text(&alice, path)?;
        let queried = String::from_utf8_lossy(&asked.stdout).into_owned();
        assert_eq!(queried.trim_end(), told.trim_end(), "{path}");
    }
    let missing = daemon.command(&["query", "--as", "alice", "/latest/meta-data/nothing"])?;
    assert_eq!(missing.status.code(), Some(8), "a guest would be told 404");
    let status: Value = daemon.status()?;
    assert_eq!(status["name"], json!(lab.name()));
    Ok(())
}
