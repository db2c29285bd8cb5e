//! What metad knows of one virtual machine, whatever source said so. No libvirt types, no HTTP, no files.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use uuid::Uuid;

/// A virtual machine with every default filled in: what guests are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// The libvirt domain's name or the record's file stem: what an administrator calls it.
    pub name: String,
    /// The SMBIOS system UUID.
    pub uuid: Uuid,
    /// Changes when the machine behind `uuid` is another one than before; old tokens die with it.
    pub epoch: u64,
    /// `i-` and 8 to 32 lower-case hexadecimal digits, unless its owner wrote something else.
    pub instance_id: String,
    pub hostname: String,
    pub instance_type: String,
    pub placement: Placement,
    pub public_keys: Vec<PublicKey>,
    /// Byte for byte what the guest gets. `None`: its owner gave none, which is not the same as empty.
    pub user_data: Option<Bytes>,
    pub vendor_data: Option<Bytes>,
    /// NoCloud's `network-config`, verbatim.
    pub network_config: Option<Bytes>,
    pub tags: BTreeMap<String, String>,
    /// A free tree laid over the EC2 `meta-data` tree.
    pub meta_data: serde_json::Map<String, serde_json::Value>,
    pub options: Options,
    pub nics: Vec<Nic>,
    pub disks: Vec<Disk>,
}

/// Where a machine stands, in EC2's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    pub availability_zone: Option<String>,
    pub region: Option<String>,
}

/// An SSH key and the name that guests see it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub name: String,
    /// Format (`openssh-key`) to text.
    pub formats: BTreeMap<String, String>,
}

/// How the metadata service behaves towards one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub http_tokens: HttpTokens,
    /// IP hops that a token reply may travel, 1 to 64 (EC2's `http-put-response-hop-limit`).
    pub hop_limit: u8,
    pub endpoint: Endpoint,
}

/// Whether a GET needs a session token (EC2's `http-tokens`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpTokens {
    Optional,
    Required,
}

/// Whether the EC2 dialect answers at all (EC2's `http-endpoint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Enabled,
    Disabled,
}

impl Default for Options {
    /// Tokens optional, since cloud-init outside AWS and cloudbase-init never send one; one hop, as on EC2.
    fn default() -> Self {
        Self {
            http_tokens: HttpTokens::Optional,
            hop_limit: 1,
            endpoint: Endpoint::Enabled,
        }
    }
}

/// A network interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    pub mac: Mac,
    /// The host's end: libvirt's `<target dev=…>`, or what a record names. `None` while the machine is off.
    pub interface: Option<String>,
    /// The bridge that the tap is, or would be, a port of.
    pub bridge: Option<String>,
    /// The libvirt network's name.
    pub network: Option<String>,
    /// Addresses known beforehand (a record, a DHCP reservation), with prefix length.
    pub addresses: Vec<Cidr>,
    /// The network's own prefix, where it is known (`192.168.122.0/24`).
    pub subnet: Option<Cidr>,
    /// Octets, where the network or the interface states it.
    pub mtu: Option<u32>,
}

/// An address with a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    /// The prefix that the address stands in: host bits zero. `None` for a prefix that is longer than the address.
    pub fn network(self) -> Option<Self> {
        let address = match self.address {
            IpAddr::V4(address) => {
                let host_bits = 32_u32.checked_sub(u32::from(self.prefix))?;
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let host_bits = 128_u32.checked_sub(u32::from(self.prefix))?;
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Some(Self { address, ..self })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A disk as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// libvirt's `<target dev=…>`, such as `vda`.
    pub target: String,
    pub kind: DiskKind,
}

/// Which of EC2's device roles a disk plays; only block devices that a guest may mount are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskKind {
    Disk,
    Cdrom,
    Floppy,
}

/// An Ethernet address; prints in lower case with colons, as every metadata path wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is not six hexadecimal octets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no MAC address (six octets in hexadecimal, such as 52:54:00:12:34:56)")]
pub struct BadMac(pub String);

impl std::str::FromStr for Mac {
    type Err = BadMac;

    /// Reads six octets of one or two digits, separated by all colons or all dashes.
    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.to_owned());
        let separator = if text.contains(':') { ':' } else { '-' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(bad)?;
            if !matches!(part.len(), 1 | 2) || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *octet = u8::from_str_radix(part, 16).ok().ok_or_else(bad)?;
        }
        if parts.next().is_some() {
            Err(bad())
        } else {
            Ok(Self(octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_reads_what_libvirt_and_people_write() {
        for (text, expected) in [
            ("52:54:00:12:34:56", Some("52:54:00:12:34:56")),
            ("52:54:00:AB:CD:EF", Some("52:54:00:ab:cd:ef")),
            ("52-54-0-ab-cd-ef", Some("52:54:00:ab:cd:ef")),
            ("52:54:00:12:34", None),
            ("52:54:00:12:34:56:78", None),
            ("52:54:00:12:34:+5", None),
            ("52:54-00:12:34:56", None),
            ("", None),
        ] {
            let read = text.parse::<Mac>().ok().map(|mac| mac.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
