//! `network_data.json`: a link for each NIC, and how each comes by its addresses.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::super::interfaces::{self, Supply};
use super::super::names::identifier;
use crate::instance::{Instance, Nic};

/// Renders the links by MAC, their networks, and the name servers of those that do not ask DHCP.
pub(super) fn data(instance: &Instance) -> Value {
    let mut links = Vec::new();
    let mut networks: Vec<Value> = Vec::new();
    let mut services: Vec<Value> = Vec::new();
    for (index, nic) in instance.nics.iter().enumerate() {
        let id = format!("interface{index}");
        links.push(link(instance, nic, &id));
        let supplies = interfaces::supplies(nic);
        let alone = supplies
            .iter()
            .any(|supply| matches!(supply, Supply::Fixed { .. }));
        for supply in supplies {
            let number = networks.len();
            networks.push(network(nic, supply, number, &id));
        }
        let servers = interfaces::nameservers(nic).iter().filter(|_| alone);
        for server in servers.map(|address| json!({"type": "dns", "address": address})) {
            if !services.contains(&server) {
                services.push(server);
            }
        }
    }
    json!({"links": links, "networks": networks, "services": services})
}

/// Every client knows `phy`, and it is what the guest sees; what the host's end is, is the host's.
fn link(instance: &Instance, nic: &Nic, id: &str) -> Value {
    let vif = identifier("eni-", &[instance.uuid.as_bytes(), &nic.mac.0]);
    let mut link = Map::new();
    link.insert("id".into(), id.into());
    link.insert("type".into(), "phy".into());
    link.insert("vif_id".into(), vif.into());
    link.insert("ethernet_mac_address".into(), nic.mac.to_string().into());
    // cloud-init hands a null on to what refuses it.
    if let Some(mtu) = nic.mtu {
        link.insert("mtu".into(), mtu.into());
    }
    link.into()
}

fn network(nic: &Nic, supply: Supply, number: usize, link: &str) -> Value {
    let kind = match supply {
        Supply::Dhcp4 => "ipv4_dhcp",
        Supply::Dhcp6 => "ipv6_dhcpv6-stateful",
        Supply::Slaac => "ipv6_slaac",
        Supply::Fixed { address, .. } if address.address.is_ipv4() => "ipv4",
        Supply::Fixed { .. } => "ipv6",
    };
    let lan = super::super::network::lan(nic).as_bytes();
    let mut network = Map::new();
    network.insert("id".into(), format!("network{number}").into());
    network.insert("type".into(), kind.into());
    network.insert("link".into(), link.into());
    network.insert("network_id".into(), identifier("subnet-", &[lan]).into());
    if let Supply::Fixed { address, gateway } = supply {
        network.insert("ip_address".into(), address.address.to_string().into());
        let netmask = interfaces::netmask(address).to_string();
        network.insert("netmask".into(), netmask.into());
        let everywhere = match address.address {
            IpAddr::V4(_) => "0.0.0.0",
            IpAddr::V6(_) => "::",
        };
        let route =
            |gateway| json!({"network": everywhere, "netmask": everywhere, "gateway": gateway});
        let routes: Vec<Value> = gateway.map(route).into_iter().collect();
        network.insert("routes".into(), routes.into());
    }
    network.into()
}
