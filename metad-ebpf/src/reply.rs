//! From the daemon back to the guest that asked.

use metad_common::abi::{FlowKey, NicKey};
use metad_common::frame::offset;
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::slot;
use metad_common::verdict::Answer;

use crate::packet::Packet;
use crate::{Action, count, maps, redirect};

/// Restores the guest's address and the neighbour it asked, and sends the segment out where the connection came from.
#[inline(always)]
pub(crate) fn give_back(packet: &Packet, answer: &Answer) -> Result<Action, Reason> {
    let Answer { service, slot, .. } = *answer;
    let key = FlowKey::new(slot, service, answer.guest_port, answer.daemon_port);
    // SAFETY: the value is copied at once.
    let flow = *unsafe { maps::FLOWS.get(key) }.ok_or(Reason::ReplyUnknownFlow)?;
    // An interface index or a MAC address may have a new owner since the connection was opened: its answers are not
    // for that one.
    // SAFETY: the value is read at once and nothing here writes to this map.
    let nic = unsafe { maps::NICS.get(NicKey::new(flow.identity, flow.guest_mac)) };
    match nic {
        Some(nic) if nic.slot == slot => {}
        _ => return Err(Reason::ReplyUnknownNic),
    }
    if let (Some(asked), Some(inside)) = (service.ipv6(), service.ipv6_inside()) {
        if flow.asked_port != answer.daemon_port {
            let port = offset::IPV6_TCP + offset::SOURCE_PORT;
            packet.rewrite_port(port, answer.daemon_port, flow.asked_port)?;
        }
        let from = [inside, slot::ipv6(slot)];
        packet.rewrite_addresses(from, [asked, flow.guest_address])?;
    } else {
        let to = flow.guest_address.ipv4();
        packet.rewrite_address(offset::IP_DESTINATION, slot::address(slot), to)?;
    }
    packet.address_frame(flow.guest_mac, flow.asked_mac)?;
    count::bump(Counted::Tally(Tally::Returned));
    Ok(redirect::out_of(flow.ifindex))
}
