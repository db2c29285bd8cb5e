//! Controls: what the other tests assert not to happen does happen without metad, and a snapshot sees every change.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{Ends, METADATA, addresses, claim, concerns, mac_text, syn};
use metad_tests::lab::{Lab, Plug, Snapshot};
use metad_tests::needs;

use super::{SOON, host_with_bridge};

#[test]
fn without_metad_the_lan_sees_what_a_guest_sends_to_the_address() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let guest = lab.guest("guest", Plug::Bridge("br0"), Some("10.77.0.6/24"))?;
    let lan = lab.guest("lan", Plug::Bridge("br0"), None)?;
    let (wire, lan) = (guest.wire()?, lan.wire()?);
    let ends = Ends {
        from_mac: guest.mac(),
        to_mac: [0x02, 0, 0, 0, 0, 0xee],
        from: "10.77.0.6".parse()?,
        to: METADATA,
        from_port: 40_000,
        to_port: 80,
    };
    for (what, frame) in [
        ("a segment", syn(&ends)),
        ("a claim", claim(guest.mac(), METADATA)),
    ] {
        wire.send(&frame)?;
        lan.wait_for(what, SOON, |seen| concerns(seen, METADATA))
            .context("the controls of the leak tests")?;
    }
    Ok(())
}

#[test]
fn without_metad_a_stolen_mac_gets_the_owners_frames() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let victim = lab.guest("victim", Plug::Bridge("br0"), Some("10.77.0.5/24"))?;
    let thief = lab.guest("thief", Plug::Bridge("br0"), Some("10.77.0.6/24"))?;
    let wire = thief.wire()?;
    let mac = mac_text(victim.mac());
    // Otherwise the host would ask, and the victim's own answer would bring its frames back.
    lab.host().ip(&format!(
        "neighbour add 10.77.0.5 lladdr {mac} dev br0 nud permanent"
    ))?;
    let stolen = Ends {
        from_mac: victim.mac(),
        to_mac: lab.mac_of("br0")?,
        from: "10.77.0.5".parse()?,
        to: super::GATEWAY,
        from_port: 40_000,
        to_port: 9,
    };
    wire.send(&syn(&stolen))?;
    // The host's refusal comes to the thief, since the bridge has learned the MAC there.
    wire.wait_for("an answer to the thief", SOON, |frame| {
        addresses(frame).is_some_and(|(from, _)| from == super::GATEWAY)
    })?;
    Ok(())
}

/// What it is, how to make it and how to undo it; NAME is the daemon's.
const TRACES: [(&str, &str, &str); 11] = [
    (
        "a link",
        "ip link add veth9 type veth peer name veth8",
        "ip link delete veth9",
    ),
    (
        "an address",
        "ip address add 10.6.6.6/32 dev br0",
        "ip address delete 10.6.6.6/32 dev br0",
    ),
    (
        "a route",
        "ip route add 10.9.9.0/24 dev br0",
        "ip route delete 10.9.9.0/24 dev br0",
    ),
    (
        "a rule",
        "ip rule add from 10.9.9.9 lookup 77",
        "ip rule delete from 10.9.9.9 lookup 77",
    ),
    ("a table", "nft add table inet x", "nft delete table inet x"),
    (
        "a qdisc",
        "tc qdisc add dev br0 clsact",
        "tc qdisc delete dev br0 clsact",
    ),
    (
        "a neighbour",
        "ip neighbour add 10.77.0.99 lladdr 02:00:00:00:00:01 dev br0 nud permanent",
        "ip neighbour delete 10.77.0.99 dev br0",
    ),
    (
        "a setting",
        "sysctl -q -w net.ipv4.conf.br0.route_localnet=1",
        "sysctl -q -w net.ipv4.conf.br0.route_localnet=0",
    ),
    ("a namespace", "ip netns add NAME", "ip netns delete NAME"),
    ("a socket", "mkdir /run/NAME", "rmdir /run/NAME"),
    ("a pin", "mkdir /sys/fs/bpf/NAME", "rmdir /sys/fs/bpf/NAME"),
];

#[test]
fn a_snapshot_sees_every_kind_of_trace() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let _guest = lab.guest("guest", Plug::Bridge("br0"), Some("10.77.0.6/24"))?;
    let before = Snapshot::settled(&lab)?;
    ensure!(
        before.lines() > 500,
        "{} lines are no whole host",
        before.lines()
    );
    let name = lab.name();
    for (what, make, undo) in TRACES {
        let (make, undo) = (make.replace("NAME", name), undo.replace("NAME", name));
        lab.host().output(&make)?;
        let seen = before.differences(&Snapshot::take(&lab)?);
        ensure!(!seen.is_empty(), "{what} is not seen");
        lab.host().output(&undo)?;
        // The kernel takes some of its own consequences back a moment later.
        let mut left = Vec::new();
        metad_tests::lab::until("nothing left", Duration::from_secs(60), || {
            left = before.differences(&Snapshot::take(&lab).ok()?);
            left.is_empty().then_some(())
        })
        .with_context(|| format!("{what}: {}", left.join("\n")))?;
    }
    Ok(())
}

#[test]
fn labs_do_not_meet() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (one, two) = (Lab::new()?, Lab::new()?);
    assert_ne!(
        one.name(),
        two.name(),
        "pins and sockets are named after it"
    );
    one.bridge("br0", &["10.77.0.1/24"])?;
    two.bridge("br0", &["10.77.0.1/24"])?;
    one.host().ip("link delete br0")?;
    two.mac_of("br0").map(|_| ())
}
