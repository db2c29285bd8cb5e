//! Vultr's layout: `/v1.json`, and the same name by name below `/v1/`.
//!
//! The first NIC asks DHCP, whatever is said; the others have an address that is known, or none.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::tree::Directory;
use super::{Body, Content, interfaces, names, overlay, text};
use crate::instance::{Cidr, Instance, Nic};

/// Where a region must be named and nobody has named one.
const REGION: &str = "default";

/// Builds the tree, with the names that the EC2 tree `ec2` gives. Its paths are whole ones, since both prefixes are its
/// own.
pub(super) fn directory(instance: &Instance, ec2: &Directory) -> Directory {
    let hostname = ec2.read("meta-data/local-hostname").unwrap_or_default();
    let region = ["region", "availability-zone"]
        .iter()
        .find_map(|name| ec2.read(&format!("meta-data/placement/{name}")))
        .unwrap_or(REGION);
    let id = names::number(&[b"instance", instance.uuid.as_bytes()]);
    let nics = instance.nics.iter().enumerate();
    let whole = json!({
        "hostname": hostname,
        "instanceid": id.to_string(),
        // What cloud-init compares with the SMBIOS tables.
        "instance-v2-id": instance.uuid.to_string(),
        "interfaces": nics.map(|(index, nic)| interface(nic, index == 0)).collect::<Vec<Value>>(),
        "public-keys": text::openssh_keys(instance).collect::<Value>(),
        "region": {"regioncode": region},
        "user-data": text::utf8(instance.user_data.as_ref()).unwrap_or_default(),
        "vendor-data": text::utf8(instance.vendor_data.as_ref()).unwrap_or_default(),
    });
    let mut root = Directory::default();
    if let Some(parts) = whole.as_object() {
        let mut v1 = Directory::default();
        overlay::lay(&mut v1, parts);
        root.directory("v1", v1);
    }
    let body = Body::Bytes(whole.to_string().into());
    root.leaf("v1.json", Content::Json, body);
    root
}

fn interface(nic: &Nic, first: bool) -> Value {
    let of = |family: fn(&IpAddr) -> bool| -> Vec<Cidr> {
        interfaces::known(nic)
            .filter(|cidr| family(&cidr.address))
            .collect()
    };
    let (ipv4, ipv6) = (of(IpAddr::is_ipv4), of(IpAddr::is_ipv6));
    let mut map = Map::new();
    map.insert("mac".into(), nic.mac.to_string().into());
    let kind = if first { "public" } else { "private" };
    map.insert("network-type".into(), kind.into());
    if let Some(mtu) = nic.mtu {
        map.insert("mtu".into(), mtu.into());
    }
    if !first && ipv4.is_empty() {
        map.insert("unconfigured".into(), true.into());
    }
    let gateway = interfaces::gateway(nic, IpAddr::is_ipv4);
    map.insert("ipv4".into(), addresses(&ipv4, four, gateway));
    map.insert("ipv6".into(), addresses(&ipv6, six, None));
    map.into()
}

/// The first address, and the others as additional ones, a list that must be there.
fn addresses(known: &[Cidr], entry: fn(Cidr) -> Value, gateway: Option<IpAddr>) -> Value {
    let mut all = known.iter().map(|cidr| entry(*cidr));
    let mut first = all.next().unwrap_or_else(|| json!({}));
    if let Some(first) = first.as_object_mut() {
        if let (false, Some(gateway)) = (first.is_empty(), gateway) {
            first.insert("gateway".into(), gateway.to_string().into());
        }
        first.insert("additional".into(), all.collect());
    }
    first
}

fn four(cidr: Cidr) -> Value {
    json!({"address": cidr.address, "netmask": interfaces::netmask(cidr)})
}

fn six(cidr: Cidr) -> Value {
    let network = cidr.network().map(|network| network.address);
    json!({"address": cidr.address, "network": network, "prefix": cidr.prefix.to_string()})
}

#[cfg(test)]
mod tests;
