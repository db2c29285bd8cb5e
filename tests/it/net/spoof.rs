//! Whatever a guest writes into its frames and requests, it learns nothing of another one. Attempts are counted.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{
    ACK, EVERYONE, Ends, FIN, METADATA, Mac, RST, SYN, addresses, claim, concerns, echo, syn, tcp,
    udp,
};
use metad_tests::lab::{Guest, Lab, Plug, Reply, Request, Settings};
use metad_tests::needs;
use serde_json::json;

use super::{GATEWAY, gets_its_own, guest, host_with_bridge};
use crate::attacks::Attack;

/// What only the victim may read.
pub(super) const SECRET: &str = "the-secret-of-victim";
pub(super) const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
pub(super) const ATTACKER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 6);

/// A victim with a secret and an attacker, both on one bridge, both known.
pub(super) fn scene() -> Result<(Lab, Guest, Guest)> {
    let lab = host_with_bridge()?;
    let (victim, attacker) = (guest(&lab, "victim", 5)?, guest(&lab, "attacker", 6)?);
    let mut record = victim.record();
    record["user-data"] = json!(SECRET);
    lab.record("victim", &record)?;
    Ok((lab, victim, attacker))
}

/// Neither the secret nor the name of the victim is in an answer.
pub(super) fn tells_nothing(reply: &Reply) -> bool {
    let text = reply.text();
    !text.contains(SECRET) && !text.contains("victim")
}

/// Frames from the metadata address.
pub(super) fn answers(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let from_metadata =
        |frame: &Vec<u8>| addresses(frame).is_some_and(|(from, _)| from == METADATA);
    frames.into_iter().filter(from_metadata).collect()
}

pub(super) fn contains(frame: &[u8], text: &str) -> bool {
    frame
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

pub(super) fn ends(from_mac: Mac, to_mac: Mac, from: Ipv4Addr, from_port: u16) -> Ends {
    Ends {
        from_mac,
        to_mac,
        from,
        to: METADATA,
        from_port,
        to_port: 80,
    }
}

#[test]
fn spoofed_mac_gets_no_answer() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, mut attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let gateway = lab.mac_of("br0")?;
    let (wire, victims_wire) = (attacker.wire()?, victim.wire()?);
    let before = daemon.counters()?;
    let mut attempts = 0_u64;
    for from in [VICTIM, ATTACKER, Ipv4Addr::new(198, 51, 100, 1)] {
        for to_mac in [gateway, EVERYONE, [0x02, 0, 0, 0, 0, 0xee]] {
            for port in 41_000..41_025 {
                wire.send(&syn(&ends(victim.mac(), to_mac, from, port)))?;
                attempts += 1;
            }
        }
    }
    daemon.status_until("a drop for every frame", |status| {
        let dropped = status["counters"]["dropped"].as_object();
        let sum: u64 = dropped
            .into_iter()
            .flatten()
            .filter_map(|it| it.1.as_u64())
            .sum();
        sum - before.dropped_in_all() >= attempts
    })?;
    // The kernel's own stack as the attacker: it would finish a handshake.
    let mac = attacker.mac();
    attacker.set_mac(victim.mac())?;
    for _ in 0..3 {
        attempts += 1;
        let refused = attacker.try_connect(80, Duration::from_millis(1200))?;
        ensure!(
            refused.is_err(),
            "the victim's MAC on another tap was let in"
        );
    }
    attacker.set_mac(mac)?;
    for (place, wire) in [("the attacker", &wire), ("the victim", &victims_wire)] {
        let seen = answers(wire.drain()?);
        assert!(seen.is_empty(), "{place} saw {} answers", seen.len());
    }
    assert_eq!(daemon.requests().len(), 0, "metad saw no request");
    gets_its_own(&victim)?;
    gets_its_own(&attacker)?;
    Attack {
        name: "another guest's MAC address, with its IP address and with others",
        tries: attempts,
        leaked: 0,
        stopped_by: "tap and MAC are looked up together (`unknown-sender`)",
    }
    .report()
}

#[test]
fn spoofed_address_gets_the_spoofers_own_answer() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    attacker.ip(&format!("address add {VICTIM}/24 dev eth0"))?;
    attacker.ip(&format!("route replace default via {GATEWAY} src {VICTIM}"))?;
    let mut attempts = 0_u64;
    for _ in 0..25 {
        for path in ["hostname", "instance-id", "mac", "local-ipv4"] {
            let stream = attacker.connect(80)??;
            ensure!(
                stream.local_addr()?.ip() == VICTIM,
                "the attacker uses its own address"
            );
            let reply = Request::get(&format!("/latest/meta-data/{path}")).send(stream)?;
            attempts += 1;
            ensure!(tells_nothing(&reply), "{path}: {}", reply.text());
        }
        let reply = attacker.get("/latest/user-data")?;
        attempts += 1;
        ensure!(
            reply.status == 404 && tells_nothing(&reply),
            "user-data: {}",
            reply.status
        );
        gets_its_own(&attacker)?;
        gets_its_own(&victim)?;
    }
    Attack {
        name: "another guest's IP address",
        tries: attempts,
        leaked: 0,
        stopped_by: "the source address is rewritten to the NIC's slot; nobody asks what it was",
    }
    .report()
}

#[test]
fn segments_for_another_guests_connection_reach_nobody() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let gateway = lab.mac_of("br0")?;
    let (wire, victims_wire) = (attacker.wire()?, victim.wire()?);
    let mut attempts = 0_u64;
    for round in 0..5 {
        // The victim has opened a connection and asked half of its question.
        let mut stream = victim.connect(80)??;
        let port = stream.local_addr()?.port();
        stream.write_all(b"GET /latest/user-data HTTP/1.1\r\n")?;
        let (sequence, acknowledged) =
            newest_numbers(&victims_wire.drain()?, port).context("the victim's own segments")?;
        wire.drain()?;
        // The attacker knows everything about it but cannot sit on the victim's tap.
        for from_mac in [attacker.mac(), victim.mac()] {
            let forged = ends(from_mac, gateway, VICTIM, port);
            for (flags, payload) in [
                (RST, &b""[..]),
                (RST | ACK, b""),
                (FIN | ACK, b""),
                (SYN, b""),
                (ACK, b""),
                (ACK, b"X-Forwarded-For: 10.77.0.6\r\n\r\n"),
                (ACK, b"\r\n"),
            ] {
                for guess in [
                    sequence,
                    sequence.wrapping_add(1),
                    sequence.wrapping_add(30_000),
                ] {
                    wire.send(&tcp(&forged, flags, guess, acknowledged, payload))?;
                    attempts += 1;
                }
            }
        }
        stream.write_all(b"Host: x\r\nConnection: close\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .with_context(|| format!("round {round}: the victim's connection"))?;
        let reply = Reply::parse(&bytes)?;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (200, SECRET),
            "round {round}"
        );
        for frame in answers(wire.drain()?) {
            assert!(
                !contains(&frame, SECRET),
                "round {round}: the attacker saw the secret"
            );
        }
    }
    gets_its_own(&attacker)?;
    Attack {
        name: "segments for another guest's live connection, with the right and with guessed numbers",
        tries: attempts,
        leaked: 0,
        stopped_by: "under its own MAC they belong to the sender's slot, under the victim's to nobody (`unknown-sender`)",
    }
    .report()
}

/// Sequence and acknowledgement number of the last segment that a port sent to metadata.
fn newest_numbers(frames: &[Vec<u8>], port: u16) -> Option<(u32, u32)> {
    let number = |frame: &[u8], at: usize| {
        let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(octets))
    };
    let mine = frames.iter().rev().find(|frame| {
        addresses(frame).is_some_and(|(_, to)| to == METADATA)
            && frame.get(34..36) == Some(&port.to_be_bytes())
    })?;
    // The segment itself carried data; what follows it has the next number.
    let header = usize::from(mine.get(46)? >> 4) * 4;
    let total = usize::from(u16::from_be_bytes(mine.get(16..18)?.try_into().ok()?));
    let payload = u32::try_from(total.checked_sub(20 + header)?).ok()?;
    Some((number(mine, 38)?.wrapping_add(payload), number(mine, 42)?))
}

#[test]
fn a_guest_cannot_claim_the_metadata_address() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    victim.ip("route replace 169.254.169.254/32 dev eth0")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    gets_its_own(&victim)?;
    let (wire, victims_wire) = (attacker.wire()?, victim.wire()?);
    let before = daemon.counters()?.dropped("arp-claim");
    for _ in 0..50 {
        wire.send(&claim(attacker.mac(), METADATA))?;
    }
    daemon.status_until("a drop for every claim", |status| {
        status["counters"]["dropped"]["arp-claim"].as_u64() >= Some(before + 50)
    })?;
    let seen = victims_wire.drain()?;
    let seen = seen
        .iter()
        .filter(|frame| concerns(frame, METADATA))
        .count();
    assert_eq!(seen, 0, "the victim never hears of it");
    gets_its_own(&victim)?;
    Attack {
        name: "gratuitous ARP for 169.254.169.254",
        tries: 50,
        leaked: 0,
        stopped_by: "dropped at the tap (`arp-claim`)",
    }
    .report()
}

#[test]
fn what_is_not_tcp_is_dropped_and_counted() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, _victim, attacker) = scene()?;
    // A port of the bridge that would see what is flooded.
    let lan = lab.guest("lan", Plug::Bridge("br0"), None)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["attacker"])?;
    let (wire, lan) = (attacker.wire()?, lan.wire()?);
    let before = daemon.counters()?.dropped("not-tcp");
    let far = ends(attacker.mac(), [0x02, 0, 0, 0, 0, 0xee], ATTACKER, 5353);
    for _ in 0..20 {
        wire.send(&udp(&far, b"hello"))?;
        wire.send(&echo(&far))?;
    }
    daemon.status_until("a drop for every frame", |status| {
        status["counters"]["dropped"]["not-tcp"].as_u64() >= Some(before + 40)
    })?;
    let leaked = lan.drain()?;
    let leaked = leaked
        .iter()
        .filter(|frame| concerns(frame, METADATA))
        .count();
    gets_its_own(&attacker)?;
    Attack {
        name: "UDP and ICMP to the metadata address, to a MAC address that a bridge floods",
        tries: 40,
        leaked: u64::try_from(leaked)?,
        stopped_by: "dropped at the tap (`not-tcp`)",
    }
    .report()
}
