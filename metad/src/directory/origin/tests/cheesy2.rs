//! Each test is named after the row of the behaviour that it holds.

use super::*;
use crate::record::Record;

/// The form of its manual.
const MANUAL: &str = r#"{
  "public-keys": [
    {"openssh-key": "ssh-rsa AAAA me@host"}
  ]
}"#;

fn record(text: &str) -> Record {
    read(text, json("foo.internal", false)).unwrap().file.record
}

fn refusal(text: &str) -> String {
    read(text, json("foo.internal", true))
        .unwrap_err()
        .to_string()
}

#[test]
fn c2_19_an_object_is_laid_over_meta_data_key_by_key() {
    let text = r#"{
      "instance-id": "i-7", "ami-id": "golden", "instance-type": "m1.small", "local-hostname": "a",
      "placement": {"availability-zone": "rack-7", "shelf": 3},
      "cluster": {"role": "db", "peers": ["a", "b"]}, "kernel-id": null, "public-keys": []
    }"#;
    let record = record(text);
    assert_eq!(record.instance_id.as_deref(), Some("i-7"));
    assert_eq!(record.image_id.as_deref(), Some("golden"));
    assert_eq!(record.instance_type.as_deref(), Some("m1.small"));
    assert_eq!(
        record.placement.availability_zone.as_deref(),
        Some("rack-7")
    );
    assert_eq!(record.public_keys, Some(Vec::new()));
    assert_eq!(
        record.meta_data.clone().map(Value::Object),
        Some(serde_json::json!({
            "placement": {"shelf": 3}, "cluster": {"role": "db", "peers": ["a", "b"]}, "kernel-id": null,
        }))
    );
}

#[test]
fn c2_19_numbers_and_truth_values_are_text() {
    for (case, value, expected) in [
        ("number", "12", "12"),
        ("truth", "true", "true"),
        ("text", "\"x\"", "x"),
    ] {
        let text = format!(r#"{{"instance-id": {value}, "ami-id": "a", "cluster": 1}}"#);
        // `ami-id` is what tells it from a record of our own.
        assert_eq!(
            record(&text).instance_id.as_deref(),
            Some(expected),
            "{case}"
        );
    }
}

#[test]
fn c2_19_what_cannot_be_asked_for_is_refused_with_its_place() {
    for (case, text, expected) in [
        (
            "a key with a slash",
            r#"{"ami-id": "a", "a/b": 1}"#,
            "line 1, column 25: `a/b` holds the character '/'; `/` may not stand in a key",
        ),
        (
            "twice",
            r#"{"cluster": 1, "cluster": 2}"#,
            "line 1, column 28: the key `cluster` stands here twice",
        ),
        (
            "a host name that is none",
            r#"{"local-hostname": "a b"}"#,
            "line 1, column 25: `local-hostname` holds the character ' '; letters, digits, `-`, `_` and `.` make a host name",
        ),
        (
            "an object for an id",
            r#"{"instance-id": {}}"#,
            "line 1, column 19: `instance-id` is no text",
        ),
        (
            "no list of keys",
            r#"{"public-keys": "ssh-rsa AAAA"}"#,
            "line 1, column 31: `public-keys` is no list of keys",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{case}");
    }
}

#[test]
fn c2_20_user_data_is_the_file_beside_it() {
    let reading = read(MANUAL, json("foo.internal", true)).unwrap();
    assert!(reading.takes_data);
    assert_eq!(reading.file.user_data_file, None);
    let alone = read("{}", json("foo.internal", true)).unwrap();
    assert_eq!(
        (alone.machine.as_str(), alone.takes_data),
        ("foo", true),
        "user-data alone"
    );
}

#[test]
fn c2_21_another_host_name_inside_does_not_change_whose_the_file_is() {
    let text = r#"{"local-hostname": "bar.internal", "hostname": "baz"}"#;
    let reading = read(text, json("foo.internal", false)).unwrap();
    assert_eq!(reading.machine, "foo");
    let record = reading.file.record;
    assert_eq!(record.hostname.as_deref(), Some("bar.internal"));
    assert_eq!(
        record.meta_data.clone().map(Value::Object),
        Some(serde_json::json!({"hostname": "baz"}))
    );
}

#[test]
fn c2_21_a_guest_that_libvirt_did_not_know_keeps_its_name() {
    let reading = read(MANUAL, json("vm52-54-00-12-34-56.internal", false)).unwrap();
    assert_eq!(reading.machine, "vm52-54-00-12-34-56");
}

#[test]
fn c2_23_nothing_is_said_of_what_the_file_does_not_name() {
    let record = record(MANUAL);
    assert_eq!(
        (
            record.instance_id.clone(),
            record.meta_data.clone(),
            record.user_data
        ),
        (None, None, None)
    );
}

#[test]
fn c2_24_an_instance_id_with_dashes_may_be_kept() {
    let record = record(r#"{"instance-id": "52-54-00-aa-bb-cc", "public-keys": []}"#);
    assert_eq!(record.instance_id.as_deref(), Some("52-54-00-aa-bb-cc"));
}

#[test]
fn c2_25_the_host_name_is_the_name_of_the_file() {
    for (case, stem, expected) in [
        ("a domain", "foo.internal", Some("foo.internal")),
        (
            "a domain with dots",
            "foo.example.internal",
            Some("foo.example.internal"),
        ),
        (
            "a domain that makes no host name",
            "my guest.internal",
            None,
        ),
    ] {
        let record = read(MANUAL, json(stem, false)).unwrap().file.record;
        assert_eq!(record.hostname.as_deref(), expected, "{case}");
    }
}

#[test]
fn c2_26_every_key_of_the_list_counts() {
    let text = r#"{"public-keys": [
      {"openssh-key": "ssh-rsa AAAA me@host"},
      {"openssh-key": "ssh-ed25519 BBBB", "name": "other", "rfc4716": "---- BEGIN"},
      {"openssh-key": "ssh-rsa CCCC", "name": "other"},
      "ssh-rsa DDDD",
      {"openssh-key": 7}, {}, {"openssh-key": ""}, "nonsense"
    ]}"#;
    let reading = read(text, json("foo.internal", false)).unwrap();
    let keys = reading.file.record.public_keys.clone().unwrap();
    let shown: Vec<(&str, &str)> = keys
        .iter()
        .map(|key| (key.name.as_str(), key.formats["openssh-key"].as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("0", "ssh-rsa AAAA me@host"),
            ("other", "ssh-ed25519 BBBB"),
            ("2", "ssh-rsa CCCC"),
            ("3", "ssh-rsa DDDD"),
        ]
    );
    assert_eq!(keys[1].formats["rfc4716"], "---- BEGIN");
    assert_eq!(
        reading.remarks,
        [
            "key 4 of `public-keys` is left out: it holds what is no text",
            "key 5 of `public-keys` is left out: it has no `openssh-key`",
            "key 6 of `public-keys` is left out: it is empty",
            "key 7 of `public-keys` is left out: it is no SSH key; one is a line like `ssh-ed25519 AAAA… me@host`",
        ]
    );
}
