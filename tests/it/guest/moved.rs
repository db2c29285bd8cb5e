//! A guest that moves from one host to another while it runs.

use anyhow::{Context, Result, ensure};
use metad_tests::lab::Daemon;
use metad_tests::needs;
use metad_tests::smallguest::SmallGuest;
use metad_tests::virt::{Apart, Metadata, Network, Nic, until};

use super::{SMALL_BOOT, SOON, host, small, told, told_soon};

const ID: &str = "/latest/meta-data/instance-id";
const TYPE: &str = "/latest/meta-data/instance-type";

/// Whether this metad has a seat for the guest's NIC; `None`: it does not know the guest.
fn seat(metad: &Daemon, name: &str) -> Result<Option<bool>> {
    let status = metad.status()?;
    let instances = status["instances"].as_array().context("no instances")?;
    let instance = instances.iter().find(|instance| instance["name"] == name);
    Ok(instance.map(|instance| instance["nics"][0]["slot"].is_number()))
}

#[test]
fn a_guest_that_migrates_is_answered_by_the_host_that_it_is_on_and_no_other() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let apart = Apart::start(&host.directory().join("apart"))?;
    let metadata = Metadata {
        instance_type: Some("mobile".to_owned()),
        ..Metadata::default()
    };
    let nic = Nic::new(Network::Default, 35);
    let (mut guest, mut inside) = small(&host, "mobile", &[nic], metadata)?;
    let id = told(&mut inside, ID)?;
    ensure!(seat(&host.metad, "mobile")? == Some(true));
    ensure!(seat(&apart.metad, "mobile")?.is_none());

    guest.migrate(&host.libvirt, apart.libvirt.uri())?;
    let mut inside = SmallGuest::meet_again(&guest, SMALL_BOOT)?;
    told_soon(&mut inside, TYPE, "mobile")?;
    ensure!(
        told(&mut inside, ID)? == id,
        "another instance after the move"
    );
    ensure!(
        inside.session(TYPE)?.text() == "mobile",
        "with a token of the new host"
    );
    ensure!(seat(&apart.metad, "mobile")? == Some(true));
    until(SOON, "the first host to forget it", || {
        Ok(seat(&host.metad, "mobile")?.is_none().then_some(()))
    })?;

    guest.migrate(&apart.libvirt, &apart.first)?;
    let mut inside = SmallGuest::meet_again(&guest, SMALL_BOOT)?;
    told_soon(&mut inside, TYPE, "mobile")?;
    ensure!(
        told(&mut inside, ID)? == id,
        "another instance after the way back"
    );
    until(SOON, "the second host to forget it", || {
        Ok(seat(&apart.metad, "mobile")?.is_none().then_some(()))
    })?;
    needs::note("moved there and back, live: the same instance, one host's at a time");
    guest.remove(&host.libvirt)
}
