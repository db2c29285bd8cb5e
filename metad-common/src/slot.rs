//! A NIC's slot and the source addresses that carry it into metad's namespace.
//!
//! The addresses are those of 100.64.0.0/10 (RFC 6598) and of fd6d:6574:6164:1::/64 (RFC 4193), used inside metad's own
//! namespace only, where they mean nothing but the slot.

use crate::abi::Address;

/// First octets of the IPv4 range, as a number.
const BASE: u32 = u32::from_be_bytes([100, 64, 0, 0]);
/// Length of the IPv4 range's prefix in bits.
pub const PREFIX_LENGTH: u8 = 10;
/// What stands before the slot in an IPv6 address.
const BASE_IPV6: [u8; 12] = [0xfd, 0x6d, 0x65, 0x74, 0x61, 0x64, 0, 1, 0, 0, 0, 0];
/// Length of the IPv6 range's prefix in bits.
pub const PREFIX_LENGTH_IPV6: u8 = 64;
/// The highest slot. The IPv4 range's last address is left alone, as a broadcast address would be.
pub const MAX: u32 = (1 << (32 - PREFIX_LENGTH as u32)) - 2;

/// The source address that carries `slot`. Slots outside 1..=[`MAX`] are never given out; they are cut to the range
/// here so that no address outside it can arise.
pub const fn address(slot: u32) -> [u8; 4] {
    (BASE | (slot & (MAX | 1))).to_be_bytes()
}

/// The slot that `address` carries; `None` outside the range and for the slots that are never given out.
pub const fn of_address(address: [u8; 4]) -> Option<u32> {
    let number = u32::from_be_bytes(address);
    if number & !(MAX | 1) != BASE {
        return None;
    }
    given(number & (MAX | 1))
}

/// The IPv6 source address that carries `slot`.
#[inline(always)]
pub const fn ipv6(slot: u32) -> Address {
    let [p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11] = BASE_IPV6;
    let [s0, s1, s2, s3] = (slot & (MAX | 1)).to_be_bytes();
    Address([
        p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, s0, s1, s2, s3,
    ])
}

/// The slot that an IPv6 `address` carries; `None` as in [`of_address`].
#[inline(always)]
pub fn of_ipv6(address: Address) -> Option<u32> {
    let [.., s0, s1, s2, s3] = address.0;
    let slot = given(u32::from_be_bytes([s0, s1, s2, s3]))?;
    (address.words() == ipv6(slot).words()).then_some(slot)
}

/// Leaves out the slots that are never given out.
const fn given(slot: u32) -> Option<u32> {
    match slot {
        0 => None,
        slot if slot > MAX => None,
        slot => Some(slot),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn range_ends_are_no_slots() {
        for (case, address, expected) in [
            ("network address", [100, 64, 0, 0], None),
            ("first", [100, 64, 0, 1], Some(1)),
            ("last", [100, 127, 255, 254], Some(MAX)),
            ("broadcast address", [100, 127, 255, 255], None),
            ("below", [100, 63, 255, 255], None),
            ("above", [100, 128, 0, 1], None),
            ("a guest's own", [192, 168, 122, 5], None),
        ] {
            assert_eq!(of_address(address), expected, "{case}");
        }
    }

    #[test]
    fn ipv6_range_has_the_same_slots() {
        for (address, expected) in [
            ("fd6d:6574:6164:1::", None),
            ("fd6d:6574:6164:1::1", Some(1)),
            ("fd6d:6574:6164:1::3f:fffe", Some(MAX)),
            ("fd6d:6574:6164:1::3f:ffff", None),
            ("fd6d:6574:6164:1::40:1", None),
            ("fd6d:6574:6164:1::1:0:1", None),
            ("fd6d:6574:6164::1", None),
            ("fe80::1", None),
            ("::ffff:100.64.0.1", None),
        ] {
            let octets = address.parse::<Ipv6Addr>().unwrap().octets();
            assert_eq!(of_ipv6(Address(octets)), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn slots_survive_the_journey(slot in 1..=MAX) {
            prop_assert_eq!(of_address(address(slot)), Some(slot));
            prop_assert_eq!(of_ipv6(ipv6(slot)), Some(slot));
        }

        #[test]
        fn no_other_address_is_a_slot(address_octets: [u8; 4], ipv6_octets: [u8; 16]) {
            if let Some(slot) = of_address(address_octets) {
                prop_assert_eq!(address(slot), address_octets);
            }
            if let Some(slot) = of_ipv6(Address(ipv6_octets)) {
                prop_assert_eq!(ipv6(slot).0, ipv6_octets);
            }
        }
    }
}
