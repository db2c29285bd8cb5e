//! Bounded reads of bytes that a guest wrote, and where things stand in them.

/// A frame as it crosses an interface, starting at its Ethernet header.
///
/// The kernel programs read a socket buffer through this, tests and the fuzzer a slice.
pub trait Frame {
    /// Copies `N` octets at `offset`; `None` where the frame ends before.
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Whether a VLAN tag came with the frame but not in its bytes, as the kernel keeps it since it strips the outer
    /// tag on receipt.
    fn carries_vlan_tag(&self) -> bool;
}

impl Frame for [u8] {
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let end = offset.checked_add(N)?;
        self.get(offset..end)?.try_into().ok()
    }

    fn carries_vlan_tag(&self) -> bool {
        false
    }
}

/// Offsets from the start of an Ethernet header, for an IPv4 header without options.
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

    pub const TCP_SOURCE_PORT: usize = PAYLOAD + 20;
    pub const TCP_DESTINATION_PORT: usize = PAYLOAD + 22;
    pub const TCP_FLAGS: usize = PAYLOAD + 20 + 13;
    pub const TCP_CHECKSUM: usize = PAYLOAD + 20 + 16;

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
    pub const VLAN: [u8; 2] = [0x81, 0x00];
    pub const QINQ: [u8; 2] = [0x88, 0xa8];
    /// The double tag of equipment older than 802.1ad.
    pub const QINQ_OLD: [u8; 2] = [0x91, 0x00];
}

/// The metadata service's IPv4 address.
pub const METADATA: [u8; 4] = [169, 254, 169, 254];

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
}
