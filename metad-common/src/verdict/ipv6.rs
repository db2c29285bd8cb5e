//! IPv6 frames from a guest: TCP to a metadata address, and neighbour discovery about one.
//!
//! A claim that hides behind extension headers is not looked for: whatever MAC address a guest takes for that of a
//! metadata address, a group's too, its frames to it are ours at its own tap.

use super::{Segment, TCP, Verdict, exceeded, tcp_segment};
use crate::abi::Address;
use crate::frame::{Frame, offset};
use crate::neighbour::{ADVERTISEMENT, HOP_LIMIT, ICMPV6, SOLICITATION, Solicitation};
use crate::reason::Reason;
use crate::service::Service;

/// IANA numbers of the headers that may stand between IPv6 and TCP: hop-by-hop, routing, ESP, AH, destination options,
/// mobility, HIP, shim6. A fragment has a reason of its own.
const EXTENSIONS: [u8; 8] = [0, 43, 50, 51, 60, 135, 139, 140];
const FRAGMENT: u8 = 44;
/// Where the last four octets of an address begin.
const LAST: usize = 12;
/// Octets of a solicitation without options, from ICMPv6 on.
const SOLICITATION_LENGTH: u16 = 24;

/// Decides over an untagged IPv6 frame.
#[inline(always)]
pub(super) fn classify<F: Frame + ?Sized>(frame: &F) -> Verdict {
    if let Some(verdict) = neighbour(frame) {
        return verdict;
    }
    let Some(ends) = ends(frame, 0) else {
        return Verdict::Pass;
    };
    let Some(service) = ends.to else {
        // Whoever else gets this would take it for an answer of ours.
        return if ends.from.is_some() {
            Verdict::Drop(Reason::ForgedSource)
        } else {
            Verdict::Pass
        };
    };
    match segment(frame, service, &ends) {
        Ok(segment) => Verdict::Deliver(segment),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Whether the IPv6 packet behind `shift` octets of VLAN tags goes to a metadata address, comes from one, or speaks of
/// one to the neighbours.
#[inline(always)]
pub(super) fn concerns_us<F: Frame + ?Sized>(frame: &F, shift: usize) -> bool {
    ends(frame, shift).is_some_and(|ends| ends.to.is_some() || ends.from.is_some())
        || discovery(frame, shift).is_some()
}

/// Refuses all but TCP right behind the IPv6 header, whose stated length holds TCP's.
#[inline(always)]
pub(super) fn tcp_without_extensions<F: Frame + ?Sized>(frame: &F) -> Result<(), Reason> {
    let header = frame
        .octets::<8>(offset::IP_VERSION)
        .ok_or(Reason::Truncated)?;
    let [version, _, _, _, l0, l1, next, _] = header;
    if version >> 4 != 6 {
        return Err(Reason::IpOptions);
    }
    if next != TCP {
        return Err(if next == FRAGMENT {
            Reason::Fragment
        } else if EXTENSIONS.contains(&next) {
            Reason::ExtensionHeader
        } else {
            exceeded::over_ipv6(frame, next)
        });
    }
    if u16::from_be_bytes([l0, l1]) < 20 {
        return Err(Reason::Truncated);
    }
    Ok(())
}

/// Source and destination of a packet.
struct Ends {
    from: Option<Service>,
    to: Option<Service>,
    source: Address,
}

/// Reads both addresses, unless their last octets say already that neither is one of ours.
#[inline(always)]
fn ends<F: Frame + ?Sized>(frame: &F, shift: usize) -> Option<Ends> {
    let from = frame.octets::<4>(shift + offset::IPV6_SOURCE + LAST)?;
    let to = frame.octets::<4>(shift + offset::IPV6_DESTINATION + LAST);
    if !Service::may_end_with(from) && !to.is_some_and(Service::may_end_with) {
        return None;
    }
    let [source] = frame.addresses(shift + offset::IPV6_SOURCE)?;
    // A frame that is cut here may still come from an address of ours.
    let to = frame
        .addresses(shift + offset::IPV6_DESTINATION)
        .and_then(|[destination]| Service::of_ipv6(destination));
    Some(Ends {
        from: Service::of_ipv6(source),
        to,
        source,
    })
}

#[inline(always)]
fn segment<F: Frame + ?Sized>(frame: &F, service: Service, ends: &Ends) -> Result<Segment, Reason> {
    if frame.carries_vlan_tag() {
        return Err(Reason::VlanTagged);
    }
    if ends.from.is_some() {
        return Err(Reason::ForgedSource);
    }
    // The unspecified address, loopback, and IPv4 in IPv6's clothes; multicast.
    let [first, ..] = ends.source.0;
    if first == 0 || first == 0xff {
        return Err(Reason::BadSource);
    }
    tcp_without_extensions(frame)?;
    tcp_segment(frame, service, ends.source, offset::IPV6_TCP)
}

/// Decides over neighbour discovery about a metadata address; `None` for everything else.
#[inline(always)]
fn neighbour<F: Frame + ?Sized>(frame: &F) -> Option<Verdict> {
    let (kind, target) = discovery(frame, 0)?;
    let [source] = frame.addresses(offset::IPV6_SOURCE)?;
    Some(if frame.carries_vlan_tag() {
        Verdict::Drop(Reason::VlanTagged)
    } else if kind == ADVERTISEMENT || Service::of_ipv6(source).is_some() {
        Verdict::Drop(Reason::NeighbourClaim)
    } else {
        match solicitation(frame, source, target) {
            Some(solicitation) => Verdict::AnswerNeighbour(solicitation),
            None => Verdict::Drop(Reason::NeighbourImproper),
        }
    })
}

/// The type and the target of a solicitation or an advertisement about a metadata address.
#[inline(always)]
fn discovery<F: Frame + ?Sized>(frame: &F, shift: usize) -> Option<(u8, Address)> {
    if frame.octets::<1>(shift + offset::IPV6_NEXT_HEADER)? != [ICMPV6] {
        return None;
    }
    let [kind] = frame.octets::<1>(shift + offset::ICMPV6)?;
    if kind != SOLICITATION && kind != ADVERTISEMENT {
        return None;
    }
    let [target] = frame.addresses(shift + offset::NDP_TARGET)?;
    Service::of_ipv6(target).map(|_| (kind, target))
}

/// Reads a solicitation as a neighbour must have sent it (RFC 4861, 7.1.1); its checksum is its own business.
#[inline(always)]
fn solicitation<F: Frame + ?Sized>(
    frame: &F,
    source: Address,
    target: Address,
) -> Option<Solicitation> {
    let header = frame.octets::<8>(offset::IP_VERSION)?;
    let [version, _, _, _, l0, l1, _, hop_limit] = header;
    let [_, code] = frame.octets::<2>(offset::ICMPV6)?;
    let proper = version >> 4 == 6
        && u16::from_be_bytes([l0, l1]) >= SOLICITATION_LENGTH
        && hop_limit == HOP_LIMIT
        && code == 0;
    if !proper {
        return None;
    }
    Some(Solicitation {
        mac: frame.octets::<6>(offset::ETH_SOURCE)?,
        source,
        target,
    })
}
