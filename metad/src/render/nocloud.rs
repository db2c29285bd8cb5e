//! The four files that cloud-init's NoCloud reads below `/nocloud/`.
//!
//! All four always answer: an absent one costs the guest ten seconds or its data source.

use serde_json::{Map, Value};

use super::tree::Directory;
use super::{Body, Content, network_config};
use crate::instance::{Instance, Packed};

/// Builds the files, with the names that the EC2 tree `ec2` gives.
pub(super) fn directory(instance: &Instance, ec2: &Directory) -> Directory {
    let mut tree = Directory::default();
    let meta_data = Body::Bytes(meta_data(instance, ec2).into());
    tree.leaf("meta-data", Content::Yaml, meta_data);
    for (name, octets) in [
        ("user-data", &instance.user_data),
        ("vendor-data", &instance.vendor_data),
    ] {
        let octets = octets.as_ref().map(Packed::bytes).unwrap_or_default();
        tree.leaf(name, Content::Octets, Body::Bytes(octets));
    }
    let network_config = match &instance.network_config {
        Some(own) => own.bytes(),
        None => network_config::of(&instance.nics).unwrap_or_default(),
    };
    tree.leaf("network-config", Content::Yaml, Body::Bytes(network_config));
    tree
}

/// A map in JSON, which is YAML too.
fn meta_data(instance: &Instance, ec2: &Directory) -> String {
    let mut map = Map::new();
    for (name, path) in [
        ("instance-id", "meta-data/instance-id"),
        ("local-hostname", "meta-data/local-hostname"),
    ] {
        if let Some(value) = ec2.read(path) {
            map.insert(name.into(), value.into());
        }
    }
    let keys: Vec<Value> = instance
        .public_keys
        .iter()
        .filter_map(|key| key.formats.get("openssh-key"))
        .map(|text| text.trim().into())
        .collect();
    if !keys.is_empty() {
        map.insert("public-keys".into(), keys.into());
    }
    let json = format!("{:#}", Value::from(map));
    json.chars().map(escape).collect()
}

/// Letters that JSON allows as they are and YAML does not.
pub(super) fn escape(letter: char) -> String {
    let code = u32::from(letter);
    match code {
        0x7f..=0x9f | 0xfeff | 0xfffe | 0xffff => format!("\\u{code:04x}"),
        _ => letter.into(),
    }
}
