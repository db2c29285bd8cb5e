//! What a guest is told of its NICs: the first one's MAC, the asking one's address, and a directory for each.

use std::net::IpAddr;

use super::names::identifier;
use super::tree::Directory;
use super::{Body, Content, Version};
use crate::instance::{Cidr, Instance, Nic};

/// The name of the security group that every NIC is in.
pub(super) const SECURITY_GROUP: &str = "default";

/// Puts everything that depends on the NICs, as seen through NIC number `asking`.
pub(super) fn put(meta_data: &mut Directory, instance: &Instance, asking: usize) {
    let address = match instance.nics.get(asking) {
        Some(nic) => first_ipv4(nic),
        None => Some(Body::CallerIpv4),
    };
    if let Some(address) = address {
        meta_data.leaf("local-ipv4", Content::Text, address);
    }
    if let Some(address) = instance.public_ipv4 {
        meta_data.text("public-ipv4", address.to_string());
    }
    if let Some(name) = &instance.public_hostname {
        meta_data.text("public-hostname", name.clone());
    }
    let mut macs = Directory::default();
    // Should two NICs share a MAC, the asking one's directory is the one that counts.
    let order = (0..instance.nics.len()).filter(|index| *index != asking);
    for index in order.chain([asking]) {
        if let Some(nic) = instance.nics.get(index) {
            let tree = directory(instance, nic, index, index == asking);
            macs.directory(nic.mac.to_string(), tree);
        }
    }
    let Some(first) = instance.nics.first() else {
        return;
    };
    meta_data.text("mac", first.mac.to_string());
    if let Some(address) = first.addresses.iter().find(|cidr| cidr.address.is_ipv6()) {
        meta_data.text("ipv6", address.address.to_string());
    }
    let mut interfaces = Directory::default();
    interfaces.directory("macs", macs);
    let mut network = Directory::default();
    network.directory("interfaces", interfaces);
    meta_data.directory("network", network);
}

fn directory(instance: &Instance, nic: &Nic, index: usize, asks: bool) -> Directory {
    let mut tree = Directory::default();
    let id = |prefix| identifier(prefix, &[instance.uuid.as_bytes(), &nic.mac.0]);
    tree.text("device-number", index.to_string());
    tree.text("interface-id", id("eni-"));
    tree.text("local-hostname", instance.hostname.clone());
    tree.text("mac", nic.mac.to_string());
    // Clients ask for either name; a virtual machine's NICs all sit on one card.
    for name in ["network-card", "network-card-index"] {
        tree.text(name, "0");
        tree.hide_before(name, Version::NETWORK_CARD);
    }
    tree.text("owner-id", instance.site.account_id.clone());
    let lan = lan(nic).as_bytes();
    tree.text("security-group-ids", identifier("sg-", &[lan]));
    tree.text("security-groups", SECURITY_GROUP);
    tree.text("subnet-id", identifier("subnet-", &[lan]));
    tree.text("vpc-id", identifier("vpc-", &[lan]));
    let local = local_ipv4s(nic, asks);
    if let Some(local) = &local {
        tree.leaf("local-ipv4s", Content::Text, local.clone());
    }
    if index == 0 {
        public(&mut tree, instance, local);
    }
    let addresses = lines(nic, |address| address.is_ipv6());
    if !addresses.is_empty() {
        tree.text("ipv6s", addresses);
    }
    if let Some(prefix) = subnet(nic, IpAddr::is_ipv4) {
        tree.text("subnet-ipv4-cidr-block", prefix.clone());
        tree.text("vpc-ipv4-cidr-block", prefix.clone());
        tree.text("vpc-ipv4-cidr-blocks", prefix);
    }
    if let Some(prefix) = subnet(nic, IpAddr::is_ipv6) {
        tree.text("subnet-ipv6-cidr-blocks", prefix.clone());
        tree.text("vpc-ipv6-cidr-blocks", prefix);
    }
    tree
}

/// An instance's public name and address lead to its first NIC.
fn public(tree: &mut Directory, instance: &Instance, local: Option<Body>) {
    if let Some(name) = &instance.public_hostname {
        tree.text("public-hostname", name.clone());
    }
    let Some(address) = instance.public_ipv4 else {
        return;
    };
    tree.text("public-ipv4s", address.to_string());
    if let Some(local) = local {
        let mut associations = Directory::default();
        associations.leaf(address.to_string(), Content::Text, local);
        tree.directory("ipv4-associations", associations);
    }
}

/// Every IPv4 address that is known of a NIC, one a line. Of the asking one at least that is known which it asks from.
fn local_ipv4s(nic: &Nic, asks: bool) -> Option<Body> {
    let addresses = lines(nic, |address| address.is_ipv4());
    if !addresses.is_empty() {
        return Some(Body::Bytes(addresses.into()));
    }
    (asks && !is_ipv6_only(nic)).then_some(Body::CallerIpv4)
}

/// The first IPv4 address of the asking NIC.
fn first_ipv4(nic: &Nic) -> Option<Body> {
    let mut addresses = nic.addresses.iter().map(|cidr| cidr.address);
    match addresses.find(IpAddr::is_ipv4) {
        Some(address) => Some(Body::Bytes(address.to_string().into())),
        None => (!is_ipv6_only(nic)).then_some(Body::CallerIpv4),
    }
}

/// Whether a NIC has no IPv4 address, whatever it asks from. A record lists all the addresses of a NIC, a libvirt network
/// only those that it has reserved.
fn is_ipv6_only(nic: &Nic) -> bool {
    nic.network.is_none()
        && !nic.addresses.is_empty()
        && nic.addresses.iter().all(|cidr| cidr.address.is_ipv6())
}

fn lines(nic: &Nic, which: impl Fn(&IpAddr) -> bool) -> String {
    let lines: Vec<String> = nic
        .addresses
        .iter()
        .map(|cidr| cidr.address)
        .filter(which)
        .map(|address| address.to_string())
        .collect();
    lines.join("\n")
}

/// What the NICs of one layer-2 network share: the network's name, or the bridge's, or else they share nothing.
pub(super) fn lan(nic: &Nic) -> &str {
    [&nic.network, &nic.bridge, &nic.interface]
        .into_iter()
        .flatten()
        .next()
        .map_or("", String::as_str)
}

/// The network's prefix, else the one that a configured address came with.
fn subnet(nic: &Nic, family: impl Fn(&IpAddr) -> bool) -> Option<String> {
    nic.subnets
        .iter()
        .chain(&nic.addresses)
        .find(|cidr| family(&cidr.address))
        .and_then(network_of)
}

/// The network around an address. A prefix of full length says nothing about it, one beyond it nothing at all.
fn network_of(cidr: &Cidr) -> Option<String> {
    let full = match cidr.address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let network = cidr.network().filter(|network| network.prefix < full)?;
    Some(network.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_the_address_without_the_hosts_bits() {
        for (address, prefix, expected) in [
            ("192.168.122.77", 24, Some("192.168.122.0/24")),
            ("10.1.2.3", 8, Some("10.0.0.0/8")),
            ("10.1.2.3", 0, Some("0.0.0.0/0")),
            ("10.1.2.3", 31, Some("10.1.2.2/31")),
            ("10.1.2.3", 32, None),
            ("10.1.2.3", 33, None),
            ("10.1.2.3", 255, None),
            ("2001:db8::1:2", 64, Some("2001:db8::/64")),
            ("2001:db8::1:2", 0, Some("::/0")),
            ("2001:db8::1:2", 128, None),
            ("2001:db8::1:2", 129, None),
        ] {
            let cidr = Cidr {
                address: address.parse().unwrap(),
                prefix,
            };
            assert_eq!(network_of(&cidr).as_deref(), expected, "{address}/{prefix}");
        }
    }
}
