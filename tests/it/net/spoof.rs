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

use super::{GATEWAY, gets_its_own, guest, host_with_bridge, token};

/// What only the victim may read.
const SECRET: &str = "the-secret-of-victim";
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 6);

/// A victim with a secret and an attacker, both on one bridge, both known.
fn scene() -> Result<(Lab, Guest, Guest)> {
    let lab = host_with_bridge()?;
    let (victim, attacker) = (guest(&lab, "victim", 5)?, guest(&lab, "attacker", 6)?);
    let mut record = victim.record();
    record["user-data"] = json!(SECRET);
    lab.record("victim", &record)?;
    Ok((lab, victim, attacker))
}

/// Neither the secret nor the name of the victim is in an answer.
fn tells_nothing(reply: &Reply) -> bool {
    let text = reply.text();
    !text.contains(SECRET) && !text.contains("victim")
}

/// Frames from the metadata address.
fn answers(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let from_metadata =
        |frame: &Vec<u8>| addresses(frame).is_some_and(|(from, _)| from == METADATA);
    frames.into_iter().filter(from_metadata).collect()
}

fn contains(frame: &[u8], text: &str) -> bool {
    frame
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn ends(from_mac: Mac, to_mac: Mac, from: Ipv4Addr, from_port: u16) -> Ends {
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
    let mut attempts = 0;
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
    needs::note(&format!(
        "{attempts} attempts with the victim's MAC, 0 answers"
    ));
    Ok(())
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
    let mut attempts = 0;
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
    needs::note(&format!(
        "{attempts} requests from the victim's address, 0 leaks"
    ));
    Ok(())
}

#[test]
fn headers_that_claim_to_be_another_change_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let id = victim.record()["instance-id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mac = metad_tests::frames::mac_text(victim.mac());
    let mut attempts = 0;
    for name in [
        "X-Forwarded-For",
        "x-forwarded-for",
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "Via",
        "X-Instance-ID",
        "X-Instance-ID-Signature",
        "X-Tenant-ID",
        "X-Metadata-Provider",
        "X-Original-Forwarded-For",
    ] {
        for value in [
            "10.77.0.5",
            "for=10.77.0.5",
            "100.64.0.1",
            id.as_str(),
            mac.as_str(),
            "",
        ] {
            for target in [
                "/latest/meta-data/hostname",
                "/latest/user-data",
                "http://10.77.0.5/latest/user-data",
            ] {
                attempts += 1;
                let reply = attacker.ask(&Request::get(target).with(name, value))?;
                ensure!(
                    tells_nothing(&reply),
                    "{name}: {value} at {target}: {}",
                    reply.text()
                );
            }
            if name.eq_ignore_ascii_case("x-forwarded-for") {
                attempts += 1;
                let reply = attacker.ask(&Request::token("60").with(name, value))?;
                ensure!(
                    reply.status == 403,
                    "a token through a proxy ({name}: {value}): {}",
                    reply.status
                );
            }
        }
    }
    gets_its_own(&victim)?;
    needs::note(&format!("{attempts} requests with forged headers, 0 leaks"));
    Ok(())
}

#[test]
fn a_token_is_worth_nothing_to_another_guest() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let stolen = token(&victim, "600")?;
    for path in [
        "/latest/meta-data/hostname",
        "/latest/user-data",
        "/latest/",
    ] {
        let request = Request::get(path).with("X-aws-ec2-metadata-token", &stolen);
        assert_eq!(
            attacker.ask(&request)?.status,
            401,
            "{path} with a stolen token"
        );
        assert_eq!(
            victim.ask(&request)?.status,
            200,
            "{path} with its own token"
        );
    }
    Ok(())
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
    let mut attempts = 0;
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
    needs::note(&format!(
        "{attempts} forged segments, the victim's answers whole, 0 leaks"
    ));
    Ok(())
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
    needs::note("50 claims, none got further than the attacker's tap");
    Ok(())
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
    assert_eq!(leaked, 0, "nothing reaches the LAN");
    gets_its_own(&attacker)
}
