//! Hetzner's layout: `/hetzner/v1/metadata`, a YAML document whose names also stand below it, and
//! `/hetzner/v1/userdata`.

use serde_json::{Map, Value, json};

use super::interfaces::{self, Supply};
use super::tree::Directory;
use super::{Body, Content, overlay, text};
use crate::instance::{Instance, Nic, Packed};

/// Builds the tree for the guest behind NIC number `asking`, with the names that the EC2 tree `ec2` gives.
pub(super) fn directory(instance: &Instance, asking: usize, ec2: &Directory) -> Directory {
    let mut map = Map::new();
    for (name, path) in [
        ("availability-zone", "placement/availability-zone"),
        ("hostname", "local-hostname"),
        ("instance-id", "instance-id"),
        ("region", "placement/region"),
    ] {
        if let Some(value) = ec2.read(&format!("meta-data/{path}")) {
            map.insert(name.into(), value.into());
        }
    }
    if let Some(address) = instance.public_ipv4 {
        map.insert("public-ipv4".into(), address.to_string().into());
    }
    map.insert("public-keys".into(), text::openssh_keys(instance).collect());
    let networks = private_networks(instance);
    let mut names = Directory::default();
    overlay::lay(&mut names, &map);
    // One text each, as the document has it, and not directories of numbers.
    names.leaf(
        "private-networks",
        Content::Yaml,
        Body::Bytes(text::yaml(&networks).into()),
    );
    let address = instance.nics.get(asking).and_then(local_ipv4);
    let address = address.map_or(Body::CallerIpv4, |address| Body::Bytes(address.into()));
    names.leaf("local-ipv4", Content::Text, address);
    let vendor = text::utf8(instance.vendor_data.as_ref()).unwrap_or_default();
    map.insert("vendor_data".into(), vendor.into());
    map.insert("network-config".into(), network_config(instance));
    let document = text::yaml(&map.into());
    names.answer(Content::Yaml, Body::Bytes(document.into()));
    let mut v1 = Directory::default();
    v1.directory_bare("metadata", names);
    // cloud-init asks for two minutes before it does without.
    let user_data = instance.user_data.as_ref();
    let user_data = user_data.map(Packed::bytes).unwrap_or_default();
    v1.leaf("userdata", Content::Octets, Body::Bytes(user_data));
    let mut root = Directory::default();
    root.directory("v1", v1);
    root
}

fn local_ipv4(nic: &Nic) -> Option<String> {
    let mut addresses = nic.addresses.iter().map(|cidr| cidr.address);
    addresses
        .find(|address| address.is_ipv4())
        .map(|address| address.to_string())
}

/// All NICs but the first, as far as their address is known.
fn private_networks(instance: &Instance) -> Value {
    let mut networks = Vec::new();
    for (index, nic) in instance.nics.iter().enumerate().skip(1) {
        let Some(known) = interfaces::known(nic).find(|cidr| cidr.address.is_ipv4()) else {
            continue;
        };
        let mut network = json!({
            "ip": known.address,
            "alias_ips": [],
            "interface_num": index,
            "mac_address": nic.mac.to_string(),
        });
        if let Some(entry) = network.as_object_mut() {
            if let Some(subnet) = known.network() {
                entry.insert("subnet".into(), subnet.to_string().into());
            }
            if let Some(gateway) = interfaces::gateway(nic, std::net::IpAddr::is_ipv4) {
                entry.insert("gateway".into(), gateway.to_string().into());
            }
        }
        networks.push(network);
    }
    networks.into()
}

/// cloud-init's version 1. It refuses to go on without one, so a NIC of which nothing is known asks DHCP.
fn network_config(instance: &Instance) -> Value {
    let nics = instance.nics.iter().enumerate().map(|(index, nic)| {
        let subnets: Vec<Value> = interfaces::supplies(nic)
            .into_iter()
            .map(|supply| subnet(nic, supply))
            .collect();
        let mut config = json!({
            "type": "physical",
            "name": format!("eth{index}"),
            "mac_address": nic.mac.to_string(),
            "subnets": subnets,
        });
        if let (Some(config), Some(mtu)) = (config.as_object_mut(), nic.mtu) {
            config.insert("mtu".into(), mtu.into());
        }
        config
    });
    json!({"version": 1, "config": nics.collect::<Vec<Value>>()})
}

fn subnet(nic: &Nic, supply: Supply) -> Value {
    match supply {
        Supply::Dhcp4 => json!({"type": "dhcp", "ipv4": true}),
        Supply::Dhcp6 => json!({"type": "ipv6_dhcpv6-stateful"}),
        Supply::Slaac => json!({"type": "ipv6_slaac"}),
        Supply::Fixed { address, gateway } => {
            let kind = if address.address.is_ipv4() {
                "static"
            } else {
                "static6"
            };
            let mut subnet = json!({"type": kind, "address": address.to_string()});
            if let Some(subnet) = subnet.as_object_mut() {
                if let Some(gateway) = gateway {
                    subnet.insert("gateway".into(), gateway.to_string().into());
                }
                let servers = interfaces::nameservers(nic);
                if !servers.is_empty() {
                    subnet.insert("dns_nameservers".into(), json!(servers));
                }
            }
            subnet
        }
    }
}

#[cfg(test)]
mod tests;
