//! Google Compute Engine's tree: what stands below `/computeMetadata/`, and its recursive form.
//!
//! Directories and texts; `?recursive=true` makes JSON of them, with keys in camel case and lists where names are
//! numbers. What images require has a value even where nobody gave one.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::tree::Directory;
use super::{Body, Content, interfaces, names, overlay};
use crate::instance::{DiskKind, Instance, Nic};

/// Where a zone must be named and nobody has named one.
const ZONE: &str = "default";
/// Below it, names are an owner's.
pub(crate) const ATTRIBUTES: &str = "attributes";
/// The account that cloud-init takes for its own default user, whatever that is called.
const USER: &str = "cloudinit";

/// Builds the tree for the guest behind NIC number `nic`, with the names that the EC2 tree `ec2` gives.
pub(super) fn directory(instance: &Instance, nic: usize, ec2: &Directory) -> Directory {
    let mut v1 = Directory::default();
    v1.directory("instance", self::instance(instance, nic, ec2));
    v1.directory("project", project(instance));
    let mut root = Directory::default();
    root.directory("v1", v1);
    root
}

fn instance(instance: &Instance, asking: usize, ec2: &Directory) -> Directory {
    let mut tree = Directory::default();
    let project = number(instance);
    let within = |kind: &str, name: &str| format!("projects/{project}/{kind}/{name}");
    let id = names::number(&[b"instance", instance.uuid.as_bytes()]);
    tree.directory(ATTRIBUTES, attributes(instance));
    tree.text("description", "");
    tree.text(
        "hostname",
        ec2.read("meta-data/local-hostname")
            .unwrap_or_default()
            .to_owned(),
    );
    tree.text("id", id.to_string());
    if let Some(image) = ec2
        .read("meta-data/ami-id")
        .filter(|_| instance.image_id.is_some())
    {
        tree.text("image", within("global/images", image));
    }
    let kind = ec2.read("meta-data/instance-type").unwrap_or_default();
    tree.text("machine-type", within("machineTypes", kind));
    tree.text("name", instance.name.clone());
    let zone = ["availability-zone", "region"]
        .iter()
        .find_map(|name| ec2.read(&format!("meta-data/placement/{name}")));
    tree.text("zone", within("zones", zone.unwrap_or(ZONE)));
    // GCE's network tags; a list, even in the text.
    tree.leaf("tags", Content::Json, Body::Bytes("[]".into()));
    let nics: Vec<Value> = instance
        .nics
        .iter()
        .map(|nic| interface(instance, nic, &within))
        .collect();
    let mut rest = Map::new();
    for (name, list) in [("disks", disks(instance)), ("network-interfaces", nics)] {
        // Of nothing, there is neither a directory nor a value.
        if !list.is_empty() {
            rest.insert(name.to_owned(), list.into());
        }
    }
    overlay::lay(&mut tree, &rest);
    let nics = tree.below_mut("network-interfaces");
    let asker = nics.and_then(|nics| nics.below_mut(&asking.to_string()));
    if let Some(asker) = asker.filter(|asker| asker.body("ip").is_none()) {
        asker.leaf("ip", Content::Text, Body::CallerIpv4);
    }
    tree
}

fn project(instance: &Instance) -> Directory {
    let site = &instance.site;
    let mut attributes = Directory::default();
    attributes.answer(Content::Text, Body::Bytes("".into()));
    let mut tree = Directory::default();
    tree.directory(ATTRIBUTES, attributes);
    tree.text("numeric-project-id", number(instance).to_string());
    let id = site.project_id.as_ref().unwrap_or(&site.account_id);
    tree.text("project-id", id.clone());
    tree
}

/// The account's digits, as a number.
fn number(instance: &Instance) -> u64 {
    instance.site.account_id.parse().unwrap_or(0)
}

/// What an owner gives an instance: its tags, and above them keys and user-data under the names that images look for.
fn attributes(instance: &Instance) -> Directory {
    let mut tree = Directory::default();
    for (key, value) in &instance.tags {
        if names::is_tag_key(key) {
            tree.text(key, value.clone());
        }
    }
    let keys = ssh_keys(instance);
    if !keys.is_empty() {
        tree.text("ssh-keys", keys);
    }
    if let Some(user_data) = &instance.user_data {
        let octets = user_data.bytes();
        match std::str::from_utf8(&octets) {
            Ok(text) => tree.text("user-data", text.to_owned()),
            // The recursive form is JSON, which cannot hold them as they are.
            Err(_no_text) => {
                tree.text("user-data", STANDARD.encode(octets));
                tree.text("user-data-encoding", "base64");
            }
        }
    }
    if tree.is_empty() {
        tree.answer(Content::Text, Body::Bytes("".into()));
    }
    tree
}

/// `USER:KEY` for each key: for cloud-init's default user, and for the user that the key is named after.
fn ssh_keys(instance: &Instance) -> String {
    let mut lines: Vec<String> = Vec::new();
    for key in &instance.public_keys {
        let Some(text) = key.formats.get("openssh-key") else {
            continue;
        };
        let text = text.trim().replace(['\r', '\n'], " ");
        lines.push(format!("{USER}:{text}"));
        if is_user(&key.name) && key.name != USER {
            lines.push(format!("{}:{text}", key.name));
        }
    }
    lines.join("\n")
}

/// Whether `name` can be the name of a user under Linux.
fn is_user(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    first && name.len() <= 32 && letters.all(rest)
}

fn interface(instance: &Instance, nic: &Nic, within: &impl Fn(&str, &str) -> String) -> Value {
    let lan = super::network::lan(nic).as_bytes();
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("mac", nic.mac.to_string().into());
    put(
        "network",
        within("networks", &names::identifier("vpc-", &[lan])).into(),
    );
    let address = interfaces::known(nic).find(|cidr| cidr.address.is_ipv4());
    if let Some(address) = address {
        put("ip", address.address.to_string().into());
        put(
            "subnetmask",
            interfaces::netmask(address).to_string().into(),
        );
    }
    if let Some(gateway) = interfaces::gateway(nic, IpAddr::is_ipv4) {
        put("gateway", gateway.to_string().into());
    }
    let servers = interfaces::nameservers(nic).iter().enumerate();
    let servers: Map<String, Value> = servers
        .map(|(index, server)| (index.to_string(), server.to_string().into()))
        .collect();
    put("dns-servers", servers.into());
    if let Some(mtu) = nic.mtu {
        put("mtu", mtu.into());
    }
    if let Some(public) = instance.public_ipv4 {
        let access = json!([{"external-ip": public, "type": "ONE_TO_ONE_NAT"}]);
        put("access-configs", access);
    }
    map.into()
}

fn disks(instance: &Instance) -> Vec<Value> {
    let disks = instance
        .disks
        .iter()
        .filter(|disk| disk.kind == DiskKind::Disk);
    let disks = disks.enumerate();
    disks
        .map(|(index, disk)| json!({"device-name": disk.target, "index": index}))
        .collect()
}

/// Puts what stands below a directory into one JSON value. Texts come with their path below it, and `None` where there
/// is a directory.
pub(crate) fn recursive<'a>(
    below: impl Iterator<Item = (&'a str, Option<(Content, String)>)>,
    free: bool,
) -> Value {
    let mut root = Map::new();
    for (path, found) in below {
        put(&mut root, path, found, free);
    }
    lists(root, free)
}

fn put(place: &mut Map<String, Value>, path: &str, found: Option<(Content, String)>, free: bool) {
    let Some((parent, rest)) = path.split_once('/') else {
        let value = match found {
            None => json!({}),
            Some((content, text)) => single(path, content, text, free),
        };
        place.entry(key(path, free)).or_insert(value);
        return;
    };
    let below = place.entry(key(parent, free)).or_insert_with(|| json!({}));
    if let Some(below) = below.as_object_mut() {
        put(below, rest, found, free || parent == ATTRIBUTES);
    }
}

/// What an owner named stays as it is; all else is in camel case.
fn key(name: &str, free: bool) -> String {
    if free {
        return name.to_owned();
    }
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |key, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|letter| letter.to_ascii_uppercase());
        key + &head.into_iter().chain(letters).collect::<String>()
    })
}

/// One value as JSON: a number where Google's is one.
pub(crate) fn single(name: &str, content: Content, text: String, free: bool) -> Value {
    let numeric = !free && matches!(name, "id" | "numeric-project-id" | "mtu" | "index");
    let number = numeric.then(|| text.parse::<u64>().ok()).flatten();
    match (number, content) {
        (Some(number), _) => number.into(),
        (None, Content::Json) => serde_json::from_str(&text).unwrap_or(text.into()),
        (None, Content::Text | Content::Yaml | Content::Octets) => text.into(),
    }
}

/// Makes lists of the objects whose names are all numbers, but for those that an owner gave.
fn lists(map: Map<String, Value>, free: bool) -> Value {
    let numbered = !free && !map.is_empty() && map.keys().all(|name| name.parse::<usize>().is_ok());
    let mut members: Vec<(String, Value)> = map
        .into_iter()
        .map(|(name, value)| match value {
            Value::Object(below) => {
                let free = free || name == ATTRIBUTES;
                (name, lists(below, free))
            }
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)) => (name, other),
        })
        .collect();
    if numbered {
        members.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or(usize::MAX));
        members.into_iter().map(|(_, value)| value).collect()
    } else {
        members.into_iter().collect::<Map<String, Value>>().into()
    }
}

#[cfg(test)]
mod tests;
