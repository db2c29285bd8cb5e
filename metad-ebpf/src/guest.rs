//! From a guest to the daemon: who is this, remember the connection, hand it over.

use metad_common::abi::{CLOSED_PORT, Flow, FlowKey, NicKey, Stranger};
use metad_common::frame::offset;
use metad_common::names::REPORT_INTERVAL_NS;
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::slot;
use metad_common::verdict::Segment;

use crate::packet::Packet;
use crate::{Action, count, limit, maps, redirect};

/// Delivers a segment into metad's namespace, under an address that only its NIC can have.
#[inline(always)]
pub(crate) fn deliver(packet: &Packet, segment: &Segment) -> Result<Action, Reason> {
    let ifindex = packet.ifindex();
    // SAFETY: the value is read at once and nothing here writes to this map.
    let port = unsafe { maps::PORTS.get(ifindex) }.ok_or(Reason::UnknownInterface)?;
    let identity = port.identity;
    // SAFETY: as above.
    let nic = unsafe { maps::NICS.get(NicKey::new(identity, segment.guest_mac)) };
    let Some(nic) = nic else {
        report(ifindex, segment.guest_mac);
        return Err(Reason::UnknownSender);
    };
    let slot = nic.slot;
    // Where IPv6 is off, metad's namespace refuses the connection by itself, and at once.
    let refused = nic.without_ipv6 != 0 && segment.service.ipv6().is_some();
    let daemon_port = if refused {
        CLOSED_PORT
    } else {
        segment.asked_port
    };
    let key = FlowKey::new(slot, segment.service, segment.guest_port, daemon_port);
    let asked_mac = segment.answers_from(port.mac);
    remember(segment, key, ifindex, identity, asked_mac)?;
    if let (Some(asked), Some(inside)) = (segment.service.ipv6(), segment.service.ipv6_inside()) {
        if refused {
            let port = offset::IPV6_TCP + offset::DESTINATION_PORT;
            packet.rewrite_port(port, segment.asked_port, CLOSED_PORT)?;
        }
        let from = [segment.guest_address, asked];
        packet.rewrite_addresses(from, [slot::ipv6(slot), inside])?;
    } else {
        let from = segment.guest_address.ipv4();
        packet.rewrite_address(offset::IP_SOURCE, from, slot::address(slot))?;
    }
    packet.write(offset::ETH_DESTINATION, &maps::daemon_mac())?;
    packet.mark_for_host()?;
    count::bump(Counted::Tally(Tally::Delivered));
    Ok(redirect::into_peer(maps::veth_ifindex()))
}

/// Whether frames from outside the host arrive on the packet's interface.
#[inline(always)]
pub(crate) fn leads_outside(packet: &Packet) -> bool {
    // SAFETY: the value is read at once and nothing here writes to this map.
    unsafe { maps::PORTS.get(packet.ifindex()) }.is_some_and(|port| port.outside != 0)
}

/// Records where the connection's answers go. A connection is made anew by its SYN only, or once it was forgotten.
///
/// Whatever is recorded takes a token of its slot's, a change too: the kernel makes room for that before it finds the old
/// entry.
#[inline(always)]
fn remember(
    segment: &Segment,
    key: FlowKey,
    ifindex: u32,
    identity: u32,
    asked_mac: [u8; 6],
) -> Result<(), Reason> {
    // SAFETY: the value is read before anything is written to this map.
    if let Some(known) = unsafe { maps::FLOWS.get(key) } {
        let same = known.ifindex == ifindex
            && known.guest_address == segment.guest_address
            && known.asked_mac == asked_mac
            && known.asked_port == segment.asked_port;
        if same {
            return Ok(());
        }
        if !segment.opens && known.guest_address != segment.guest_address {
            return Err(Reason::FlowMismatch);
        }
    }
    limit::admit(key.slot)?;
    if !segment.opens {
        count::bump(Counted::Tally(Tally::Recalled));
    }
    let flow = Flow {
        ifindex,
        identity,
        guest_address: segment.guest_address,
        guest_mac: segment.guest_mac,
        asked_mac,
        asked_port: segment.asked_port,
        zero: [0; 2],
    };
    maps::FLOWS.insert(key, flow, 0).or(Err(Reason::FlowsFull))
}

/// Tells the daemon of a sender it does not know, at most once in a while for each interface.
#[inline(always)]
fn report(ifindex: u32, mac: [u8; 6]) {
    let now = count::now_ns();
    // SAFETY: the value is read before anything is written to this map.
    if let Some(last) = unsafe { maps::REPORTED.get(ifindex) }
        && now.wrapping_sub(*last) < REPORT_INTERVAL_NS
    {
        return;
    }
    // A lost entry or report only means that the next attempt reports again.
    let _ = maps::REPORTED.insert(ifindex, now, 0);
    let _ = maps::STRANGERS.output(
        Stranger {
            ifindex,
            mac,
            zero: [0; 2],
        },
        0,
    );
}
