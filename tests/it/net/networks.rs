//! Networks that know nothing of each other may use the same addresses.

use anyhow::{Context, Result};
use metad_tests::lab::{Guest, Lab, Plug, Request, Settings};
use metad_tests::needs;

use super::gets_its_own;

/// Two guests whose address, prefix and gateway are the same, on two bridges of one host.
fn twins(lab: &Lab) -> Result<(Guest, Guest)> {
    let mut twins = Vec::new();
    for (bridge, name) in [("br-one", "castor"), ("br-two", "pollux")] {
        lab.bridge(bridge, &["10.5.0.1/24"])?;
        let guest = lab.guest(name, Plug::Bridge(bridge), Some("10.5.0.5/24"))?;
        guest.ip("route add default via 10.5.0.1")?;
        lab.record(name, &guest.record())?;
        twins.push(guest);
    }
    let second = twins.pop().context("two guests")?;
    Ok((twins.pop().context("two guests")?, second))
}

#[test]
fn two_networks_with_the_same_addresses_each_get_their_own() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let (castor, pollux) = twins(&lab)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["castor", "pollux"])?;
    for _ in 0..10 {
        gets_its_own(&castor)?;
        gets_its_own(&pollux)?;
    }
    Ok(())
}

#[test]
fn the_same_mac_address_too_makes_no_difference() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let (castor, mut pollux) = twins(&lab)?;
    pollux.set_mac(castor.mac())?;
    pollux.ip("route replace default via 10.5.0.1")?;
    lab.record("pollux", &pollux.record())?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["castor", "pollux"])?;
    for _ in 0..10 {
        gets_its_own(&castor)?;
        gets_its_own(&pollux)?;
    }
    Ok(())
}

#[test]
fn connections_from_the_same_address_and_port_do_not_meet() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let (castor, pollux) = twins(&lab)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["castor", "pollux"])?;
    // One port to choose from: both connections are 10.5.0.5:40000 -> 169.254.169.254:80.
    for guest in [&castor, &pollux] {
        guest
            .space()
            .within(|| std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000"))??;
    }
    let (first, second) = (castor.connect(80)??, pollux.connect(80)??);
    assert_eq!(
        first.local_addr()?,
        second.local_addr()?,
        "the same four-tuple twice"
    );
    let request = Request::get("/latest/meta-data/hostname");
    // The later one asks first.
    assert_eq!(request.send(second)?.text(), "pollux");
    assert_eq!(request.send(first)?.text(), "castor");
    Ok(())
}
