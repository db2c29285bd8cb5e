//! `flood_guard`: drops what `guest_ingress` would drop, for the same reason, and changes nothing.

use metad_common::abi::{Bucket, Port};
use metad_common::limit::Limit;
use metad_common::names::{FLOOD_GUARD, GUEST_INGRESS};
use metad_common::reason::{Counted, Reason};
use metad_tests::needs;

use super::loaded::{BRIDGE_MAC, GUEST_MAC, LOOPBACK, SLOT};
use super::{Loaded, Outcome, PASS, REDIRECT, SHOT, XDP_DROP, XDP_PASS};
use crate::frames::{self, ACK, Ends, METADATA, SYN};

/// Ten at once, and then one in a quarter of an hour.
const TEN: Limit = Limit {
    interval_ns: 900 * 1_000_000_000,
    capacity_ns: 10 * 900 * 1_000_000_000,
};

fn from(mac: [u8; 6]) -> Ends {
    Ends {
        from_mac: mac,
        to_mac: BRIDGE_MAC,
        from: [192, 168, 122, 5],
        to: METADATA,
    }
}

fn segment(port: u16, flags: u8) -> Vec<u8> {
    frames::tcp(&from(GUEST_MAC), [port, 80], flags, b"")
}

/// What becomes of a frame that has to get past both programs.
fn action(loaded: &mut Loaded, frame: &[u8]) -> (u32, Option<u32>) {
    let guarded = loaded.run(FLOOD_GUARD, frame);
    assert_eq!(guarded.frame, frame, "the guard changes nothing");
    let later = (guarded.action == XDP_PASS).then(|| loaded.run(GUEST_INGRESS, frame).action);
    (guarded.action, later)
}

fn refused(loaded: &mut Loaded) -> u64 {
    loaded.count(Counted::Dropped(Reason::ConnectionLimit))
}

#[test]
fn a_spent_bucket_is_looked_at_and_nothing_is_taken() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(TEN);
    for port in 1..=10 {
        let done = action(&mut loaded, &segment(port, SYN));
        assert_eq!(done, (XDP_PASS, Some(REDIRECT)), "{port}: within the burst");
    }
    let before = loaded.buckets().get(&SLOT, 0).unwrap();
    for (case, port, flags, expected) in [
        ("beyond the burst", 11, SYN, (XDP_DROP, None)),
        ("no connection of its", 11, ACK, (XDP_DROP, None)),
        ("an open connection", 10, ACK, (XDP_PASS, Some(REDIRECT))),
        ("a SYN from its port", 10, SYN, (XDP_DROP, None)),
    ] {
        assert_eq!(
            action(&mut loaded, &segment(port, flags)),
            expected,
            "{case}"
        );
    }
    assert_eq!(refused(&mut loaded), 3);
    let after = loaded.buckets().get(&SLOT, 0).unwrap();
    let expected = Bucket {
        refused: before.refused + 3,
        ..before
    };
    assert_eq!(
        after, expected,
        "counted where the slot's refusals are, and not paid for"
    );
}

#[test]
fn without_a_limit_no_connection_is_refused() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    for port in 1..=1_000 {
        let done = action(&mut loaded, &segment(port, SYN));
        assert_eq!(done, (XDP_PASS, Some(REDIRECT)), "{port}");
    }
}

/// The daemon learns of strangers, and their flood ends in front of it.
#[test]
fn unknown_senders_are_reported_once_and_then_dropped_early() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(TEN);
    let stranger = frames::tcp(&from([2; 6]), [1, 80], SYN, b"");
    assert_eq!(action(&mut loaded, &stranger), (XDP_PASS, Some(SHOT)));
    let early = (0..1_000).filter(|_| match action(&mut loaded, &stranger) {
        (XDP_DROP, None) => true,
        // A tenth of a second has gone by.
        (XDP_PASS, Some(SHOT)) => false,
        other => panic!("a stranger got {other:?}"),
    });
    let early = early.count();
    assert!(early > 500, "{early} of 1000");
    let all = loaded.count(Counted::Dropped(Reason::UnknownSender));
    assert_eq!(all, 1_001);
    assert!(loaded.strangers().next().is_some());
}

/// Where frames from outside arrive too, what others may own is not ours to drop.
#[test]
fn what_may_be_anothers_passes_where_the_interface_leads_outside() {
    if !needs::sandbox() {
        return;
    }
    let claim = Ends {
        from: METADATA,
        to: [192, 168, 122, 1],
        ..from(GUEST_MAC)
    };
    for (outside, expected) in [(0, (XDP_DROP, None)), (1, (XDP_PASS, Some(PASS)))] {
        let mut loaded = Loaded::new();
        let port = Port {
            identity: LOOPBACK,
            mac: BRIDGE_MAC,
            outside,
            zero: [0; 1],
        };
        loaded.ports().insert(LOOPBACK, port, 0).unwrap();
        for (case, frame) in [
            (
                "a packet from the address",
                frames::tcp(&claim, [80, 1], ACK, b""),
            ),
            ("a claim in ARP", frames::arp(&claim, 2)),
        ] {
            assert_eq!(action(&mut loaded, &frame), expected, "{case}, {outside}");
        }
    }
}

#[test]
fn everything_else_passes_untouched() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(TEN);
    let abroad = Ends {
        to: [93, 184, 216, 34],
        ..from(GUEST_MAC)
    };
    for (case, frame) in [
        (
            "TCP to somebody else",
            frames::tcp(&abroad, [1, 80], SYN, b"x"),
        ),
        (
            "ARP for the metadata address",
            frames::arp(&from(GUEST_MAC), 1),
        ),
        ("shorter than any header", vec![0xff; 14]),
        (
            "an unknown type",
            [&[0xff; 12][..], &[0x88, 0xb5], &[0; 46]].concat(),
        ),
    ] {
        let expected = Outcome {
            action: XDP_PASS,
            frame: frame.clone(),
        };
        assert_eq!(loaded.run(FLOOD_GUARD, &frame), expected, "{case}");
    }
    assert_eq!(loaded.drops().iter().sum::<u64>(), 0);
}
