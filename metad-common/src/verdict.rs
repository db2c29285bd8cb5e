//! What becomes of a frame: the only parser of what guests send, and of what metad's namespace sends back.
//!
//! IP options, fragments and VLAN tags are refused where they concern the metadata address, never chased: no client
//! sends them, and each has been a way around a filter somewhere.

use crate::frame::{Frame, METADATA, ethertype, offset};
use crate::reason::Reason;

/// The fate of a frame from a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not ours: the frame goes where it would have gone.
    Pass,
    /// An ARP request for the metadata address.
    AnswerArp(Question),
    /// A TCP segment for the daemon, if its sender is known.
    Deliver(Segment),
    Drop(Reason),
}

impl Verdict {
    /// Whether the frame is none of ours where others may own the metadata address: it asks in ARP who has it, or comes
    /// from it. What goes to it is dropped there too.
    #[inline(always)]
    pub fn may_be_anothers(&self) -> bool {
        matches!(
            self,
            Self::AnswerArp(_)
                | Self::Drop(Reason::ForgedSource | Reason::ArpClaim | Reason::ArpNotRequest)
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
    pub asked_mac: [u8; 6],
    pub guest_mac: [u8; 6],
    pub guest_address: [u8; 4],
    pub guest_port: [u8; 2],
    pub daemon_port: [u8; 2],
    /// A SYN that acknowledges nothing: the guest opens a connection.
    pub opens: bool,
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
    /// The slot's address, see [`crate::slot`].
    pub address: [u8; 4],
    pub guest_port: [u8; 2],
    pub daemon_port: [u8; 2],
}

/// Decides over a frame from a guest, by its bytes alone.
#[inline(always)]
pub fn classify<F: Frame + ?Sized>(frame: &F) -> Verdict {
    match frame.octets::<2>(offset::ETHERTYPE) {
        Some(ethertype::IPV4) => classify_ipv4(frame),
        Some(ethertype::ARP) => classify_arp(frame),
        Some(ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD) => classify_tagged(frame),
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
    if destination != METADATA {
        // Whoever else gets this would take it for an answer of ours.
        return if source == METADATA {
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
    if source == METADATA {
        return Err(Reason::ForgedSource);
    }
    if source[0] == 0 || source[0] == 127 || source[0] >= 224 {
        return Err(Reason::BadSource);
    }
    tcp_without_options(frame)?;
    let macs = frame
        .octets::<12>(offset::ETH_DESTINATION)
        .ok_or(Reason::Truncated)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = macs;
    if d0 & 1 == 1 {
        return Err(Reason::NotUnicast);
    }
    let [g0, g1, p0, p1] = frame
        .octets::<4>(offset::TCP_SOURCE_PORT)
        .ok_or(Reason::Truncated)?;
    let [flags] = frame
        .octets::<1>(offset::TCP_FLAGS)
        .ok_or(Reason::Truncated)?;
    // Read for its presence: both programs write here.
    let _checksum = frame
        .octets::<2>(offset::TCP_CHECKSUM)
        .ok_or(Reason::Truncated)?;
    Ok(Segment {
        asked_mac: [d0, d1, d2, d3, d4, d5],
        guest_mac: [s0, s1, s2, s3, s4, s5],
        guest_address: source,
        guest_port: [g0, g1],
        daemon_port: [p0, p1],
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
        return Err(Reason::NotTcp);
    }
    if u16::from_be_bytes([l0, l1]) < 40 {
        return Err(Reason::Truncated);
    }
    Ok(())
}

#[inline(always)]
fn classify_arp<F: Frame + ?Sized>(frame: &F) -> Verdict {
    // A NIC on the way fills a frame up that is too short to hold a target.
    let target = frame.octets::<4>(offset::ARP_TARGET_IP);
    let Some(sender_address) = frame.octets::<4>(offset::ARP_SENDER_IP) else {
        return Verdict::Pass;
    };
    if target != Some(METADATA) && sender_address != METADATA {
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
    if sender_address == METADATA {
        return Err(Reason::ArpClaim);
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

/// Looks behind up to [`TAGS_MAX`] VLAN tags for something that concerns the metadata address. Nobody needs more, and
/// Linux looks behind any number of tags of VLAN 0.
#[inline(always)]
fn classify_tagged<F: Frame + ?Sized>(frame: &F) -> Verdict {
    let mut shift = 0;
    for _ in 0..TAGS_MAX {
        shift += 4;
        let Some(inner) = frame.octets::<2>(offset::ETHERTYPE + shift) else {
            return Verdict::Pass;
        };
        let (source, destination) = match inner {
            ethertype::IPV4 => (offset::IP_SOURCE, offset::IP_DESTINATION),
            ethertype::ARP => (offset::ARP_SENDER_IP, offset::ARP_TARGET_IP),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => continue,
            _ => return Verdict::Pass,
        };
        let ours = frame.octets::<4>(destination + shift) == Some(METADATA)
            || frame.octets::<4>(source + shift) == Some(METADATA);
        return if ours {
            Verdict::Drop(Reason::VlanTagged)
        } else {
            Verdict::Pass
        };
    }
    Verdict::Drop(Reason::VlanTagged)
}

/// Decides over a frame from metad's namespace.
#[inline(always)]
pub fn classify_reply<F: Frame + ?Sized>(frame: &F) -> ReplyVerdict {
    match answer(frame) {
        Ok(answer) => ReplyVerdict::Return(answer),
        Err(reason) => ReplyVerdict::Drop(reason),
    }
}

#[inline(always)]
fn answer<F: Frame + ?Sized>(frame: &F) -> Result<Answer, Reason> {
    if frame.octets::<2>(offset::ETHERTYPE) != Some(ethertype::IPV4) {
        return Err(Reason::ReplyNotTcp);
    }
    tcp_without_options(frame).or(Err(Reason::ReplyNotTcp))?;
    let ports = frame
        .octets::<4>(offset::TCP_SOURCE_PORT)
        .ok_or(Reason::ReplyNotTcp)?;
    let address = frame
        .octets::<4>(offset::IP_DESTINATION)
        .ok_or(Reason::ReplyNotTcp)?;
    let source = frame
        .octets::<4>(offset::IP_SOURCE)
        .ok_or(Reason::ReplyNotTcp)?;
    // Read for its presence: the reply program writes here.
    let _checksum = frame
        .octets::<2>(offset::TCP_CHECKSUM)
        .ok_or(Reason::ReplyNotTcp)?;
    if source != METADATA {
        return Err(Reason::ReplyNotTcp);
    }
    let [d0, d1, g0, g1] = ports;
    Ok(Answer {
        address,
        guest_port: [g0, g1],
        daemon_port: [d0, d1],
    })
}

/// IANA protocol number.
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Ethernet, IPv4, their address lengths, request (RFC 826).
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
/// A double tag is the most that any standard knows; one more for good measure.
const TAGS_MAX: usize = 3;

#[cfg(test)]
mod tests;
