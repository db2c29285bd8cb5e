//! What metad's namespace may send back, over either family.

use super::ipv6::{ELSEWHERE, FROM, NEXT, solicitation, syn6};
use super::*;
use crate::service::{IPV6, LINK_LOCAL, LINK_LOCAL_INSIDE};
use crate::slot;

#[test]
fn only_tcp_from_the_metadata_address_returns() {
    let slot = [100, 64, 0, 7];
    let back = || syn(METADATA, slot);
    let refused = ReplyVerdict::Drop(Reason::ReplyNotTcp);
    let returned = Answer {
        service: Service::Ipv4,
        slot: 7,
        guest_port: [0, 80],
        daemon_port: [0x9c, 0x40],
    };
    for (case, frame, expected) in [
        ("answer", back(), ReplyVerdict::Return(returned)),
        ("from elsewhere", syn(OTHER, slot), refused),
        (
            "to no slot",
            syn(METADATA, [100, 64, 0, 0]),
            ReplyVerdict::Drop(Reason::ReplyUnknownFlow),
        ),
        ("udp", with(back(), &[(offset::IP_PROTOCOL, 17)]), refused),
        ("arp", arp(1, METADATA, slot), refused),
        (
            "fragment",
            with(back(), &[(offset::IP_FRAGMENT, 0x20)]),
            refused,
        ),
        ("cut", cut(back(), 51), refused),
        ("nothing", Vec::new(), refused),
    ] {
        assert_eq!(classify_reply(&frame[..]), expected, "{case}");
    }
}

#[test]
fn ipv6_answers_return_from_the_address_that_stands_inside() {
    let guest = slot::ipv6(7).0;
    let refused = ReplyVerdict::Drop(Reason::ReplyNotTcp);
    let unknown = ReplyVerdict::Drop(Reason::ReplyUnknownFlow);
    let returned = |service| {
        ReplyVerdict::Return(Answer {
            service,
            slot: 7,
            guest_port: [0, 80],
            daemon_port: [0x9c, 0x40],
        })
    };
    let back = || syn6(IPV6, guest);
    for (case, frame, expected) in [
        ("EC2's", back(), returned(Service::Ipv6)),
        (
            "OpenStack's",
            syn6(LINK_LOCAL_INSIDE, guest),
            returned(Service::LinkLocal),
        ),
        ("a link-local one", syn6(LINK_LOCAL, guest), refused),
        ("from elsewhere", syn6(ELSEWHERE, guest), refused),
        ("to no slot", syn6(IPV6, FROM), unknown),
        ("to slot 0", syn6(IPV6, slot::ipv6(0).0), unknown),
        ("udp", with(back(), &[(NEXT, 17)]), refused),
        ("icmp", with(back(), &[(NEXT, 58)]), refused),
        ("fragment", with(back(), &[(NEXT, 44)]), refused),
        ("cut", cut(back(), 71), refused),
        ("discovery", solicitation(IPV6, guest), refused),
    ] {
        assert_eq!(classify_reply(&frame[..]), expected, "{case}");
    }
}
