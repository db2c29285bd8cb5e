//! What an administrator does to domains, and what their guests are told then.

use anyhow::{Context, Result, ensure};
use metad_tests::needs;
use metad_tests::virt::{Guest, Host, Metadata, Network, Nic, until};
use serde_json::Value;

use super::{SOON, asked, host, met, small, told, told_soon};

const TYPE: &str = "/latest/meta-data/instance-type";
const ID: &str = "/latest/meta-data/instance-id";

fn of_type(instance_type: &str) -> Metadata {
    Metadata {
        instance_type: Some(instance_type.to_owned()),
        ..Metadata::default()
    }
}

/// The slot of an instance's first NIC; `null` where it has none, and nothing where the instance is not known.
fn slot(host: &Host, name: &str) -> Result<Option<Value>> {
    let status = host.metad.status()?;
    let instances = status["instances"]
        .as_array()
        .context("no instances in the status")?;
    let instance = instances.iter().find(|instance| instance["name"] == name);
    Ok(instance.map(|instance| instance["nics"][0]["slot"].clone()))
}

fn problems(host: &Host, name: &str) -> Result<Vec<String>> {
    let status = host.metad.status()?;
    let problems = status["problems"]
        .as_array()
        .context("no problems in the status")?;
    let of_name = problems.iter().filter(|problem| problem["subject"] == name);
    Ok(of_name
        .map(|problem| problem["problem"].to_string())
        .collect())
}

#[test]
fn a_live_edit_counts_at_the_next_request_and_a_persistent_one_at_the_next_start() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nic = Nic::new(Network::Default, 10);
    let (mut guest, mut inside) = small(&host, "edited", &[nic], of_type("first"))?;
    ensure!(told(&mut inside, TYPE)? == "first");
    guest.set_metadata(&host.libvirt, &of_type("persistent"), &["--config"])?;
    guest.set_metadata(&host.libvirt, &of_type("live"), &["--live"])?;
    told_soon(&mut inside, TYPE, "live")?;
    guest.destroy(&host.libvirt)?;
    guest.start(&host.libvirt)?;
    let mut inside = met(&guest)?;
    ensure!(
        told(&mut inside, TYPE)? == "persistent",
        "the next start takes the persistent one"
    );
    guest.remove(&host.libvirt)
}

#[test]
fn a_stopped_domain_has_no_seat_and_a_started_one_is_itself_again() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nic = Nic::new(Network::Default, 11);
    let (mut guest, mut inside) = small(&host, "restarted", &[nic], of_type("any"))?;
    let id = told(&mut inside, ID)?;
    let first = slot(&host, "restarted")?.context("not listed")?;
    ensure!(first.is_number(), "{first}");
    guest.destroy(&host.libvirt)?;
    until(SOON, "the seat to be gone", || {
        Ok((slot(&host, "restarted")? == Some(Value::Null)).then_some(()))
    })?;
    guest.start(&host.libvirt)?;
    let mut inside = met(&guest)?;
    ensure!(
        told(&mut inside, ID)? == id,
        "another instance after a restart"
    );
    let second = slot(&host, "restarted")?.context("not listed")?;
    ensure!(
        second.is_number() && second != first,
        "slot {first} did not rest: {second}"
    );
    let name = guest.name().to_owned();
    guest.remove(&host.libvirt)?;
    until(SOON, "an undefined domain to be forgotten", || {
        Ok(slot(&host, &name)?.is_none().then_some(()))
    })
}

#[test]
fn metadata_that_cannot_be_read_leaves_the_last_good_one_and_is_shown() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nic = Nic::new(Network::Default, 12);
    let (guest, mut inside) = small(&host, "spoilt", &[nic], of_type("good"))?;
    ensure!(told(&mut inside, TYPE)? == "good");
    set_raw(
        &host,
        &guest,
        "<instance><instance-typo>bad</instance-typo></instance>",
    )?;
    let shown = until(SOON, "the problem to be shown", || {
        Ok(problems(&host, "spoilt")?.into_iter().next())
    })?;
    ensure!(shown.contains("instance-typo"), "{shown}");
    ensure!(
        told(&mut inside, TYPE)? == "good",
        "the last good one is gone"
    );
    guest.set_metadata(&host.libvirt, &of_type("better"), &["--live"])?;
    told_soon(&mut inside, TYPE, "better")?;
    ensure!(
        problems(&host, "spoilt")?.is_empty(),
        "the problem is still shown"
    );
    guest.remove(&host.libvirt)
}

fn set_raw(host: &Host, guest: &Guest, element: &str) -> Result<()> {
    let uri = "urn:metad:instance:1";
    let words = [
        "metadata",
        guest.name(),
        "--uri",
        uri,
        "--key",
        "metad",
        "--live",
        "--set",
        element,
    ];
    host.libvirt.virsh(words)?;
    Ok(())
}

#[test]
fn guests_are_answered_while_libvirtd_restarts_and_edits_count_afterwards() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let mut host = host()?;
    let nic = Nic::new(Network::Default, 13);
    let (guest, mut inside) = small(&host, "steady", &[nic], of_type("before"))?;
    let before = slot(&host, "steady")?;
    host.libvirt.stop();
    ensure!(
        told(&mut inside, TYPE)? == "before",
        "while libvirtd is away"
    );
    host.libvirt.start_again()?;
    ensure!(told(&mut inside, TYPE)? == "before", "after its return");
    let nic = Nic::new(Network::Default, 14);
    let (newcomer, mut new) = small(&host, "newcomer", &[nic], of_type("new"))?;
    ensure!(
        told(&mut new, TYPE)? == "new",
        "a guest that was started since"
    );
    newcomer.remove(&host.libvirt)?;
    guest.set_metadata(&host.libvirt, &of_type("after"), &["--live"])?;
    told_soon(&mut inside, TYPE, "after")?;
    ensure!(
        slot(&host, "steady")? == before,
        "a running guest has lost its seat"
    );
    ensure!(
        asked(&host, "steady")
            .iter()
            .all(|asked| asked.status == 200)
    );
    guest.remove(&host.libvirt)
}
