//! Guests on a network that knows IPv6 alone: no DHCP answers them, and no IPv4 address is ever theirs.

use anyhow::{Result, ensure};
use metad_tests::image::Debian;
use metad_tests::needs;
use metad_tests::virt::{Identity, Network, Nic};

use super::debian::boot;
use super::host;

#[test]
fn with_ipv6_alone_a_guest_configures_itself_as_ec2_and_as_openstack() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nics = [1, 2].map(|number| Nic::new(Network::Six, number));
    let ec2 = boot(
        &host,
        "six-ec2",
        Debian::Trixie,
        Identity::Ec2,
        nics[0],
        Some("required"),
    )?;
    let openstack = boot(
        &host,
        "six-openstack",
        Debian::Trixie,
        Identity::OpenStack,
        nics[1],
        None,
    )?;
    for (booting, source, path) in [
        (&ec2, "DataSourceEc2", "/latest/api/token"),
        (
            &openstack,
            "DataSourceOpenStack",
            "/openstack/latest/meta_data.json",
        ),
    ] {
        booting.configured(source)?;
        let asked = booting.asked_well(&host)?;
        ensure!(asked.iter().any(|asked| asked.path == path), "{asked:?}");
        let addresses = booting.run("ip -4 -oneline address show scope global")?;
        ensure!(addresses.is_empty(), "it has IPv4: {addresses}");
    }
    ec2.guest.remove(&host.libvirt)?;
    openstack.guest.remove(&host.libvirt)
}
