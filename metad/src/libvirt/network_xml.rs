//! A libvirt network's XML in, what it tells of the NICs on it out: bridge, prefix, reserved addresses, MTU. Pure and
//! total; a network that cannot be read costs its NICs these hints and nothing else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::domain_xml::Place;
use super::xml::{self, Element, Fault, XmlError};
use crate::instance::{Cidr, Mac, Nic, Offer};

/// Why a network's XML cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the network's XML cannot be read: {0}")]
pub struct NetworkError(pub Place);

/// A libvirt network as its NICs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    pub bridge: Option<String>,
    /// Octets.
    pub mtu: Option<u32>,
    /// The prefixes, host bits zero, in the document's order.
    pub subnets: Vec<Cidr>,
    /// Addresses that DHCP keeps for a NIC, with the prefix length of their subnet.
    pub reservations: BTreeMap<Mac, Vec<Cidr>>,
    pub offer: Offer,
}

/// Reads a network's XML, as `virNetworkGetXMLDesc` gives it.
pub fn parse(document: &str) -> Result<Network, NetworkError> {
    let place = |fault: Fault| XmlError::at(document, fault.offset, fault.reason);
    let network = xml::parse(document).and_then(|root| read(&root).map_err(place));
    network.map_err(|error| NetworkError(error.into()))
}

impl Network {
    /// Fills what a NIC of this network does not say itself.
    pub fn complete(&self, nic: &mut Nic) {
        if nic.bridge.is_none() {
            nic.bridge.clone_from(&self.bridge);
        }
        nic.mtu = nic.mtu.or(self.mtu);
        if let Some(reserved) = self.reservations.get(&nic.mac) {
            nic.addresses.clone_from(reserved);
        }
        let holds_an_address = |subnet: &&Cidr| {
            let mut of_nic = nic.addresses.iter();
            of_nic.any(|address| {
                address.prefix == subnet.prefix && address.network() == Some(**subnet)
            })
        };
        let families: [fn(&IpAddr) -> bool; 2] = [IpAddr::is_ipv4, IpAddr::is_ipv6];
        let subnets = families.into_iter().filter_map(|is_family| {
            let of_family = || self.subnets.iter().filter(|it| is_family(&it.address));
            let subnet = of_family().find(holds_an_address);
            subnet.or(of_family().next()).copied()
        });
        nic.subnets = subnets.collect();
        nic.offer = self.offer.clone();
    }
}

fn read(root: &Element) -> Result<Network, Fault> {
    if root.name != "network" || !root.namespace.is_empty() {
        return Err(root.fault("is no <network>"));
    }
    let name = root
        .child_text("name")
        .ok_or_else(|| root.fault("holds no <name>"))?;
    let mut network = Network {
        name: name.text().trim().to_owned(),
        bridge: root
            .child("bridge")
            .and_then(|bridge| bridge.attribute("name"))
            .map(str::to_owned),
        mtu: root
            .child("mtu")
            .and_then(|mtu| mtu.attribute("size")?.parse().ok()),
        subnets: Vec::new(),
        reservations: BTreeMap::new(),
        offer: Offer::default(),
    };
    let leads_out = root.child("forward").is_some();
    let names = root.child("dns").and_then(|dns| dns.attribute("enable")) != Some("no");
    for ip in root.children_named("ip") {
        let own = address_of(ip)?;
        network.subnets.extend(own.network());
        let offer = &mut network.offer;
        supply(offer, own.address, ip.child("dhcp").is_some());
        offer.gateways.extend(leads_out.then_some(own.address));
        offer.nameservers.extend(names.then_some(own.address));
        let hosts = ip
            .child("dhcp")
            .into_iter()
            .flat_map(|dhcp| dhcp.children_named("host"));
        for host in hosts {
            if let Some((mac, address)) = reservation(host)? {
                let prefix = own.prefix;
                network
                    .reservations
                    .entry(mac)
                    .or_default()
                    .push(Cidr { address, prefix });
            }
        }
    }
    Ok(network)
}

/// Where the bridge has an address, nobody but libvirt's dnsmasq gives out others. It announces an IPv6 prefix in any
/// case.
fn supply(offer: &mut Offer, bridge: IpAddr, dhcp: bool) {
    match bridge {
        IpAddr::V4(_) => offer.dhcp4 = Some(dhcp || offer.dhcp4 == Some(true)),
        IpAddr::V6(_) => {
            offer.dhcp6 = Some(dhcp || offer.dhcp6 == Some(true));
            offer.announced |= !dhcp;
        }
    }
}

fn address_of(ip: &Element) -> Result<Cidr, Fault> {
    let text = ip.attribute("address").unwrap_or_default();
    let none = || ip.fault(format!("has the address `{text}`, which is none"));
    let address: IpAddr = text.parse().ok().ok_or_else(none)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match (ip.attribute("prefix"), ip.attribute("netmask")) {
        (Some(prefix), _) => prefix.parse().ok(),
        (None, Some(netmask)) => prefix_of(netmask),
        (None, None) => classful(address),
    };
    match prefix {
        Some(prefix) if prefix <= longest => Ok(Cidr { address, prefix }),
        Some(_) | None => Err(ip.fault("has a prefix or netmask that is none")),
    }
}

/// Old networks name neither; libvirt then takes the prefix of the address's class.
fn classful(address: IpAddr) -> Option<u8> {
    match address {
        IpAddr::V4(address) => match address.octets().first()? {
            0..=127 => Some(8),
            128..=191 => Some(16),
            192..=255 => Some(24),
        },
        IpAddr::V6(_) => Some(64),
    }
}

fn prefix_of(netmask: &str) -> Option<u8> {
    let bits = netmask.parse::<Ipv4Addr>().ok()?.to_bits();
    let ones = bits.leading_ones();
    let contiguous = bits.checked_shl(ones).unwrap_or(0) == 0;
    contiguous.then(|| u8::try_from(ones).ok())?
}

/// Without a MAC address a reservation goes by name or client id, which a guest chooses.
fn reservation(host: &Element) -> Result<Option<(Mac, IpAddr)>, Fault> {
    let (Some(mac), Some(address)) = (host.attribute("mac"), host.attribute("ip")) else {
        return Ok(None);
    };
    let mac = mac
        .parse()
        .map_err(|error| host.fault(format!("is broken: {error}")))?;
    let none = || host.fault(format!("has the address `{address}`, which is none"));
    Ok(Some((mac, address.parse().ok().ok_or_else(none)?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: &str = "<network>
  <name>default</name>
  <uuid>9a05da11-e96b-47f3-8253-a3a482e445f5</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mtu size='1400'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
      <host mac='52:54:00:00:00:01' name='web1' ip='192.168.122.10'/>
      <host name='by-name' ip='192.168.122.11'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='fd00::1' prefix='64'>
    <dhcp><host mac='52:54:00:00:00:01' ip='fd00::10'/></dhcp>
  </ip>
  <ip address='10.1.2.3' prefix='8'><dhcp><host mac='52:54:00:00:00:02' ip='10.9.9.9'/></dhcp></ip>
</network>";

    #[test]
    fn a_nic_learns_what_its_network_knows() {
        let network = parse(DEFAULT).unwrap();
        assert_eq!(network.name, "default");
        for (case, mac, addresses, subnets) in [
            (
                "reserved in two families",
                1,
                vec!["192.168.122.10/24", "fd00::10/64"],
                ["192.168.122.0/24", "fd00::/64"],
            ),
            (
                "reserved in the second subnet",
                2,
                vec!["10.9.9.9/8"],
                ["10.0.0.0/8", "fd00::/64"],
            ),
            ("not reserved", 3, vec![], ["192.168.122.0/24", "fd00::/64"]),
        ] {
            let mut nic = nic(mac);
            network.complete(&mut nic);
            let read: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(read, addresses, "{case}");
            let read: Vec<String> = nic.subnets.iter().map(ToString::to_string).collect();
            assert_eq!(read, subnets, "{case}");
            assert_eq!(
                (nic.bridge.as_deref(), nic.mtu),
                (Some("virbr0"), Some(1400)),
                "{case}"
            );
        }
    }

    #[test]
    fn what_a_nic_says_itself_stays() {
        let mut nic = Nic {
            bridge: Some("virbr7".to_owned()),
            mtu: Some(9000),
            ..nic(1)
        };
        parse(DEFAULT).unwrap().complete(&mut nic);
        assert_eq!(
            (nic.bridge.as_deref(), nic.mtu),
            (Some("virbr7"), Some(9000))
        );
    }

    #[test]
    fn networks_without_addresses_or_with_broken_ones() {
        let with = |ip: &str| parse(&format!("<network><name>a</name>{ip}</network>"));
        for (case, ip, expected) in [
            ("none", "", Ok(vec![])),
            (
                "netmask",
                "<ip address='10.0.0.1' netmask='255.255.254.0'/>",
                Ok(vec!["10.0.0.0/23"]),
            ),
            (
                "by class",
                "<ip address='172.16.0.1'/>",
                Ok(vec!["172.16.0.0/16"]),
            ),
            (
                "whole world",
                "<ip address='10.0.0.1' prefix='0'/>",
                Ok(vec!["0.0.0.0/0"]),
            ),
            (
                "holes in the netmask",
                "<ip address='10.0.0.1' netmask='255.0.255.0'/>",
                Err("<ip> has a prefix or netmask that is none"),
            ),
            (
                "prefix too long",
                "<ip address='10.0.0.1' prefix='33'/>",
                Err("<ip> has a prefix or netmask that is none"),
            ),
            (
                "no address",
                "<ip address='x' prefix='8'/>",
                Err("<ip> has the address `x`, which is none"),
            ),
            (
                "broken reservation",
                "<ip address='10.0.0.1' prefix='8'><dhcp><host mac='x' ip='10.0.0.2'/></dhcp></ip>",
                Err(
                    "<host> is broken: `x` is no MAC address (six octets in hexadecimal, such as 52:54:00:12:34:56)",
                ),
            ),
        ] {
            let read = with(ip).map(|network| {
                network
                    .subnets
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            });
            let read = read.map_err(|error| error.0.reason);
            let expected = expected.map(|subnets| subnets.into_iter().map(str::to_owned).collect());
            assert_eq!(read, expected.map_err(str::to_owned), "{case}");
        }
    }

    #[test]
    fn what_a_network_offers_follows_from_its_addresses() {
        let none = Offer::default();
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        for (case, body, expected) in [
            (
                "a bridge of somebody else's",
                "<forward mode='bridge'/><bridge name='br0'/>",
                none.clone(),
            ),
            (
                "NAT with DHCP",
                "<forward/><ip address='10.0.0.1' prefix='24'><dhcp/></ip>",
                Offer {
                    dhcp4: Some(true),
                    gateways: addresses(&["10.0.0.1"]),
                    nameservers: addresses(&["10.0.0.1"]),
                    ..none.clone()
                },
            ),
            (
                "isolated, without DHCP or names",
                "<dns enable='no'/><ip address='10.0.0.1' prefix='24'/>",
                Offer {
                    dhcp4: Some(false),
                    ..none.clone()
                },
            ),
            (
                "IPv6 with and without DHCP",
                "<dns enable='no'/><ip family='ipv6' address='fd00::1' prefix='64'><dhcp/></ip>\
                 <ip family='ipv6' address='fd01::1' prefix='64'/>",
                Offer {
                    dhcp6: Some(true),
                    announced: true,
                    ..none.clone()
                },
            ),
        ] {
            let network = parse(&format!("<network><name>n</name>{body}</network>")).unwrap();
            let mut nic = nic(1);
            network.complete(&mut nic);
            assert_eq!(nic.offer, expected, "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_mutated_network_is_read_or_refused(from in 0..DEFAULT.len(), length in 0..40_usize, put in "[<>/a-z'0-9.=:]{0,8}") {
            let before: String = DEFAULT.chars().take(from).collect();
            let after: String = DEFAULT.chars().skip(from + length).collect();
            let _ = parse(&(before + &put + &after));
        }
    }

    fn nic(last: u8) -> Nic {
        Nic {
            mac: Mac([0x52, 0x54, 0, 0, 0, last]),
            interface: None,
            bridge: None,
            network: Some("default".to_owned()),
            addresses: Vec::new(),
            subnets: Vec::new(),
            mtu: None,
            fixed: None,
            offer: Offer::default(),
        }
    }
}
