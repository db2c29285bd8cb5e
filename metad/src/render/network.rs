//! What a guest is told of its NICs: the first one's MAC, the asking one's address, and a directory for each.

use std::net::IpAddr;

use super::ec2::OWNER_ID;
use super::names::identifier;
use super::tree::Directory;
use super::{Body, Content};
use crate::instance::{Cidr, Instance, Nic};

/// The name of the security group that every NIC is in.
pub(super) const SECURITY_GROUP: &str = "default";

/// Puts everything that depends on the NICs, as seen through NIC number `asking`.
pub(super) fn put(meta_data: &mut Directory, instance: &Instance, asking: usize) {
    let address = instance.nics.get(asking).and_then(first_ipv4);
    meta_data.leaf("local-ipv4", Content::Text, address_or_caller(address));
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
    tree.text("owner-id", OWNER_ID);
    let lan = lan(nic).as_bytes();
    tree.text("security-group-ids", identifier("sg-", &[lan]));
    tree.text("security-groups", SECURITY_GROUP);
    tree.text("subnet-id", identifier("subnet-", &[lan]));
    tree.text("vpc-id", identifier("vpc-", &[lan]));
    let addresses = lines(
        nic,
        |cidr| cidr.address.is_ipv4(),
        |cidr| cidr.address.to_string(),
    );
    if !addresses.is_empty() || asks {
        let known = Some(addresses).filter(|addresses| !addresses.is_empty());
        tree.leaf("local-ipv4s", Content::Text, address_or_caller(known));
    }
    let addresses = lines(
        nic,
        |cidr| cidr.address.is_ipv6(),
        |cidr| cidr.address.to_string(),
    );
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

fn address_or_caller(address: Option<String>) -> Body {
    address.map_or(Body::CallerIpv4, |address| Body::Bytes(address.into()))
}

fn first_ipv4(nic: &Nic) -> Option<String> {
    nic.addresses
        .iter()
        .find(|cidr| cidr.address.is_ipv4())
        .map(|cidr| cidr.address.to_string())
}

fn lines(nic: &Nic, which: impl Fn(&Cidr) -> bool, how: impl Fn(&Cidr) -> String) -> String {
    let lines: Vec<String> = nic
        .addresses
        .iter()
        .filter(|cidr| which(cidr))
        .map(how)
        .collect();
    lines.join("\n")
}

/// What the NICs of one layer-2 network share: the network's name, or the bridge's, or else they share nothing.
fn lan(nic: &Nic) -> &str {
    [&nic.network, &nic.bridge, &nic.interface]
        .into_iter()
        .flatten()
        .next()
        .map_or("", String::as_str)
}

/// The network's prefix, else the one that a configured address came with.
fn subnet(nic: &Nic, family: impl Fn(&IpAddr) -> bool) -> Option<String> {
    nic.subnet
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
