//! What metad's namespace sends back: TCP from an address of the service to one that carries a slot, and nothing else.

use super::{Answer, ReplyVerdict, ipv6, tcp_without_options};
use crate::frame::{Frame, ethertype, offset};
use crate::reason::Reason;
use crate::service::{IPV4, Service};
use crate::slot;

/// Decides over a frame from metad's namespace.
#[inline(always)]
pub fn classify_reply<F: Frame + ?Sized>(frame: &F) -> ReplyVerdict {
    let answer = match frame.octets::<2>(offset::ETHERTYPE) {
        Some(ethertype::IPV4) => over_ipv4(frame),
        Some(ethertype::IPV6) => over_ipv6(frame),
        Some(_) | None => Err(Reason::ReplyNotTcp),
    };
    match answer {
        Ok(answer) => ReplyVerdict::Return(answer),
        Err(reason) => ReplyVerdict::Drop(reason),
    }
}

#[inline(always)]
fn over_ipv4<F: Frame + ?Sized>(frame: &F) -> Result<Answer, Reason> {
    tcp_without_options(frame).or(Err(Reason::ReplyNotTcp))?;
    let source = frame
        .octets::<4>(offset::IP_SOURCE)
        .ok_or(Reason::ReplyNotTcp)?;
    let destination = frame
        .octets::<4>(offset::IP_DESTINATION)
        .ok_or(Reason::ReplyNotTcp)?;
    if source != IPV4 {
        return Err(Reason::ReplyNotTcp);
    }
    let slot = slot::of_address(destination);
    to_slot(frame, Service::Ipv4, slot, offset::TCP)
}

#[inline(always)]
fn over_ipv6<F: Frame + ?Sized>(frame: &F) -> Result<Answer, Reason> {
    ipv6::tcp_without_extensions(frame).or(Err(Reason::ReplyNotTcp))?;
    let [source, destination] = frame
        .addresses(offset::IPV6_SOURCE)
        .ok_or(Reason::ReplyNotTcp)?;
    let service = Service::of_ipv6_inside(source).ok_or(Reason::ReplyNotTcp)?;
    let slot = slot::of_ipv6(destination);
    to_slot(frame, service, slot, offset::IPV6_TCP)
}

#[inline(always)]
fn to_slot<F: Frame + ?Sized>(
    frame: &F,
    service: Service,
    slot: Option<u32>,
    tcp: usize,
) -> Result<Answer, Reason> {
    let [d0, d1, g0, g1] = frame
        .octets::<4>(tcp + offset::SOURCE_PORT)
        .ok_or(Reason::ReplyNotTcp)?;
    // Read for its presence: the reply program writes here.
    let _checksum = frame
        .octets::<2>(tcp + offset::CHECKSUM)
        .ok_or(Reason::ReplyNotTcp)?;
    Ok(Answer {
        service,
        slot: slot.ok_or(Reason::ReplyUnknownFlow)?,
        guest_port: [g0, g1],
        daemon_port: [d0, d1],
    })
}
