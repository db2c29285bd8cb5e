//! Floor 3: the daemon as an administrator starts it, on a host and with guests made of namespaces.
//!
//! Every test has a host of its own and runs inside a sandbox; none may touch the machine's own network.

mod attacks;
mod benches;
mod broken;
mod conformance;
mod containers;
mod control;
mod demo;
mod drops;
mod edges;
mod failed;
mod flood;
mod going_on;
mod guard;
mod handover;
mod host;
mod hung;
mod identity;
mod install;
pub(crate) mod ipv6;
pub(crate) mod lifecycle;
mod living;
mod namesakes;
mod networks;
mod offload;
mod openstack;
mod path;
mod policy;
mod qdiscs;
mod reach;
mod records;
mod scale;
mod siege;
mod spoof;
mod starting;
pub(crate) mod taps;
mod together;
mod up;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Guest, Lab, Plug, Request};

/// The usual network of these tests, and its host's address.
const NETWORK: &str = "10.77.0";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// How long a change may take to be seen. It takes milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How long a guest tries where no answer is the expected one: long enough for a second SYN.
const BRIEFLY: Duration = Duration::from_millis(1500);

/// A host with the bridge `br0` at [`GATEWAY`].
pub(crate) fn host_with_bridge() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.bridge("br0", &[&format!("{GATEWAY}/24")])?;
    Ok(lab)
}

/// A guest on `br0` with a default route, and its record.
pub(crate) fn guest(lab: &Lab, name: &str, last_octet: u8) -> Result<Guest> {
    let address = format!("{NETWORK}.{last_octet}/24");
    let guest = lab.guest(name, Plug::Bridge("br0"), Some(&address))?;
    guest.ip(&format!("route add default via {GATEWAY}"))?;
    lab.record(name, &guest.record())?;
    Ok(guest)
}

/// A GET that must succeed.
fn text(guest: &Guest, path: &str) -> Result<String> {
    let reply = guest
        .get(path)
        .with_context(|| format!("{} asked for {path}", guest.name()))?;
    ensure!(
        reply.status == 200,
        "{} asked for {path} and got {}: {}",
        guest.name(),
        reply.status,
        reply.text()
    );
    Ok(reply.text())
}

/// The guest gets its own hostname, instance-id and MAC.
pub(crate) fn gets_its_own(guest: &Guest) -> Result<()> {
    let record = guest.record();
    for (path, expected) in [
        ("hostname", guest.name()),
        (
            "instance-id",
            record["instance-id"].as_str().unwrap_or_default(),
        ),
        ("mac", record["nics"][0]["mac"].as_str().unwrap_or_default()),
    ] {
        let told = text(guest, &format!("/latest/meta-data/{path}"))?;
        ensure!(
            told == expected,
            "{} was told the {path} {told:?}, its own is {expected:?}",
            guest.name()
        );
    }
    Ok(())
}

/// A session token.
fn token(guest: &Guest, seconds: &str) -> Result<String> {
    let reply = guest.ask(&Request::token(seconds))?;
    ensure!(reply.status == 200, "no token: {}", reply.status);
    Ok(reply.text())
}
