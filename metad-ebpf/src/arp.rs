//! Answers ARP requests for the metadata address in place, daemon or not.

use metad_common::frame::offset;
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::service::IPV4;
use metad_common::verdict::Question;

use crate::packet::Packet;
use crate::{Action, count, maps, redirect};

/// Reply (RFC 826).
const REPLY: [u8; 2] = [0, 2];

/// Turns the request into its answer and sends it back where it came from.
#[inline(always)]
pub(crate) fn answer(packet: &Packet, question: &Question) -> Result<Action, Reason> {
    let ifindex = packet.ifindex();
    // SAFETY: the value is read at once and nothing here writes to this map.
    let port = unsafe { maps::PORTS.get(ifindex) }.ok_or(Reason::UnknownInterface)?;
    let mac = port.mac;
    packet.address_frame(question.mac, mac)?;
    packet.write(offset::ARP_OPERATION, &REPLY)?;
    packet.write(offset::ARP_SENDER_MAC, &mac)?;
    packet.write(offset::ARP_SENDER_IP, &IPV4)?;
    packet.write(offset::ARP_TARGET_MAC, &question.sender_mac)?;
    packet.write(offset::ARP_TARGET_IP, &question.sender_address)?;
    count::bump(Counted::Tally(Tally::ArpAnswered));
    Ok(redirect::out_of(ifindex))
}
