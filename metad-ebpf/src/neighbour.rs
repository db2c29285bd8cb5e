//! Answers neighbour solicitations for the IPv6 metadata addresses in place, daemon or not.

use metad_common::frame::offset;
use metad_common::neighbour::{FRAME_LENGTH, Solicitation};
use metad_common::reason::{Counted, Reason, Tally};

use crate::packet::Packet;
use crate::{Action, count, maps, redirect};

/// Turns the solicitation into its advertisement and sends it back where it came from.
#[inline(always)]
pub(crate) fn answer(packet: &Packet, asked: &Solicitation) -> Result<Action, Reason> {
    let ifindex = packet.ifindex();
    // SAFETY: the value is read at once and nothing here writes to this map.
    let port = unsafe { maps::PORTS.get(ifindex) }.ok_or(Reason::UnknownInterface)?;
    let mac = port.mac;
    let answer = asked.answer(mac);
    packet.resize(FRAME_LENGTH)?;
    packet.address_frame(answer.to_mac, mac)?;
    packet.write(offset::IPV6_PAYLOAD_LENGTH, &answer.header)?;
    packet.write(offset::IPV6_SOURCE, &answer.source.0)?;
    packet.write(offset::IPV6_DESTINATION, &answer.destination.0)?;
    packet.write(offset::ICMPV6, &answer.message)?;
    packet.write(offset::NDP_OPTIONS, &answer.option)?;
    count::bump(Counted::Tally(Tally::NeighbourAnswered));
    Ok(redirect::out_of(ifindex))
}
