//! A guest on a network that knows IPv6 alone: no DHCP answers it, and no IPv4 address is ever its own.

use anyhow::{Result, ensure};
use metad_tests::image::Debian;
use metad_tests::needs;
use metad_tests::virt::{Identity, Network, Nic};

use super::debian::boot;
use super::host;

#[test]
fn with_ipv6_alone_a_guest_configures_itself_over_its_link() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nic = Nic::new(Network::Six, 1);
    let six = boot(&host, "six", Debian::Trixie, Identity::OpenStack, nic, None)?;
    six.configured("DataSourceOpenStack")?;
    let asked = six.asked_well(&host)?;
    let files = ["meta_data.json", "network_data.json"];
    for path in files.map(|file| format!("/openstack/2018-08-27/{file}")) {
        ensure!(asked.iter().any(|asked| asked.path == path), "{asked:?}");
    }
    let addresses = six.run("ip -4 -oneline address show scope global")?;
    ensure!(addresses.is_empty(), "it has IPv4: {addresses}");
    six.guest.remove(&host.libvirt)
}
