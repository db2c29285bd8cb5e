//! Lies about who is where: another guest's address, the router's, a router of one's own. Guests and host believe them,
//! and everybody still gets their own answers, for nothing that metad does asks a neighbour table.

use std::net::Ipv6Addr;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{METADATA, claim, concerns, ipv6, mac_text};
use metad_tests::lab::{Guest, Settings, Wire, until};
use metad_tests::needs;

use super::super::ipv6::gets_its_own_at;
use super::super::spoof::{SECRET, VICTIM, contains, scene};
use super::super::{GATEWAY, SOON, gets_its_own, text};
use crate::attacks::Attack;

/// How often the victim asks while the lie is believed.
const ROUNDS: u64 = 25;

/// The victim gets its secret, and the attacker's NIC sees nothing of that.
fn victim_alone_is_told(victim: &Guest, wire: &Wire) -> Result<u64> {
    let mut leaked = 0;
    for _ in 0..ROUNDS {
        gets_its_own(victim)?;
        assert_eq!(text(victim, "/latest/user-data")?, SECRET);
        for frame in wire.drain()? {
            leaked += u64::from(contains(&frame, SECRET) || concerns(&frame, METADATA));
        }
    }
    Ok(leaked)
}

#[test]
fn a_guest_that_claims_another_ones_address_hears_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let wire = attacker.wire()?;
    let believed = || -> Option<()> {
        // Refused at once, and the host knows the victim from then on.
        let _refused = lab.host().connect(VICTIM, 9, SOON).ok()?;
        wire.send(&claim(attacker.mac(), VICTIM)).ok()?;
        let known = lab.host().output("ip neighbour show dev br0").ok()?;
        let theirs = |line: &str| line.starts_with(&format!("{VICTIM} "));
        let entry = known.lines().find(|line| theirs(line))?;
        entry.contains(&mac_text(attacker.mac())).then_some(())
    };
    until("a host that believes the claim", SOON, believed)?;
    wire.drain()?;
    Attack {
        name: "gratuitous ARP for another guest's address, which the host believes",
        tries: ROUNDS,
        leaked: victim_alone_is_told(&victim, &wire)?,
        stopped_by: "answers go to the tap and the MAC that the connection came from; no neighbour table is asked",
    }
    .report()
}

#[test]
fn a_guest_that_claims_the_gateway_hears_nothing_of_metadata() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let wire = attacker.wire()?;
    let mac = mac_text(attacker.mac());
    // The gateway's own answers would win now and then; the victim believes the attacker for good.
    victim.ip(&format!(
        "neighbour replace {GATEWAY} lladdr {mac} dev eth0 nud permanent"
    ))?;
    let lost = victim.space().connect(GATEWAY, 9, super::super::BRIEFLY)?;
    ensure!(lost.is_err(), "the gateway answered");
    let stolen = wire.drain()?;
    let stolen = stolen
        .iter()
        .filter(|frame| concerns(frame, GATEWAY))
        .count();
    ensure!(
        stolen > 0,
        "the attacker does not get the victim's other frames"
    );
    Attack {
        name: "ARP for the router's address, so that the victim's frames go to the attacker",
        tries: ROUNDS,
        leaked: victim_alone_is_told(&victim, &wire)?,
        stopped_by: "the victim's own tap takes its frames to the metadata address, whatever MAC it writes to",
    }
    .report()
}

/// To a group's address, everybody on the bridge hears what the victim sends, and nobody takes it for its own.
#[test]
fn a_guest_that_puts_a_group_in_the_gateways_place_cuts_nobody_off() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let wire = attacker.wire()?;
    let mut leaked = 0;
    for group in [
        [0xff; 6],
        [0x01, 0, 0x5e, 0, 0, 5],
        [0x33, 0x33, 0, 0, 0, 1],
    ] {
        let mut lie = claim(group, GATEWAY);
        lie.splice(6..12, attacker.mac());
        // Refused at once, and the victim knows the gateway from then on.
        let _refused = victim.space().connect(GATEWAY, 9, SOON)?;
        until("a victim that believes the claim", SOON, || {
            wire.send(&lie).ok()?;
            let known = victim.space().output("ip neighbour show dev eth0").ok()?;
            let theirs = |line: &str| line.starts_with(&format!("{GATEWAY} "));
            let entry = known.lines().find(|line| theirs(line))?;
            entry.contains(&mac_text(group)).then_some(())
        })?;
        victim.ip(&format!(
            "neighbour replace {GATEWAY} lladdr {} dev eth0 nud permanent",
            mac_text(group)
        ))?;
        leaked += victim_alone_is_told(&victim, &wire)?;
        victim.ip(&format!("neighbour delete {GATEWAY} dev eth0"))?;
        gets_its_own(&victim)?;
    }
    Attack {
        name: "ARP that puts a group's MAC in the router's place, which the victim believes",
        tries: 3 * ROUNDS,
        leaked,
        stopped_by: "the victim's own tap takes its frames to the metadata address, whatever MAC it writes to",
    }
    .report()
}

/// The address that a NIC gives itself (RFC 4291, appendix A).
fn link_local(guest: &Guest) -> Ipv6Addr {
    let [a, b, c, d, e, f] = guest.mac().map(u16::from);
    let pair = |high: u16, low: u16| high << 8 | low;
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        pair(a ^ 2, b),
        pair(c, 0xff),
        pair(0xfe, d),
        pair(e, f),
    )
}

#[test]
fn a_guest_that_makes_itself_the_router_hears_nothing_of_metadata() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = super::super::ipv6::spoof::scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    victim.ip("-6 route delete fd00:ec2::254/128 dev eth0")?;
    victim.space().set("net/ipv6/conf/eth0/accept_ra", "2")?;
    let lost = victim.connect_ipv6(ipv6::METADATA[0], 80, super::super::BRIEFLY)?;
    ensure!(lost.is_err(), "the victim has another way to the address");
    // A router says that it is one when it is asked where it is, or its offer is forgotten (RFC 4861, 7.2.5).
    attacker.space().set("net/ipv6/conf/all/forwarding", "1")?;
    let wire = attacker.wire()?;
    let own = link_local(&attacker);
    let offer = ipv6::router(&ipv6::Ends {
        from_mac: attacker.mac(),
        to_mac: [0x33, 0x33, 0, 0, 0, 1],
        from: own,
        to: ipv6::ALL_NODES,
        from_port: 0,
        to_port: 0,
    });
    until("a victim that believes the advertisement", SOON, || {
        wire.send(&offer).ok()?;
        let routes = victim.space().output("ip -6 route show default").ok()?;
        routes.contains(&own.to_string()).then_some(())
    })
    .with_context(|| format!("{own} is no router"))?;
    let mut leaked = 0;
    for _ in 0..ROUNDS {
        gets_its_own_at(&victim, ipv6::METADATA[0])?;
        for frame in wire.drain()? {
            // What the attacker's NIC sends itself is not heard from others.
            let own = frame.get(6..12) == Some(&attacker.mac()[..]);
            leaked += u64::from(!own && ipv6::concerns(&frame, ipv6::METADATA[0]));
        }
    }
    Attack {
        name: "router advertisements, so that the victim's frames go to the attacker",
        tries: ROUNDS,
        leaked,
        stopped_by: "the victim's own tap takes its frames to the metadata address, whatever MAC it writes to",
    }
    .report()
}
