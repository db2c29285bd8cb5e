//! Both programs over IPv6, octet by octet: requests, answers, neighbour discovery, and a NIC whose IPv6 is off.

mod neighbour;

use std::net::Ipv6Addr;

use metad_common::abi::{Address, CLOSED_PORT, Flow, FlowKey, NicKey, NicSlot};
use metad_common::names::{GUEST_INGRESS, REPLY};
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::service::Service;
use metad_tests::frames::ipv6::{self, Ends, METADATA};
use metad_tests::frames::{ACK, RST, SYN};
use metad_tests::needs;

use super::loaded::{BRIDGE_MAC, DAEMON_MAC, GUEST_MAC, LOOPBACK, SLOT, SLOT_IPV6};
use super::{Loaded, Outcome, PASS, REDIRECT, SHOT};
use crate::frames::{tagged, with};

const GUEST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe01, 0x203);
const ELSEWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// What stands for each of [`METADATA`] inside metad's namespace.
const INSIDE: [Ipv6Addr; 2] = [
    METADATA[0],
    Ipv6Addr::new(0xfd6d, 0x6574, 0x6164, 0, 0, 0, 0xa9fe, 0xa9fe),
];
const SERVICES: [Service; 2] = [Service::Ipv6, Service::LinkLocal];

fn ask(address: usize) -> Ends {
    Ends {
        from_mac: GUEST_MAC,
        to_mac: BRIDGE_MAC,
        from: GUEST,
        to: METADATA[address],
        from_port: 40_000,
        to_port: 80,
    }
}

/// What the daemon's stack sees of [`ask`].
fn asked_inside(address: usize) -> Ends {
    Ends {
        to_mac: DAEMON_MAC,
        from: SLOT_IPV6,
        to: INSIDE[address],
        ..ask(address)
    }
}

/// What the daemon's stack sends back.
fn answer_inside(address: usize) -> Ends {
    Ends {
        from_mac: DAEMON_MAC,
        to_mac: [2; 6],
        from: INSIDE[address],
        to: SLOT_IPV6,
        from_port: 80,
        to_port: 40_000,
    }
}

/// What the guest sees of that.
fn answer(address: usize) -> Ends {
    Ends {
        from_mac: BRIDGE_MAC,
        to_mac: GUEST_MAC,
        from: METADATA[address],
        to: GUEST,
        from_port: 80,
        to_port: 40_000,
    }
}

fn redirected(frame: Vec<u8>) -> Outcome {
    Outcome {
        action: REDIRECT,
        frame,
    }
}

#[test]
fn ipv6_request_is_rewritten_and_its_answer_restored() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    for (address, service) in SERVICES.into_iter().enumerate() {
        for (case, flags, payload) in [
            ("opening", SYN, &b""[..]),
            ("data", ACK, b"GET / HTTP/1.1\r\n\r\n"),
            ("odd", ACK, b"abc"),
        ] {
            let segment = |ends: &Ends| ipv6::tcp(ends, flags, 1, 0, payload);
            let outcome = loaded.run(GUEST_INGRESS, &segment(&ask(address)));
            let expected = redirected(segment(&asked_inside(address)));
            assert_eq!(outcome, expected, "{service:?}: {case}");
            let outcome = loaded.run(REPLY, &segment(&answer_inside(address)));
            let expected = redirected(segment(&answer(address)));
            assert_eq!(outcome, expected, "{service:?}: answer to {case}");
            assert!(ipv6::checksum_holds(&outcome.frame), "{case}");
        }
        let expected = Flow {
            ifindex: LOOPBACK,
            identity: LOOPBACK,
            guest_address: Address(GUEST.octets()),
            guest_mac: GUEST_MAC,
            asked_mac: BRIDGE_MAC,
            asked_port: [0, 80],
            zero: [0; 2],
        };
        let key = FlowKey::new(SLOT, service, 40_000_u16.to_be_bytes(), [0, 80]);
        assert_eq!(
            loaded.flows().get(&key, 0).unwrap(),
            expected,
            "{service:?}"
        );
    }
    assert_eq!(loaded.flows().iter().count(), 2, "one for each address");
    assert_eq!(loaded.count(Counted::Tally(Tally::Delivered)), 6);
    assert_eq!(loaded.count(Counted::Tally(Tally::Returned)), 6);
}

#[test]
fn where_ipv6_is_off_connections_go_to_a_port_that_nobody_has() {
    if !needs::sandbox() {
        return;
    }
    for (address, service) in SERVICES.into_iter().enumerate() {
        let mut loaded = Loaded::new();
        let nic = NicKey::new(LOOPBACK, GUEST_MAC);
        loaded
            .nics()
            .insert(nic, NicSlot::new(SLOT, false), 0)
            .unwrap();
        let closed = Ends {
            to_port: 0,
            ..asked_inside(address)
        };
        let outcome = loaded.run(GUEST_INGRESS, &ipv6::syn(&ask(address)));
        assert_eq!(outcome, redirected(ipv6::syn(&closed)), "{service:?}");
        let key = FlowKey::new(SLOT, service, 40_000_u16.to_be_bytes(), CLOSED_PORT);
        assert_eq!(loaded.flows().get(&key, 0).unwrap().asked_port, [0, 80]);
        let reset = Ends {
            from_port: 0,
            ..answer_inside(address)
        };
        let outcome = loaded.run(REPLY, &ipv6::tcp(&reset, RST | ACK, 0, 2, b""));
        let expected = ipv6::tcp(&answer(address), RST | ACK, 0, 2, b"");
        assert_eq!(outcome, redirected(expected), "{service:?}");
        let ipv4 = crate::frames::Ends {
            from_mac: GUEST_MAC,
            to_mac: BRIDGE_MAC,
            from: [192, 168, 122, 5],
            to: crate::frames::METADATA,
        };
        let outcome = loaded.run(
            GUEST_INGRESS,
            &crate::frames::tcp(&ipv4, [40_000, 80], SYN, b""),
        );
        assert_eq!(outcome.frame.get(36..38), Some(&[0, 80][..]), "IPv4 is on");
    }
}

#[test]
fn every_ipv6_refusal_is_dropped_unchanged_and_counted_under_its_reason() {
    if !needs::sandbox() {
        return;
    }
    for (address, service) in SERVICES.into_iter().enumerate() {
        let to_us = ask(address);
        let syn = || ipv6::syn(&to_us);
        let from = |from| Ends { from, ..to_us };
        let forged = Ends {
            from: METADATA[address],
            to: ELSEWHERE,
            ..to_us
        };
        let stranger = Ends {
            from_mac: [2; 6],
            ..to_us
        };
        let claim = Ends {
            to: ipv6::ALL_NODES,
            to_mac: [0x33, 0x33, 0, 0, 0, 1],
            ..to_us
        };
        let ours = METADATA[address];
        for (case, frame, reason) in [
            (
                "unknown sender",
                ipv6::syn(&stranger),
                Reason::UnknownSender,
            ),
            ("udp", ipv6::udp(&to_us, b"x"), Reason::NotTcp),
            ("echo", ipv6::echo(&to_us), Reason::NotTcp),
            ("given up", ipv6::given_up(&to_us), Reason::HopLimit),
            (
                "given up, of somebody else's",
                with(ipv6::given_up(&to_us), &[(80, 1)]),
                Reason::NotTcp,
            ),
            (
                "hop-by-hop options",
                with(syn(), &[(20, 0)]),
                Reason::ExtensionHeader,
            ),
            (
                "routing header",
                with(syn(), &[(20, 43)]),
                Reason::ExtensionHeader,
            ),
            (
                "destination options",
                with(syn(), &[(20, 60)]),
                Reason::ExtensionHeader,
            ),
            ("fragment", with(syn(), &[(20, 44)]), Reason::Fragment),
            ("version", with(syn(), &[(14, 0x45)]), Reason::IpOptions),
            ("stated length", with(syn(), &[(19, 19)]), Reason::Truncated),
            (
                "cut in the headers",
                syn()[..70].to_vec(),
                Reason::Truncated,
            ),
            (
                "unspecified source",
                ipv6::syn(&from(Ipv6Addr::UNSPECIFIED)),
                Reason::BadSource,
            ),
            (
                "loopback",
                ipv6::syn(&from(Ipv6Addr::LOCALHOST)),
                Reason::BadSource,
            ),
            (
                "multicast source",
                ipv6::syn(&from(ipv6::ALL_NODES)),
                Reason::BadSource,
            ),
            (
                "our address as source",
                ipv6::syn(&forged),
                Reason::ForgedSource,
            ),
            ("vlan tag", tagged(&syn(), &[[0x81, 0]]), Reason::VlanTagged),
            (
                "tagged claim",
                tagged(&ipv6::is_at(&claim, 0x20, ours, GUEST_MAC), &[[0x81, 0]]),
                Reason::VlanTagged,
            ),
            (
                "claim",
                ipv6::is_at(&claim, 0x20, ours, GUEST_MAC),
                Reason::NeighbourClaim,
            ),
            (
                "claim by asking",
                ipv6::who_has(&from(ours), ours, &[]),
                Reason::NeighbourClaim,
            ),
            (
                "from another link",
                with(ipv6::who_has(&to_us, ours, &[]), &[(21, 64)]),
                Reason::NeighbourImproper,
            ),
        ] {
            let mut loaded = Loaded::new();
            let before = frame.clone();
            let outcome = loaded.run(GUEST_INGRESS, &frame);
            let expected = Outcome {
                action: SHOT,
                frame: before,
            };
            assert_eq!(outcome, expected, "{service:?}: {case}");
            for other in Reason::ALL {
                let expected = u64::from(*other == reason);
                let found = loaded.count(Counted::Dropped(*other));
                assert_eq!(found, expected, "{service:?}: {case}: {other:?}");
            }
            assert_eq!(loaded.flows().iter().count(), 0, "{case}");
        }
    }
}

#[test]
fn foreign_ipv6_passes_unchanged() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    let to = |to| Ends { to, ..ask(0) };
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    for (case, frame) in [
        ("tcp", ipv6::syn(&to(ELSEWHERE))),
        ("to a neighbour", ipv6::syn(&to(other))),
        ("to what stands for us inside", ipv6::syn(&to(INSIDE[1]))),
        ("udp", ipv6::udp(&to(ELSEWHERE), b"x")),
        ("echo", ipv6::echo(&to(other))),
        (
            "solicitation",
            ipv6::who_has(&to(ipv6::group_of(other).0), other, &[]),
        ),
        (
            "advertisement",
            ipv6::is_at(&to(other), 0x60, GUEST, GUEST_MAC),
        ),
        ("tagged", tagged(&ipv6::syn(&to(ELSEWHERE)), &[[0x81, 0]])),
        ("fragment", with(ipv6::syn(&to(other)), &[(20, 44)])),
    ] {
        let outcome = loaded.run(GUEST_INGRESS, &frame);
        assert_eq!(outcome.action, PASS, "{case}");
        assert_eq!(outcome.frame, frame, "{case}");
    }
    for reason in Reason::ALL {
        assert_eq!(loaded.count(Counted::Dropped(*reason)), 0, "{reason:?}");
    }
}

#[test]
fn nothing_else_leaves_the_namespace_over_ipv6() {
    if !needs::sandbox() {
        return;
    }
    let back = answer_inside(0);
    let (not_tcp, no_flow) = (Reason::ReplyNotTcp, Reason::ReplyUnknownFlow);
    let (group, group_mac) = ipv6::group_of(METADATA[0]);
    let to_group = Ends {
        to: group,
        to_mac: group_mac,
        ..back
    };
    let to_port = |to_port| Ends { to_port, ..back };
    let between = |from, to| Ends { from, to, ..back };
    for (case, frame, reason) in [
        (
            "another port of the guest",
            ipv6::syn(&to_port(40_001)),
            no_flow,
        ),
        (
            "no slot",
            ipv6::syn(&between(METADATA[0], ELSEWHERE)),
            no_flow,
        ),
        ("the other address", ipv6::syn(&answer_inside(1)), no_flow),
        (
            "another source",
            ipv6::syn(&between(ELSEWHERE, SLOT_IPV6)),
            not_tcp,
        ),
        (
            "what guests call it",
            ipv6::syn(&between(METADATA[1], SLOT_IPV6)),
            not_tcp,
        ),
        ("udp", ipv6::udp(&back, b"x"), not_tcp),
        ("echo", ipv6::echo(&back), not_tcp),
        (
            "solicitation",
            ipv6::who_has(&to_group, SLOT_IPV6, &[]),
            not_tcp,
        ),
        ("fragment", with(ipv6::syn(&back), &[(20, 44)]), not_tcp),
    ] {
        let mut loaded = Loaded::new();
        loaded.run(GUEST_INGRESS, &ipv6::syn(&ask(0)));
        let outcome = loaded.run(REPLY, &frame);
        let expected = Outcome {
            action: SHOT,
            frame: frame.clone(),
        };
        assert_eq!(outcome, expected, "{case}");
        assert_eq!(loaded.count(Counted::Dropped(reason)), 1, "{case}");
    }
}
