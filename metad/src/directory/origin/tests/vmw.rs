//! Each test is named after the row of the behaviour that it holds.

use super::*;
use crate::instance::Packed;
use crate::record::Record;

/// The form of its manual, which its code refused: dashes, a list of tags, a text for `search`, a key that is none.
const MANUAL: &str = "---
metadata:
  ami-id: my-image
  instance-id: my-instance
  region: us-east1
  availability-zone: us-east1-a
  tags:
    - a
    - b
  public-keys:
    - ssh....
  hostname: myhost
network:
  address: 192.168.1.1
  netmask: 255.255.255.0
  gateway: 192.168.1.254
  search: 'example.com'
  nameservers:
    - 8.8.8.8
    - 8.8.4.4
userdata: |
  #cloud-config
  growpart:
    mode: auto
";

/// The form that its code took.
const CODE: &str = "metadata:
  ami_id: my-image
  instance_id: my-instance
  region: us-east1
  availability_zone: us-east1-a
  tags: {role: web}
  hostname: myhost
network:
  address: 192.168.1.1
  netmask: 255.255.255.0
  gateway: 192.168.1.254
  search: [example.com, example.org]
  nameservers: [8.8.8.8]
";

/// A key of octets that name their type.
const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@host";

fn reading(text: &str) -> Reading {
    read(text, yaml("my-vm")).unwrap()
}

fn record(text: &str) -> Record {
    reading(text).file.record
}

fn refusal(text: &str) -> String {
    read(text, yaml("my-vm")).unwrap_err().to_string()
}

fn network_config(text: &str) -> String {
    String::from_utf8(record(text).network_config.as_ref().unwrap().bytes().into()).unwrap()
}

#[test]
fn vs_08_the_machine_is_the_one_that_the_file_is_called_after() {
    for text in [MANUAL, CODE] {
        let reading = reading(text);
        assert_eq!(
            (reading.machine.as_str(), reading.takes_data),
            ("my-vm", false)
        );
        assert_eq!((reading.file.nics, reading.file.uuid), (None, None));
    }
}

#[test]
fn vs_09_metadata_has_its_fields() {
    for (case, text) in [("manual", MANUAL), ("code", CODE)] {
        let record = record(text);
        assert_eq!(record.image_id.as_deref(), Some("my-image"), "{case}");
        assert_eq!(record.instance_id.as_deref(), Some("my-instance"), "{case}");
        assert_eq!(
            record.placement.region.as_deref(),
            Some("us-east1"),
            "{case}"
        );
        let zone = record.placement.availability_zone.clone();
        assert_eq!(zone.as_deref(), Some("us-east1-a"), "{case}");
        assert_eq!(record.hostname.as_deref(), Some("myhost"), "{case}");
    }
    for key in [
        "ami_id",
        "instance_id",
        "region",
        "availability_zone",
        "hostname",
    ] {
        let without: String = CODE
            .split_inclusive('\n')
            .filter(|line| !line.trim().starts_with(key))
            .collect();
        let lacks = format!("`metadata` lacks `{}`", key.replace('_', "-"));
        assert!(
            refusal(&without).ends_with(&lacks),
            "{key}: {}",
            refusal(&without)
        );
    }
}

#[test]
fn vs_10_network_has_its_fields() {
    for key in ["address", "netmask", "gateway", "nameservers"] {
        let without: String = CODE
            .split_inclusive('\n')
            .filter(|line| !line.trim().starts_with(key))
            .collect();
        let lacks = format!("`network` lacks `{key}`");
        assert!(
            refusal(&without).ends_with(&lacks),
            "{key}: {}",
            refusal(&without)
        );
    }
    let without: String = CODE
        .split_inclusive('\n')
        .filter(|line| !line.trim().starts_with("search"))
        .collect();
    assert!(network_config(&without).contains("dns_search: []\n"));
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn vs_11_addresses_that_no_host_has_are_refused() {
    let with = |key: &str, value: &str| -> String {
        CODE.split_inclusive('\n')
            .map(|line| match line.trim().starts_with(key) {
                true => format!("  {key}: {value}\n"),
                false => line.to_owned(),
            })
            .collect()
    };
    for (case, key, value, expected) in [
        (
            "multicast",
            "address",
            "224.0.0.1",
            "`address` is 224.0.0.1, a multicast address",
        ),
        (
            "none",
            "gateway",
            "0.0.0.0",
            "`gateway` is 0.0.0.0, the address that means none",
        ),
        (
            "loopback",
            "address",
            "127.0.0.2",
            "`address` is 127.0.0.2, a loopback address",
        ),
        (
            "link-local",
            "gateway",
            "169.254.1.1",
            "`gateway` is 169.254.1.1, a link-local address",
        ),
        (
            "reserved",
            "address",
            "240.0.0.1",
            "`address` is 240.0.0.1, a reserved address",
        ),
        (
            "a server",
            "nameservers",
            "[8.8.8.8, 255.255.255.255]",
            "an entry of `nameservers` is 255.255.255.255, a reserved address",
        ),
        (
            "IPv6",
            "address",
            "'fd00::1'",
            "`address` is no IPv4 address",
        ),
        (
            "a mask with a hole",
            "netmask",
            "255.0.255.0",
            "`netmask` is 255.0.255.0, which is no netmask",
        ),
        (
            "no mask",
            "netmask",
            "10.0.0.1",
            "`netmask` is 10.0.0.1, which is no netmask",
        ),
    ] {
        let refusal = refusal(&with(key, value));
        assert!(refusal.ends_with(expected), "{case}: {refusal}");
        assert!(refusal.starts_with("line "), "{case}: {refusal}");
    }
    assert!(
        network_config(&with("netmask", "255.255.255.255")).contains("netmask: 255.255.255.255\n")
    );
}

#[test]
fn vs_12_a_key_that_is_none_is_left_out_and_the_rest_counts() {
    let text = CODE.replace(
        "  tags: {role: web}\n",
        &format!("  public_keys: ['{ED25519}', 'no-pty {ED25519}', ssh-rsa, 'ssh-rsa AAAAC3NzaC1lZDI1NTE5']\n"),
    );
    let reading = reading(&text);
    let keys = reading.file.record.public_keys.clone().unwrap();
    let shown: Vec<(&str, &str)> = keys
        .iter()
        .map(|key| (key.name.as_str(), key.formats["openssh-key"].as_str()))
        .collect();
    let with_options = format!("no-pty {ED25519}");
    assert_eq!(shown, [("0", ED25519), ("1", with_options.as_str())]);
    assert_eq!(
        reading.remarks,
        [
            "key 2 of `public-keys` is left out: it is no OpenSSH public key on one line",
            "key 3 of `public-keys` is left out: it is no OpenSSH public key on one line",
        ]
    );
}

#[test]
fn vs_13_user_data_is_stripped_and_has_a_default() {
    for (case, text, expected) in [
        ("given", MANUAL, "#cloud-config\ngrowpart:\n  mode: auto"),
        ("none", CODE, "#cloud-config\n{}"),
    ] {
        assert_eq!(
            record(text)
                .user_data
                .as_ref()
                .map(Packed::bytes)
                .as_deref(),
            Some(expected.as_bytes()),
            "{case}"
        );
    }
}

#[test]
fn vs_14_unknown_keys_are_refused_at_every_level() {
    for (case, text, expected) in [
        (
            "top",
            format!("{CODE}userdat: a\n"),
            "line 14, column 1: unknown key `userdat`, did you mean `userdata`?",
        ),
        (
            "metadata",
            CODE.replace("  region:", "  regoin:"),
            "line 4, column 3: unknown key `regoin`, did you mean `region`?",
        ),
        (
            "network",
            CODE.replace("  gateway:", "  gatway:"),
            "line 11, column 3: unknown key `gatway`, did you mean `gateway`?",
        ),
        (
            "metadata says nothing",
            "metadata:\nnetwork:\n".to_owned(),
            "`metadata` says nothing",
        ),
    ] {
        assert_eq!(refusal(&text), expected, "{case}");
    }
}

#[test]
fn vs_20_both_spellings_of_a_key_are_taken_but_not_at_once() {
    let mixed = CODE.replace("ami_id", "ami-id");
    assert_eq!(record(&mixed).image_id.as_deref(), Some("my-image"));
    let both = CODE.replace(
        "  ami_id: my-image\n",
        "  ami_id: my-image\n  ami-id: other\n",
    );
    let expected = "`ami-id` and `ami_id` are the same key; keep one";
    assert!(refusal(&both).ends_with(expected), "{}", refusal(&both));
}

#[test]
fn vs_21_tags_are_a_mapping_or_a_list_of_keys() {
    for (case, text, expected) in [
        ("mapping", CODE, vec![("role", "web")]),
        ("list", MANUAL, vec![("a", ""), ("b", "")]),
    ] {
        let tags = record(text).tags.clone().unwrap();
        let shown: Vec<(&str, &str)> = tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(shown, expected, "{case}");
    }
}

#[test]
fn vs_22_search_is_a_list_or_one_domain() {
    for (case, text, expected) in [
        (
            "list",
            CODE,
            "dns_search: [\"example.com\", \"example.org\"]\n",
        ),
        ("text", MANUAL, "dns_search: [\"example.com\"]\n"),
    ] {
        let config = network_config(text);
        assert!(config.contains(expected), "{case}: {config}");
    }
}

#[test]
fn vs_36_the_network_is_told_by_name_or_by_mac() {
    assert_eq!(
        network_config(MANUAL),
        "config:
- name: eth0
  subnets:
  - address: 192.168.1.1
    dns_nameservers: [8.8.8.8, 8.8.4.4]
    dns_search: [\"example.com\"]
    gateway: 192.168.1.254
    netmask: 255.255.255.0
    type: static
  type: physical
version: 1
"
    );
    let by_mac = MANUAL.replace("  netmask:", "  mac: 52:54:00:AA:bb:cc\n  netmask:");
    assert_eq!(
        network_config(&by_mac),
        "version: 2
ethernets:
  nic0:
    match:
      macaddress: \"52:54:00:aa:bb:cc\"
    addresses:
    - 192.168.1.1/24
    routes:
    - to: 0.0.0.0/0
      via: 192.168.1.254
    nameservers:
      addresses: [8.8.8.8, 8.8.4.4]
      search: [\"example.com\"]
"
    );
}
