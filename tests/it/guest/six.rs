//! Guests on a network that knows IPv6 alone: libvirt announces a router and a prefix, no DHCP answers, and no IPv4
//! address is ever theirs.

use anyhow::{Result, ensure};
use metad_tests::image::Debian;
use metad_tests::needs;
use metad_tests::virt::{Identity, Network, Nic};

use super::debian::{boot, got};
use super::host;

/// Where cloud-init's EC2 source looks beside IPv4; NoCloud is told it.
const SERVICE: &str = "http://[fd00:ec2::254]";

#[test]
fn with_ipv6_alone_guests_configure_themselves_as_ec2_with_tokens_and_as_nocloud() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nics = [1, 2].map(|number| Nic::new(Network::Six, number));
    // Whoever asks without a token gets 401 here, so every 200 on the data proves one.
    let required = Some("required");
    let (bookworm, trixie) = (Debian::Bookworm, Debian::Trixie);
    let ec2 = boot(&host, "six-ec2", trixie, Identity::Ec2, nics[0], required)?;
    let serial = Identity::Serial(bookworm.nocloud_serial(&format!("{SERVICE}/nocloud/")));
    let nocloud = boot(&host, "six-nocloud", bookworm, serial, nics[1], None)?;
    for (booting, source, method, path) in [
        (&ec2, "DataSourceEc2", "PUT", "/latest/api/token"),
        (
            &nocloud,
            "DataSourceNoCloudNet",
            "GET",
            "/nocloud/meta-data",
        ),
    ] {
        booting.configured(source)?;
        let asked = booting.asked_well(&host)?;
        ensure!(got(&asked, method, path), "{source}: {asked:?}");
        let addresses = booting.run("ip -4 -oneline address show scope global")?;
        ensure!(addresses.is_empty(), "{source} has IPv4: {addresses}");
        let routes = booting.run("ip -4 route show table all type unicast")?;
        ensure!(routes.is_empty(), "{source} has IPv4: {routes}");
        let said = booting.run("sudo grep -F -c 'fd00:ec2::254' /var/log/cloud-init.log")?;
        ensure!(said.trim() != "0", "{source} asked elsewhere");
    }
    let chosen = format!("Using metadata source: '{SERVICE}'");
    let log = ec2.run("sudo grep -F 'Using metadata source' /var/log/cloud-init.log")?;
    ensure!(log.contains(&chosen), "it asked elsewhere: {log}");
    ec2.guest.remove(&host.libvirt)?;
    nocloud.guest.remove(&host.libvirt)
}
