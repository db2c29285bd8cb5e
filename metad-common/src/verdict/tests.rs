//! Tables of frames, each with its refuse twin, and properties over arbitrary bytes.

use proptest::prelude::*;

use super::*;

mod answer;
mod exceeded;
mod ipv6;

const METADATA: [u8; 4] = IPV4;
const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
const ASKED_MAC: [u8; 6] = [0x52, 0x54, 0, 0xff, 0xff, 1];
const GUEST: [u8; 4] = [192, 168, 122, 5];
const OTHER: [u8; 4] = [192, 168, 122, 1];

/// A SYN from port 40000 to port 80.
fn syn(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(ASKED_MAC);
    frame.extend(GUEST_MAC);
    frame.extend(ethertype::IPV4);
    frame.extend([0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend([
        0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    frame
}

fn arp(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend([0xff; 6]);
    frame.extend(GUEST_MAC);
    frame.extend(ethertype::ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(GUEST_MAC);
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend(target);
    frame
}

fn with(mut frame: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, value) in changes {
        frame[*at] = *value;
    }
    frame
}

fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

fn tagged(frame: &[u8], tags: &[[u8; 2]]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for tag in tags {
        out.extend(tag);
        out.extend([0, 7]);
    }
    out.extend(&frame[12..]);
    out
}

fn delivered(opens: bool) -> Verdict {
    delivered_to(ASKED_MAC, opens)
}

fn delivered_to(asked_mac: [u8; 6], opens: bool) -> Verdict {
    Verdict::Deliver(Segment {
        service: Service::Ipv4,
        asked_mac,
        guest_mac: GUEST_MAC,
        guest_address: Address::of_ipv4(GUEST),
        guest_port: [0x9c, 0x40],
        asked_port: [0, 80],
        opens,
    })
}

#[test]
fn tcp_to_the_metadata_address_is_delivered_and_nothing_else() {
    use Verdict::{Drop, Pass};
    let ask = || syn(GUEST, METADATA);
    for (case, frame, expected) in [
        ("syn", ask(), delivered(true)),
        (
            "syn ack",
            with(ask(), &[(offset::TCP + offset::FLAGS, SYN | ACK)]),
            delivered(false),
        ),
        (
            "ack",
            with(ask(), &[(offset::TCP + offset::FLAGS, ACK)]),
            delivered(false),
        ),
        (
            "padded to 60 octets",
            [ask(), vec![0; 6]].concat(),
            delivered(true),
        ),
        (
            "may be fragmented",
            with(ask(), &[(offset::IP_FRAGMENT, 0)]),
            delivered(true),
        ),
        (
            "first fragment",
            with(ask(), &[(offset::IP_FRAGMENT, 0x20)]),
            Drop(Reason::Fragment),
        ),
        (
            "later fragment",
            with(ask(), &[(offset::IP_FRAGMENT + 1, 1)]),
            Drop(Reason::Fragment),
        ),
        (
            "far fragment",
            with(ask(), &[(offset::IP_FRAGMENT, 0x10)]),
            Drop(Reason::Fragment),
        ),
        (
            "options",
            with(ask(), &[(offset::IP_VERSION, 0x46)]),
            Drop(Reason::IpOptions),
        ),
        (
            "header too short",
            with(ask(), &[(offset::IP_VERSION, 0x44)]),
            Drop(Reason::IpOptions),
        ),
        (
            "version 6",
            with(ask(), &[(offset::IP_VERSION, 0x65)]),
            Drop(Reason::IpOptions),
        ),
        (
            "udp",
            with(ask(), &[(offset::IP_PROTOCOL, 17)]),
            Drop(Reason::NotTcp),
        ),
        (
            "icmp",
            with(ask(), &[(offset::IP_PROTOCOL, 1)]),
            Drop(Reason::NotTcp),
        ),
        (
            "stated length 39",
            with(ask(), &[(offset::IP_TOTAL_LENGTH + 1, 39)]),
            Drop(Reason::Truncated),
        ),
        (
            "cut before the checksum's end",
            cut(ask(), offset::TCP + offset::CHECKSUM + 1),
            Drop(Reason::Truncated),
        ),
        (
            "cut behind the checksum",
            cut(ask(), offset::TCP + offset::CHECKSUM + 2),
            delivered(true),
        ),
        (
            "cut inside the address",
            cut(ask(), offset::IP_DESTINATION + 3),
            Pass,
        ),
        (
            "to a group's mac, as a neighbour may have it",
            [&[0xff; 6][..], &ask()[6..]].concat(),
            delivered_to([0xff; 6], true),
        ),
        (
            "from 0.0.0.0",
            syn([0; 4], METADATA),
            Drop(Reason::BadSource),
        ),
        (
            "from loopback",
            syn([127, 0, 0, 1], METADATA),
            Drop(Reason::BadSource),
        ),
        (
            "from multicast",
            syn([224, 0, 0, 1], METADATA),
            Drop(Reason::BadSource),
        ),
        (
            "from broadcast",
            syn([255; 4], METADATA),
            Drop(Reason::BadSource),
        ),
        (
            "to itself",
            syn(METADATA, METADATA),
            Drop(Reason::ForgedSource),
        ),
        (
            "as the service, to another guest",
            syn(METADATA, OTHER),
            Drop(Reason::ForgedSource),
        ),
        ("to another address", syn(GUEST, OTHER), Pass),
        ("one address below", syn(GUEST, [169, 254, 169, 253]), Pass),
        ("one address above", syn(GUEST, [169, 254, 169, 255]), Pass),
        ("ipv6", with(ask(), &[(12, 0x86), (13, 0xdd)]), Pass),
        ("runt", cut(ask(), 13), Pass),
        ("nothing", Vec::new(), Pass),
    ] {
        assert_eq!(classify(&frame[..]), expected, "{case}");
    }
}

#[test]
fn arp_requests_are_answered_and_claims_are_dropped() {
    use Verdict::{AnswerArp, Drop, Pass};
    let asked = |sender_address| {
        AnswerArp(Question {
            mac: GUEST_MAC,
            sender_mac: GUEST_MAC,
            sender_address,
        })
    };
    for (case, frame, expected) in [
        ("who-has metadata", arp(1, GUEST, METADATA), asked(GUEST)),
        ("probe before use", arp(1, [0; 4], METADATA), asked([0; 4])),
        (
            "unicast refresh",
            with(arp(1, GUEST, METADATA), &[(0, 0x52)]),
            asked(GUEST),
        ),
        ("who-has gateway", arp(1, GUEST, OTHER), Pass),
        (
            "reply to us",
            arp(2, GUEST, METADATA),
            Drop(Reason::ArpNotRequest),
        ),
        (
            "gratuitous claim",
            arp(1, METADATA, METADATA),
            Drop(Reason::ArpClaim),
        ),
        (
            "claim in a reply",
            arp(2, METADATA, OTHER),
            Drop(Reason::ArpClaim),
        ),
        (
            "claim in a request",
            arp(1, METADATA, OTHER),
            Drop(Reason::ArpClaim),
        ),
        (
            "strange hardware",
            with(arp(1, GUEST, METADATA), &[(15, 6)]),
            Drop(Reason::ArpNotRequest),
        ),
        ("cut short", cut(arp(1, GUEST, METADATA), 41), Pass),
    ] {
        assert_eq!(classify(&frame[..]), expected, "{case}");
    }
}

#[test]
fn tagged_metadata_frames_are_dropped_and_other_tagged_frames_pass() {
    use Verdict::{Drop, Pass};
    let (vlan, qinq, old) = (ethertype::VLAN, ethertype::QINQ, ethertype::QINQ_OLD);
    let dropped = Drop(Reason::VlanTagged);
    let ours = syn(GUEST, METADATA);
    for (case, frame, expected) in [
        ("one tag", tagged(&ours, &[vlan]), dropped),
        ("two tags", tagged(&ours, &[qinq, vlan]), dropped),
        ("two old tags", tagged(&ours, &[old, vlan]), dropped),
        ("three tags", tagged(&ours, &[qinq, qinq, vlan]), dropped),
        ("four tags", tagged(&ours, &[vlan; 4]), dropped),
        ("a hundred tags", tagged(&ours, &[vlan; 100]), dropped),
        (
            "tags that hide whose it is",
            tagged(&syn(GUEST, OTHER), &[vlan; 4]),
            dropped,
        ),
        (
            "three tags, somebody else's",
            tagged(&syn(GUEST, OTHER), &[vlan; 3]),
            Pass,
        ),
        ("arp", tagged(&arp(1, GUEST, METADATA), &[vlan]), dropped),
        (
            "arp claim",
            tagged(&arp(2, METADATA, OTHER), &[vlan]),
            dropped,
        ),
        (
            "forged source",
            tagged(&syn(METADATA, OTHER), &[vlan]),
            dropped,
        ),
        ("somebody else's", tagged(&syn(GUEST, OTHER), &[vlan]), Pass),
        (
            "somebody else's arp",
            tagged(&arp(1, GUEST, OTHER), &[qinq, vlan]),
            Pass,
        ),
        ("cut inside the tag", cut(tagged(&ours, &[vlan]), 17), Pass),
    ] {
        assert_eq!(classify(&frame[..]), expected, "{case}");
    }
}

#[test]
fn where_others_own_the_address_only_what_goes_to_it_is_ours() {
    for (case, frame, others) in [
        ("a question", arp(1, GUEST, METADATA), true),
        ("a claim", arp(2, METADATA, OTHER), true),
        ("a cut claim", cut(arp(2, METADATA, OTHER), 36), true),
        ("an answer to it", arp(2, GUEST, METADATA), true),
        ("from it", syn(METADATA, OTHER), true),
        ("to it", syn(GUEST, METADATA), false),
        ("not about it", syn(GUEST, OTHER), false),
    ] {
        assert_eq!(classify(&frame[..]).may_be_anothers(), others, "{case}");
    }
}

#[test]
fn tag_kept_outside_the_bytes_is_a_tag() {
    struct Stripped(Vec<u8>);
    impl Frame for Stripped {
        fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
            self.0[..].octets(offset)
        }
        fn addresses<const N: usize>(&self, offset: usize) -> Option<[Address; N]> {
            self.0[..].addresses(offset)
        }
        fn carries_vlan_tag(&self) -> bool {
            true
        }
    }
    for (case, frame, expected) in [
        (
            "tcp",
            syn(GUEST, METADATA),
            Verdict::Drop(Reason::VlanTagged),
        ),
        (
            "arp",
            arp(1, GUEST, METADATA),
            Verdict::Drop(Reason::VlanTagged),
        ),
        ("somebody else's", syn(GUEST, OTHER), Verdict::Pass),
        (
            "tcp over IPv6",
            ipv6::ask(),
            Verdict::Drop(Reason::VlanTagged),
        ),
        (
            "neighbour discovery",
            ipv6::question(),
            Verdict::Drop(Reason::VlanTagged),
        ),
    ] {
        assert_eq!(classify(&Stripped(frame)), expected, "{case}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_get_a_verdict(frame: Vec<u8>) {
        let _ = classify(&frame[..]);
        let _ = classify_reply(&frame[..]);
    }

    /// Near-valid frames: whatever is changed, an untagged IPv4 packet to the metadata address never passes.
    #[test]
    fn nothing_to_the_metadata_address_passes(
        changes in proptest::collection::vec((0..54_usize, any::<u8>()), 0..6),
        length in 34..80_usize,
    ) {
        let mut frame = with(syn(GUEST, METADATA), &changes);
        frame.resize(length, 0);
        let to_us = frame[12..14] == ethertype::IPV4 && frame[30..34] == METADATA;
        if to_us {
            prop_assert_ne!(classify(&frame[..]), Verdict::Pass);
        }
    }

    #[test]
    fn nothing_for_others_is_touched(source: [u8; 4], destination: [u8; 4], rest: Vec<u8>) {
        prop_assume!(source != METADATA && destination != METADATA);
        let frame = [cut(syn(source, destination), 34), rest].concat();
        prop_assert_eq!(classify(&frame[..]), Verdict::Pass);
    }
}
