//! Networks that give a guest little, and guests that are on several.

use anyhow::{Result, ensure};
use metad_tests::needs;
use metad_tests::smallguest::SmallGuest;
use metad_tests::virt::{Description, Identity, Metadata, Network, Nic, System};

use super::{SMALL_BOOT, host, small, small_image, told};

const TYPE: &str = "/latest/meta-data/instance-type";
const ADDRESS: &str = "/latest/meta-data/local-ipv4";

#[test]
fn a_guest_behind_a_bridge_without_address_needs_only_a_route() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nic = Nic::new(Network::Bare, 1);
    let guest = host.libvirt.boot(&Description {
        name: "bare".to_owned(),
        system: System::Small(small_image()?),
        identity: Identity::Plain,
        nics: vec![nic],
        metadata: Some(Metadata {
            instance_type: Some("bare".to_owned()),
            ..Metadata::default()
        }),
    })?;
    let mut inside = SmallGuest::meet(&guest, SMALL_BOOT)?;
    let answer = inside.get(TYPE);
    ensure!(answer.is_err(), "without address and route: {answer:?}");
    inside.must(&format!(
        "ip link set eth0 up; ip address add {}/24 dev eth0; ip route add 169.254.169.254 dev eth0",
        nic.address()
    ))?;
    ensure!(told(&mut inside, TYPE)? == "bare");
    ensure!(told(&mut inside, ADDRESS)? == nic.address().to_string());
    guest.remove(&host.libvirt)
}

#[test]
fn a_guest_with_two_nics_is_one_machine_on_both() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nics = [
        Nic::new(Network::Default, 34),
        Nic::new(Network::Isolated, 34),
    ];
    let (guest, mut inside) = small(&host, "two-nics", &nics, Metadata::default())?;
    let mut interfaces = Vec::new();
    // Both leases first: each of them sets routes.
    for nic in nics {
        let interface = inside.interface(&nic.mac())?;
        let address = inside.lease(&interface)?;
        ensure!(
            address == nic.address().to_string(),
            "{interface} leased {address}"
        );
        interfaces.push((interface, address));
    }
    for (interface, address) in interfaces {
        inside.must(&format!("ip route replace 169.254.169.254 dev {interface}"))?;
        ensure!(
            told(&mut inside, "/latest/meta-data/hostname")? == "two-nics",
            "{interface}"
        );
        let told = told(&mut inside, ADDRESS)?;
        ensure!(
            told == address,
            "asked through {interface}: {told} instead of {address}"
        );
    }
    guest.remove(&host.libvirt)
}
