//! Several NICs, and NICs that come and go while a guest runs.

use anyhow::{Context, Result, ensure};
use metad_tests::needs;
use metad_tests::virt::{Metadata, Network, Nic, until};

use super::{SOON, asked, host, small, told};

const MACS: &str = "/latest/meta-data/network/interfaces/macs/";

#[test]
fn two_guests_each_get_their_own_with_and_without_a_token() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let mut guests = Vec::new();
    for (name, number) in [("one", 20), ("two", 21)] {
        let nic = Nic::new(Network::Default, number);
        let metadata = Metadata {
            instance_id: Some(format!("i-000000{number}")),
            user_data: Some(format!("of {name}")),
            ..Metadata::default()
        };
        guests.push((name, number, nic, small(&host, name, &[nic], metadata)?));
    }
    for (name, number, nic, (guest, inside)) in &mut guests {
        ensure!(told(inside, "/latest/meta-data/instance-id")? == format!("i-000000{number}"));
        ensure!(told(inside, "/latest/user-data")?.trim() == format!("of {name}"));
        ensure!(told(inside, "/latest/meta-data/local-ipv4")? == nic.address().to_string());
        let reply = inside.session("/latest/meta-data/hostname")?;
        ensure!(
            reply.status == 200 && reply.text() == *name,
            "{name}: {}",
            reply.text()
        );
        let tap = guest.tap(&host.libvirt, *nic)?;
        let asked = asked(&host, name);
        ensure!(
            !asked.is_empty() && asked.iter().all(|asked| asked.interface == tap),
            "{asked:?}"
        );
    }
    for (_, _, _, (guest, _)) in guests {
        guest.remove(&host.libvirt)?;
    }
    Ok(())
}

#[test]
fn a_hot_plugged_nic_has_its_own_subtree_and_can_ask() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let (first, late) = (
        Nic::new(Network::Default, 22),
        Nic::new(Network::Isolated, 22),
    );
    let (guest, mut inside) = small(&host, "growing", &[first], Metadata::default())?;
    ensure!(told(&mut inside, MACS)? == format!("{}/", first.mac()));
    guest.plug(&host.libvirt, late)?;
    inside.lease("eth1")?;
    // Its network's DHCP server gave a route to the metadata address, so from here on it is the one that asks.
    let listed = told(&mut inside, MACS)?;
    ensure!(
        listed == format!("{}/\n{}/", first.mac(), late.mac()),
        "{listed}"
    );
    let number = told(&mut inside, &format!("{MACS}{}/device-number", late.mac()))?;
    ensure!(number == "1", "device number {number}");
    let address = told(&mut inside, "/latest/meta-data/local-ipv4")?;
    ensure!(address == late.address().to_string(), "{address}");
    let last = asked(&host, "growing").pop().context("nothing asked")?;
    ensure!(last.mac == late.mac(), "{last:?}");
    ensure!(
        last.interface == guest.tap(&host.libvirt, late)?,
        "{last:?}"
    );

    guest.unplug(&host.libvirt, late)?;
    let lone = format!("{}/", first.mac());
    until(SOON, "the NIC to be forgotten", || {
        // While the guest still has the NIC, its route leads nowhere; then the first one asks again.
        let reply = inside.get(MACS).ok();
        Ok(reply
            .filter(|reply| reply.status == 200 && reply.text() == lone)
            .map(|_| ()))
    })?;
    guest.remove(&host.libvirt)
}
