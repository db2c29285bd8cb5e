//! Whatever a guest writes into its IPv6 frames, it learns nothing of another one, and misleads nobody.

use std::net::Ipv6Addr;

use anyhow::{Result, ensure};
use metad_tests::frames::ipv6::{self, ALL_NODES, Ends, METADATA, addresses, concerns};
use metad_tests::lab::{Guest, Lab, Plug, Request, Settings, until};
use metad_tests::needs;
use serde_json::json;

use super::super::{BRIEFLY, SOON};
use super::{gets_its_own_at, guest, host};
use crate::attacks::Attack;

/// What only the victim may read.
pub(in super::super) const SECRET: &str = "the-secret-of-victim";
const VICTIM: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 5);

/// A victim with a secret and an attacker, both on one bridge, both known.
pub(in super::super) fn scene() -> Result<(Lab, Guest, Guest)> {
    let lab = host()?;
    let (victim, attacker) = (guest(&lab, "victim")?, guest(&lab, "attacker")?);
    victim.ip(&format!("address add {VICTIM}/64 nodad dev eth0"))?;
    let mut record = victim.record();
    record["user-data"] = json!(SECRET);
    lab.record("victim", &record)?;
    Ok((lab, victim, attacker))
}

/// Frames about a metadata address among those that a NIC saw.
fn about_us(frames: &[Vec<u8>]) -> usize {
    let ours = |frame: &&Vec<u8>| METADATA.iter().any(|address| concerns(frame, *address));
    frames.iter().filter(ours).count()
}

#[test]
fn a_spoofed_mac_gets_no_answer_over_ipv6() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, mut attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let gateway = lab.mac_of("br0")?;
    let (wire, victims_wire) = (attacker.wire()?, victim.wire()?);
    let mut attempts = 0;
    for to in METADATA {
        for from_port in 41_000..41_020 {
            wire.send(&ipv6::syn(&Ends {
                from_mac: victim.mac(),
                to_mac: gateway,
                from: VICTIM,
                to,
                from_port,
                to_port: 80,
            }))?;
            attempts += 1;
        }
    }
    until("a drop for every frame", SOON, || {
        (daemon.counters().ok()?.dropped("unknown-sender") >= attempts).then_some(())
    })?;
    let mac = attacker.mac();
    attacker.set_mac(victim.mac())?;
    for address in METADATA {
        let refused = attacker.connect_ipv6(address, 80, BRIEFLY)?;
        ensure!(refused.is_err(), "the victim's MAC on another tap");
    }
    attacker.set_mac(mac)?;
    for (place, wire) in [("the attacker", &wire), ("the victim", &victims_wire)] {
        let segments = wire.drain()?;
        let answers = segments.iter().filter(|frame| {
            let from_us = |(from, _)| METADATA.contains(&from);
            addresses(frame).is_some_and(from_us) && frame.get(20) == Some(&6)
        });
        assert_eq!(answers.count(), 0, "{place} saw answers");
    }
    assert_eq!(daemon.requests().len(), 0, "metad saw no request");
    gets_its_own_at(&victim, METADATA[0])?;
    Attack {
        name: "another guest's MAC and IPv6 address",
        tries: attempts,
        leaked: 0,
        stopped_by: "tap and MAC are looked up together (`unknown-sender`)",
    }
    .report()
}

#[test]
fn a_spoofed_ipv6_address_gets_the_spoofers_own_answer() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    attacker.ip(&format!("address add {VICTIM}/64 nodad dev eth0"))?;
    attacker.ip(&format!(
        "-6 route replace fd00:ec2::254/128 dev eth0 src {VICTIM}"
    ))?;
    for _ in 0..10 {
        for path in ["/latest/meta-data/hostname", "/latest/user-data"] {
            let reply = attacker.ask_ipv6(METADATA[0], &Request::get(path))?;
            let told = reply.text();
            ensure!(!told.contains(SECRET) && !told.contains("victim"), "{told}");
        }
        gets_its_own_at(&attacker, METADATA[0])?;
        gets_its_own_at(&victim, METADATA[0])?;
    }
    Attack {
        name: "another guest's IPv6 address",
        tries: 20,
        leaked: 0,
        stopped_by: "the source address is rewritten to the NIC's slot; nobody asks what it was",
    }
    .report()
}

#[test]
fn a_guest_cannot_claim_an_ipv6_metadata_address() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let (wire, victims_wire) = (attacker.wire()?, victim.wire()?);
    let to_all = Ends {
        from_mac: attacker.mac(),
        to_mac: [0x33, 0x33, 0, 0, 0, 1],
        from: VICTIM,
        to: ALL_NODES,
        from_port: 0,
        to_port: 0,
    };
    let to_victim = Ends {
        to_mac: victim.mac(),
        to: VICTIM,
        ..to_all
    };
    for address in METADATA {
        gets_its_own_at(&victim, address)?;
        for ends in [to_all, to_victim] {
            for from in [ends.from, address] {
                let claim = Ends { from, ..ends };
                wire.send(&ipv6::is_at(&claim, 0x20, address, attacker.mac()))?;
            }
        }
    }
    until("a drop for every claim", SOON, || {
        (daemon.counters().ok()?.dropped("neighbour-claim") == 8).then_some(())
    })?;
    // Taking the address properly: the kernel asks first whether it is free.
    attacker.space().set("net/ipv6/conf/eth0/accept_dad", "1")?;
    for address in METADATA {
        attacker.ip(&format!("address add {address}/128 dev eth0"))?;
        until("an address that is taken already", SOON, || {
            let shown = attacker
                .space()
                .output("ip -6 -oneline address show dev eth0 dadfailed")
                .ok()?;
            shown.contains(&format!("{address}/128")).then_some(())
        })?;
    }
    let heard = victims_wire.drain()?;
    let heard: Vec<Vec<u8>> = heard
        .into_iter()
        .filter(|frame| frame.get(6..12) == Some(&attacker.mac()[..]))
        .collect();
    for address in METADATA {
        gets_its_own_at(&victim, address)?;
    }
    Attack {
        name: "neighbour advertisements for the IPv6 addresses, and the addresses themselves",
        tries: 8 + 2,
        leaked: u64::try_from(about_us(&heard))?,
        stopped_by: "dropped at the tap (`neighbour-claim`); address detection finds them taken",
    }
    .report()
}

#[test]
fn what_is_not_tcp_over_ipv6_is_dropped_counted_and_reaches_nobody() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, _victim, attacker) = scene()?;
    let lan = lab.guest("lan", Plug::Bridge("br0"), None)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["attacker"])?;
    let (wire, lan) = (attacker.wire()?, lan.wire()?);
    let mut sent = 0;
    for to in METADATA {
        let ends = Ends {
            from_mac: attacker.mac(),
            // Nobody's: the bridge would flood it.
            to_mac: [0x02, 0, 0, 0, 0, 0xee],
            from: VICTIM,
            to,
            from_port: 40_000,
            to_port: 80,
        };
        let (syn, options) = (ipv6::syn(&ends), [6, 0, 1, 4, 0, 0, 0, 0]);
        let tcp = syn.get(54..).unwrap_or_default();
        let behind = [&options[..], tcp].concat();
        let (macs, rest) = syn.split_at(12);
        for frame in [
            ipv6::udp(&ends, b"hello"),
            ipv6::echo(&ends),
            ipv6::packet(&ends, 0, 64, &behind),
            ipv6::packet(&ends, 60, 64, &behind),
            ipv6::packet(&ends, 43, 64, &behind),
            ipv6::packet(
                &ends,
                44,
                64,
                &[&[6, 0, 0, 1, 0, 0, 0, 9][..], tcp].concat(),
            ),
            [macs, &[0x81, 0, 0, 0], rest].concat(),
        ] {
            wire.send(&frame)?;
            sent += 1;
        }
    }
    until("a drop for every frame", SOON, || {
        (daemon.counters().ok()?.dropped_in_all() == sent).then_some(())
    })?;
    let counters = daemon.counters()?;
    for (reason, expected) in [
        ("not-tcp", 4),
        ("extension-header", 6),
        ("fragment", 2),
        ("vlan-tagged", 2),
    ] {
        assert_eq!(counters.dropped(reason), expected, "{reason}");
    }
    gets_its_own_at(&attacker, METADATA[1])?;
    Attack {
        name: "IPv6 extension headers, fragments, a VLAN tag, UDP and ICMPv6 to the IPv6 addresses",
        tries: sent,
        leaked: u64::try_from(about_us(&lan.drain()?))?,
        stopped_by: "dropped at the tap (`extension-header`, `fragment`, `vlan-tagged`, `not-tcp`)",
    }
    .report()
}

#[test]
fn a_claim_behind_an_extension_header_to_a_group_mac_cuts_nobody_off() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let wire = attacker.wire()?;
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let ends = Ends {
        from_mac: attacker.mac(),
        to_mac: victim.mac(),
        from: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 6),
        to: VICTIM,
        from_port: 0,
        to_port: 0,
    };
    for address in METADATA {
        gets_its_own_at(&victim, address)?;
        // Override, and eight octets of padding that say that ICMPv6 follows.
        let claim = ipv6::is_at(&ends, 0x20, address, group);
        let payload = [
            &[58, 0, 1, 4, 0, 0, 0, 0][..],
            claim.get(54..).unwrap_or_default(),
        ]
        .concat();
        let hidden = ipv6::packet(&ends, 0, 255, &payload);
        until("a victim that is misled", SOON, || {
            wire.send(&hidden).ok()?;
            let known = victim
                .space()
                .output("ip -6 neighbour show dev eth0")
                .ok()?;
            let entry = known
                .lines()
                .find(|line| line.starts_with(&address.to_string()))?;
            entry.contains("33:33:00:00:00:01").then_some(())
        })?;
        gets_its_own_at(&victim, address)?;
    }
    Attack {
        name: "neighbour advertisements behind an extension header that the victim believes",
        tries: 2,
        leaked: 0,
        stopped_by: "the victim's tap takes its frames to the address, whatever MAC it writes to",
    }
    .report()
}
