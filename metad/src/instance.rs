//! What metad knows of one virtual machine, whatever source said so. No libvirt types, no HTTP, no files.

mod credentials;
mod options;
mod packed;
mod shared;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

pub use credentials::{Credentials, Secret};
pub use options::{Dialect, Dialects, Endpoint, Given, HttpTokens, Options, Prefix, Switch};
pub use packed::Packed;
pub use shared::Shared;

/// Where NoCloud's files are for every process in a guest.
pub const NOCLOUD_URL: &str = "http://169.254.169.254/nocloud/";

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
    /// The credentials of `role`, as long as there are valid ones.
    pub credentials: Option<Arc<Credentials>>,
    /// Byte for byte what the guest gets. `None`: its owner gave none, which is not the same as empty.
    pub user_data: Option<Packed>,
    /// The secret segment of NoCloud's prefix; `None` where the host has no secret to make it from.
    pub seed: Option<Seed>,
    pub options: Options,
    pub nics: Shared<Vec<Nic>>,
    pub disks: Vec<Disk>,
    /// The rest, which reads as if it stood here.
    pub details: Shared<Details>,
}

/// What few instances say of themselves; those that do not share it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    pub instance_type: String,
    /// EC2's `ami-id`; `None` where its owner named no image.
    pub image_id: Option<String>,
    pub placement: Placement,
    pub public_hostname: Option<String>,
    pub public_ipv4: Option<Ipv4Addr>,
    pub public_keys: Vec<PublicKey>,
    /// The IAM role whose credentials the guest may read; the configuration says where they come from.
    pub role: Option<String>,
    pub vendor_data: Option<Packed>,
    /// NoCloud's `network-config`, verbatim.
    pub network_config: Option<Packed>,
    /// Files for OpenStack guests.
    pub files: Vec<ContentFile>,
    pub tags: BTreeMap<String, String>,
    /// A free tree laid over the EC2 `meta-data` tree.
    pub meta_data: serde_json::Map<String, serde_json::Value>,
    /// Variables for the templates of installers' answers.
    pub install: serde_json::Map<String, serde_json::Value>,
    /// What the administrator has set while it runs, laid over everything.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What its guest has left for its owner (OpenStack's `password`).
    pub password: Option<Bytes>,
    pub site: Arc<Site>,
}

impl Deref for Instance {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.details
    }
}

impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.details
    }
}

impl Instance {
    /// Where NoCloud's files are, for SMBIOS or the kernel's command line. `None` where they do not answer, or only below
    /// a secret that the host does not have.
    pub fn nocloud_url(&self) -> Option<String> {
        if !self.options.dialects.has(Dialect::NoCloud) {
            return None;
        }
        match self.options.nocloud {
            Prefix::Open => Some(NOCLOUD_URL.to_owned()),
            Prefix::Secret => Some(format!("{NOCLOUD_URL}{}/", self.seed?)),
        }
    }
}

/// Where a machine stands, in EC2's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    pub availability_zone: Option<String>,
    pub availability_zone_id: Option<String>,
    pub region: Option<String>,
    pub group_name: Option<String>,
    pub host_id: Option<String>,
    pub partition_number: Option<String>,
}

impl Placement {
    /// Lays `self` over `base`, field by field.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self {
            availability_zone: self.availability_zone.or(base.availability_zone),
            availability_zone_id: self.availability_zone_id.or(base.availability_zone_id),
            region: self.region.or(base.region),
            group_name: self.group_name.or(base.group_name),
            host_id: self.host_id.or(base.host_id),
            partition_number: self.partition_number.or(base.partition_number),
        }
    }
}

/// An SSH key and the name that guests see it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub name: String,
    /// Format (`openssh-key`) to text.
    pub formats: BTreeMap<String, String>,
}

/// A file that an OpenStack guest is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// Where the guest puts it, from `/` on.
    pub path: String,
    pub content: Bytes,
}

/// What all instances of a site share, in EC2's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The account that owns everything; EC2's have twelve digits.
    pub account_id: String,
    /// `aws` unless the site has its own name for ARNs.
    pub partition: String,
    /// What SDKs put their endpoints' names together from.
    pub domain: String,
    /// OpenStack's project; `None` where nobody has named one.
    pub project_id: Option<String>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            account_id: "000000000000".to_owned(),
            partition: "aws".to_owned(),
            domain: "amazonaws.com".to_owned(),
            project_id: None,
        }
    }
}

/// What nobody guesses, and each guest is told of its own; written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 16]);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
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
    /// The network's own prefixes, where they are known (`192.168.122.0/24`): one of each family at most.
    pub subnets: Vec<Cidr>,
    /// Octets, where the network or the interface states it.
    pub mtu: Option<u32>,
    /// `Some`: no DHCP server hands out `addresses`, the guest must take them itself.
    pub fixed: Option<Box<Fixed>>,
    pub offer: Offer,
}

/// What a network offers its guests, as far as it is known. A libvirt network that has addresses of its own says it; of
/// any other network nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Whether DHCP gives IPv4 addresses.
    pub dhcp4: Option<bool>,
    /// Whether DHCP gives IPv6 addresses.
    pub dhcp6: Option<bool>,
    /// Whether an IPv6 prefix is announced, for guests to choose their addresses from.
    pub announced: bool,
    pub gateways: Vec<IpAddr>,
    pub nameservers: Vec<IpAddr>,
}

/// What a guest must know besides its addresses where no DHCP server tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fixed {
    /// One for each address family at most.
    pub gateways: Vec<IpAddr>,
    pub nameservers: Vec<IpAddr>,
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
    /// Scratch space that may be lost, by EC2's number.
    Ephemeral(u8),
    Swap,
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
    use crate::render::sample;

    #[test]
    fn nocloud_url_is_where_the_files_answer() {
        let all = Options::default().dialects;
        let none = Dialects::default();
        let plain = Some("http://169.254.169.254/nocloud/");
        let secret = Some("http://169.254.169.254/nocloud/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a/");
        let seed = Some(Seed([10; 16]));
        for (case, dialects, prefix, made, expected) in [
            ("open", all, Prefix::Open, None, plain),
            ("open, seed or not", all, Prefix::Open, seed, plain),
            ("secret", all, Prefix::Secret, seed, secret),
            ("secret that nobody has", all, Prefix::Secret, None, None),
            ("off", none, Prefix::Open, seed, None),
        ] {
            let mut instance = sample::instance();
            instance.options.dialects = dialects;
            instance.options.nocloud = prefix;
            instance.seed = made;
            assert_eq!(instance.nocloud_url().as_deref(), expected, "{case}");
        }
    }

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
