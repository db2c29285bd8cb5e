//! The networks of the KVM host, and the NICs on them. Every NIC's MAC has a DHCP reservation, or gives the address that
//! its guest makes itself, so that an address is known before the guest boots.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A libvirt network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// libvirt's own: NAT, 192.168.122.0/24 on virbr0.
    Default,
    /// No way out and no router; DHCP option 121 gives a route to the metadata address alone.
    Isolated,
    /// A bridge without an address, without DHCP.
    Bare,
    /// IPv6 alone: a router that is announced, and a prefix in which guests make their own addresses.
    Six,
}

/// How many NICs of one network have a reservation.
const RESERVATIONS: u8 = 40;

impl Network {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 4] = [Self::Default, Self::Isolated, Self::Bare, Self::Six];

    /// libvirt's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Isolated => "isolated",
            Self::Bare => "bare",
            Self::Six => "six",
        }
    }

    /// The bridge on the host.
    pub fn bridge(self) -> &'static str {
        match self {
            Self::Default => "virbr0",
            Self::Isolated => "virbr1",
            Self::Bare => "virbr2",
            Self::Six => "virbr3",
        }
    }

    fn third_octet(self) -> u8 {
        match self {
            Self::Default => 122,
            Self::Isolated => 123,
            Self::Bare => 124,
            Self::Six => 125,
        }
    }

    /// What libvirt is told.
    pub(super) fn xml(self) -> String {
        let (name, bridge, octet) = (self.name(), self.bridge(), self.third_octet());
        let (forward, ip) = match self {
            Self::Default => ("<forward mode='nat'/>", self.ip_xml(octet)),
            Self::Isolated => ("", self.ip_xml(octet)),
            Self::Bare => ("", String::new()),
            // On a network that leads nowhere libvirt announces prefix but no router.
            Self::Six => (
                "<forward mode='open'/>",
                format!("<ip family='ipv6' address='{}' prefix='64'/>", six(1)),
            ),
        };
        // Without its probe before each new lease dnsmasq answers three seconds sooner.
        let mut options = "<dnsmasq:option value='no-ping'/>".to_owned();
        if self == Self::Isolated {
            options
                .push_str("<dnsmasq:option value='dhcp-option=121,169.254.169.254/32,0.0.0.0'/>");
        }
        if matches!(self, Self::Bare | Self::Six) {
            options.clear();
        }
        // Without STP a new port forwards at once; without DNS a guest's questions stay in the guest. With neither DNS
        // nor DHCP libvirt starts no dnsmasq, and nobody announces a router.
        let dns = match self {
            Self::Six => "",
            Self::Default | Self::Isolated | Self::Bare => "<dns enable='no'/>",
        };
        format!(
            "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>\
             <name>{name}</name>{forward}<bridge name='{bridge}' stp='off' delay='0'/>{dns}{ip}\
             <dnsmasq:options>{options}</dnsmasq:options></network>"
        )
    }

    fn ip_xml(self, octet: u8) -> String {
        let mut hosts = String::new();
        for number in 1..=RESERVATIONS {
            let nic = Nic::new(self, number);
            // Writing to a String cannot fail.
            let _ = write!(hosts, "<host mac='{}' ip='{}'/>", nic.mac(), nic.address());
        }
        format!(
            "<ip address='192.168.{octet}.1' netmask='255.255.255.0'><dhcp>\
             <range start='192.168.{octet}.2' end='192.168.{octet}.254'/>{hosts}</dhcp></ip>"
        )
    }
}

/// The address with this interface identifier on the network that knows IPv6 alone.
fn six(identifier: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfd00_006d_007d_0000_u128 << 64 | u128::from(identifier))
}

/// A guest's network interface, named by its network and a number from 1 to 40 that no other guest on it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nic {
    network: Network,
    number: u8,
    tap: Option<&'static str>,
}

impl Nic {
    /// The NIC with this number.
    pub const fn new(network: Network, number: u8) -> Self {
        Self {
            network,
            number,
            tap: None,
        }
    }

    /// The same on a tap of this name; it must not be one that libvirt would choose itself.
    #[must_use]
    pub const fn on_tap(self, tap: &'static str) -> Self {
        Self {
            tap: Some(tap),
            ..self
        }
    }

    /// The network it is on.
    pub fn network(self) -> Network {
        self.network
    }

    /// In lower case with colons, as metadata paths want it.
    pub fn mac(self) -> String {
        format!(
            "52:54:00:6d:{:02x}:{:02x}",
            self.network.third_octet(),
            self.number
        )
    }

    /// The reserved address (on a network without DHCP: one that is free; with IPv6 alone: the one that Linux makes of
    /// the prefix and the MAC, RFC 4291 appendix A).
    pub fn address(self) -> IpAddr {
        let octet = self.network.third_octet();
        match self.network {
            Network::Six => {
                let low = [0x50, 0x54, 0, 0xff, 0xfe, 0x6d, octet, self.number];
                six(u64::from_be_bytes(low)).into()
            }
            Network::Default | Network::Isolated | Network::Bare => {
                Ipv4Addr::new(192, 168, octet, 100 + self.number).into()
            }
        }
    }

    /// The `<interface>` element; also what a hot-plug hands to libvirt.
    pub(super) fn xml(self) -> String {
        let tap = self
            .tap
            .map_or_else(String::new, |tap| format!("<target dev='{tap}'/>"));
        format!(
            "<interface type='network'><mac address='{}'/><source network='{}'/>{tap}<model type='virtio'/></interface>",
            self.mac(),
            self.network.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_isolated_network_hands_out_the_route_and_only_ipv6_alone_has_a_dnsmasq_without_dhcp()
     {
        for (network, route, forward, dhcp, dns) in [
            (Network::Default, false, true, true, false),
            (Network::Isolated, true, false, true, false),
            (Network::Bare, false, false, false, false),
            (Network::Six, false, true, false, true),
        ] {
            let xml = network.xml();
            assert_eq!(
                xml.contains("121,169.254.169.254/32"),
                route,
                "route of {network:?}"
            );
            assert_eq!(xml.contains("<forward"), forward, "forward of {network:?}");
            assert_eq!(xml.contains("<dhcp>"), dhcp, "DHCP of {network:?}");
            let without = xml.contains("<dns enable='no'/>");
            assert_eq!(without, !dns, "DNS of {network:?}");
        }
    }

    #[test]
    fn where_there_is_ipv6_alone_the_mac_gives_the_address() {
        let nic = Nic::new(Network::Six, 7);
        assert_eq!(nic.mac(), "52:54:00:6d:7d:07");
        assert_eq!(nic.address().to_string(), "fd00:6d:7d:0:5054:ff:fe6d:7d07");
    }

    #[test]
    fn a_nic_has_the_address_that_its_network_reserved() {
        let nic = Nic::new(Network::Isolated, 7);
        assert_eq!(
            (nic.mac().as_str(), nic.address().to_string().as_str()),
            ("52:54:00:6d:7b:07", "192.168.123.107")
        );
        let reserved = format!("<host mac='{}' ip='{}'/>", nic.mac(), nic.address());
        assert!(Network::Isolated.xml().contains(&reserved));
        assert!(!Network::Default.xml().contains(&reserved));
    }
}
