//! Neighbour discovery for the IPv6 metadata addresses (RFC 4861): what a solicitation asks, and what answers it.
//!
//! Pure: the kernel program writes into the frame what [`Solicitation::answer`] says.

use crate::abi::Address;
use crate::frame::offset;

/// ICMPv6's IANA protocol number.
pub const ICMPV6: u8 = 58;
/// ICMPv6 types.
pub const SOLICITATION: u8 = 135;
pub const ADVERTISEMENT: u8 = 136;
/// What neighbour discovery must arrive with: no router has passed it on.
pub const HOP_LIMIT: u8 = 255;
/// Octets of an advertisement with its one option, from ICMPv6 on.
const ADVERTISEMENT_LENGTH: u8 = 32;
/// Octets of the frame that holds it.
pub const FRAME_LENGTH: u32 = 86;
const _: () = assert!(FRAME_LENGTH as usize == offset::ICMPV6 + ADVERTISEMENT_LENGTH as usize);

/// Flags of an advertisement: it answers a solicitation; it replaces what the asker knew.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// Option: the target's link-layer address, of a length of one times eight octets.
const TARGET_LINK_LAYER: [u8; 2] = [2, 1];
/// All nodes on the link, and the MAC address that stands for them.
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Who asks for which metadata address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// The frame's source, which the answer is sent to.
    pub mac: [u8; 6],
    /// Unspecified: the guest is about to take the address for itself, unless somebody has it.
    pub source: Address,
    /// The address that is asked for.
    pub target: Address,
}

/// What to write into a frame of [`FRAME_LENGTH`] octets to make it the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    pub to_mac: [u8; 6],
    /// For [`offset::IPV6_PAYLOAD_LENGTH`]: length, next header and hop limit.
    pub header: [u8; 4],
    /// For [`offset::IPV6_SOURCE`].
    pub source: Address,
    /// For [`offset::IPV6_DESTINATION`].
    pub destination: Address,
    /// For [`offset::ICMPV6`]: type, code, checksum and flags. The target stays where it is.
    pub message: [u8; 8],
    /// For [`offset::NDP_OPTIONS`].
    pub option: [u8; 8],
}

impl Solicitation {
    /// The advertisement that the target is at `mac`. It goes to whoever asked; to everybody, where the asker has no
    /// address yet (section 7.2.4): it then leaves this one alone.
    #[inline(always)]
    pub fn answer(&self, mac: [u8; 6]) -> Advertisement {
        let anonymous = self.source.is_unspecified();
        let (to_mac, destination, flags) = if anonymous {
            (ALL_NODES_MAC, Address(ALL_NODES), OVERRIDE)
        } else {
            (self.mac, self.source, SOLICITED | OVERRIDE)
        };
        let [o0, o1] = TARGET_LINK_LAYER;
        let [m0, m1, m2, m3, m4, m5] = mac;
        let option = [o0, o1, m0, m1, m2, m3, m4, m5];
        // The pseudo header has the target as its source.
        let pseudo = [0, ADVERTISEMENT_LENGTH, 0, ICMPV6];
        let start = [ADVERTISEMENT, 0, flags, 0];
        let addresses = 2 * sum(&self.target.0) + sum(&destination.0);
        let [c0, c1] = folded(addresses + sum(&pseudo) + sum(&start) + sum(&option));
        Advertisement {
            to_mac,
            header: [0, ADVERTISEMENT_LENGTH, ICMPV6, HOP_LIMIT],
            source: self.target,
            destination,
            message: [ADVERTISEMENT, 0, c0, c1, flags, 0, 0, 0],
            option,
        }
    }
}

/// Adds up octets, four to a number, in the machine's own order: the checksum's order follows from it (RFC 1071).
#[inline(always)]
fn sum<const N: usize>(octets: &[u8; N]) -> u64 {
    let (words, _) = octets.as_chunks::<4>();
    let mut sum = 0;
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    sum
}

/// The internet checksum of a sum of a few words, in the machine's own order.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "folded so often, it fits")]
fn folded(sum: u64) -> [u8; 2] {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!(sum as u16)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service;

    const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
    const BRIDGE_MAC: [u8; 6] = [0x52, 0x54, 0, 0xff, 0xff, 1];
    const GUEST: [u8; 16] = [
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 1, 2, 3,
    ];

    /// Checked with another implementation's arithmetic: the sum over pseudo header and message is 0xffff.
    fn adds_up(answer: &Advertisement) -> bool {
        let parts: [&[u8]; 6] = [
            &answer.source.0,
            &answer.destination.0,
            &[0, 0, 0, 32, 0, 0, 0, 58],
            &answer.message,
            &answer.source.0,
            &answer.option,
        ];
        let octets = parts.concat();
        let sum: u64 = octets
            .chunks(2)
            .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1]))
            .sum();
        sum.is_multiple_of(0xffff)
    }

    #[test]
    fn asker_is_told_and_an_anonymous_one_is_told_with_everybody() {
        for target in [service::IPV6, service::LINK_LOCAL] {
            for (case, source, to_mac, destination, flags) in [
                ("known", GUEST, GUEST_MAC, GUEST, 0x60),
                (
                    "about to take it",
                    [0; 16],
                    [0x33, 0x33, 0, 0, 0, 1],
                    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                    0x20,
                ),
            ] {
                let asked = Solicitation {
                    mac: GUEST_MAC,
                    source: Address(source),
                    target: Address(target),
                };
                let answer = asked.answer(BRIDGE_MAC);
                assert_eq!(answer.to_mac, to_mac, "{case}");
                assert_eq!(answer.header, [0, 32, 58, 255], "{case}");
                assert_eq!(answer.source.0, target, "{case}");
                assert_eq!(answer.destination.0, destination, "{case}");
                let [kind, code, _, _, rest @ ..] = answer.message;
                assert_eq!((kind, code, rest), (136, 0, [flags, 0, 0, 0]), "{case}");
                assert_eq!(
                    answer.option,
                    [2, 1, 0x52, 0x54, 0, 0xff, 0xff, 1],
                    "{case}"
                );
                assert!(adds_up(&answer), "{case}: {answer:?}");
            }
        }
    }
}
