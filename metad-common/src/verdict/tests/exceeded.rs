//! Routers that gave up an answer are told from everything else that is no TCP.

use super::ipv6::{FROM, syn6};
use super::*;
use crate::service::{IPV6, LINK_LOCAL};

/// An ICMP message to the metadata address that quotes a packet from `source`.
fn message(start: [u8; 2], source: [u8; 4], protocol: u8) -> Vec<u8> {
    let mut frame = with(syn(GUEST, METADATA), &[(offset::IP_PROTOCOL, 1)]);
    frame.truncate(offset::TCP);
    frame.extend(start);
    frame.extend([0; 6]);
    let answer = syn(source, [10, 88, 0, 2]);
    frame.extend(&answer[14..42]);
    frame[offset::TCP + 8 + 9] = protocol;
    frame
}

fn message6(start: [u8; 2], source: [u8; 16], next: u8) -> Vec<u8> {
    let mut frame = with(syn6(FROM, IPV6), &[(offset::IPV6_NEXT_HEADER, 58)]);
    frame.truncate(offset::ICMPV6);
    frame.extend(start);
    frame.extend([0; 6]);
    frame.extend(&syn6(source, FROM)[14..]);
    frame[offset::ICMPV6 + 8 + 6] = next;
    frame
}

#[test]
fn a_router_that_gave_up_an_answer_is_told_from_other_messages() {
    let (exceeded, other) = (Reason::HopLimit, Reason::NotTcp);
    let of_ours = || message([11, 0], METADATA, 6);
    for (case, frame, expected) in [
        ("given up", of_ours(), exceeded),
        ("cut behind the address", cut(of_ours(), 58), exceeded),
        ("cut inside the address", cut(of_ours(), 57), other),
        ("not quoted", cut(of_ours(), 42), other),
        ("quoted with options", with(of_ours(), &[(42, 0x46)]), other),
        (
            "while putting together",
            message([11, 1], METADATA, 6),
            other,
        ),
        ("unreachable", message([3, 1], METADATA, 6), other),
        ("of somebody else's", message([11, 0], OTHER, 6), other),
        ("of a datagram", message([11, 0], METADATA, 17), other),
        (
            "no ICMP",
            with(of_ours(), &[(offset::IP_PROTOCOL, 2)]),
            other,
        ),
    ] {
        assert_eq!(classify(&frame[..]), Verdict::Drop(expected), "{case}");
    }
    let tagged = tagged(&of_ours(), &[ethertype::VLAN]);
    assert_eq!(classify(&tagged[..]), Verdict::Drop(Reason::VlanTagged));
}

#[test]
fn the_same_over_ipv6() {
    let (exceeded, other) = (Reason::HopLimit, Reason::NotTcp);
    let of_ours = || message6([3, 0], IPV6, 6);
    for (case, frame, expected) in [
        ("given up", of_ours(), exceeded),
        (
            "given up, link-local",
            message6([3, 0], LINK_LOCAL, 6),
            exceeded,
        ),
        ("cut behind the address", cut(of_ours(), 86), exceeded),
        ("cut inside the address", cut(of_ours(), 85), other),
        ("not quoted", cut(of_ours(), 62), other),
        ("while putting together", message6([3, 1], IPV6, 6), other),
        ("too big", message6([2, 0], IPV6, 6), other),
        ("of somebody else's", message6([3, 0], FROM, 6), other),
        ("of a datagram", message6([3, 0], IPV6, 17), other),
    ] {
        assert_eq!(classify(&frame[..]), Verdict::Drop(expected), "{case}");
    }
}
