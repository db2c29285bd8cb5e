//! `reply`: what becomes of the daemon's frames.

use crate::frames::{self, ACK, Ends, METADATA, SYN, with};
use metad_common::abi::{NicKey, NicSlot};
use metad_common::names::{GUEST_INGRESS, REPLY};
use metad_common::reason::{Counted, Reason, Tally};
use metad_tests::needs;

use super::loaded::{BRIDGE_MAC, DAEMON_MAC, GUEST_MAC, LOOPBACK, SLOT, SLOT_ADDRESS};
use super::{Loaded, Outcome, REDIRECT, SHOT};

const GUEST: [u8; 4] = [192, 168, 122, 5];
const ASK: Ends = Ends {
    from_mac: GUEST_MAC,
    to_mac: BRIDGE_MAC,
    from: GUEST,
    to: METADATA,
};
const ANSWER: Ends = Ends {
    from_mac: DAEMON_MAC,
    to_mac: [2; 6],
    from: METADATA,
    to: SLOT_ADDRESS,
};

/// Programs that have seen a connection from port 40000.
fn connected() -> Loaded {
    let mut loaded = Loaded::new();
    let outcome = loaded.run(GUEST_INGRESS, &frames::tcp(&ASK, [40000, 80], SYN, b""));
    assert_eq!(outcome.action, REDIRECT);
    loaded
}

#[test]
fn answer_returns_from_the_neighbour_that_was_asked() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = connected();
    let restored = Ends {
        from_mac: BRIDGE_MAC,
        to_mac: GUEST_MAC,
        from: METADATA,
        to: GUEST,
    };
    for (case, flags, payload) in [
        ("handshake", SYN | ACK, &b""[..]),
        ("data", ACK, b"i-12345678"),
        ("odd", ACK, b"abc"),
    ] {
        let outcome = loaded.run(REPLY, &frames::tcp(&ANSWER, [80, 40000], flags, payload));
        let frame = frames::tcp(&restored, [80, 40000], flags, payload);
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
    assert_eq!(loaded.count(Counted::Tally(Tally::Returned)), 3);
}

#[test]
fn nothing_else_leaves_the_namespace() {
    if !needs::sandbox() {
        return;
    }
    let answer = || frames::tcp(&ANSWER, [80, 40000], ACK, b"x");
    let to_host = Ends {
        to: [192, 168, 122, 1],
        ..ANSWER
    };
    let other_source = Ends {
        from: [169, 254, 169, 253],
        ..ANSWER
    };
    let (not_tcp, no_flow) = (Reason::ReplyNotTcp, Reason::ReplyUnknownFlow);
    for (case, frame, reason) in [
        (
            "another port of the guest",
            frames::tcp(&ANSWER, [80, 40001], ACK, b""),
            no_flow,
        ),
        (
            "another port of ours",
            frames::tcp(&ANSWER, [81, 40000], ACK, b""),
            no_flow,
        ),
        (
            "an address that is no slot's",
            frames::tcp(&to_host, [80, 40000], ACK, b""),
            no_flow,
        ),
        (
            "another source",
            frames::tcp(&other_source, [80, 40000], ACK, b""),
            not_tcp,
        ),
        ("udp", frames::udp(&ANSWER), not_tcp),
        ("icmp", frames::ipv4(&ANSWER, 1, &[3, 3, 0, 0]), not_tcp),
        ("arp", frames::arp(&ANSWER, 1), not_tcp),
        ("fragment", with(answer(), &[(20, 0x20)]), not_tcp),
        ("ipv6", with(answer(), &[(12, 0x86), (13, 0xdd)]), not_tcp),
    ] {
        let mut loaded = connected();
        let outcome = loaded.run(REPLY, &frame);
        assert_eq!(
            outcome,
            Outcome {
                action: SHOT,
                frame
            },
            "{case}"
        );
        assert_eq!(loaded.count(Counted::Dropped(reason)), 1, "{case}");
    }
}

#[test]
fn answer_for_a_nic_that_is_gone_or_replaced_goes_nowhere() {
    if !needs::sandbox() {
        return;
    }
    for (case, successor) in [("gone", None), ("replaced", Some(SLOT + 1))] {
        let mut loaded = connected();
        let nic = NicKey::new(LOOPBACK, GUEST_MAC);
        loaded.nics().remove(&nic).unwrap();
        if let Some(slot) = successor {
            loaded
                .nics()
                .insert(nic, NicSlot::new(slot, true), 0)
                .unwrap();
        }
        let outcome = loaded.run(REPLY, &frames::tcp(&ANSWER, [80, 40000], ACK, b"secret"));
        assert_eq!(outcome.action, SHOT, "{case}");
        assert_eq!(
            loaded.count(Counted::Dropped(Reason::ReplyUnknownNic)),
            1,
            "{case}"
        );
    }
}
