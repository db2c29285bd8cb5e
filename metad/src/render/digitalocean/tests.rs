//! DigitalOcean's document and its parts, against values written by hand.

use serde_json::json;

use super::*;
use crate::instance::{Dialect, Fixed, Offer};
use crate::render::{self, Answers, Version, sample};

/// Guests may have written it down.
const DROPLET_ID: u64 = 2_049_881_366_747_376;

fn answers(change: impl FnOnce(&mut Instance)) -> Answers {
    let mut instance = sample::instance();
    instance.options.dialects = [Dialect::DigitalOcean].into_iter().collect();
    change(&mut instance);
    render::answers(&instance, 0)
}

fn read(answers: &Answers, path: &str) -> Option<String> {
    let answer = answers.get(Dialect::DigitalOcean, Version::LATEST, path)?;
    let body = answer.body.bytes(None).unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

fn known(instance: &mut Instance) {
    instance.tags.remove("bad key");
    instance.vendor_data = Some("#cloud-config\n".into());
    let cidr = |address: &str, prefix| Cidr {
        address: address.parse().unwrap(),
        prefix,
    };
    instance.nics[0].addresses = vec![cidr("192.168.122.7", 24), cidr("fd00::7", 64)];
    instance.nics[0].offer = Offer {
        gateways: vec!["192.168.122.1".parse().unwrap()],
        nameservers: vec!["192.168.122.1".parse().unwrap()],
        ..Offer::default()
    };
    instance.nics[1].fixed = Some(Box::new(Fixed {
        gateways: vec![],
        nameservers: vec![
            "10.0.0.53".parse().unwrap(),
            "192.168.122.1".parse().unwrap(),
        ],
    }));
}

#[test]
fn document_holds_everything_at_once() {
    let text = read(&answers(known), "v1.json").unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "droplet_id": DROPLET_ID,
        "hostname": "web1.internal",
        "region": "north",
        "user_data": "#cloud-config\n",
        "vendor_data": "#cloud-config\n",
        "public_keys": ["ssh-ed25519 AAAA me@host", "ssh-rsa B"],
        "dns": {"nameservers": ["192.168.122.1", "10.0.0.53"]},
        "features": {"dhcp_enabled": true},
        "floating_ip": {"ipv4": {"active": false}},
        "tags": ["role:web"],
        "interfaces": {
            "public": [{
                "mac": "52:54:00:00:00:01", "type": "public",
                "ipv4": {"ip_address": "192.168.122.7", "netmask": "255.255.255.0", "gateway": "192.168.122.1"},
                "ipv6": {"ip_address": "fd00::7", "cidr": 64},
            }],
            "private": [{
                "mac": "52:54:00:00:00:02", "type": "private",
                "ipv4": {"ip_address": "10.0.0.5", "netmask": "255.255.255.0"},
            }],
        },
    });
    assert_eq!(found, expected);
}

#[test]
fn parts_stand_by_their_names() {
    let answers = answers(|instance| {
        known(instance);
        instance.public_ipv4 = Some([203, 0, 113, 9].into());
    });
    for (path, expected) in [
        ("", "v1/\nv1.json"),
        (
            "v1",
            "dns/\nfeatures/\nfloating_ip/\nhostname\nid\ninterfaces/\npublic-keys\nregion\ntags\nuser-data\nvendor-data",
        ),
        ("v1/id", &DROPLET_ID.to_string()),
        ("v1/hostname", "web1.internal"),
        ("v1/public-keys", "ssh-ed25519 AAAA me@host\nssh-rsa B"),
        ("v1/dns/nameservers", "192.168.122.1\n10.0.0.53"),
        ("v1/interfaces", "private/\npublic/"),
        ("v1/interfaces/public/0/ipv4/address", "192.168.122.7"),
        ("v1/interfaces/public/0/ipv6/cidr", "64"),
        ("v1/interfaces/private/0/type", "private"),
        ("v1/floating_ip/ipv4/ip_address", "203.0.113.9"),
        ("v1/tags", "role:web"),
    ] {
        assert_eq!(read(&answers, path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn addresses_and_octets_that_the_layout_cannot_hold_are_left_out() {
    let answers = answers(|instance| {
        instance.nics.truncate(1);
        instance.user_data = Some(vec![0x1f, 0x8b, 0xff].into());
        instance.placement = crate::instance::Placement::default();
    });
    let found: Value = serde_json::from_str(&read(&answers, "v1.json").unwrap()).unwrap();
    let public = json!({"public": [{"mac": "52:54:00:00:00:01", "type": "public"}]});
    assert_eq!(found["interfaces"], public);
    assert_eq!(found.get("user_data"), None);
    assert_eq!(found["region"], json!("default"));
    assert_eq!(found["dns"], json!({"nameservers": []}));
    assert_eq!(read(&answers, "v1/user-data"), None);
}
