//! The metadata service's addresses, and what stands for them inside metad's own namespace.
//!
//! IPv4 and EC2's IPv6 address are the same on both sides. The link-local one is another inside: there is no link
//! there that guests are on, and a listener on a link-local address would need one.

use crate::abi::Address;

/// Which address of the service a guest asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Service {
    /// `169.254.169.254`.
    Ipv4 = 0,
    /// `fd00:ec2::254`, as on EC2.
    Ipv6 = 1,
    /// `fe80::a9fe:a9fe`, as in OpenStack: on the guest's link, whatever its network is.
    LinkLocal = 2,
}

/// The metadata service's IPv4 address.
pub const IPV4: [u8; 4] = [169, 254, 169, 254];
/// The metadata service's IPv6 address, as EC2 has it.
pub const IPV6: [u8; 16] = [
    0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54,
];
/// The metadata service's link-local address, as OpenStack has it.
pub const LINK_LOCAL: [u8; 16] = [
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe,
];
/// Stands for [`LINK_LOCAL`] inside metad's namespace, and exists nowhere else (a unique local address, RFC 4193).
pub const LINK_LOCAL_INSIDE: [u8; 16] = [
    0xfd, 0x6d, 0x65, 0x74, 0x61, 0x64, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe,
];

impl Service {
    /// The service that a guest calls `address`.
    #[inline(always)]
    pub fn of_ipv6(address: Address) -> Option<Self> {
        let address = address.words();
        if address == Address(IPV6).words() {
            Some(Self::Ipv6)
        } else if address == Address(LINK_LOCAL).words() {
            Some(Self::LinkLocal)
        } else {
            None
        }
    }

    /// The service that metad's namespace calls `address`.
    #[inline(always)]
    pub fn of_ipv6_inside(address: Address) -> Option<Self> {
        let address = address.words();
        if address == Address(IPV6).words() {
            Some(Self::Ipv6)
        } else if address == Address(LINK_LOCAL_INSIDE).words() {
            Some(Self::LinkLocal)
        } else {
            None
        }
    }

    /// Whether an address with these last octets may be one of the service: nearly all others are told apart by them.
    /// What begins as ours do, any guest may have.
    #[inline(always)]
    pub const fn may_end_with(octets: [u8; 4]) -> bool {
        matches!(octets, [0, 0, 0x02, 0x54] | [0xa9, 0xfe, 0xa9, 0xfe])
    }

    /// The IPv6 address that guests ask; `None` for IPv4.
    #[inline(always)]
    pub const fn ipv6(self) -> Option<Address> {
        match self {
            Self::Ipv4 => None,
            Self::Ipv6 => Some(Address(IPV6)),
            Self::LinkLocal => Some(Address(LINK_LOCAL)),
        }
    }

    /// The IPv6 address inside metad's namespace; `None` for IPv4.
    #[inline(always)]
    pub const fn ipv6_inside(self) -> Option<Address> {
        match self {
            Self::Ipv4 => None,
            Self::Ipv6 => Some(Address(IPV6)),
            Self::LinkLocal => Some(Address(LINK_LOCAL_INSIDE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn addresses_are_those_that_clients_know() {
        for (service, asked, inside) in [
            (Service::Ipv4, None, None),
            (Service::Ipv6, Some("fd00:ec2::254"), Some("fd00:ec2::254")),
            (
                Service::LinkLocal,
                Some("fe80::a9fe:a9fe"),
                Some("fd6d:6574:6164::a9fe:a9fe"),
            ),
        ] {
            let octets = |text: &str| Address(text.parse::<Ipv6Addr>().unwrap().octets());
            assert_eq!(service.ipv6(), asked.map(octets), "{service:?}");
            assert_eq!(service.ipv6_inside(), inside.map(octets), "{service:?}");
            if let (Some(asked), Some(inside)) = (service.ipv6(), service.ipv6_inside()) {
                assert_eq!(Service::of_ipv6(asked), Some(service));
                assert_eq!(Service::of_ipv6_inside(inside), Some(service));
                assert!(
                    asked
                        .0
                        .last_chunk()
                        .is_some_and(|end| Service::may_end_with(*end)),
                    "{service:?}"
                );
            }
        }
        assert_eq!(Service::of_ipv6(Address(LINK_LOCAL_INSIDE)), None);
        assert_eq!(Service::of_ipv6_inside(Address(LINK_LOCAL)), None);
        assert!(!Service::may_end_with([0, 0, 0, 1]));
    }
}
