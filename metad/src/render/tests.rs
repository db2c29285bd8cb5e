//! What the sample instance is told, path by path.

mod full;
mod network;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::sample::instance;
use super::*;
use crate::instance::{DiskKind, Placement};

const CALLER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn read(answers: &Answers, path: &str) -> Option<String> {
    body(answers, Dialect::Ec2, Version::LATEST, path)
}

fn body(answers: &Answers, dialect: Dialect, version: Version, path: &str) -> Option<String> {
    let found = answers.get(dialect, version, path)?;
    let bytes = found.body.bytes(Some(CALLER)).unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn every_row_that_a_client_needs_is_there() {
    let answers = answers(&instance(), 0);
    for (path, expected) in [
        ("", "dynamic\nmeta-data\nuser-data"),
        ("meta-data/ami-launch-index", "0"),
        ("meta-data/ami-manifest-path", "(unknown)"),
        ("meta-data/block-device-mapping", "ami\nebs1\nroot"),
        ("meta-data/block-device-mapping/ami", "vda"),
        ("meta-data/block-device-mapping/root", "/dev/vda"),
        ("meta-data/block-device-mapping/ebs1", "vdb"),
        ("meta-data/hostname", "web1.internal"),
        ("meta-data/instance-action", "none"),
        ("meta-data/instance-id", "i-0123456789abcdef0"),
        ("meta-data/instance-life-cycle", "on-demand"),
        ("meta-data/instance-type", "c3.large"),
        ("meta-data/local-hostname", "web1.internal"),
        ("meta-data/local-ipv4", "192.0.2.7"),
        ("meta-data/mac", "52:54:00:00:00:01"),
        ("meta-data/placement", "availability-zone\nregion"),
        ("meta-data/placement/availability-zone", "rack-7"),
        ("meta-data/placement/region", "north"),
        ("meta-data/profile", "default-hvm"),
        ("meta-data/public-keys", "0=admin\n1=admin-2"),
        ("meta-data/public-keys/0", "openssh-key"),
        (
            "meta-data/public-keys/0/openssh-key",
            "ssh-ed25519 AAAA me@host",
        ),
        ("meta-data/public-keys/1/openssh-key", "ssh-rsa B"),
        ("meta-data/security-groups", "default"),
        ("meta-data/services/domain", "amazonaws.com"),
        ("meta-data/services/partition", "aws"),
        ("meta-data/tags/instance", "role"),
        ("meta-data/tags/instance/role", "web"),
        ("user-data", "#cloud-config\n"),
        ("dynamic", "fws/\ninstance-identity/"),
        ("dynamic/fws/instance-monitoring", "disabled"),
        ("dynamic/instance-identity", "document\nrsa2048\nsignature"),
    ] {
        assert_eq!(read(&answers, path).as_deref(), Some(expected), "{path}");
    }
    for (path, prefix) in [
        ("meta-data/ami-id", "ami-"),
        ("meta-data/reservation-id", "r-"),
    ] {
        let value = read(&answers, path).unwrap();
        assert!(
            value.starts_with(prefix) && value.len() == prefix.len() + 17,
            "{path}: {value}"
        );
    }
}

#[test]
fn every_nic_has_a_directory() {
    let base = "meta-data/network/interfaces/macs";
    let answers = answers(&instance(), 0);
    assert_eq!(
        read(&answers, base).as_deref(),
        Some("52:54:00:00:00:01/\n52:54:00:00:00:02/")
    );
    for (path, expected) in [
        ("52:54:00:00:00:01/device-number", Some("0")),
        ("52:54:00:00:00:01/local-ipv4s", Some("192.0.2.7")),
        ("52:54:00:00:00:01/mac", Some("52:54:00:00:00:01")),
        ("52:54:00:00:00:01/subnet-ipv4-cidr-block", None),
        ("52:54:00:00:00:02/device-number", Some("1")),
        ("52:54:00:00:00:02/local-ipv4s", Some("10.0.0.5")),
        ("52:54:00:00:00:02/local-hostname", Some("web1.internal")),
        ("52:54:00:00:00:02/owner-id", Some("000000000000")),
        ("52:54:00:00:00:02/security-groups", Some("default")),
        (
            "52:54:00:00:00:02/subnet-ipv4-cidr-block",
            Some("10.0.0.0/24"),
        ),
        ("52:54:00:00:00:02/vpc-ipv4-cidr-block", Some("10.0.0.0/24")),
        (
            "52:54:00:00:00:02/vpc-ipv4-cidr-blocks",
            Some("10.0.0.0/24"),
        ),
        ("52:54:00:00:00:02/ipv6s", None),
    ] {
        assert_eq!(
            read(&answers, &format!("{base}/{path}")).as_deref(),
            expected,
            "{path}"
        );
    }
    let ids = |name: &str| {
        [1, 2].map(|last| read(&answers, &format!("{base}/52:54:00:00:00:0{last}/{name}")).unwrap())
    };
    for (name, shared) in [
        ("vpc-id", true),
        ("subnet-id", true),
        ("interface-id", false),
    ] {
        let [first, second] = ids(name);
        assert_eq!(first == second, shared, "{name}");
    }
}

#[test]
fn addresses_of_other_nics_are_not_made_up() {
    let answers = answers(&instance(), 1);
    let base = "meta-data/network/interfaces/macs/52:54:00:00:00:0";
    assert_eq!(
        read(&answers, "meta-data/local-ipv4").as_deref(),
        Some("10.0.0.5")
    );
    assert_eq!(read(&answers, &format!("{base}1/local-ipv4s")), None);
    let listing = read(&answers, &format!("{base}1")).unwrap();
    assert!(!listing.contains("local-ipv4s"), "{listing}");
}

#[test]
fn identity_document_is_json_in_ec2s_spacing() {
    let document = |nic, caller| {
        let answers = answers(&instance(), nic);
        let answer = answers
            .get(
                Dialect::Ec2,
                Version::LATEST,
                "dynamic/instance-identity/document",
            )
            .unwrap();
        answer.body.bytes(caller)
    };
    let own = document(0, Some(CALLER)).unwrap();
    assert_eq!(document(0, Some(CALLER)).unwrap(), own, "stable");
    assert_eq!(document(0, None), None);
    let text = std::str::from_utf8(&own).unwrap();
    assert!(
        text.starts_with("{\n  \"accountId\" : \"000000000000\",\n"),
        "{text}"
    );
    assert!(
        text.ends_with("  \"version\" : \"2017-09-30\"\n}"),
        "{text}"
    );
    let read: Value = serde_json::from_slice(&own).unwrap();
    for (name, expected) in [
        ("availabilityZone", json!("rack-7")),
        ("billingProducts", json!(null)),
        ("instanceId", json!("i-0123456789abcdef0")),
        ("instanceType", json!("c3.large")),
        ("pendingTime", json!(null)),
        ("privateIp", json!("192.0.2.7")),
        ("region", json!("north")),
    ] {
        assert_eq!(read[name], expected, "{name}");
    }
    let other: Value = serde_json::from_slice(&document(1, None).unwrap()).unwrap();
    assert_eq!(other["privateIp"], json!("10.0.0.5"));
}

#[test]
fn what_an_owner_lays_over_counts_everywhere() {
    let mut instance = instance();
    instance.meta_data = json!({
        "instance-id": "i-1", "local-hostname": "x", "ami-id": "ami-1", "local-ipv4": "198.51.100.1",
        "placement": {"group-name": "g"},
    })
    .as_object()
    .unwrap()
    .clone();
    let answers = answers(&instance, 0);
    for (path, expected) in [
        ("meta-data/instance-id", "i-1"),
        (
            "meta-data/placement",
            "availability-zone\ngroup-name\nregion",
        ),
    ] {
        assert_eq!(read(&answers, path).as_deref(), Some(expected), "{path}");
    }
    let document = read(&answers, "dynamic/instance-identity/document").unwrap();
    for line in [
        "\"instanceId\" : \"i-1\"",
        "\"imageId\" : \"ami-1\"",
        "\"privateIp\" : \"198.51.100.1\"",
    ] {
        assert!(document.contains(line), "{line} in {document}");
    }
    let meta_data = body(&answers, Dialect::NoCloud, Version::LATEST, "meta-data").unwrap();
    let meta_data: Value = serde_json::from_str(&meta_data).unwrap();
    assert_eq!(meta_data["instance-id"], json!("i-1"));
    assert_eq!(meta_data["local-hostname"], json!("x"));
}

#[test]
fn instance_id_is_never_empty() {
    for (case, own, over, expected) in [
        ("hidden", "i-1", json!({"instance-id": null}), "i-1"),
        ("emptied", "i-1", json!({"instance-id": " "}), "i-1"),
        (
            "a directory",
            "i-1",
            json!({"instance-id": {"a": 1}}),
            "i-1",
        ),
        ("none", "", json!({}), "i-ec2f2f1c000040008"),
    ] {
        let mut instance = instance();
        instance.instance_id = own.into();
        instance.meta_data = over.as_object().unwrap().clone();
        let read = read(&answers(&instance, 0), "meta-data/instance-id");
        assert_eq!(read.as_deref(), Some(expected), "{case}");
    }
}

#[test]
fn bare_instance_lists_only_what_it_has() {
    let mut instance = instance();
    instance.public_keys = Vec::new();
    instance.user_data = None;
    instance.tags = BTreeMap::new();
    instance.placement = Placement::default();
    instance.disks.retain(|disk| disk.kind == DiskKind::Cdrom);
    instance.nics.clear();
    let answers = answers(&instance, 0);
    assert_eq!(read(&answers, "").as_deref(), Some("dynamic\nmeta-data"));
    let listing = read(&answers, "meta-data").unwrap();
    for name in [
        "block-device-mapping",
        "mac",
        "network",
        "placement",
        "public-keys",
        "tags",
    ] {
        assert!(!listing.contains(name), "{name} in {listing}");
        assert_eq!(read(&answers, &format!("meta-data/{name}")), None, "{name}");
    }
    assert_eq!(read(&answers, "user-data"), None);
}

#[test]
fn key_without_the_format_that_clients_ask_for_is_not_listed() {
    let mut instance = instance();
    instance.public_keys[0].formats = BTreeMap::from([("ssh2".into(), "x".into())]);
    let answers = answers(&instance, 0);
    assert_eq!(
        read(&answers, "meta-data/public-keys").as_deref(),
        Some("0=admin")
    );
}

#[test]
fn nocloud_always_has_its_four_files() {
    let mut instance = instance();
    instance.user_data = None;
    instance.vendor_data = Some("#cloud-config\n".into());
    let answers = answers(&instance, 0);
    let read = |path| body(&answers, Dialect::NoCloud, Version::LATEST, path);
    for (path, expected) in [
        ("", "meta-data\nnetwork-config\nuser-data\nvendor-data"),
        ("user-data", ""),
        ("vendor-data", "#cloud-config\n"),
        ("network-config", ""),
    ] {
        assert_eq!(read(path).as_deref(), Some(expected), "{path}");
    }
    assert_eq!(
        serde_json::from_str::<Value>(&read("meta-data").unwrap()).unwrap(),
        json!({
            "instance-id": "i-0123456789abcdef0",
            "local-hostname": "web1.internal",
            "public-keys": ["ssh-ed25519 AAAA me@host", "ssh-rsa B"],
        })
    );
}

#[test]
fn yaml_gets_no_letters_that_it_forbids() {
    let mut instance = instance();
    instance.hostname = "a\u{85}b\u{feff}".into();
    let answers = answers(&instance, 0);
    let text = body(&answers, Dialect::NoCloud, Version::LATEST, "meta-data").unwrap();
    assert!(text.is_ascii(), "{text}");
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["local-hostname"], json!("a\u{85}b\u{feff}"));
}
