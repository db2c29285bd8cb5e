//! How NICs come by their addresses, for the layouts that tell guests so. What nobody knows, nobody is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::instance::{Cidr, Instance, Nic};

/// One way in which a NIC comes by addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Dhcp4,
    Dhcp6,
    /// From the prefix that a router announces.
    Slaac,
    /// The guest is to take it by itself; the gateway is the default route's.
    Fixed {
        address: Cidr,
        gateway: Option<IpAddr>,
    },
}

/// Lists the ways of one NIC. Where nobody has said anything, a guest asks DHCP for an IPv4 address, as it would of its
/// own accord; an address that is known beforehand does not change that, since a DHCP server may be why it is known.
pub(super) fn supplies(nic: &Nic) -> Vec<Supply> {
    if nic.fixed.is_some() {
        let four = fixed(nic, IpAddr::is_ipv4);
        return four.chain(fixed(nic, IpAddr::is_ipv6)).collect();
    }
    let offer = &nic.offer;
    let ways = [
        (offer.dhcp4 != Some(false), Supply::Dhcp4),
        (offer.dhcp6 == Some(true), Supply::Dhcp6),
        (offer.announced && offer.dhcp6 != Some(true), Supply::Slaac),
    ];
    let open = ways.into_iter().filter(|(is_open, _)| *is_open);
    open.map(|(_, way)| way).collect()
}

/// The default route belongs to the first address of a family.
fn fixed(nic: &Nic, family: fn(&IpAddr) -> bool) -> impl Iterator<Item = Supply> {
    let addresses = known(nic).filter(move |cidr| family(&cidr.address));
    addresses.enumerate().map(move |(index, address)| {
        let gateway = gateway(nic, family).filter(|_| index == 0);
        Supply::Fixed { address, gateway }
    })
}

/// The addresses that are known beforehand and that a netmask can be made for.
pub(super) fn known(nic: &Nic) -> impl Iterator<Item = Cidr> {
    let addresses = nic.addresses.iter().copied();
    addresses.filter(|cidr| cidr.network().is_some())
}

/// The first gateway of a family.
pub(super) fn gateway(nic: &Nic, family: fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let gateways = match &nic.fixed {
        Some(fixed) => &fixed.gateways,
        None => &nic.offer.gateways,
    };
    gateways.iter().copied().find(family)
}

/// The name servers of one NIC.
pub(super) fn nameservers(nic: &Nic) -> &[IpAddr] {
    match &nic.fixed {
        Some(fixed) => &fixed.nameservers,
        None => &nic.offer.nameservers,
    }
}

/// The prefix length as an address with so many ones.
pub(super) fn netmask(cidr: Cidr) -> IpAddr {
    let ones = Cidr {
        address: match cidr.address {
            IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
        },
        ..cidr
    };
    ones.network().unwrap_or(ones).address
}

/// Every name server of every NIC, once.
pub(super) fn all_nameservers(instance: &Instance) -> Vec<IpAddr> {
    let mut servers: Vec<IpAddr> = Vec::new();
    for server in instance.nics.iter().flat_map(nameservers) {
        if !servers.contains(server) {
            servers.push(*server);
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{Fixed, Offer};
    use crate::render::sample;

    fn cidr(text: &str) -> Cidr {
        let (address, prefix) = text.split_once('/').unwrap();
        Cidr {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    #[test]
    fn a_guest_is_told_what_somebody_knows() {
        let offer = |dhcp4, dhcp6, announced| Offer {
            dhcp4,
            dhcp6,
            announced,
            ..Offer::default()
        };
        let alone = Fixed {
            gateways: vec!["10.0.0.1".parse().unwrap()],
            nameservers: vec![],
        };
        let fixed4 = Supply::Fixed {
            address: cidr("10.0.0.5/24"),
            gateway: Some("10.0.0.1".parse().unwrap()),
        };
        let fixed6 = Supply::Fixed {
            address: cidr("fd00::5/64"),
            gateway: None,
        };
        for (case, offer, fixed, expected) in [
            ("nothing known", Offer::default(), None, vec![Supply::Dhcp4]),
            (
                "DHCP",
                offer(Some(true), None, false),
                None,
                vec![Supply::Dhcp4],
            ),
            (
                "DHCP of both families",
                offer(Some(true), Some(true), true),
                None,
                vec![Supply::Dhcp4, Supply::Dhcp6],
            ),
            (
                "an announced prefix",
                offer(Some(true), Some(false), true),
                None,
                vec![Supply::Dhcp4, Supply::Slaac],
            ),
            (
                "no DHCP",
                offer(Some(false), Some(false), false),
                None,
                vec![],
            ),
            (
                "addresses of its own",
                Offer::default(),
                Some(alone),
                vec![fixed4, fixed6],
            ),
        ] {
            let mut nic = sample::instance().nics.remove(0);
            nic.offer = offer;
            nic.fixed = fixed.map(Box::new);
            nic.addresses = ["10.0.0.5/24", "10.0.0.5/33", "fd00::5/64"]
                .map(cidr)
                .into();
            assert_eq!(supplies(&nic), expected, "{case}");
        }
    }

    #[test]
    fn only_the_first_address_has_the_default_route() {
        let mut nic = sample::instance().nics.remove(0);
        nic.fixed = Some(Box::new(Fixed {
            gateways: vec!["10.0.0.1".parse().unwrap()],
            nameservers: vec![],
        }));
        nic.addresses = ["10.0.0.5/24", "10.0.1.5/24"].map(cidr).into();
        let has_route = |supply| {
            let Supply::Fixed { gateway, .. } = supply else {
                return false;
            };
            gateway.is_some()
        };
        let routes: Vec<bool> = supplies(&nic).into_iter().map(has_route).collect();
        assert_eq!(routes, [true, false]);
    }

    #[test]
    fn netmasks_have_as_many_ones_as_the_prefix() {
        for (address, expected) in [
            ("10.0.0.5/24", "255.255.255.0"),
            ("10.0.0.5/0", "0.0.0.0"),
            ("10.0.0.5/32", "255.255.255.255"),
            ("fd00::5/64", "ffff:ffff:ffff:ffff::"),
        ] {
            assert_eq!(netmask(cidr(address)).to_string(), expected, "{address}");
        }
    }
}
