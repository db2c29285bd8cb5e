//! The same for IPv6: both addresses, neighbour discovery, and what must not get around either.

mod neighbour;

use super::*;
use crate::service::{IPV6, LINK_LOCAL, LINK_LOCAL_INSIDE};
use crate::slot;

pub(super) const FROM: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
pub(super) const ELSEWHERE: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const NOBODY: [u8; 16] = [0; 16];
/// Offsets of the fields that are changed.
const LENGTH: usize = 18;
pub(super) const NEXT: usize = 20;
const HOPS: usize = 21;
const FLAGS: usize = 54 + 13;
const KIND: usize = 54;
const CODE: usize = 55;

fn packet(next: u8, source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(ASKED_MAC);
    frame.extend(GUEST_MAC);
    frame.extend(ethertype::IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend([next, 255]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend(payload);
    frame
}

pub(super) fn syn6(source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
    let tcp = [
        0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0, 0, 0, 0,
    ];
    packet(6, source, destination, &tcp)
}

fn discovery(kind: u8, source: [u8; 16], destination: [u8; 16], target: [u8; 16]) -> Vec<u8> {
    let message = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target].concat();
    packet(58, source, destination, &message)
}

/// The multicast group of those whose address ends as `target` does.
fn group_of(target: [u8; 16]) -> [u8; 16] {
    let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&target[13..]);
    group
}

pub(super) fn solicitation(source: [u8; 16], target: [u8; 16]) -> Vec<u8> {
    discovery(135, source, group_of(target), target)
}

/// Frames that are ours, for the tests around this module.
pub(super) fn ask() -> Vec<u8> {
    syn6(FROM, IPV6)
}

pub(super) fn question() -> Vec<u8> {
    solicitation(FROM, LINK_LOCAL)
}

fn delivered6(service: Service, opens: bool) -> Verdict {
    Verdict::Deliver(Segment {
        service,
        asked_mac: ASKED_MAC,
        guest_mac: GUEST_MAC,
        guest_address: Address(FROM),
        guest_port: [0x9c, 0x40],
        asked_port: [0, 80],
        opens,
    })
}

#[test]
fn tcp_to_either_ipv6_address_is_delivered_and_nothing_else() {
    use Verdict::{Drop, Pass};
    for (service, address) in [(Service::Ipv6, IPV6), (Service::LinkLocal, LINK_LOCAL)] {
        let ask = || syn6(FROM, address);
        let extension = |next| Some((next, Drop(Reason::ExtensionHeader)));
        for (next, expected) in [
            extension(0),
            extension(43),
            extension(50),
            extension(51),
            extension(60),
            extension(135),
            extension(139),
            extension(140),
            Some((44, Drop(Reason::Fragment))),
            Some((17, Drop(Reason::NotTcp))),
            Some((58, Drop(Reason::NotTcp))),
            Some((59, Drop(Reason::NotTcp))),
            Some((4, Drop(Reason::NotTcp))),
        ]
        .into_iter()
        .flatten()
        {
            let found = classify(&with(ask(), &[(NEXT, next)])[..]);
            assert_eq!(found, expected, "{service:?}, next header {next}");
        }
        for (case, frame, expected) in [
            ("syn", ask(), delivered6(service, true)),
            (
                "one hop left",
                with(ask(), &[(HOPS, 1)]),
                delivered6(service, true),
            ),
            (
                "traffic class and flow label",
                with(ask(), &[(14, 0x6f), (15, 0xff), (16, 0xff), (17, 0xff)]),
                delivered6(service, true),
            ),
            (
                "syn ack",
                with(ask(), &[(FLAGS, SYN | ACK)]),
                delivered6(service, false),
            ),
            (
                "ack",
                with(ask(), &[(FLAGS, ACK)]),
                delivered6(service, false),
            ),
            (
                "version 4",
                with(ask(), &[(14, 0x45)]),
                Drop(Reason::IpOptions),
            ),
            (
                "stated length 19",
                with(ask(), &[(LENGTH + 1, 19)]),
                Drop(Reason::Truncated),
            ),
            (
                "stated length 0, as of a jumbogram",
                with(ask(), &[(LENGTH + 1, 0)]),
                Drop(Reason::Truncated),
            ),
            (
                "cut before the checksum's end",
                cut(ask(), 71),
                Drop(Reason::Truncated),
            ),
            (
                "cut behind the checksum",
                cut(ask(), 72),
                delivered6(service, true),
            ),
            ("cut inside the address", cut(ask(), 53), Pass),
            (
                "cut inside the address, from one of ours",
                cut(syn6(address, ELSEWHERE), 53),
                Drop(Reason::ForgedSource),
            ),
            // Found by fuzzing: what is behind its source is not needed to tell that it is forged.
            (
                "cut right behind its source, one of ours",
                cut(syn6(address, ELSEWHERE), 38),
                Drop(Reason::ForgedSource),
            ),
            (
                "cut inside its source, one of ours",
                cut(syn6(address, ELSEWHERE), 37),
                Pass,
            ),
            (
                "from nobody",
                syn6(NOBODY, address),
                Drop(Reason::BadSource),
            ),
            (
                "from loopback",
                syn6(std::net::Ipv6Addr::LOCALHOST.octets(), address),
                Drop(Reason::BadSource),
            ),
            (
                "from IPv4 in disguise",
                syn6(
                    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5],
                    address,
                ),
                Drop(Reason::BadSource),
            ),
            (
                "from multicast",
                syn6(group_of(FROM), address),
                Drop(Reason::BadSource),
            ),
            (
                "to itself",
                syn6(address, address),
                Drop(Reason::ForgedSource),
            ),
            (
                "from the other one",
                syn6(IPV6, LINK_LOCAL),
                Drop(Reason::ForgedSource),
            ),
            (
                "as the service, to another guest",
                syn6(address, ELSEWHERE),
                Drop(Reason::ForgedSource),
            ),
            (
                "as the service, no TCP",
                with(syn6(address, ELSEWHERE), &[(NEXT, 44)]),
                Drop(Reason::ForgedSource),
            ),
        ] {
            assert_eq!(classify(&frame[..]), expected, "{service:?}: {case}");
        }
    }
}

#[test]
fn neighbouring_addresses_are_not_ours() {
    let neighbour = |address: [u8; 16], at: usize| {
        let mut address = address;
        address[at] ^= 1;
        address
    };
    for address in [IPV6, LINK_LOCAL] {
        for at in 0..16 {
            let other = neighbour(address, at);
            for (case, frame) in [
                ("to", syn6(FROM, other)),
                ("from", syn6(other, FROM)),
                ("asked for", solicitation(FROM, other)),
                ("claimed", discovery(136, other, FROM, other)),
            ] {
                assert_eq!(classify(&frame[..]), Verdict::Pass, "{case}, octet {at}");
            }
        }
    }
    for (case, frame) in [
        ("what stands for it inside", syn6(FROM, LINK_LOCAL_INSIDE)),
        ("a slot's address", syn6(slot::ipv6(7).0, ELSEWHERE)),
        ("elsewhere", syn6(FROM, ELSEWHERE)),
        (
            "router advertisement",
            discovery(134, ELSEWHERE, FROM, IPV6),
        ),
        (
            "echo that has it where a target would be",
            discovery(128, FROM, ELSEWHERE, IPV6),
        ),
        ("runt", cut(syn6(FROM, IPV6), 20)),
    ] {
        assert_eq!(classify(&frame[..]), Verdict::Pass, "{case}");
    }
}

#[test]
fn tagged_ipv6_about_us_is_dropped_and_other_tagged_ipv6_passes() {
    use Verdict::{Drop, Pass};
    let (vlan, qinq) = (ethertype::VLAN, ethertype::QINQ);
    let dropped = Drop(Reason::VlanTagged);
    for address in [IPV6, LINK_LOCAL] {
        let ours = syn6(FROM, address);
        for (case, frame, expected) in [
            ("one tag", tagged(&ours, &[vlan]), dropped),
            ("three tags", tagged(&ours, &[qinq, qinq, vlan]), dropped),
            (
                "from us",
                tagged(&syn6(address, ELSEWHERE), &[vlan]),
                dropped,
            ),
            (
                "asked for",
                tagged(&solicitation(FROM, address), &[vlan]),
                dropped,
            ),
            (
                "claimed",
                tagged(&discovery(136, FROM, ELSEWHERE, address), &[qinq, vlan]),
                dropped,
            ),
            ("another's", tagged(&syn6(FROM, ELSEWHERE), &[vlan]), Pass),
            (
                "another asked for",
                tagged(&solicitation(FROM, ELSEWHERE), &[vlan]),
                Pass,
            ),
            (
                "cut inside the address",
                cut(tagged(&ours, &[vlan]), 57),
                Pass,
            ),
        ] {
            assert_eq!(classify(&frame[..]), expected, "{case}");
        }
    }
}

proptest! {
    /// Near-valid frames: whatever is changed, an untagged packet to a metadata address never passes.
    #[test]
    fn nothing_to_an_ipv6_metadata_address_passes(
        link_local: bool,
        changes in proptest::collection::vec((0..90_usize, any::<u8>()), 0..6),
        length in 54..120_usize,
    ) {
        let address = if link_local { LINK_LOCAL } else { IPV6 };
        let mut frame = with([syn6(FROM, address), vec![0; 20]].concat(), &changes);
        frame.resize(length, 0);
        let to_us = frame[12..14] == ethertype::IPV6 && frame[38..54] == address;
        if to_us {
            prop_assert_ne!(classify(&frame[..]), Verdict::Pass);
        }
    }

    #[test]
    fn nothing_for_others_is_touched_in_ipv6(source: [u8; 16], destination: [u8; 16], rest: Vec<u8>) {
        let ours = [IPV6, LINK_LOCAL];
        prop_assume!(!ours.contains(&source) && !ours.contains(&destination));
        let frame = [cut(syn6(source, destination), 54), rest].concat();
        prop_assert_eq!(classify(&frame[..]), Verdict::Pass);
    }
}
