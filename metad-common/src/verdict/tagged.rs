//! Frames behind VLAN tags that are part of their bytes.

use super::{Verdict, ipv6};
use crate::frame::{Frame, ethertype, offset};
use crate::reason::Reason;
use crate::service::IPV4;

/// A double tag is the most that any standard knows; one more for good measure.
const TAGS_MAX: usize = 3;

/// Looks behind up to [`TAGS_MAX`] VLAN tags for something that concerns a metadata address. Nobody needs more, and
/// Linux looks behind any number of tags of VLAN 0.
#[inline(always)]
pub(super) fn classify<F: Frame + ?Sized>(frame: &F) -> Verdict {
    let mut shift = 0;
    let mut inner = ethertype::VLAN;
    for _ in 0..TAGS_MAX {
        if !is_tag(inner) {
            break;
        }
        shift += 4;
        let Some(next) = frame.octets::<2>(offset::ETHERTYPE + shift) else {
            return Verdict::Pass;
        };
        inner = next;
    }
    // Once, behind the loop: the kernel's copy of it is unrolled.
    let is_ours = |at| frame.octets::<4>(at + shift) == Some(IPV4);
    let ours = match inner {
        ethertype::IPV4 => is_ours(offset::IP_DESTINATION) || is_ours(offset::IP_SOURCE),
        ethertype::ARP => is_ours(offset::ARP_TARGET_IP) || is_ours(offset::ARP_SENDER_IP),
        ethertype::IPV6 => ipv6::concerns_us(frame, shift),
        inner => is_tag(inner),
    };
    if ours {
        Verdict::Drop(Reason::VlanTagged)
    } else {
        Verdict::Pass
    }
}

#[inline(always)]
fn is_tag(kind: [u8; 2]) -> bool {
    matches!(
        kind,
        ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD
    )
}
