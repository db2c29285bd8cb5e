//! The one static NIC of a file: its keys in, NoCloud's `network-config` out.

use std::net::Ipv4Addr;

use serde::de::MapAccess;

use super::words::Words;
use crate::directory::record_file::{Fields, read, read_as};
use crate::instance::Mac;
use crate::record::field;

#[derive(Default)]
pub(super) struct NetworkFields {
    address: Option<Ipv4Addr>,
    netmask: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
    nameservers: Vec<Ipv4Addr>,
    search: Vec<String>,
    /// metad's own addition.
    mac: Option<Mac>,
}

impl Fields for NetworkFields {
    const KNOWN: &'static [&'static str] = &[
        "address",
        "netmask",
        "gateway",
        "nameservers",
        "search",
        "mac",
    ];

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "address" => self.address = read(map, key, host)?,
            "netmask" => self.netmask = read(map, key, netmask)?,
            "gateway" => self.gateway = read(map, key, host)?,
            "nameservers" => {
                let hosts = |Words(texts)| each(&texts, key, host);
                self.nameservers = read_as(map, hosts)?.unwrap_or_default();
            }
            "search" => {
                let domains = |Words(texts)| each(&texts, key, domain);
                self.search = read_as(map, domains)?.unwrap_or_default();
            }
            _ => {
                self.mac = read(map, key, |text| {
                    text.trim()
                        .parse()
                        .map_err(|error| format!("is broken: {error}"))
                })?
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        let lacking = [
            ("address", self.address.is_none()),
            ("netmask", self.netmask.is_none()),
            ("gateway", self.gateway.is_none()),
            ("nameservers", self.nameservers.is_empty()),
        ];
        match lacking.into_iter().find(|(_, lacks)| *lacks) {
            Some((key, _)) => Err(format!("`network` lacks `{key}`")),
            None => Ok(()),
        }
    }
}

impl NetworkFields {
    /// By MAC address where the file has one; else as the driver told it, for a guest whose NIC is called `eth0`.
    pub(super) fn into_config(self) -> String {
        let unset = Ipv4Addr::UNSPECIFIED;
        let [address, netmask, gateway] =
            [self.address, self.netmask, self.gateway].map(|it| it.unwrap_or(unset));
        let nameservers: Vec<String> = self.nameservers.iter().map(ToString::to_string).collect();
        // What YAML might take for a number or a truth value is a name here.
        let search: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("\"{domain}\""))
            .collect();
        let (nameservers, search) = (nameservers.join(", "), search.join(", "));
        match self.mac {
            Some(mac) => format!(
                "version: 2\nethernets:\n  nic0:\n    match:\n      macaddress: \"{mac}\"\n    addresses:\n    - {address}/{prefix}\n    \
                 routes:\n    - to: 0.0.0.0/0\n      via: {gateway}\n    nameservers:\n      addresses: [{nameservers}]\n      search: [{search}]\n",
                prefix = netmask.to_bits().leading_ones(),
            ),
            None => format!(
                "config:\n- name: eth0\n  subnets:\n  - address: {address}\n    dns_nameservers: [{nameservers}]\n    \
                 dns_search: [{search}]\n    gateway: {gateway}\n    netmask: {netmask}\n    type: static\n  type: physical\nversion: 1\n",
            ),
        }
    }
}

fn each<T>(
    texts: &[String],
    key: &str,
    make: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let made = texts
        .iter()
        .map(|text| make(text).map_err(|error| format!("an entry of `{key}` {error}")));
    made.collect()
}

fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    let read = text.trim().parse().ok();
    let address: Ipv4Addr = read.ok_or("is no IPv4 address")?;
    let what = if address.is_multicast() {
        "a multicast address"
    } else if address.is_unspecified() {
        "the address that means none"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address.is_link_local() {
        "a link-local address"
    } else {
        return Ok(address);
    };
    Err(format!("is {address}, {what}"))
}

fn host(text: &str) -> Result<Ipv4Addr, String> {
    let address = ipv4(text)?;
    if address.to_bits() >= 0xf000_0000 {
        return Err(format!("is {address}, a reserved address"));
    }
    Ok(address)
}

fn netmask(text: &str) -> Result<Ipv4Addr, String> {
    let mask = ipv4(text)?;
    if mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() != 32 {
        return Err(format!("is {mask}, which is no netmask"));
    }
    Ok(mask)
}

fn domain(text: &str) -> Result<String, String> {
    field::hostname(text.trim().trim_end_matches('.')).map_err(|error| error.to_string())
}
