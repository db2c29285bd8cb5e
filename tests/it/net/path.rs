//! However a guest finds its way to 169.254.169.254, it gets its own answers.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use metad_tests::frames::{ACK, METADATA, SYN, addresses};
use metad_tests::lab::{Plug, Request, Settings};
use metad_tests::needs;
use serde_json::json;

use super::{GATEWAY, NETWORK, SOON, gets_its_own, guest, host_with_bridge, token};

#[test]
fn two_guests_on_one_bridge_each_get_their_own() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host_with_bridge()?;
        let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
        let daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        daemon.seated(&["alice", "bob"])?;
        for _ in 0..10 {
            gets_its_own(&alice).context(attach)?;
            gets_its_own(&bob).context(attach)?;
        }
        let lines = daemon.requests();
        for name in ["alice", "bob"] {
            let of_guest = lines
                .iter()
                .filter(|line| line.contains(&format!("guest={name}")));
            assert_eq!(
                of_guest.count(),
                30,
                "{attach}: one log line per request of {name}"
            );
        }
        let counters = daemon.counters()?;
        assert_eq!(
            counters.dropped_in_all(),
            0,
            "{attach}: nothing was dropped: {counters:?}"
        );
    }
    Ok(())
}

#[test]
fn every_way_to_the_address_leads_to_metad() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let daemon = lab.serve(&Settings::default())?;
    let inside = format!("{NETWORK}.5/24");
    let default = format!("route add default via {GATEWAY}");
    let onlink = format!("route add default via {GATEWAY} dev eth0 onlink");
    for (name, address, route) in [
        ("by-default", inside.as_str(), default.as_str()),
        ("on-link", &inside, "route add 169.254.169.254/32 dev eth0"),
        ("link-local", "169.254.7.7/16", ""),
        (
            "outside",
            "203.0.113.9/32",
            "route add 169.254.169.254/32 dev eth0",
        ),
        ("outside-via", "203.0.113.9/32", &onlink),
    ] {
        let guest = lab.guest(name, Plug::Bridge("br0"), Some(address))?;
        if !route.is_empty() {
            guest.ip(route)?;
        }
        lab.record(name, &guest.record())?;
        daemon.seated(&[name])?;
        gets_its_own(&guest).context(name)?;
        guest.unplug(&lab)?;
    }
    Ok(())
}

#[test]
fn a_bridge_without_an_address_serves_its_guests() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = metad_tests::lab::Lab::new()?;
    lab.bridge("br0", &[])?;
    let alice = lab.guest("alice", Plug::Bridge("br0"), Some("10.1.1.5/24"))?;
    alice.ip("route add 169.254.169.254/32 dev eth0")?;
    lab.record("alice", &alice.record())?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    assert!(
        daemon.counters()?.arp_answered > 0,
        "the kernel program answers ARP"
    );
    Ok(())
}

#[test]
fn a_tap_on_its_own_is_served() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for (case, address, route) in [
        (
            "routed by the host",
            Some("10.9.0.1/24"),
            "route add default via 10.9.0.1",
        ),
        (
            "nobody behind it",
            None,
            "route add 169.254.169.254/32 dev eth0",
        ),
    ] {
        let lab = metad_tests::lab::Lab::new()?;
        let alice = lab.guest("alice", Plug::Alone(address), Some("10.9.0.5/24"))?;
        alice.ip(route)?;
        lab.record("alice", &alice.record())?;
        let daemon = lab.serve(&Settings {
            interfaces: &["tap-+"],
            ..Settings::default()
        })?;
        daemon.seated(&["alice"])?;
        gets_its_own(&alice).context(case)?;
    }
    Ok(())
}

#[test]
fn identity_by_mac_serves_ports_that_no_record_names() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let stranger = lab.guest("stranger", Plug::Bridge("br0"), Some("10.77.0.9/24"))?;
    stranger.ip(&format!("route add default via {GATEWAY}"))?;
    let mut record = alice.record();
    let mac = record["nics"][0]["mac"].clone();
    record["nics"] = json!([{ "mac": mac, "interface": "br0", "bridge": "br0" }]);
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings {
        identity: "mac",
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    let refused = stranger.try_connect(80, Duration::from_millis(1500))?;
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(
        kind,
        Some(ErrorKind::TimedOut),
        "an unknown MAC gets no answer"
    );
    Ok(())
}

#[test]
fn a_closed_port_refuses_at_once() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for port in [22, 443, 8080] {
        let started = Instant::now();
        let kind = alice.connect(port)?.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::ConnectionRefused), "port {port}");
        assert!(
            started.elapsed() < SOON,
            "port {port}: refused, and not given up on"
        );
    }
    gets_its_own(&alice)
}

#[test]
fn a_session_token_opens_what_its_owner_closed() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut record = alice.record();
    record["options"] = json!({ "http-tokens": "required" });
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let path = "/latest/meta-data/hostname";
    assert_eq!(alice.get(path)?.status, 401, "without a token");
    let token = token(&alice, "60")?;
    let asked = Request::get(path).with("X-aws-ec2-metadata-token", &token);
    let reply = alice.ask(&asked)?;
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, "alice"),
        "with a token"
    );
    assert!(
        !daemon.log().contains(&token),
        "a token never reaches the log"
    );
    Ok(())
}

#[test]
fn a_token_reply_travels_one_hop_and_data_travels_further() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let wire = alice.wire()?;
    for (case, request, expected) in [
        ("token", Request::token("60"), true),
        ("data", Request::get("/latest/meta-data/hostname"), false),
    ] {
        wire.drain()?;
        assert_eq!(alice.ask(&request)?.status, 200, "{case}");
        let answers: Vec<Vec<u8>> = wire
            .drain()?
            .into_iter()
            .filter(|frame| carries_data(frame))
            .collect();
        assert!(
            !answers.is_empty(),
            "{case}: the answer was seen on the wire"
        );
        for frame in answers {
            assert_eq!(
                frame.get(22) == Some(&1),
                expected,
                "{case}: time to live {:?}",
                frame.get(22)
            );
        }
    }
    Ok(())
}

/// A segment from the metadata address that is more than part of a handshake.
pub(super) fn carries_data(frame: &[u8]) -> bool {
    let from_metadata = addresses(frame).is_some_and(|(from, _)| from == METADATA);
    let flags = frame.get(47).copied().unwrap_or_default();
    let header = usize::from(frame.get(46).copied().unwrap_or_default() >> 4) * 4;
    from_metadata && flags & ACK != 0 && flags & SYN == 0 && frame.len() > 34 + header
}
