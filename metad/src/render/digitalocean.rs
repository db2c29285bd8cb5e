//! DigitalOcean's layout: `/metadata/v1.json`, and the same name by name below `/metadata/v1/`.
//!
//! The layout knows no DHCP: a NIC whose addresses nobody knows beforehand is named without any.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::interfaces::{self, Supply};
use super::tree::Directory;
use super::{Body, Content, names, overlay, text};
use crate::instance::{Cidr, Instance, Nic};

/// Where a region must be named and nobody has named one; cloud-init's own word for it.
const REGION: &str = "default";

/// Builds the tree, with the names that the EC2 tree `ec2` gives.
pub(super) fn directory(instance: &Instance, ec2: &Directory) -> Directory {
    let id = names::number(&[b"droplet", instance.uuid.as_bytes()]);
    let hostname = ec2.read("meta-data/local-hostname").unwrap_or_default();
    let region = ["region", "availability-zone"]
        .iter()
        .find_map(|name| ec2.read(&format!("meta-data/placement/{name}")))
        .unwrap_or(REGION);
    let keys: Value = text::openssh_keys(instance).collect();
    let tags: Value = instance
        .tags
        .iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    let dhcp = instance
        .nics
        .iter()
        .flat_map(interfaces::supplies)
        .any(|supply| supply == Supply::Dhcp4);
    let shared = json!({
        "hostname": hostname,
        "region": region,
        "dns": {"nameservers": interfaces::all_nameservers(instance)},
        "features": {"dhcp_enabled": dhcp},
        "tags": tags,
        "floating_ip": floating(instance),
    });
    let mut whole = shared.as_object().cloned().unwrap_or_default();
    whole.insert("droplet_id".into(), id.into());
    whole.insert("public_keys".into(), keys.clone());
    whole.insert("interfaces".into(), interfaces(instance, "ip_address"));
    let mut parts = shared.as_object().cloned().unwrap_or_default();
    parts.insert("id".into(), id.into());
    parts.insert("public-keys".into(), keys);
    parts.insert("interfaces".into(), interfaces(instance, "address"));
    for (octets, key, name) in [
        (&instance.user_data, "user_data", "user-data"),
        (&instance.vendor_data, "vendor_data", "vendor-data"),
    ] {
        if let Some(text) = text::utf8(octets.as_ref()) {
            whole.insert(key.into(), text.as_str().into());
            parts.insert(name.into(), text.into());
        }
    }
    let mut v1 = Directory::default();
    overlay::lay(&mut v1, &parts);
    let mut root = Directory::default();
    let body = Body::Bytes(Value::from(whole).to_string().into());
    root.leaf("v1.json", Content::Json, body);
    root.directory("v1", v1);
    root
}

fn floating(instance: &Instance) -> Value {
    match instance.public_ipv4 {
        Some(address) => json!({"ipv4": {"active": true, "ip_address": address}}),
        None => json!({"ipv4": {"active": false}}),
    }
}

/// The first NIC is the public one. cloud-init wants at least one entry below each name.
fn interfaces(instance: &Instance, address: &str) -> Value {
    let mut map = Map::new();
    for (index, nic) in instance.nics.iter().enumerate() {
        let kind = if index == 0 { "public" } else { "private" };
        let entries = map.entry(kind).or_insert_with(|| json!([]));
        if let Some(entries) = entries.as_array_mut() {
            entries.push(interface(nic, kind, address));
        }
    }
    map.into()
}

fn interface(nic: &Nic, kind: &str, address: &str) -> Value {
    let mut map = Map::new();
    map.insert("mac".into(), nic.mac.to_string().into());
    map.insert("type".into(), kind.into());
    for (name, family) in [
        ("ipv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
        ("ipv6", IpAddr::is_ipv6),
    ] {
        let Some(known) = interfaces::known(nic).find(|cidr| family(&cidr.address)) else {
            continue;
        };
        let mut entry = Map::new();
        entry.insert(address.into(), known.address.to_string().into());
        extent(&mut entry, known);
        if let Some(gateway) = interfaces::gateway(nic, family) {
            entry.insert("gateway".into(), gateway.to_string().into());
        }
        map.insert(name.into(), entry.into());
    }
    map.into()
}

fn extent(entry: &mut Map<String, Value>, known: Cidr) {
    if known.address.is_ipv4() {
        let netmask = interfaces::netmask(known).to_string();
        entry.insert("netmask".into(), netmask.into());
    } else {
        entry.insert("cidr".into(), known.prefix.into());
    }
}

#[cfg(test)]
mod tests;
