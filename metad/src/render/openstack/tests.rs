//! OpenStack's files, version by version, against bodies written by hand.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::instance::{Cidr, ContentFile, Dialect, Fixed, Offer, Shared, Site};
use crate::render::{self, Answers, sample};

/// A seed's place in a text, since no two texts have the same.
const SEED_TEXT: &str = "SEED";

fn read(answers: &Answers, version: &str, path: &str) -> Option<String> {
    let version = Versions::OPENSTACK.named(version).unwrap();
    let answer = answers.get(Dialect::OpenStack, version, path)?;
    let body = answer.body.bytes(None).unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

/// The same with the seed's text replaced.
fn seedless(text: &str) -> String {
    let (before, rest) = text.split_once("\"random_seed\":\"").unwrap();
    let (seed, after) = rest.split_once('"').unwrap();
    assert_eq!(STANDARD.decode(seed).unwrap().len(), 512);
    format!("{before}\"random_seed\":\"{SEED_TEXT}\"{after}")
}

fn full() -> Instance {
    let mut instance = sample::instance();
    instance.tags.remove("bad key");
    instance.site = std::sync::Arc::new(Site {
        project_id: Some("p-1".into()),
        ..Site::default()
    });
    instance.files = vec![
        ContentFile {
            path: "/etc/motd".into(),
            content: "hello\n".into(),
        },
        ContentFile {
            path: "/root/\"x\"".into(),
            content: vec![0xff, 0].into(),
        },
    ];
    instance
}

#[test]
fn each_version_lists_what_it_has() {
    let answers = render::answers(&full(), 0);
    let (folsom, grizzly) = (
        "meta_data.json\nuser_data",
        "meta_data.json\npassword\nuser_data",
    );
    let havana = "meta_data.json\npassword\nuser_data\nvendor_data.json";
    let liberty = "meta_data.json\nnetwork_data.json\npassword\nuser_data\nvendor_data.json";
    let newton = "meta_data.json\nnetwork_data.json\npassword\nuser_data\nvendor_data.json\nvendor_data2.json";
    for (version, expected) in [
        ("2012-08-10", folsom),
        ("2013-04-04", grizzly),
        ("2013-10-17", havana),
        ("2015-10-15", liberty),
        ("2016-06-30", liberty),
        ("2016-10-06", newton),
        ("2017-02-22", newton),
        ("2018-08-27", newton),
        ("2020-10-14", newton),
        ("2025-04-04", newton),
        ("latest", newton),
    ] {
        assert_eq!(
            read(&answers, version, "").as_deref(),
            Some(expected),
            "{version}"
        );
        for name in newton.split('\n') {
            let listed = expected.split('\n').any(|listed| listed == name);
            assert_eq!(
                read(&answers, version, name).is_some(),
                listed,
                "{version} {name}"
            );
        }
    }
}

const FOLSOM: &str = r#"{"uuid":"ec2f2f1c-0000-4000-8000-000000000001","hostname":"web1.internal","name":"web1","launch_index":0,"availability_zone":"rack-7","meta":{"role":"web"},"public_keys":{"admin":"ssh-ed25519 AAAA me@host","admin-2":"ssh-rsa B"},"keys":[{"name":"admin","type":"ssh","data":"ssh-ed25519 AAAA me@host"},{"name":"admin-2","type":"ssh","data":"ssh-rsa B"}],"files":[{"path":"/etc/motd","content_path":"/content/0000"},{"path":"/root/\"x\"","content_path":"/content/0001"}]"#;
const PROJECT: &str = r#","project_id":"p-1""#;
const DEVICES: &str = r#","devices":[{"type":"nic","bus":"none","address":"none","mac":"52:54:00:00:00:01","tags":[]},{"type":"nic","bus":"none","address":"none","mac":"52:54:00:00:00:02","tags":[]},{"type":"disk","bus":"none","address":"none","path":"/dev/vda","tags":[]},{"type":"disk","bus":"none","address":"none","path":"/dev/vdb","tags":[]}]"#;
const TRUSTED: &str = r#","devices":[{"type":"nic","bus":"none","address":"none","mac":"52:54:00:00:00:01","tags":[],"vf_trusted":false},{"type":"nic","bus":"none","address":"none","mac":"52:54:00:00:00:02","tags":[],"vf_trusted":false},{"type":"disk","bus":"none","address":"none","path":"/dev/vda","tags":[]},{"type":"disk","bus":"none","address":"none","path":"/dev/vdb","tags":[]}]"#;
const SEEDED: &str = r#","random_seed":"SEED"}"#;

#[test]
fn meta_data_grows_with_the_versions() {
    let answers = render::answers(&full(), 0);
    let first = read(&answers, "2012-08-10", "meta_data.json");
    assert_eq!(first.as_deref(), Some(format!("{FOLSOM}}}").as_str()));
    for (version, added) in [
        ("2013-04-04", String::new()),
        ("2013-10-17", String::new()),
        ("2015-10-15", PROJECT.to_owned()),
        ("2016-06-30", format!("{PROJECT}{DEVICES}")),
        ("2017-02-22", format!("{PROJECT}{DEVICES}")),
        ("2018-08-27", format!("{PROJECT}{TRUSTED}")),
        ("latest", format!("{PROJECT}{TRUSTED}")),
    ] {
        let text = read(&answers, version, "meta_data.json").unwrap();
        assert_eq!(
            seedless(&text),
            format!("{FOLSOM}{added}{SEEDED}"),
            "{version}"
        );
    }
}

#[test]
fn seed_is_another_for_each_request_and_the_tag_the_same() {
    let answers = render::answers(&full(), 0);
    let texts = [0, 1].map(|_| read(&answers, "latest", "meta_data.json").unwrap());
    assert_ne!(texts[0], texts[1]);
    assert_eq!(
        texts[0].len(),
        texts[1].len(),
        "HEAD tells the length of another GET's"
    );
    let tag = |instance: &Instance| {
        let answers = render::answers(instance, 0);
        let answer = answers.get(
            Dialect::OpenStack,
            super::super::Version::LATEST,
            "meta_data.json",
        );
        answer.unwrap().etag.unwrap()
    };
    assert_eq!(tag(&full()), tag(&full()));
    let mut other = full();
    other.hostname = "web2".into();
    assert_ne!(tag(&full()), tag(&other));
}

#[test]
fn what_nobody_knows_is_left_out() {
    let mut instance = sample::instance();
    instance.placement = crate::instance::Placement::default();
    (instance.public_keys, instance.tags) = (vec![], std::collections::BTreeMap::new());
    (instance.user_data, instance.nics, instance.disks) = (None, Shared::default(), vec![]);
    let answers = render::answers(&instance, 0);
    let text = read(&answers, "latest", "meta_data.json").unwrap();
    let expected = concat!(
        r#"{"uuid":"ec2f2f1c-0000-4000-8000-000000000001","hostname":"web1.internal","name":"web1","#,
        r#""launch_index":0,"devices":[],"random_seed":"SEED"}"#
    );
    assert_eq!(seedless(&text), expected);
    assert_eq!(read(&answers, "latest", "user_data"), None);
    assert!(!read(&answers, "latest", "").unwrap().contains("user_data"));
    let network = read(&answers, "latest", "network_data.json");
    assert_eq!(
        network.as_deref(),
        Some(r#"{"links":[],"networks":[],"services":[]}"#)
    );
}

#[test]
fn vendor_data_is_text_or_nothing() {
    for (case, octets, expected) in [
        ("none", None, "{}"),
        ("empty", Some(&b""[..]), "{}"),
        (
            "text",
            Some(b"#cloud-config\n{}\n"),
            r##"{"cloud-init":"#cloud-config\n{}\n"}"##,
        ),
        ("octets", Some(b"\x1f\x8b\xff"), "{}"),
    ] {
        let mut instance = sample::instance();
        instance.vendor_data = octets.map(|it| Bytes::from_static(it).into());
        let answers = render::answers(&instance, 0);
        let vendor = read(&answers, "latest", "vendor_data.json");
        assert_eq!(vendor.as_deref(), Some(expected), "{case}");
        let second = read(&answers, "latest", "vendor_data2.json");
        assert_eq!(second.as_deref(), Some("{}"), "{case}");
    }
}

#[test]
fn network_data_says_how_each_nic_comes_by_its_addresses() {
    let cidr = |address: &str, prefix| Cidr {
        address: address.parse().unwrap(),
        prefix,
    };
    let host = |address: &str| -> IpAddr { address.parse().unwrap() };
    let mut instance = sample::instance();
    instance.nics[0].mtu = Some(1450);
    instance.nics[0].offer = Offer {
        dhcp4: Some(true),
        announced: true,
        nameservers: vec![host("192.168.122.1")],
        ..Offer::default()
    };
    instance.nics[1].addresses = vec![cidr("10.0.0.5", 24), cidr("fd00::5", 64)];
    instance.nics[1].fixed = Some(Box::new(Fixed {
        gateways: vec![host("10.0.0.1"), host("fd00::1")],
        nameservers: vec![host("10.0.0.53")],
    }));
    let answers = render::answers(&instance, 0);
    let text = read(&answers, "2015-10-15", "network_data.json").unwrap();
    let mut found: Value = serde_json::from_str(&text).unwrap();
    for link in found["links"].as_array_mut().unwrap() {
        let id = link.as_object_mut().unwrap().remove("vif_id").unwrap();
        assert!(id.as_str().unwrap().starts_with("eni-"), "{id}");
    }
    for network in found["networks"].as_array_mut().unwrap() {
        let id = network.as_object_mut().unwrap().remove("network_id");
        assert!(id.unwrap().as_str().unwrap().starts_with("subnet-"));
    }
    let expected = json!({
        "links": [
            {"id": "interface0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01", "mtu": 1450},
            {"id": "interface1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:02"},
        ],
        "networks": [
            {"id": "network0", "type": "ipv4_dhcp", "link": "interface0"},
            {"id": "network1", "type": "ipv6_slaac", "link": "interface0"},
            {
                "id": "network2", "type": "ipv4", "link": "interface1",
                "ip_address": "10.0.0.5", "netmask": "255.255.255.0",
                "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}],
            },
            {
                "id": "network3", "type": "ipv6", "link": "interface1",
                "ip_address": "fd00::5", "netmask": "ffff:ffff:ffff:ffff::",
                "routes": [{"network": "::", "netmask": "::", "gateway": "fd00::1"}],
            },
        ],
        "services": [{"type": "dns", "address": "10.0.0.53"}],
    });
    assert_eq!(found, expected);
}

#[test]
fn files_stand_beside_the_versions_and_in_no_list() {
    let answers = render::answers(&full(), 0);
    let file = |path| answers.get(Dialect::OpenStack, super::super::Version::LATEST, path);
    let octets = |path| file(path).map(|answer| answer.body.bytes(None).unwrap());
    assert_eq!(octets("content/0000").as_deref(), Some(&b"hello\n"[..]));
    assert_eq!(octets("content/0001").as_deref(), Some(&[0xff, 0][..]));
    assert_eq!(file("content/0000").unwrap().content, Content::Octets);
    assert!(file("content/0002").is_none());
    assert!(file("content").is_none());
}
