//! `guest_ingress`: what becomes of a guest's frame, octet by octet.

use crate::frames::{self, ACK, Ends, METADATA, SYN, with};
use metad_common::abi::{Address, Flow, FlowKey, NicKey, Stranger};
use metad_common::names::GUEST_INGRESS;
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::service::Service;
use metad_tests::needs;

use super::loaded::{BRIDGE_MAC, DAEMON_MAC, GUEST_MAC, LOOPBACK, SLOT, SLOT_ADDRESS};
use super::{Loaded, Outcome, PASS, REDIRECT, SHOT};

const GUEST: [u8; 4] = [192, 168, 122, 5];
const GATEWAY: [u8; 4] = [192, 168, 122, 1];

const TO_US: Ends = Ends {
    from_mac: GUEST_MAC,
    to_mac: BRIDGE_MAC,
    from: GUEST,
    to: METADATA,
};

fn key(guest_port: u16) -> FlowKey {
    let ports = [guest_port, 80].map(u16::to_be_bytes);
    FlowKey::new(SLOT, Service::Ipv4, ports[0], ports[1])
}

#[test]
fn request_of_a_known_nic_is_rewritten_and_remembered() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    let rewritten = Ends {
        to_mac: DAEMON_MAC,
        from: SLOT_ADDRESS,
        ..TO_US
    };
    // What a neighbour has told it: answers come from the port's own address then.
    let misled = Ends {
        to_mac: [0xff; 6],
        ..TO_US
    };
    for (case, ends, port, flags, payload) in [
        ("opening", &TO_US, 40000, SYN, &b""[..]),
        ("data", &TO_US, 40000, ACK, b"GET / HTTP/1.1\r\n\r\n"),
        ("odd length", &TO_US, 40001, SYN, b"abc"),
        ("to a group's mac", &misled, 40002, SYN, b""),
        ("data to it", &misled, 40002, ACK, b"GET / HTTP/1.1\r\n\r\n"),
    ] {
        let outcome = loaded.run(
            GUEST_INGRESS,
            &frames::tcp(ends, [port, 80], flags, payload),
        );
        let frame = frames::tcp(&rewritten, [port, 80], flags, payload);
        assert_eq!(
            outcome,
            Outcome {
                action: REDIRECT,
                frame
            },
            "{case}"
        );
        assert!(frames::checksums_hold(&outcome.frame), "{case}");
    }
    let expected = Flow {
        ifindex: LOOPBACK,
        identity: LOOPBACK,
        guest_address: Address::of_ipv4(GUEST),
        guest_mac: GUEST_MAC,
        asked_mac: BRIDGE_MAC,
        asked_port: [0, 80],
        zero: [0; 2],
    };
    for port in [40000, 40002] {
        let flow = loaded.flows().get(&key(port), 0).unwrap();
        assert_eq!(flow, expected, "{port}");
    }
    assert_eq!(loaded.flows().iter().count(), 3);
    assert_eq!(loaded.count(Counted::Tally(Tally::Delivered)), 5);
}

#[test]
fn every_refusal_is_dropped_unchanged_and_counted_under_its_reason() {
    if !needs::sandbox() {
        return;
    }
    let syn = || frames::tcp(&TO_US, [40000, 80], SYN, b"");
    let stranger = Ends {
        from_mac: [2; 6],
        ..TO_US
    };
    let forged = Ends {
        from: METADATA,
        to: GATEWAY,
        ..TO_US
    };
    let multicast = Ends {
        from: [224, 0, 0, 1],
        ..TO_US
    };
    let claim = Ends {
        from: METADATA,
        ..TO_US
    };
    for (case, frame, reason) in [
        (
            "unknown sender",
            frames::tcp(&stranger, [1, 80], SYN, b""),
            Reason::UnknownSender,
        ),
        ("udp", frames::udp(&TO_US), Reason::NotTcp),
        (
            "icmp",
            frames::ipv4(&TO_US, 1, &[8, 0, 0, 0]),
            Reason::NotTcp,
        ),
        ("given up", frames::given_up(&TO_US), Reason::HopLimit),
        (
            "given up, of somebody else's",
            with(frames::given_up(&TO_US), &[(57, 1)]),
            Reason::NotTcp,
        ),
        (
            "first fragment",
            with(syn(), &[(20, 0x20)]),
            Reason::Fragment,
        ),
        ("later fragment", with(syn(), &[(21, 1)]), Reason::Fragment),
        ("ip options", with(syn(), &[(14, 0x46)]), Reason::IpOptions),
        ("stated length", with(syn(), &[(17, 39)]), Reason::Truncated),
        (
            "cut in the headers",
            syn()[..50].to_vec(),
            Reason::Truncated,
        ),
        (
            "multicast source",
            frames::tcp(&multicast, [1, 80], SYN, b""),
            Reason::BadSource,
        ),
        (
            "our address as source",
            frames::tcp(&forged, [80, 1], ACK, b""),
            Reason::ForgedSource,
        ),
        (
            "vlan tag",
            frames::tagged(&syn(), &[[0x88, 0xa8], [0x81, 0]]),
            Reason::VlanTagged,
        ),
        ("arp claim", frames::arp(&claim, 1), Reason::ArpClaim),
        (
            "arp answer to us",
            frames::arp(&TO_US, 2),
            Reason::ArpNotRequest,
        ),
    ] {
        let mut loaded = Loaded::new();
        let outcome = loaded.run(GUEST_INGRESS, &frame);
        assert_eq!(
            outcome,
            Outcome {
                action: SHOT,
                frame
            },
            "{case}"
        );
        for other in Reason::ALL {
            let expected = u64::from(*other == reason);
            assert_eq!(
                loaded.count(Counted::Dropped(*other)),
                expected,
                "{case}: {other:?}"
            );
        }
        assert_eq!(loaded.flows().iter().count(), 0, "{case}");
    }
}

#[test]
fn foreign_traffic_passes_unchanged() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    let abroad = Ends {
        to: [93, 184, 216, 34],
        ..TO_US
    };
    let ask_gateway = Ends {
        to: GATEWAY,
        to_mac: [0xff; 6],
        ..TO_US
    };
    let mut ipv6 = frames::tcp(&TO_US, [1, 80], SYN, b"");
    ipv6 = with(ipv6, &[(12, 0x86), (13, 0xdd)]);
    for (case, frame) in [
        ("tcp", frames::tcp(&abroad, [40000, 80], SYN, b"")),
        ("udp", frames::udp(&abroad)),
        ("arp for the gateway", frames::arp(&ask_gateway, 1)),
        (
            "tagged",
            frames::tagged(&frames::tcp(&abroad, [1, 80], SYN, b""), &[[0x81, 0]]),
        ),
        ("ipv6", [ipv6, vec![0; 20]].concat()),
    ] {
        let outcome = loaded.run(GUEST_INGRESS, &frame);
        assert_eq!(
            outcome,
            Outcome {
                action: PASS,
                frame
            },
            "{case}"
        );
    }
    for reason in Reason::ALL {
        assert_eq!(loaded.count(Counted::Dropped(*reason)), 0, "{reason:?}");
    }
}

#[test]
fn arp_request_is_turned_into_its_answer() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    for (case, asker) in [("known address", GUEST), ("probe", [0; 4])] {
        let request = Ends {
            from: asker,
            to_mac: [0xff; 6],
            ..TO_US
        };
        let answer = Ends {
            from_mac: BRIDGE_MAC,
            to_mac: GUEST_MAC,
            from: METADATA,
            to: asker,
        };
        let outcome = loaded.run(GUEST_INGRESS, &frames::arp(&request, 1));
        let frame = frames::arp(&answer, 2);
        assert_eq!(
            outcome,
            Outcome {
                action: REDIRECT,
                frame
            },
            "{case}"
        );
    }
    assert_eq!(loaded.count(Counted::Tally(Tally::ArpAnswered)), 2);
}

#[test]
fn frames_from_an_interface_that_is_not_followed_are_dropped() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    loaded.ports().remove(&LOOPBACK).unwrap();
    for frame in [
        frames::tcp(&TO_US, [1, 80], SYN, b""),
        frames::arp(&TO_US, 1),
    ] {
        assert_eq!(loaded.run(GUEST_INGRESS, &frame).action, SHOT);
    }
    assert_eq!(loaded.count(Counted::Dropped(Reason::UnknownInterface)), 2);
}

#[test]
fn strangers_are_reported_once_in_a_while_however_many_frames_they_send() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    let started = std::time::Instant::now();
    for last in 0..200 {
        let stranger = Ends {
            from_mac: [2, 0, 0, 0, 0, last],
            ..TO_US
        };
        loaded.run(GUEST_INGRESS, &frames::tcp(&stranger, [1, 80], SYN, b""));
    }
    let intervals =
        started.elapsed().as_nanos() / u128::from(metad_common::names::REPORT_INTERVAL_NS);
    let mut reports = Vec::new();
    let mut ring = loaded.strangers();
    while let Some(item) = ring.next() {
        reports.push(item.to_vec());
    }
    assert_eq!(reports[0].len(), size_of::<Stranger>());
    assert_eq!(reports[0][..4], LOOPBACK.to_ne_bytes());
    assert_eq!(reports[0][4..10], [2, 0, 0, 0, 0, 0]);
    let most = usize::try_from(intervals).unwrap() + 1;
    assert!(
        (1..=most).contains(&reports.len()),
        "{} reports, {most} allowed",
        reports.len()
    );
    assert_eq!(loaded.count(Counted::Dropped(Reason::UnknownSender)), 200);
}

#[test]
fn a_segment_from_another_address_does_not_take_over_a_connection() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    let other = Ends {
        from: [192, 168, 122, 99],
        ..TO_US
    };
    loaded.run(GUEST_INGRESS, &frames::tcp(&TO_US, [40000, 80], SYN, b""));
    let middle = loaded.run(GUEST_INGRESS, &frames::tcp(&other, [40000, 80], ACK, b"x"));
    assert_eq!(middle.action, SHOT);
    assert_eq!(loaded.count(Counted::Dropped(Reason::FlowMismatch)), 1);
    assert_eq!(
        loaded.flows().get(&key(40000), 0).unwrap().guest_address,
        Address::of_ipv4(GUEST)
    );
    // A new connection of the same port is the guest's own business.
    let anew = loaded.run(GUEST_INGRESS, &frames::tcp(&other, [40000, 80], SYN, b""));
    assert_eq!(anew.action, REDIRECT);
    assert_eq!(
        loaded.flows().get(&key(40000), 0).unwrap().guest_address,
        Address::of_ipv4(other.from)
    );
}

#[test]
fn a_connection_that_was_forgotten_comes_back_with_its_next_segment() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    loaded.run(GUEST_INGRESS, &frames::tcp(&TO_US, [40000, 80], SYN, b""));
    loaded.flows().remove(&key(40000)).unwrap();
    let next = loaded.run(GUEST_INGRESS, &frames::tcp(&TO_US, [40000, 80], ACK, b"x"));
    assert_eq!(next.action, REDIRECT);
    assert_eq!(
        loaded.flows().get(&key(40000), 0).unwrap().guest_address,
        Address::of_ipv4(GUEST)
    );
}

#[test]
fn the_same_mac_on_another_interface_is_nobody() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    loaded
        .nics()
        .remove(&NicKey::new(LOOPBACK, GUEST_MAC))
        .unwrap();
    let elsewhere = metad_common::abi::NicSlot::new(7, true);
    loaded
        .nics()
        .insert(NicKey::new(LOOPBACK + 1, GUEST_MAC), elsewhere, 0)
        .unwrap();
    let outcome = loaded.run(GUEST_INGRESS, &frames::tcp(&TO_US, [1, 80], SYN, b""));
    assert_eq!(outcome.action, SHOT);
    assert_eq!(loaded.count(Counted::Dropped(Reason::UnknownSender)), 1);
}
