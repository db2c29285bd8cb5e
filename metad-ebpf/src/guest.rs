//! From a guest to the daemon: who is this, remember the connection, hand it over.

use metad_common::abi::{CLOSED_PORT, Flow, FlowKey, NicKey, Stranger};
use metad_common::frame::offset;
use metad_common::names::REPORT_INTERVAL_NS;
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::slot;
use metad_common::verdict::Segment;

use crate::packet::Packet;
use crate::{Action, count, limit, maps, redirect};

/// The connection that a segment belongs to.
pub(crate) struct Connection {
    ifindex: u32,
    /// The interface that stands in the guest's [`NicKey`].
    identity: u32,
    /// The NIC's IPv6 is off, and the segment is IPv6.
    refused: bool,
    asked_mac: [u8; 6],
    pub(crate) key: FlowKey,
}

/// Finds out who sends a segment.
#[inline(always)]
pub(crate) fn connection(ifindex: u32, segment: &Segment) -> Result<Connection, Reason> {
    // SAFETY: the value is read at once and nothing here writes to this map.
    let port = unsafe { maps::PORTS.get(ifindex) }.ok_or(Reason::UnknownInterface)?;
    let identity = port.identity;
    // SAFETY: as above.
    let nic = unsafe { maps::NICS.get(NicKey::new(identity, segment.guest_mac)) };
    let nic = nic.ok_or(Reason::UnknownSender)?;
    // Where IPv6 is off, metad's namespace refuses the connection by itself, and at once.
    let refused = nic.without_ipv6 != 0 && segment.service.ipv6().is_some();
    let daemon_port = if refused {
        CLOSED_PORT
    } else {
        segment.asked_port
    };
    Ok(Connection {
        ifindex,
        identity,
        refused,
        asked_mac: segment.answers_from(port.mac),
        key: FlowKey::new(nic.slot, segment.service, segment.guest_port, daemon_port),
    })
}

/// Delivers a segment into metad's namespace, under an address that only its NIC can have.
#[inline(always)]
pub(crate) fn deliver(packet: &Packet, segment: &Segment) -> Result<Action, Reason> {
    let ifindex = packet.ifindex();
    let connection = match connection(ifindex, segment) {
        Ok(connection) => connection,
        Err(reason) => {
            if reason == Reason::UnknownSender {
                report(ifindex, segment.guest_mac);
            }
            return Err(reason);
        }
    };
    remember(segment, &connection)?;
    let slot = connection.key.slot;
    if let (Some(asked), Some(inside)) = (segment.service.ipv6(), segment.service.ipv6_inside()) {
        if connection.refused {
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

/// Whether frames from outside the host arrive on the interface.
#[inline(always)]
pub(crate) fn leads_outside(ifindex: u32) -> bool {
    // SAFETY: the value is read at once and nothing here writes to this map.
    unsafe { maps::PORTS.get(ifindex) }.is_some_and(|port| port.outside != 0)
}

/// Whether the connection is remembered as the segment has it; refuses what would take over another address's.
#[inline(always)]
pub(crate) fn is_remembered(segment: &Segment, connection: &Connection) -> Result<bool, Reason> {
    // SAFETY: the value is read before anything is written to this map.
    let Some(known) = (unsafe { maps::FLOWS.get(connection.key) }) else {
        return Ok(false);
    };
    let same = known.ifindex == connection.ifindex
        && known.guest_address == segment.guest_address
        && known.asked_mac == connection.asked_mac
        && known.asked_port == segment.asked_port;
    if !same && !segment.opens && known.guest_address != segment.guest_address {
        return Err(Reason::FlowMismatch);
    }
    Ok(same)
}

/// Records where the connection's answers go. A connection is made anew by its SYN only, or once it was forgotten.
///
/// Whatever is recorded takes a token of its slot's, a change too: the kernel makes room for that before it finds the old
/// entry. And so does every SYN: the entry of a connection that has ended looks like that of one that goes on, and a guest
/// that has used all its ports would open connections for nothing.
#[inline(always)]
fn remember(segment: &Segment, connection: &Connection) -> Result<(), Reason> {
    let known = is_remembered(segment, connection)?;
    if known && !segment.opens {
        return Ok(());
    }
    limit::admit(connection.key.slot)?;
    if known {
        return Ok(());
    }
    if !segment.opens {
        count::bump(Counted::Tally(Tally::Recalled));
    }
    let flow = Flow {
        ifindex: connection.ifindex,
        identity: connection.identity,
        guest_address: segment.guest_address,
        guest_mac: segment.guest_mac,
        asked_mac: connection.asked_mac,
        asked_port: segment.asked_port,
        zero: [0; 2],
    };
    let kept = maps::FLOWS.insert(connection.key, flow, 0);
    kept.or(Err(Reason::FlowsFull))
}

/// Whether a stranger was reported on the interface so lately that another one is not.
#[inline(always)]
pub(crate) fn reported_lately(ifindex: u32, now: u64) -> bool {
    // SAFETY: the value is read before anything is written to this map.
    unsafe { maps::REPORTED.get(ifindex) }
        .is_some_and(|last| now.wrapping_sub(*last) < REPORT_INTERVAL_NS)
}

/// Tells the daemon of a sender it does not know, at most once in a while for each interface.
#[inline(always)]
fn report(ifindex: u32, mac: [u8; 6]) {
    let now = count::now_ns();
    if reported_lately(ifindex, now) {
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
