//! rtnetlink datagrams: from octets to the host's interfaces, and from those to the kernel's table of NICs.
//!
//! An index never has two names, a name never two indices, and a NIC's key is always that of the tap that its record
//! names.

use bytes::BytesMut;
use metad::interfaces::watch::happening;
use metad::interfaces::{Happening, Interfaces};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::proto::{NetlinkCodec, NetlinkMessageCodec};
use std::time::Duration;

use crate::world::{self, OPEN};

/// Takes in one datagram; behind an overrun comes the whole list.
pub fn replay(octets: &[u8]) {
    let mut datagram = BytesMut::from(octets);
    let mut all = world::interfaces();
    let mut list = None;
    while let Ok(Some(message)) = NetlinkCodec::decode::<RouteNetlinkMessage>(&mut datagram) {
        if matches!(message.payload, NetlinkPayload::Overrun(_)) {
            list = Some(Vec::new());
        }
        let NetlinkPayload::InnerMessage(message) = message.payload else {
            continue;
        };
        match (happening(message), &mut list) {
            (Some(Happening::Is(interface)), Some(list)) => list.push(interface),
            (Some(happening), None) => {
                all.apply(happening);
                holds(&all);
            }
            // A list holds what there is.
            (Some(_) | None, _) => {}
        }
    }
    if let Some(list) = list {
        all.apply(Happening::All(list));
        holds(&all);
    }
    // Most datagrams change nothing, and rendering two machines takes longer than all the rest.
    if all == world::interfaces() {
        return;
    }
    let mut inventory = world::two_machines(OPEN);
    let resolution = inventory.resolve(&all, Duration::ZERO);
    for (key, nic) in &resolution.nics {
        let seat = &resolution.snapshot.seats[&nic.slot];
        let tap = all.named(&seat.interface).expect("a seat without its tap");
        assert_eq!((tap.index, seat.mac.0), (key.ifindex, key.mac));
    }
}

fn holds(all: &Interfaces) {
    for interface in all.iter() {
        assert_eq!(all.get(interface.index), Some(interface));
        // Nobody's, where the kernel gave it to another before it took it from this one.
        let named = all.named(&interface.name);
        assert!(named.is_none_or(|named| named.name == interface.name));
    }
}
