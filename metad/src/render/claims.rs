//! What a signed token says of an instance.
//!
//! In: an instance and its answers. Out: claims, none of which the guest itself can write: what its administrator, its
//! site and libvirt say. An address is among them only where it was known beforehand.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{Answers, DOCUMENT, Version};
use crate::instance::{Dialect, Instance};

/// Where the tags are, below an EC2 version.
const TAGS: &str = "meta-data/tags/instance";

/// Octets of tags, as JSON, that still go into a token: it travels in headers.
const TAGS_MAX: usize = 4096;

/// What is escaped in a part of the subject: above all the colon that separates them.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Claims of a token for `instance`, which `answers` speaks to: `sub` and what is metad's own. They say what the
/// identity document says.
pub fn claims(instance: &Instance, answers: &Answers) -> Map<String, Value> {
    let document = document(answers);
    let said = |name: &str| document.get(name).filter(|value| value.is_string());
    let text = |name: &str| said(name).and_then(Value::as_str).unwrap_or_default();
    let mut claims = Map::new();
    let (account, region) = (text("accountId"), text("region"));
    let subject = subject(account, region, text("instanceId"));
    claims.insert("sub".to_owned(), subject.into());
    claims.insert("instance_name".to_owned(), instance.name.clone().into());
    claims.insert("uuid".to_owned(), instance.uuid.to_string().into());
    for (claim, name) in [
        ("instance_id", "instanceId"),
        ("instance_type", "instanceType"),
        ("image_id", "imageId"),
        ("account", "accountId"),
        ("region", "region"),
        ("zone", "availabilityZone"),
        ("private_ip", "privateIp"),
    ] {
        if let Some(value) = said(name) {
            claims.insert(claim.to_owned(), value.clone());
        }
    }
    claims.insert("hostname".to_owned(), instance.hostname.clone().into());
    let tags = Value::from(tags(answers));
    let used = tags.as_object().is_some_and(|tags| !tags.is_empty());
    if used && tags.to_string().len() <= TAGS_MAX {
        claims.insert("tags".to_owned(), tags);
    }
    claims
}

/// One name for one instance: whatever stands in a part, it never reads like two.
fn subject(account: &str, region: &str, instance_id: &str) -> String {
    let escaped = |part| utf8_percent_encode(part, ESCAPED);
    format!(
        "instance:{}:{}:{}",
        escaped(account),
        escaped(region),
        escaped(instance_id)
    )
}

/// The identity document, without an address that is only what a guest wrote into its packets.
fn document(answers: &Answers) -> Map<String, Value> {
    said(answers, DOCUMENT)
        .and_then(|octets| serde_json::from_slice(&octets).ok())
        .unwrap_or_default()
}

/// The tags as the guest reads them.
fn tags(answers: &Answers) -> Map<String, Value> {
    let text = |path: &str| Some(String::from_utf8_lossy(&said(answers, path)?).into_owned());
    let listing = text(TAGS).unwrap_or_default();
    let tag = |key: &str| Some((key.to_owned(), text(&format!("{TAGS}/{key}"))?.into()));
    listing.lines().filter_map(tag).collect()
}

fn said(answers: &Answers, path: &str) -> Option<Bytes> {
    let answer = answers.get(Dialect::Ec2, Version::LATEST, path)?;
    answer.body.without_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Cidr;
    use crate::render::{answers, sample};
    use serde_json::json;

    #[test]
    fn claims_are_what_the_document_says() {
        let mut instance = sample::instance();
        instance.tags = [("role".to_owned(), "web".to_owned())].into();
        let claims = claims(&instance, &answers(&instance, 0));
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        for (claim, expected) in [
            ("instance_name", instance.name.as_str()),
            ("hostname", &instance.hostname),
            ("instance_id", &instance.instance_id),
            ("instance_type", &instance.instance_type),
        ] {
            assert_eq!(text(claim), Some(expected), "{claim}");
        }
        assert_eq!(text("uuid"), Some(instance.uuid.to_string().as_str()));
        assert_eq!(claims.get("tags"), Some(&json!({"role": "web"})));
        let subject = text("sub").unwrap();
        let end = format!(":{}", instance.instance_id);
        assert!(subject.starts_with("instance:000000000000:"), "{subject}");
        assert!(subject.ends_with(&end), "{subject}");
    }

    #[test]
    fn address_is_claimed_where_it_was_known_beforehand() {
        let mut instance = sample::instance();
        instance.nics[0].addresses = vec![Cidr {
            address: [192, 0, 2, 5].into(),
            prefix: 24,
        }];
        let known = claims(&instance, &answers(&instance, 0));
        assert_eq!(known.get("private_ip"), Some(&json!("192.0.2.5")));
        instance.nics[0].addresses.clear();
        let unknown = claims(&instance, &answers(&instance, 0));
        assert_eq!(unknown.get("private_ip"), None);
    }

    #[test]
    fn no_part_of_a_subject_reads_like_two() {
        for (parts, expected) in [
            (("1", "r", "i-1"), "instance:1:r:i-1"),
            (("1", "", "i-1"), "instance:1::i-1"),
            (("1", "r", "r:i-1"), "instance:1:r:r%3Ai-1"),
            (("1:r", "", "i-1"), "instance:1%3Ar::i-1"),
            (("1", "r", "i%3A1"), "instance:1:r:i%253A1"),
            (("1", "r", "i 1*ö"), "instance:1:r:i%201%2A%C3%B6"),
        ] {
            assert_eq!(subject(parts.0, parts.1, parts.2), expected, "{parts:?}");
        }
    }

    #[test]
    fn too_many_tags_stay_out() {
        let mut instance = sample::instance();
        for (length, there) in [(4000, true), (5000, false)] {
            instance.tags = [("role".to_owned(), "x".repeat(length))].into();
            let claims = claims(&instance, &answers(&instance, 0));
            assert_eq!(claims.contains_key("tags"), there, "{length}");
        }
    }
}
