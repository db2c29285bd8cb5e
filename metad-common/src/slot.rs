//! A NIC's slot and the source address that carries it into metad's namespace.
//!
//! The addresses are those of 100.64.0.0/10 (RFC 6598), used inside metad's own namespace only, where they mean
//! nothing but the slot.

/// First octets of the range, as a number.
const BASE: u32 = u32::from_be_bytes([100, 64, 0, 0]);
/// Length of the range's prefix in bits.
pub const PREFIX_LENGTH: u8 = 10;
/// The highest slot. The range's last address is left alone, as a broadcast address would be.
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
    match number & (MAX | 1) {
        0 => None,
        slot if slot > MAX => None,
        slot => Some(slot),
    }
}

#[cfg(test)]
mod tests {
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

    proptest! {
        #[test]
        fn slots_survive_the_journey(slot in 1..=MAX) {
            prop_assert_eq!(of_address(address(slot)), Some(slot));
        }

        #[test]
        fn no_other_address_is_a_slot(address_octets: [u8; 4]) {
            if let Some(slot) = of_address(address_octets) {
                prop_assert_eq!(address(slot), address_octets);
            }
        }
    }
}
