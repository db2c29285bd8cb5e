//! Bounded reads of bytes that a guest wrote, and where things stand in them.

use crate::abi::Address;

/// A frame as it crosses an interface, starting at its Ethernet header.
///
/// The kernel programs read a socket buffer through this, tests and the fuzzer a slice.
pub trait Frame {
    /// Copies `N` octets at `offset`; `None` where the frame ends before.
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Copies IPv6 addresses that stand one behind the other at `offset`, so that they are compared word by word;
    /// `None` where the frame ends before. Dearer than [`Self::octets`] for those that need not look at them.
    fn addresses<const N: usize>(&self, offset: usize) -> Option<[Address; N]>;

    /// Whether a VLAN tag came with the frame but not in its bytes, as the kernel keeps it since it strips the outer
    /// tag on receipt.
    fn carries_vlan_tag(&self) -> bool;
}

impl Frame for [u8] {
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let end = offset.checked_add(N)?;
        self.get(offset..end)?.try_into().ok()
    }

    fn addresses<const N: usize>(&self, offset: usize) -> Option<[Address; N]> {
        let mut addresses = [Address([0; 16]); N];
        let mut at = offset;
        for address in &mut addresses {
            *address = Address(self.octets(at)?);
            at = at.checked_add(16)?;
        }
        Some(addresses)
    }

    fn carries_vlan_tag(&self) -> bool {
        false
    }
}

/// Offsets from the start of an Ethernet header, for IP headers without options or extensions.
pub mod offset {
    pub const ETH_DESTINATION: usize = 0;
    pub const ETH_SOURCE: usize = 6;
    pub const ETHERTYPE: usize = 12;
    /// The first octet behind an untagged Ethernet header.
    pub const PAYLOAD: usize = 14;

    pub const IP_VERSION: usize = PAYLOAD;
    pub const IP_TOTAL_LENGTH: usize = PAYLOAD + 2;
    pub const IP_FRAGMENT: usize = PAYLOAD + 6;
    pub const IP_PROTOCOL: usize = PAYLOAD + 9;
    pub const IP_CHECKSUM: usize = PAYLOAD + 10;
    pub const IP_SOURCE: usize = PAYLOAD + 12;
    pub const IP_DESTINATION: usize = PAYLOAD + 16;

    pub const IPV6_PAYLOAD_LENGTH: usize = PAYLOAD + 4;
    pub const IPV6_NEXT_HEADER: usize = PAYLOAD + 6;
    pub const IPV6_HOP_LIMIT: usize = PAYLOAD + 7;
    pub const IPV6_SOURCE: usize = PAYLOAD + 8;
    pub const IPV6_DESTINATION: usize = PAYLOAD + 24;

    /// Where TCP begins in an IPv4 packet.
    pub const TCP: usize = PAYLOAD + 20;
    /// Where TCP begins in an IPv6 packet.
    pub const IPV6_TCP: usize = PAYLOAD + 40;
    // From where TCP begins:
    pub const SOURCE_PORT: usize = 0;
    pub const DESTINATION_PORT: usize = 2;
    pub const FLAGS: usize = 13;
    pub const CHECKSUM: usize = 16;

    /// An ICMPv6 message; those of neighbour discovery have a target and options.
    pub const ICMPV6: usize = PAYLOAD + 40;
    pub const NDP_TARGET: usize = ICMPV6 + 8;
    pub const NDP_OPTIONS: usize = ICMPV6 + 24;

    pub const ARP_OPERATION: usize = PAYLOAD + 6;
    pub const ARP_SENDER_MAC: usize = PAYLOAD + 8;
    pub const ARP_SENDER_IP: usize = PAYLOAD + 14;
    pub const ARP_TARGET_MAC: usize = PAYLOAD + 18;
    pub const ARP_TARGET_IP: usize = PAYLOAD + 24;
}

/// EtherTypes, as they stand in the frame (IANA "IEEE 802 Numbers").
pub mod ethertype {
    pub const IPV4: [u8; 2] = [0x08, 0x00];
    pub const ARP: [u8; 2] = [0x08, 0x06];
    pub const IPV6: [u8; 2] = [0x86, 0xdd];
    pub const VLAN: [u8; 2] = [0x81, 0x00];
    pub const QINQ: [u8; 2] = [0x88, 0xa8];
    /// The double tag of equipment older than 802.1ad.
    pub const QINQ_OLD: [u8; 2] = [0x91, 0x00];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_the_frame_ends() {
        let frame: &[u8] = &[1, 2, 3, 4];
        for (case, offset, expected) in [
            ("first", 0, Some([1, 2])),
            ("last", 2, Some([3, 4])),
            ("one beyond", 3, None),
            ("far beyond", 400, None),
            ("overflow", usize::MAX, None),
        ] {
            assert_eq!(frame.octets::<2>(offset), expected, "{case}");
        }
    }

    #[test]
    fn addresses_are_read_one_behind_the_other() {
        let octets: Vec<u8> = (0..34).collect();
        let frame = &octets[..];
        let address = |from: usize| Address(octets[from..from + 16].try_into().unwrap());
        for (case, offset, expected) in [
            ("first", 0, Some([address(0), address(16)])),
            ("last", 2, Some([address(2), address(18)])),
            ("one beyond", 3, None),
            ("overflow", usize::MAX - 8, None),
        ] {
            assert_eq!(frame.addresses::<2>(offset), expected, "{case}");
        }
    }
}
