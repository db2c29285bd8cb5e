//! VLANs on the guests' bridge: the NIC is who asks, and its VLAN is none of metad's business; a guest that tags its
//! frames itself gets no answer, and its questions reach nobody.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{METADATA, concerns, ipv6};
use metad_tests::lab::{Guest, Lab, Plug, Settings, until};
use metad_tests::needs;
use serde_json::json;

use crate::net::ipv6::gets_its_own_at;
use crate::net::{SOON, gets_its_own};

/// Long enough for a second question.
const BRIEFLY: Duration = Duration::from_millis(1_500);

/// A host with a bridge that knows VLANs and puts nobody into one unasked.
fn host() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.host()
        .ip("link add br0 type bridge vlan_filtering 1 vlan_default_pvid 0")?;
    lab.host().ip("link set br0 up")?;
    Ok(lab)
}

/// A guest with an on-link route to the metadata addresses, whose port is in this VLAN, untagged.
fn guest(lab: &Lab, name: &str, address: &str, vlan: u16) -> Result<Guest> {
    let guest = lab.guest(name, Plug::Bridge("br0"), Some(address))?;
    guest.ip("route add 169.254.169.254/32 dev eth0")?;
    guest.ip("-6 route add fd00:ec2::254/128 dev eth0")?;
    member(lab, guest.interface(), vlan, "pvid untagged")?;
    Ok(guest)
}

fn member(lab: &Lab, port: &str, vlan: u16, how: &str) -> Result<()> {
    let line = format!("bridge vlan add dev {port} vid {vlan} {how}");
    lab.host().output(&line).map(drop)
}

#[test]
fn ports_of_two_vlans_are_two_guests_though_mac_and_addresses_are_the_same() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice", "10.77.0.5/24", 10)?;
    let mut bob = guest(&lab, "bob", "10.77.0.5/24", 20)?;
    bob.set_mac(alice.mac())?;
    for guest in [&alice, &bob] {
        lab.record(guest.name(), &guest.record())?;
    }
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    let all = || -> Result<()> {
        for guest in [&alice, &bob] {
            gets_its_own(guest)?;
            for address in ipv6::METADATA {
                gets_its_own_at(guest, address)?;
            }
        }
        Ok(())
    };
    all()?;
    // Another VLAN changes nobody's NIC.
    member(&lab, alice.interface(), 30, "pvid untagged")?;
    all().context("in another VLAN")?;
    ensure!(
        daemon.counters()?.dropped_in_all() == 0,
        "{:?}",
        daemon.counters()
    );
    Ok(())
}

#[test]
fn by_mac_a_port_is_served_in_its_vlan_too() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice", "10.77.0.5/24", 10)?;
    let mut record = alice.record();
    let mac = record["nics"][0]["mac"].clone();
    record["nics"] = json!([{ "mac": mac, "interface": "br0", "bridge": "br0" }]);
    lab.record("alice", &record)?;
    let settings = Settings {
        identity: "mac",
        ..Settings::default()
    };
    let daemon = lab.serve(&settings)?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)
}

#[test]
fn a_guest_that_tags_its_frames_gets_no_answer_and_asks_nobody_in_that_vlan() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let trunk = guest(&lab, "trunk", "10.77.0.5/24", 10)?;
    lab.record("trunk", &trunk.record())?;
    member(&lab, trunk.interface(), 20, "")?;
    let lan = guest(&lab, "lan", "10.78.0.9/24", 20)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["trunk"])?;
    gets_its_own(&trunk).context("without a tag")?;

    for line in [
        "link add link eth0 name eth0.20 type vlan id 20",
        "address add 10.78.0.5/24 dev eth0.20",
        "link set eth0.20 up",
    ] {
        trunk.ip(line)?;
    }
    // The VLAN works: its other member answers, if only that nobody listens.
    let lan_address = Ipv4Addr::new(10, 78, 0, 9);
    until("a way through the VLAN", SOON, || {
        let refused = trunk.space().connect(lan_address, 9, BRIEFLY).ok()?.err()?;
        (refused.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
    })?;
    let wire = lan.wire()?;
    wire.drain()?;
    let before = daemon.counters()?.dropped("vlan-tagged");
    let mut attempts = 0;
    for (route, neighbour) in [
        ("route replace 169.254.169.254/32 dev eth0.20", None),
        (
            "route replace 169.254.169.254/32 dev eth0.20",
            Some("neighbour replace 169.254.169.254 lladdr 02:00:00:00:00:77 dev eth0.20"),
        ),
    ] {
        trunk.ip(route)?;
        neighbour.map_or(Ok(()), |line| trunk.ip(line))?;
        ensure!(
            trunk.try_connect(80, BRIEFLY)?.is_err(),
            "{route}: it was answered"
        );
        attempts += 1;
    }
    trunk.ip("-6 route replace fd00:ec2::254/128 dev eth0.20")?;
    for address in ipv6::METADATA
        .into_iter()
        .filter(|address| !address.is_unicast_link_local())
    {
        let refused = trunk.connect_ipv6(address, 80, BRIEFLY)?;
        ensure!(refused.is_err(), "{address}: it was answered");
        attempts += 1;
    }
    let dropped = daemon.counters()?.dropped("vlan-tagged") - before;
    ensure!(
        dropped >= attempts,
        "{dropped} drops for {attempts} attempts"
    );
    let leaked: Vec<_> = wire
        .drain()?
        .into_iter()
        .filter(|frame| concerns(frame, METADATA) || speaks_of_ipv6(frame))
        .collect();
    ensure!(leaked.is_empty(), "the VLAN saw {leaked:02x?}");

    trunk.ip("route replace 169.254.169.254/32 dev eth0")?;
    gets_its_own(&trunk).context("without a tag again")?;
    needs::note(&format!(
        "{attempts} attempts, {dropped} tagged frames dropped, none leaked"
    ));
    Ok(())
}

/// Whether EC2's IPv6 address is in the frame.
fn speaks_of_ipv6(frame: &[u8]) -> bool {
    ipv6::METADATA
        .iter()
        .any(|address| frame.windows(16).any(|window| window == address.octets()))
}
