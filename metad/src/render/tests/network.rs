//! What is told of NICs: to EC2's clients by NIC, and to NoCloud's where there is no DHCP.

use super::*;
use crate::instance::{Cidr, Fixed, Instance, Nic};

const FIRST: &str = "meta-data/network/interfaces/macs/52:54:00:00:00:01";
const SECOND: &str = "meta-data/network/interfaces/macs/52:54:00:00:00:02";

fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

/// The first NIC changed; the second has 10.0.0.5/24.
fn with_first(change: impl FnOnce(&mut Nic)) -> Instance {
    let mut instance = instance();
    change(&mut instance.nics[0]);
    instance
}

fn list(answers: &Answers, base: &str) -> Vec<String> {
    let listing = read(answers, base).unwrap();
    listing.lines().map(str::to_owned).collect()
}

#[test]
fn nic_of_a_record_with_ipv6_alone_has_no_ipv4() {
    let six = ["2001:db8::7/64", "2001:db8::8/64"].map(cidr).to_vec();
    let both = ["2001:db8::7/64", "10.0.0.7/24"].map(cidr).to_vec();
    for (case, network, addresses, local, six_shown) in [
        (
            "IPv6 alone",
            None,
            six.clone(),
            None,
            Some("2001:db8::7\n2001:db8::8"),
        ),
        ("both", None, both, Some("10.0.0.7"), Some("2001:db8::7")),
        ("none said", None, vec![], Some("192.0.2.7"), None),
        (
            "IPv6 reserved in a network",
            Some("default"),
            six,
            Some("192.0.2.7"),
            Some("2001:db8::7\n2001:db8::8"),
        ),
    ] {
        let instance = with_first(|nic| {
            nic.network = network.map(str::to_owned);
            nic.addresses = addresses;
        });
        let answers = answers(&instance, 0);
        let found = read(&answers, &format!("{FIRST}/local-ipv4s"));
        assert_eq!(found.as_deref(), local, "{case}");
        assert_eq!(
            read(&answers, "meta-data/local-ipv4").as_deref(),
            local,
            "{case}"
        );
        let listed = list(&answers, FIRST).contains(&"local-ipv4s".to_owned());
        assert_eq!(listed, local.is_some(), "{case}");
        let found = read(&answers, &format!("{FIRST}/ipv6s"));
        assert_eq!(found.as_deref(), six_shown, "{case}");
        let first = six_shown.map(|_| "2001:db8::7");
        assert_eq!(read(&answers, "meta-data/ipv6").as_deref(), first, "{case}");
    }
}

#[test]
fn public_address_belongs_to_the_first_nic() {
    let mut instance = instance();
    instance.public_ipv4 = Some(Ipv4Addr::new(203, 0, 113, 7));
    instance.public_hostname = Some("web1.example.org".into());
    let own = answers(&instance, 0);
    for (name, expected) in [
        ("public-hostname", "web1.example.org"),
        ("public-ipv4s", "203.0.113.7"),
        ("ipv4-associations", "203.0.113.7"),
        ("ipv4-associations/203.0.113.7", "192.0.2.7"),
    ] {
        let found = read(&own, &format!("{FIRST}/{name}"));
        assert_eq!(found.as_deref(), Some(expected), "{name}");
        assert_eq!(read(&own, &format!("{SECOND}/{name}")), None, "{name}");
    }
    let other = answers(&instance, 1);
    assert_eq!(
        read(&other, &format!("{FIRST}/public-ipv4s")).as_deref(),
        Some("203.0.113.7")
    );
    let unknown = read(&other, &format!("{FIRST}/ipv4-associations"));
    assert_eq!(unknown, None, "of an address that nobody knows");
}

#[test]
fn listing_of_a_nic_is_whole() {
    let instance = with_first(|nic| nic.addresses = vec![cidr("10.1.0.7/16"), cidr("fd00::7/64")]);
    let answers = answers(&instance, 0);
    assert_eq!(
        list(&answers, FIRST),
        [
            "device-number",
            "interface-id",
            "ipv6s",
            "local-hostname",
            "local-ipv4s",
            "mac",
            "network-card",
            "network-card-index",
            "owner-id",
            "security-group-ids",
            "security-groups",
            "subnet-id",
            "subnet-ipv4-cidr-block",
            "subnet-ipv6-cidr-blocks",
            "vpc-id",
            "vpc-ipv4-cidr-block",
            "vpc-ipv4-cidr-blocks",
            "vpc-ipv6-cidr-blocks",
        ]
    );
    for (name, expected) in [
        ("network-card", "0"),
        ("network-card-index", "0"),
        ("subnet-ipv4-cidr-block", "10.1.0.0/16"),
        ("subnet-ipv6-cidr-blocks", "fd00::/64"),
        ("vpc-ipv4-cidr-blocks", "10.1.0.0/16"),
        ("vpc-ipv6-cidr-blocks", "fd00::/64"),
    ] {
        let found = read(&answers, &format!("{FIRST}/{name}"));
        assert_eq!(found.as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn network_config_is_made_only_without_dhcp_and_never_over_the_owners() {
    let config = |instance: &Instance| {
        let answers = answers(instance, 0);
        body(
            &answers,
            Dialect::NoCloud,
            Version::LATEST,
            "network-config",
        )
        .unwrap()
    };
    let known = with_first(|nic| nic.addresses = vec![cidr("10.1.0.7/16")]);
    assert_eq!(config(&known), "", "DHCP may hand the address out");
    let mut fixed = with_first(|nic| {
        nic.addresses = vec![cidr("10.1.0.7/16"), cidr("fd00::7/64")];
        nic.mtu = Some(1400);
        nic.fixed = Some(Box::new(Fixed {
            gateways: vec!["10.1.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            nameservers: vec!["10.1.0.2".parse().unwrap()],
        }));
    });
    let read: Value = serde_json::from_str(&config(&fixed)).unwrap();
    assert_eq!(
        read,
        json!({
            "version": 2,
            "ethernets": {
                "nic0": {
                    "match": {"macaddress": "52:54:00:00:00:01"},
                    "mtu": 1400,
                    "addresses": ["10.1.0.7/16", "fd00::7/64"],
                    "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}, {"to": "::/0", "via": "fd00::1"}],
                    "nameservers": {"addresses": ["10.1.0.2"]},
                },
                "nic1": {"match": {"macaddress": "52:54:00:00:00:02"}, "dhcp4": true},
            },
        })
    );
    fixed.network_config = Some("version: 1\n".into());
    assert_eq!(config(&fixed), "version: 1\n");
    fixed.network_config = Some("".into());
    assert_eq!(config(&fixed), "", "an empty one is the owner's, too");
}
