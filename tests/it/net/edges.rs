//! Edge cases and traps of the protocol that take more than one guest, another record, or frames of one's own.

use anyhow::Result;
use metad_tests::frames::{ACK, Ends, METADATA, SYN, addresses, syn_with};
use metad_tests::lab::{Plug, Request, Settings};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{SOON, guest, host_with_bridge, text};

/// Two of the lab's guests play the two NICs of one instance.
#[test]
fn b8_two_nics_ask_and_each_is_told_its_own_address() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let first = guest(&lab, "first", 5)?;
    let second = lab.guest("second", Plug::Bridge("br0"), Some("10.77.0.6/24"))?;
    second.ip("route add 169.254.169.254/32 dev eth0")?;
    let mut record = first.record();
    let mut nics = vec![
        record["nics"][0].clone(),
        second.record()["nics"][0].clone(),
    ];
    for (nic, address) in nics.iter_mut().zip(["10.77.0.5/24", "10.77.0.6/24"]) {
        nic["addresses"] = json!([address]);
    }
    record["nics"] = json!(nics);
    lab.record("first", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["first"])?;
    for (nic, address) in [(&first, "10.77.0.5"), (&second, "10.77.0.6")] {
        for (path, expected) in [
            ("instance-id", record["instance-id"].as_str()),
            ("hostname", Some("first")),
        ] {
            let told = text(nic, &format!("/latest/meta-data/{path}"))?;
            assert_eq!(Some(told.as_str()), expected, "{} {path}", nic.name());
        }
        let told = text(nic, "/latest/meta-data/local-ipv4")?;
        assert_eq!(told, address, "{}", nic.name());
        let document = text(nic, "/latest/dynamic/instance-identity/document")?;
        let document: Value = serde_json::from_str(&document)?;
        assert_eq!(document["privateIp"], json!(address), "{}", nic.name());
        let macs = text(nic, "/latest/meta-data/network/interfaces/macs/")?;
        assert_eq!(macs.lines().count(), 2, "{}: {macs}", nic.name());
    }
    Ok(())
}

#[test]
fn b8_a_dialect_that_is_off_is_403_in_ec2_and_404_elsewhere() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let cases = [
        ("everything", json!({}), [200, 200]),
        ("no-ec2", json!({ "endpoint": "disabled" }), [403, 200]),
        ("ec2-alone", json!({ "dialects": ["ec2"] }), [200, 404]),
    ];
    let mut guests = Vec::new();
    for (octet, (name, options, _)) in (5..).zip(&cases) {
        let guest = guest(&lab, name, octet)?;
        let mut record = guest.record();
        record["options"] = options.clone();
        lab.record(name, &record)?;
        guests.push(guest);
    }
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&cases.each_ref().map(|case| case.0))?;
    for (guest, (name, _, [ec2, nocloud])) in guests.iter().zip(&cases) {
        for (path, expected) in [
            ("/latest/meta-data/instance-id", ec2),
            ("/latest/user-data/..", if *ec2 == 403 { ec2 } else { &404 }),
            ("/nocloud/meta-data", nocloud),
        ] {
            assert_eq!(guest.get(path)?.status, *expected, "{name}: {path}");
        }
        let put = guest.ask(&Request::token("60"))?.status;
        assert_eq!(put, *ec2, "{name}: a token");
    }
    Ok(())
}

/// No operation, segment size, scale, selective acknowledgements, time stamps, fast open's question, experiments.
const OPTIONS: [(&str, &[u8]); 4] = [
    ("none", &[]),
    ("segment size", &[2, 4, 5, 0xb4]),
    (
        "what Linux sends",
        &[
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
        ],
    ),
    (
        "all that fit",
        &[
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7, 34, 2, 253, 4, 0xf9,
            0x89, 1, 1, 254, 8, 1, 2, 3, 4, 5, 6, 1, 1, 1, 0,
        ],
    ),
];

#[test]
fn trap_15_a_syn_with_every_option_is_answered() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let wire = alice.wire()?;
    for (port, (case, options)) in (40_001..).zip(OPTIONS) {
        wire.send(&syn_with(
            &Ends {
                from_mac: alice.mac(),
                to_mac: lab.mac_of("br0")?,
                from: "10.77.0.5".parse()?,
                to: METADATA,
                from_port: port,
                to_port: 80,
            },
            options,
        ))?;
        wire.wait_for(case, SOON, |frame| {
            let from_metadata = addresses(frame).is_some_and(|(from, _)| from == METADATA);
            let to_port = frame.get(36..38) == Some(&port.to_be_bytes()[..]);
            from_metadata
                && to_port
                && frame
                    .get(47)
                    .is_some_and(|it| it & (SYN | ACK) == SYN | ACK)
        })?;
    }
    Ok(())
}
