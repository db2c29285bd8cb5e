//! Hetzner's document and its parts, against values written by hand.

use serde_json::json;

use super::*;
use crate::instance::{Dialect, Fixed, Offer};
use crate::render::{self, Answers, Version, sample};

fn answers(change: impl FnOnce(&mut Instance)) -> Answers {
    let mut instance = sample::instance();
    instance.options.dialects = [Dialect::Hetzner].into_iter().collect();
    change(&mut instance);
    render::answers(&instance, 0)
}

fn read(answers: &Answers, path: &str) -> Option<Vec<u8>> {
    let answer = answers.get(Dialect::Hetzner, Version::LATEST, path)?;
    let body = answer.body.bytes(Some([192, 0, 2, 7].into())).unwrap();
    Some(body.to_vec())
}

fn fixed(instance: &mut Instance) {
    instance.vendor_data = Some("#cloud-config\n".into());
    instance.public_ipv4 = Some([203, 0, 113, 9].into());
    instance.nics[0].mtu = Some(1450);
    instance.nics[0].offer = Offer {
        announced: true,
        ..Offer::default()
    };
    instance.nics[1].fixed = Some(Box::new(Fixed {
        gateways: vec!["10.0.0.1".parse().unwrap()],
        nameservers: vec!["10.0.0.53".parse().unwrap()],
    }));
}

#[test]
fn document_holds_everything_at_once() {
    let text = read(&answers(fixed), "v1/metadata").unwrap();
    let found: Value = serde_json::from_slice(&text).unwrap();
    let expected = json!({
        "availability-zone": "rack-7",
        "hostname": "web1.internal",
        "instance-id": "i-0123456789abcdef0",
        "region": "north",
        "public-ipv4": "203.0.113.9",
        "public-keys": ["ssh-ed25519 AAAA me@host", "ssh-rsa B"],
        "vendor_data": "#cloud-config\n",
        "network-config": {
            "version": 1,
            "config": [
                {
                    "type": "physical", "name": "eth0", "mac_address": "52:54:00:00:00:01", "mtu": 1450,
                    "subnets": [{"type": "dhcp", "ipv4": true}, {"type": "ipv6_slaac"}],
                },
                {
                    "type": "physical", "name": "eth1", "mac_address": "52:54:00:00:00:02",
                    "subnets": [{
                        "type": "static", "address": "10.0.0.5/24", "gateway": "10.0.0.1",
                        "dns_nameservers": ["10.0.0.53"],
                    }],
                },
            ],
        },
    });
    assert_eq!(found, expected);
}

#[test]
fn parts_stand_below_the_document() {
    let answers = answers(fixed);
    let networks = json!([{
        "ip": "10.0.0.5", "alias_ips": [], "interface_num": 1, "mac_address": "52:54:00:00:00:02",
        "subnet": "10.0.0.0/24", "gateway": "10.0.0.1",
    }]);
    let found = read(&answers, "v1/metadata/private-networks").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&found).unwrap(), networks);
    for (path, expected) in [
        ("v1", Some("metadata\nuserdata")),
        ("v1/metadata/instance-id", Some("i-0123456789abcdef0")),
        ("v1/metadata/hostname", Some("web1.internal")),
        ("v1/metadata/public-ipv4", Some("203.0.113.9")),
        ("v1/metadata/local-ipv4", Some("192.0.2.7")),
        ("v1/metadata/region", Some("north")),
        (
            "v1/metadata/public-keys",
            Some("ssh-ed25519 AAAA me@host\nssh-rsa B"),
        ),
        ("v1/metadata/vendor_data", None),
        ("v1/userdata", Some("#cloud-config\n")),
    ] {
        let found = read(&answers, path).map(|octets| String::from_utf8(octets).unwrap());
        assert_eq!(found.as_deref(), expected, "{path}");
    }
}

#[test]
fn user_data_is_octets_or_empty_but_always_there() {
    for (case, given, expected) in [
        ("none", None, &b""[..]),
        ("octets", Some(&b"\x1f\x8b\xff"[..]), b"\x1f\x8b\xff"),
    ] {
        let answers = answers(|instance| instance.user_data = given.map(Into::into));
        assert_eq!(
            read(&answers, "v1/userdata").as_deref(),
            Some(expected),
            "{case}"
        );
    }
    let none = answers(|instance| instance.nics.truncate(1));
    assert_eq!(
        read(&none, "v1/metadata/private-networks").as_deref(),
        Some(&b"[]"[..])
    );
}
