//! Vultr's document and its parts, against values written by hand.

use serde_json::json;

use super::*;
use crate::instance::{Dialect, Offer};
use crate::render::{self, Answers, Version, sample};

/// Guests may have written it down.
const INSTANCE_ID: &str = "3259341669838212";

fn answers(change: impl FnOnce(&mut Instance)) -> Answers {
    let mut instance = sample::instance();
    instance.options.dialects = [Dialect::Vultr].into_iter().collect();
    change(&mut instance);
    render::answers(&instance, 0)
}

fn read(answers: &Answers, path: &str) -> Option<String> {
    let answer = answers.get(Dialect::Vultr, Version::LATEST, path)?;
    let body = answer.body.bytes(None).unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

fn known(instance: &mut Instance) {
    let cidr = |address: &str, prefix| Cidr {
        address: address.parse().unwrap(),
        prefix,
    };
    let first = &mut instance.nics[0];
    first.addresses = vec![
        cidr("192.168.122.7", 24),
        cidr("192.168.122.8", 24),
        cidr("fd00::7", 64),
    ];
    first.mtu = Some(1450);
    first.offer = Offer {
        gateways: vec!["192.168.122.1".parse().unwrap()],
        ..Offer::default()
    };
}

#[test]
fn document_holds_everything_at_once() {
    let text = read(&answers(known), "v1.json").unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "hostname": "web1.internal",
        "instanceid": INSTANCE_ID,
        "instance-v2-id": "ec2f2f1c-0000-4000-8000-000000000001",
        "interfaces": [
            {
                "mac": "52:54:00:00:00:01", "network-type": "public", "mtu": 1450,
                "ipv4": {
                    "address": "192.168.122.7", "netmask": "255.255.255.0", "gateway": "192.168.122.1",
                    "additional": [{"address": "192.168.122.8", "netmask": "255.255.255.0"}],
                },
                "ipv6": {"address": "fd00::7", "network": "fd00::", "prefix": "64", "additional": []},
            },
            {
                "mac": "52:54:00:00:00:02", "network-type": "private",
                "ipv4": {"address": "10.0.0.5", "netmask": "255.255.255.0", "additional": []},
                "ipv6": {"additional": []},
            },
        ],
        "public-keys": ["ssh-ed25519 AAAA me@host", "ssh-rsa B"],
        "region": {"regioncode": "north"},
        "user-data": "#cloud-config\n",
        "vendor-data": "",
    });
    assert_eq!(found, expected);
}

#[test]
fn nic_without_an_address_is_left_alone_unless_it_is_the_first() {
    let answers = answers(|instance| {
        for nic in instance.nics.iter_mut() {
            nic.addresses.clear();
        }
    });
    let found: Value = serde_json::from_str(&read(&answers, "v1.json").unwrap()).unwrap();
    let nics = &found["interfaces"];
    assert_eq!(nics[0].get("unconfigured"), None);
    assert_eq!(nics[1]["unconfigured"], json!(true));
    assert_eq!(nics[0]["ipv4"], json!({"additional": []}));
}

#[test]
fn parts_stand_by_their_names() {
    let answers = answers(known);
    for (path, expected) in [
        ("", Some("v1/\nv1.json")),
        ("v1/hostname", Some("web1.internal")),
        ("v1/instanceid", Some(INSTANCE_ID)),
        (
            "v1/instance-v2-id",
            Some("ec2f2f1c-0000-4000-8000-000000000001"),
        ),
        ("v1/interfaces", Some("0/\n1/")),
        ("v1/interfaces/0/ipv4/address", Some("192.168.122.7")),
        ("v1/region/regioncode", Some("north")),
        ("v1/user-data", Some("#cloud-config\n")),
        ("v1/nothing", None),
    ] {
        assert_eq!(read(&answers, path).as_deref(), expected, "{path}");
    }
}
