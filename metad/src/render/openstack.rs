//! OpenStack's tree: what stands below `/openstack/<version>/`, and the files below `/openstack/content/`.
//!
//! A name is listed from the version on that brought it, and `meta_data.json` grows with the versions.

mod network;

use aes_gcm::aead::Generate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::tree::Directory;
use super::version::Versions;
use super::{Body, Content, ec2, text};
use crate::instance::{Disk, DiskKind, Instance, Nic, PublicKey};

/// Where files stand, beside the versions.
pub(crate) const CONTENT: &str = "content";
/// What may be written once.
pub(crate) const PASSWORD: &str = "password";

/// Octets; Nova's number.
const SEED: usize = 512;

/// Builds the tree, with the names that the EC2 tree `ec2` gives.
pub(super) fn directory(instance: &Instance, ec2: &Directory) -> Directory {
    let mut tree = Directory::default();
    let grown = META_DATA
        .iter()
        .filter_map(|version| Some((Versions::OPENSTACK.named(version)?, *version)))
        .map(|(since, version)| (since, meta_data(instance, ec2, version)));
    tree.leaf_grown("meta_data.json", Content::Json, grown.collect());
    if let Some(user_data) = &instance.user_data {
        let body = Body::Bytes(user_data.bytes());
        tree.leaf("user_data", Content::Octets, body);
    }
    let vendor_data = vendor_data(instance);
    for (name, since, content, text) in [
        (PASSWORD, "2013-04-04", Content::Text, String::new()),
        ("vendor_data.json", "2013-10-17", Content::Json, vendor_data),
        (
            "network_data.json",
            "2015-10-15",
            Content::Json,
            network::data(instance).to_string(),
        ),
        (
            "vendor_data2.json",
            "2016-10-06",
            Content::Json,
            "{}".into(),
        ),
    ] {
        if let Some(since) = Versions::OPENSTACK.named(since) {
            tree.leaf(name, content, Body::Bytes(text.into()));
            tree.hide_before(name, since);
        }
    }
    for (index, file) in instance.files.iter().enumerate() {
        let path = format!("{CONTENT}/{}", number(index));
        let body = Body::Bytes(file.content.clone());
        tree.leaf_unlisted(path, Content::Octets, body);
    }
    tree
}

/// The random text that a guest's kernel is fed at boot. It is made anew for each request and kept nowhere, so that no
/// two guests share one and none can be learned from the host. `None` where the system gives no random numbers.
pub(super) fn seed() -> Option<String> {
    let seed: [u8; SEED] = Generate::try_generate().ok()?;
    Some(STANDARD.encode(seed))
}

/// The versions at which `meta_data.json` grew.
const META_DATA: [&str; 5] = [
    "2012-08-10",
    "2013-04-04",
    "2015-10-15",
    "2016-06-30",
    "2018-08-27",
];

/// `meta_data.json` as of one of [`META_DATA`].
fn meta_data(instance: &Instance, ec2: &Directory, version: &str) -> Body {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("uuid", instance.uuid.to_string().into());
    if let Some(hostname) = ec2.read("meta-data/local-hostname") {
        put("hostname", hostname.into());
    }
    put("name", instance.name.clone().into());
    let index = ec2.read("meta-data/ami-launch-index");
    let index: u64 = index.and_then(|index| index.parse().ok()).unwrap_or(0);
    put("launch_index", index.into());
    if let Some(zone) = ec2.read("meta-data/placement/availability-zone") {
        put("availability_zone", zone.into());
    }
    if !instance.tags.is_empty() {
        put("meta", json!(instance.tags));
    }
    let keys = keys(&instance.public_keys);
    if !keys.is_empty() {
        put("public_keys", keys.iter().cloned().collect());
        let typed =
            |(name, data): &(String, Value)| json!({"name": name, "type": "ssh", "data": data});
        put("keys", keys.iter().map(typed).collect());
    }
    if !instance.files.is_empty() {
        let files = instance.files.iter().enumerate().map(|(index, file)| {
            let content = format!("/{CONTENT}/{}", number(index));
            json!({"path": file.path, "content_path": content})
        });
        put("files", files.collect());
    }
    if version >= "2015-10-15"
        && let Some(project) = &instance.site.project_id
    {
        put("project_id", project.clone().into());
    }
    if version >= "2016-06-30" {
        put("devices", devices(instance, version >= "2018-08-27"));
    }
    if version < "2013-04-04" {
        return Body::Bytes(Value::from(map).to_string().into());
    }
    seeded(map)
}

/// Leaves room for the seed as the last member.
fn seeded(map: Map<String, Value>) -> Body {
    let text = Value::from(map).to_string();
    let before = text.strip_suffix('}').unwrap_or(&text);
    Body::AroundSeed {
        before: format!("{before},\"random_seed\":\"").into(),
        after: Bytes::from_static(b"\"}"),
    }
}

/// Names and keys, each name once.
fn keys(keys: &[PublicKey]) -> Vec<(String, Value)> {
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        if let Some(text) = key.formats.get("openssh-key") {
            let name = ec2::unique(super::names::key_name(&key.name, index), &names);
            names.push(name.clone());
            found.push((name, text.trim().into()));
        }
    }
    found
}

/// Nova says `none` where it does not know bus or address.
fn devices(instance: &Instance, trust: bool) -> Value {
    let nic = |nic: &Nic| {
        let mac = nic.mac.to_string();
        let mut device =
            json!({"type": "nic", "bus": "none", "address": "none", "mac": mac, "tags": []});
        if let Some(device) = device.as_object_mut().filter(|_| trust) {
            device.insert("vf_trusted".to_owned(), false.into());
        }
        device
    };
    let disk = |disk: &Disk| {
        let path = format!("/dev/{}", disk.target);
        json!({"type": "disk", "bus": "none", "address": "none", "path": path, "tags": []})
    };
    let disks = instance
        .disks
        .iter()
        .filter(|disk| disk.kind == DiskKind::Disk && !disk.target.is_empty());
    let nics = instance.nics.iter().map(nic);
    nics.chain(disks.map(disk)).collect()
}

/// cloud-init takes the text below its own name. JSON holds no other octets than text, so others are left out.
fn vendor_data(instance: &Instance) -> String {
    let text = text::utf8(instance.vendor_data.as_ref()).filter(|text| !text.is_empty());
    match text {
        Some(text) => json!({"cloud-init": text}).to_string(),
        None => "{}".to_owned(),
    }
}

fn number(index: usize) -> String {
    format!("{index:04}")
}

#[cfg(test)]
mod tests;
