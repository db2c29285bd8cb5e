//! The network as NoCloud tells it, in version 2 of cloud-init's format.
//!
//! Made only where a guest could not know otherwise: a NIC without DHCP. Whatever an image does without being told is
//! better than what could be said here, since metad knows neither routes nor name servers that DHCP hands out.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::instance::{Fixed, Nic};

/// Describes all NICs, as soon as one of them has no DHCP. JSON, which is YAML too.
pub(super) fn of(nics: &[Nic]) -> Option<Bytes> {
    nics.iter().find(|nic| nic.fixed.is_some())?;
    let ethernets: Map<String, Value> = nics
        .iter()
        .enumerate()
        .map(|(index, nic)| (format!("nic{index}"), ethernet(nic)))
        .collect();
    let config = json!({"version": 2, "ethernets": ethernets});
    Some(format!("{config:#}").into())
}

/// Known by its MAC: only the guest knows what it calls the interface.
fn ethernet(nic: &Nic) -> Value {
    let mut map = Map::new();
    map.insert("match".into(), json!({"macaddress": nic.mac.to_string()}));
    if let Some(mtu) = nic.mtu {
        map.insert("mtu".into(), mtu.into());
    }
    match &nic.fixed {
        Some(fixed) => put_fixed(&mut map, nic, fixed),
        // What cloud-init does where nobody says anything; to be silent would switch the NIC off.
        None => {
            map.insert("dhcp4".into(), true.into());
        }
    }
    map.into()
}

fn put_fixed(map: &mut Map<String, Value>, nic: &Nic, fixed: &Fixed) {
    let addresses: Vec<Value> = nic
        .addresses
        .iter()
        .map(|cidr| cidr.to_string().into())
        .collect();
    map.insert("addresses".into(), addresses.into());
    let routes: Vec<Value> = fixed
        .gateways
        .iter()
        .map(|gateway| {
            // Older releases do not know the word `default`.
            let to = if gateway.is_ipv4() {
                "0.0.0.0/0"
            } else {
                "::/0"
            };
            json!({"to": to, "via": gateway.to_string()})
        })
        .collect();
    if !routes.is_empty() {
        map.insert("routes".into(), routes.into());
    }
    if !fixed.nameservers.is_empty() {
        let addresses: Vec<String> = fixed.nameservers.iter().map(ToString::to_string).collect();
        map.insert("nameservers".into(), json!({"addresses": addresses}));
    }
}
