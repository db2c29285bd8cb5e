//! Over IPv6 everything is as over IPv4: each guest gets its own answers, at both addresses, whatever its network is.

mod spoof;

use std::io::ErrorKind;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use metad_tests::frames::ipv6::{METADATA, addresses};
use metad_tests::frames::{ACK, SYN};
use metad_tests::lab::{Guest, Lab, Plug, Request, Settings};
use metad_tests::needs;
use serde_json::json;

use super::{SOON, gets_its_own, text};

/// Long enough for any answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host with the bridge `br0`, which has no IPv4 address.
fn host() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.bridge("br0", &["fd77::1/64 nodad"])?;
    Ok(lab)
}

/// A guest on `br0` without IPv4, and its record.
fn guest(lab: &Lab, name: &str) -> Result<Guest> {
    let guest = lab.guest(name, Plug::Bridge("br0"), None)?;
    // Only EC2's address needs a way; the other one is on every link.
    guest.ip("-6 route add fd00:ec2::254/128 dev eth0")?;
    lab.record(name, &guest.record())?;
    Ok(guest)
}

/// The guest gets its own hostname, instance-id and MAC at an address.
pub(crate) fn gets_its_own_at(guest: &Guest, address: Ipv6Addr) -> Result<()> {
    let record = guest.record();
    for (path, expected) in [
        ("hostname", guest.name()),
        (
            "instance-id",
            record["instance-id"].as_str().unwrap_or_default(),
        ),
        ("mac", record["nics"][0]["mac"].as_str().unwrap_or_default()),
    ] {
        let path = format!("/latest/meta-data/{path}");
        let told = guest
            .ask_ipv6(address, &Request::get(&path))
            .with_context(|| format!("{} asked {address} for {path}", guest.name()))?;
        ensure!(
            told.text() == expected,
            "{} was told {} {:?} at {address}, its own is {expected:?}",
            guest.name(),
            told.status,
            told.text()
        );
    }
    Ok(())
}

#[test]
fn guests_with_ipv6_alone_get_their_own_at_both_addresses() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host()?;
        let (alice, bob) = (guest(&lab, "alice")?, guest(&lab, "bob")?);
        let daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        daemon.seated(&["alice", "bob"])?;
        for address in METADATA {
            for _ in 0..5 {
                gets_its_own_at(&alice, address).context(attach)?;
                gets_its_own_at(&bob, address).context(attach)?;
            }
        }
        let counters = daemon.counters()?;
        assert_eq!(
            counters.dropped_in_all(),
            0,
            "{attach}: nothing was dropped: {counters:?}"
        );
        assert!(counters.neighbour_answered >= 4, "{attach}: {counters:?}");
    }
    Ok(())
}

#[test]
fn a_common_client_reaches_both_addresses() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for host in ["[fd00:ec2::254]", "[fe80::a9fe:a9fe%25eth0]"] {
        let url = format!("http://{host}/latest/meta-data/hostname");
        let told = alice
            .space()
            .output(&format!("curl -g -s -S -m 30 {url}"))?;
        assert_eq!(told, "alice", "{host}");
    }
    Ok(())
}

#[test]
fn every_way_to_ec2s_ipv6_address_leads_to_metad() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let daemon = lab.serve(&Settings::default())?;
    for (name, address, route) in [
        ("on-link", "", "-6 route add fd00:ec2::254/128 dev eth0"),
        (
            "by-default",
            "fd77::5/64",
            "-6 route add default via fd77::1",
        ),
        (
            "global",
            "2001:db8::5/64",
            "-6 route add fd00:ec2::/32 dev eth0",
        ),
        (
            "same-prefix",
            "fd00:ec2::5/64",
            "-6 route add default via fd77::1 dev eth0 onlink",
        ),
    ] {
        let guest = lab.guest(name, Plug::Bridge("br0"), None)?;
        if !address.is_empty() {
            guest.ip(&format!("address add {address} nodad dev eth0"))?;
        }
        guest.ip(route)?;
        lab.record(name, &guest.record())?;
        daemon.seated(&[name])?;
        gets_its_own_at(&guest, METADATA[0]).context(name)?;
        guest.unplug(&lab)?;
    }
    Ok(())
}

#[test]
fn two_networks_with_the_same_mac_and_ipv6_addresses_each_get_their_own() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let mut twins = Vec::new();
    for (bridge, name) in [("br-one", "castor"), ("br-two", "pollux")] {
        lab.bridge(bridge, &[])?;
        let mut guest = lab.guest(name, Plug::Bridge(bridge), None)?;
        guest.ip("link set eth0 down")?;
        guest.set_mac([0x52, 0x54, 0, 0x77, 0, 1])?;
        guest.ip("link set eth0 up")?;
        guest.ip("address add fd00:ec2::5/64 nodad dev eth0")?;
        lab.record(name, &guest.record())?;
        twins.push(guest);
    }
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["castor", "pollux"])?;
    for _ in 0..5 {
        for guest in &twins {
            for address in METADATA {
                gets_its_own_at(guest, address)?;
            }
        }
    }
    Ok(())
}

#[test]
fn names_of_an_ipv4_address_are_left_out_for_a_guest_without_one() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for address in METADATA {
        let listed = alice.ask_ipv6(address, &Request::get("/latest/meta-data/"))?;
        assert_eq!(listed.status, 200);
        assert!(
            !listed.text().lines().any(|name| name == "local-ipv4"),
            "{address}: {}",
            listed.text()
        );
        let asked = alice.ask_ipv6(address, &Request::get("/latest/meta-data/local-ipv4"))?;
        assert_eq!(asked.status, 404, "{address}");
    }
    Ok(())
}

#[test]
fn closed_ports_of_the_ipv6_addresses_refuse_at_once() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for address in METADATA {
        for port in [22, 443, 8080] {
            refuses_at_once(&alice, address, port)?;
        }
        gets_its_own_at(&alice, address)?;
    }
    Ok(())
}

fn refuses_at_once(guest: &Guest, address: Ipv6Addr, port: u16) -> Result<()> {
    let started = Instant::now();
    let refused = guest.connect_ipv6(address, port, PATIENCE)?;
    let kind = refused.err().map(|error| error.kind());
    ensure!(
        kind == Some(ErrorKind::ConnectionRefused),
        "{address} port {port}: {kind:?}"
    );
    // A second SYN would take a second.
    let took = started.elapsed();
    ensure!(
        took < Duration::from_secs(1),
        "{address} port {port}: {took:?}"
    );
    Ok(())
}

#[test]
fn where_ipv6_is_off_the_guest_is_refused_at_once_and_served_over_ipv4() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = super::host_with_bridge()?;
    let (alice, bob) = (
        super::guest(&lab, "alice", 5)?,
        super::guest(&lab, "bob", 6)?,
    );
    for guest in [&alice, &bob] {
        guest.ip("-6 route add fd00:ec2::254/128 dev eth0")?;
    }
    let options = |value: &str| {
        let mut record = alice.record();
        record["options"] = json!({ "http-protocol-ipv6": value });
        lab.record("alice", &record)
    };
    options("disabled")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    for address in METADATA {
        refuses_at_once(&alice, address, 80)?;
        refuses_at_once(&alice, address, 443)?;
        gets_its_own_at(&bob, address)?;
    }
    gets_its_own(&alice)?;
    // It counts at once, in both directions, and changes nothing else about the NIC.
    for round in 0..3 {
        options("enabled")?;
        metad_tests::lab::until("an answer over IPv6", SOON, || {
            gets_its_own_at(&alice, METADATA[round % 2]).ok()
        })?;
        options("disabled")?;
        metad_tests::lab::until("a refusal over IPv6", SOON, || {
            refuses_at_once(&alice, METADATA[round % 2], 80).ok()
        })?;
        assert_eq!(text(&alice, "/latest/meta-data/hostname")?, "alice");
    }
    Ok(())
}

#[test]
fn a_token_reply_travels_one_hop_over_ipv6_too() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let wire = alice.wire()?;
    for address in METADATA {
        for (case, request, expected) in [
            ("token", Request::token("60"), true),
            ("data", Request::get("/latest/meta-data/hostname"), false),
        ] {
            wire.drain()?;
            assert_eq!(alice.ask_ipv6(address, &request)?.status, 200, "{case}");
            let answers: Vec<Vec<u8>> = wire
                .drain()?
                .into_iter()
                .filter(|frame| carries_data(frame, address))
                .collect();
            assert!(!answers.is_empty(), "{case}: the answer was seen");
            for frame in answers {
                let hops = frame.get(21);
                assert_eq!(hops == Some(&1), expected, "{address}: {case}: {hops:?}");
            }
        }
    }
    Ok(())
}

/// A segment from an address that is more than part of a handshake.
fn carries_data(frame: &[u8], address: Ipv6Addr) -> bool {
    let from_metadata = addresses(frame).is_some_and(|(from, _)| from == address);
    let octet = |at: usize| frame.get(at).copied().unwrap_or_default();
    let header = usize::from(octet(66) >> 4) * 4;
    from_metadata && octet(67) & ACK != 0 && octet(67) & SYN == 0 && frame.len() > 54 + header
}

#[test]
fn a_mebibyte_arrives_whole_over_ipv6_with_and_without_offloads() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    let alice = guest(&lab, "alice")?;
    let sent = super::offload::text();
    let mut record = alice.record();
    record["user-data"] = json!(sent);
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for (guests, taps) in [(true, true), (false, true), (true, false), (false, false)] {
        alice.space().offload("eth0", guests)?;
        lab.host().offload(alice.interface(), taps)?;
        for address in METADATA {
            let case = format!("{address}, offloads of the guest {guests}, of the tap {taps}");
            let reply = alice
                .ask_ipv6(address, &Request::get("/latest/user-data"))
                .context(case.clone())?;
            ensure!(reply.status == 200, "{case}: {}", reply.status);
            ensure!(
                reply.body == sent.as_bytes(),
                "{case}: {} octets, not the same",
                reply.body.len()
            );
        }
    }
    Ok(())
}

#[test]
fn the_host_never_has_the_ipv6_addresses() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host()?;
    // The host is itself a guest of a cloud.
    lab.host().ip("address add fd00:ec2::254/128 dev lo")?;
    let alice = guest(&lab, "alice")?;
    let listener = lab
        .host()
        .within(|| std::net::TcpListener::bind((METADATA[0], 80)))??;
    listener.set_nonblocking(true)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for address in METADATA {
        gets_its_own_at(&alice, address)?;
    }
    let asked = listener.accept().err().map(|error| error.kind());
    assert_eq!(
        asked,
        Some(ErrorKind::WouldBlock),
        "the guest reached the host"
    );
    let own = lab.host().connect_to((METADATA[0], 80).into(), PATIENCE)?;
    assert!(own.is_ok() && listener.accept().is_ok(), "the host's own");
    let veth = format!("{}0", lab.name());
    let addresses = lab
        .host()
        .output(&format!("ip -6 -oneline address show dev {veth}"))?;
    assert_eq!(addresses, "", "the host's end of the veth");
    let counters = daemon.counters()?;
    assert_eq!(counters.dropped_in_all(), 0, "{counters:?}");
    Ok(())
}
