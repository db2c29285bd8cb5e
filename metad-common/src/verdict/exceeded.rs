//! What is sent to a metadata address and is no TCP: nothing is delivered, but one kind says something. A router behind
//! the guest that gives up an answer of ours tells the sender so (RFC 792, RFC 4443), which shows that somebody there
//! asked for a token and may not have it.

use super::TCP;
use crate::frame::{Frame, offset};
use crate::neighbour::ICMPV6;
use crate::reason::Reason;
use crate::service::{IPV4, Service};

/// IANA protocol number.
const ICMP: u8 = 1;
/// Type and code: the time to live was exceeded in transit.
const EXCEEDED: [u8; 2] = [11, 0];
/// The same in ICMPv6: the hop limit was.
const EXCEEDED_IPV6: [u8; 2] = [3, 0];
/// The packet that was given up begins behind so many octets of the message.
const QUOTED: usize = 8;

/// Why an IPv4 packet with another protocol than TCP is dropped.
#[inline(always)]
pub(super) fn over_ipv4<F: Frame + ?Sized>(frame: &F, protocol: u8) -> Reason {
    const MESSAGE: usize = offset::TCP;
    /// From one IPv4 header without options to another.
    const INWARDS: usize = MESSAGE + QUOTED - offset::PAYLOAD;
    let ours = protocol == ICMP
        && frame.octets(MESSAGE) == Some(EXCEEDED)
        && frame.octets(offset::IP_VERSION + INWARDS) == Some([0x45])
        && frame.octets(offset::IP_PROTOCOL + INWARDS) == Some([TCP])
        && frame.octets(offset::IP_SOURCE + INWARDS) == Some(IPV4);
    if ours {
        Reason::HopLimit
    } else {
        Reason::NotTcp
    }
}

/// The same for IPv6.
#[inline(always)]
pub(super) fn over_ipv6<F: Frame + ?Sized>(frame: &F, next: u8) -> Reason {
    const MESSAGE: usize = offset::ICMPV6;
    const INWARDS: usize = MESSAGE + QUOTED - offset::PAYLOAD;
    let ours = next == ICMPV6
        && frame.octets(MESSAGE) == Some(EXCEEDED_IPV6)
        && frame.octets(offset::IPV6_NEXT_HEADER + INWARDS) == Some([TCP])
        && frame
            .addresses(offset::IPV6_SOURCE + INWARDS)
            .is_some_and(|[source]| Service::of_ipv6(source).is_some());
    if ours {
        Reason::HopLimit
    } else {
        Reason::NotTcp
    }
}
