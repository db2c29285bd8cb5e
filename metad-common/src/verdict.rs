//! What becomes of a frame: the only parser of what guests send, and of what metad's namespace sends back.
//!
//! IP options, extension headers, fragments and VLAN tags are refused where they concern a metadata address, never
//! chased: no client sends them, and each has been a way around a filter somewhere.

mod answer;
mod exceeded;
mod ipv6;
mod tagged;

pub use self::answer::classify_reply;

use crate::abi::Address;
use crate::frame::{Frame, ethertype, offset};
use crate::neighbour::Solicitation;
use crate::reason::Reason;
use crate::service::{IPV4, Service};

/// The fate of a frame from a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not ours: the frame goes where it would have gone.
    Pass,
    /// An ARP request for the metadata address.
    AnswerArp(Question),
    /// A neighbour solicitation for an IPv6 metadata address.
    AnswerNeighbour(Solicitation),
    /// A TCP segment for the daemon, if its sender is known.
    Deliver(Segment),
    Drop(Reason),
}

impl Verdict {
    /// Whether the frame is none of ours where others may own the metadata address: it asks the neighbours who has it, or
    /// comes from it. What goes to it is dropped there too.
    #[inline(always)]
    pub fn may_be_anothers(&self) -> bool {
        matches!(
            self,
            Self::AnswerArp(_)
                | Self::AnswerNeighbour(_)
                | Self::Drop(
                    Reason::ForgedSource
                        | Reason::ArpClaim
                        | Reason::ArpNotRequest
                        | Reason::NeighbourClaim
                        | Reason::NeighbourImproper
                )
        )
    }
}

/// Who asks for the metadata address in ARP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The frame's source, which the answer is sent to.
    pub mac: [u8; 6],
    pub sender_mac: [u8; 6],
    pub sender_address: [u8; 4],
}

/// What a TCP segment for the daemon says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub service: Service,
    pub asked_mac: [u8; 6],
    pub guest_mac: [u8; 6],
    pub guest_address: Address,
    pub guest_port: [u8; 2],
    pub asked_port: [u8; 2],
    /// A SYN that acknowledges nothing: the guest opens a connection.
    pub opens: bool,
}

impl Segment {
    /// The MAC address that answers come from: the one that the guest wrote to, or `own`, the interface's, where that one
    /// is a group's. A neighbour can have a guest take such a one for its router's, or for that of the metadata address.
    #[inline(always)]
    pub fn answers_from(&self, own: [u8; 6]) -> [u8; 6] {
        if self.asked_mac[0] & 1 == 1 {
            own
        } else {
            self.asked_mac
        }
    }
}

/// The fate of a frame from metad's namespace: nothing passes on to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyVerdict {
    Return(Answer),
    Drop(Reason),
}

/// The connection that a segment from the daemon belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub service: Service,
    /// Of the destination, see [`crate::slot`].
    pub slot: u32,
    pub guest_port: [u8; 2],
    pub daemon_port: [u8; 2],
}

/// Decides over a frame from a guest, by its bytes alone.
#[inline(always)]
pub fn classify<F: Frame + ?Sized>(frame: &F) -> Verdict {
    match frame.octets::<2>(offset::ETHERTYPE) {
        Some(ethertype::IPV4) => classify_ipv4(frame),
        Some(ethertype::ARP) => classify_arp(frame),
        Some(ethertype::IPV6) => ipv6::classify(frame),
        Some(ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD) => tagged::classify(frame),
        Some(_) | None => Verdict::Pass,
    }
}

#[inline(always)]
fn classify_ipv4<F: Frame + ?Sized>(frame: &F) -> Verdict {
    let Some(destination) = frame.octets::<4>(offset::IP_DESTINATION) else {
        return Verdict::Pass;
    };
    let Some(source) = frame.octets::<4>(offset::IP_SOURCE) else {
        return Verdict::Pass;
    };
    if destination != IPV4 {
        // Whoever else gets this would take it for an answer of ours.
        return if source == IPV4 {
            Verdict::Drop(Reason::ForgedSource)
        } else {
            Verdict::Pass
        };
    }
    match segment(frame, source) {
        Ok(segment) => Verdict::Deliver(segment),
        Err(reason) => Verdict::Drop(reason),
    }
}

#[inline(always)]
fn segment<F: Frame + ?Sized>(frame: &F, source: [u8; 4]) -> Result<Segment, Reason> {
    if frame.carries_vlan_tag() {
        return Err(Reason::VlanTagged);
    }
    if source == IPV4 {
        return Err(Reason::ForgedSource);
    }
    if source[0] == 0 || source[0] == 127 || source[0] >= 224 {
        return Err(Reason::BadSource);
    }
    tcp_without_options(frame)?;
    tcp_segment(frame, Service::Ipv4, Address::of_ipv4(source), offset::TCP)
}

/// Reads what stands in the Ethernet header and, from `tcp` on, in TCP's.
#[inline(always)]
fn tcp_segment<F: Frame + ?Sized>(
    frame: &F,
    service: Service,
    guest_address: Address,
    tcp: usize,
) -> Result<Segment, Reason> {
    let macs = frame
        .octets::<12>(offset::ETH_DESTINATION)
        .ok_or(Reason::Truncated)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = macs;
    let [g0, g1, p0, p1] = frame
        .octets::<4>(tcp + offset::SOURCE_PORT)
        .ok_or(Reason::Truncated)?;
    let [flags] = frame
        .octets::<1>(tcp + offset::FLAGS)
        .ok_or(Reason::Truncated)?;
    // Read for its presence: both programs write here.
    let _checksum = frame
        .octets::<2>(tcp + offset::CHECKSUM)
        .ok_or(Reason::Truncated)?;
    Ok(Segment {
        service,
        asked_mac: [d0, d1, d2, d3, d4, d5],
        guest_mac: [s0, s1, s2, s3, s4, s5],
        guest_address,
        guest_port: [g0, g1],
        asked_port: [p0, p1],
        opens: flags & (SYN | ACK) == SYN,
    })
}

/// Refuses all but TCP in an unfragmented IPv4 packet without options, whose stated length holds both headers.
#[inline(always)]
fn tcp_without_options<F: Frame + ?Sized>(frame: &F) -> Result<(), Reason> {
    let header = frame
        .octets::<12>(offset::IP_VERSION)
        .ok_or(Reason::Truncated)?;
    let [version, _, l0, l1, _, _, f0, f1, _, protocol, _, _] = header;
    if version != 0x45 {
        return Err(Reason::IpOptions);
    }
    // More fragments to come, or not the first one. "Don't fragment" is no fragment.
    if f0 & 0x3f != 0 || f1 != 0 {
        return Err(Reason::Fragment);
    }
    if protocol != TCP {
        return Err(exceeded::over_ipv4(frame, protocol));
    }
    if u16::from_be_bytes([l0, l1]) < 40 {
        return Err(Reason::Truncated);
    }
    Ok(())
}

#[inline(always)]
fn classify_arp<F: Frame + ?Sized>(frame: &F) -> Verdict {
    let Some(sender_address) = frame.octets::<4>(offset::ARP_SENDER_IP) else {
        return Verdict::Pass;
    };
    if sender_address == IPV4 {
        // Before anything behind it is read: a NIC on the way fills a frame up that is cut there.
        return Verdict::Drop(if frame.carries_vlan_tag() {
            Reason::VlanTagged
        } else {
            Reason::ArpClaim
        });
    }
    let Some(target) = frame.octets::<4>(offset::ARP_TARGET_IP) else {
        return Verdict::Pass;
    };
    if target != IPV4 {
        return Verdict::Pass;
    }
    match question(frame, sender_address) {
        Ok(question) => Verdict::AnswerArp(question),
        Err(reason) => Verdict::Drop(reason),
    }
}

#[inline(always)]
fn question<F: Frame + ?Sized>(frame: &F, sender_address: [u8; 4]) -> Result<Question, Reason> {
    if frame.carries_vlan_tag() {
        return Err(Reason::VlanTagged);
    }
    if frame.octets::<8>(offset::PAYLOAD) != Some(ARP_REQUEST) {
        return Err(Reason::ArpNotRequest);
    }
    let mac = frame
        .octets::<6>(offset::ETH_SOURCE)
        .ok_or(Reason::Truncated)?;
    let sender_mac = frame
        .octets::<6>(offset::ARP_SENDER_MAC)
        .ok_or(Reason::Truncated)?;
    Ok(Question {
        mac,
        sender_mac,
        sender_address,
    })
}

/// IANA protocol number.
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Ethernet, IPv4, their address lengths, request (RFC 826).
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];

#[cfg(test)]
mod tests;
