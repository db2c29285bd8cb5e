//! How fast a slot may open connections: the kernel's arithmetic is the host's, and what one guest opens takes nothing
//! from another.

use std::net::Ipv6Addr;
use std::time::Duration;

use metad_common::abi::{Address, Bucket, Flow, FlowKey, NicKey, NicSlot};
use metad_common::limit::{Limit, Taken};
use metad_common::names::{FLOWS_MAX, GUEST_INGRESS};
use metad_common::reason::{Counted, Reason, Tally};
use metad_common::service::Service;
use metad_tests::frames::ipv6;
use metad_tests::needs;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::time::{ClockId, clock_gettime};

use super::loaded::{BRIDGE_MAC, GUEST_MAC, LOOPBACK, SLOT};
use super::{Loaded, REDIRECT, SHOT};
use crate::frames::{self, ACK, Ends, METADATA, SYN};

/// 40 at once, and then one in a quarter of an hour: no test lasts that long.
const FORTY: Limit = Limit {
    interval_ns: 900 * 1_000_000_000,
    capacity_ns: 40 * 900 * 1_000_000_000,
};
const OTHER_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 4];
const OTHER_SLOT: u32 = 8;

fn from(mac: [u8; 6]) -> Ends {
    Ends {
        from_mac: mac,
        to_mac: BRIDGE_MAC,
        from: [192, 168, 122, 5],
        to: METADATA,
    }
}

fn segment(mac: [u8; 6], port: u16, flags: u8) -> Vec<u8> {
    frames::tcp(&from(mac), [port, 80], flags, b"")
}

fn segment_ipv6(port: u16, flags: u8) -> Vec<u8> {
    let ends = ipv6::Ends {
        from_mac: GUEST_MAC,
        to_mac: BRIDGE_MAC,
        from: Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe01, 0x203),
        to: ipv6::METADATA[0],
        from_port: port,
        to_port: 80,
    };
    ipv6::tcp(&ends, flags, 1, 0, b"")
}

fn key(slot: u32, port: u16) -> FlowKey {
    FlowKey::new(
        slot,
        Service::Ipv4,
        port.to_be_bytes(),
        80_u16.to_be_bytes(),
    )
}

fn with_another_nic(loaded: &mut Loaded) {
    let nic = (
        NicKey::new(LOOPBACK, OTHER_MAC),
        NicSlot::new(OTHER_SLOT, true),
    );
    loaded.nics().insert(nic.0, nic.1, 0).unwrap();
}

/// How many of the frames are let through.
fn passed(loaded: &mut Loaded, frames: impl Iterator<Item = Vec<u8>>) -> usize {
    let mut let_through = |frame: &Vec<u8>| match loaded.run(GUEST_INGRESS, frame).action {
        REDIRECT => true,
        SHOT => false,
        other => panic!("neither dropped nor redirected: {other}"),
    };
    frames.filter(|frame| let_through(frame)).count()
}

fn refused(loaded: &mut Loaded) -> u64 {
    loaded.count(Counted::Dropped(Reason::ConnectionLimit))
}

#[test]
fn every_way_to_open_a_connection_takes_from_one_bucket() {
    if !needs::sandbox() {
        return;
    }
    let opening: [(&str, Vec<Vec<u8>>); 5] = [
        (
            "SYN",
            (1..=100)
                .map(|port| segment(GUEST_MAC, port, SYN))
                .collect(),
        ),
        (
            "in the middle of a connection that is not known",
            (1..=100)
                .map(|port| segment(GUEST_MAC, port, ACK))
                .collect(),
        ),
        (
            "from one port, as if each connection had ended",
            vec![segment(GUEST_MAC, 1, SYN); 100],
        ),
        (
            "both families",
            (1..=50)
                .flat_map(|port| [segment(GUEST_MAC, port, SYN), segment_ipv6(port, SYN)])
                .collect(),
        ),
        (
            "one connection, again and again from another address",
            (1..=100)
                .map(|host| {
                    let ends = Ends {
                        from: [192, 168, 122, host],
                        ..from(GUEST_MAC)
                    };
                    frames::tcp(&ends, [1, 80], SYN, b"")
                })
                .collect(),
        ),
    ];
    for (case, opening) in opening {
        for (limit, expected) in [(FORTY, 40), (Limit::OFF, 100)] {
            let mut loaded = Loaded::with(limit);
            let through = passed(&mut loaded, opening.iter().cloned());
            assert_eq!(through, expected, "{case}, {limit:?}");
            let over = u64::try_from(100 - expected).unwrap();
            assert_eq!(refused(&mut loaded), over, "{case}, {limit:?}");
            let bucket = loaded.buckets().get(&SLOT, 0).ok();
            assert_eq!(
                bucket.map_or(0, |bucket| bucket.refused),
                over,
                "{case}, {limit:?}"
            );
        }
    }
}

#[test]
fn open_connections_go_on_while_the_bucket_is_empty() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(FORTY);
    with_another_nic(&mut loaded);
    let opened = passed(
        &mut loaded,
        (1..=100).map(|port| segment(GUEST_MAC, port, SYN)),
    );
    assert_eq!(opened, 40);
    for (case, flags, expected) in [("data", ACK, 40), ("SYNs from the same ports", SYN, 0)] {
        let known = (1..=40).map(|port| segment(GUEST_MAC, port, flags));
        assert_eq!(passed(&mut loaded, known), expected, "{case}");
    }
    let unknown = (41..=80).map(|port| segment(GUEST_MAC, port, ACK));
    assert_eq!(passed(&mut loaded, unknown), 0, "connections that are none");
    let others = (1..=100).map(|port| segment(OTHER_MAC, port, SYN));
    assert_eq!(passed(&mut loaded, others), 40, "another guest's");
    assert_eq!(loaded.flows().iter().count(), 80);
}

/// A slot rests for three hours, in which any bucket has filled: its number is one that lies behind.
#[test]
fn the_next_owner_of_a_slot_starts_with_a_full_bucket() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(FORTY);
    let opening = || (1..=100).map(|port| segment(GUEST_MAC, port, SYN));
    assert_eq!(passed(&mut loaded, opening()), 40, "the first owner");
    let spent = loaded.buckets().get(&SLOT, 0).unwrap();
    let rested = Bucket {
        full_at: spent.full_at - 3 * 3_600 * 1_000_000_000 - FORTY.capacity_ns,
        ..spent
    };
    loaded.buckets().insert(SLOT, rested, 0).unwrap();
    forget_flows(&mut loaded);
    assert_eq!(passed(&mut loaded, opening()), 40, "the next one");
}

#[test]
fn a_forgotten_connection_that_comes_back_is_counted() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(FORTY);
    for (case, flags, forget, expected) in [
        ("opened", SYN, false, 0),
        ("known", ACK, false, 0),
        ("forgotten", ACK, true, 1),
        ("opened anew", SYN, true, 1),
    ] {
        if forget {
            forget_flows(&mut loaded);
        }
        let frame = std::iter::once(segment(GUEST_MAC, 9, flags));
        assert_eq!(passed(&mut loaded, frame), 1, "{case}");
        let recalled = loaded.count(Counted::Tally(Tally::Recalled));
        assert_eq!(recalled, expected, "{case}");
    }
}

/// All ports of both families, as fast as they go: more than all connections that the kernel remembers.
#[test]
fn one_guests_flood_evicts_no_other_guests_connection() {
    if !needs::sandbox() {
        return;
    }
    const VICTIMS: u16 = 1_000;
    let usual = metad::config::Limits::default().connections;
    let usual = Limit::new(usual.per_second, usual.burst);
    for (case, limit, flood, victims_stay) in [
        ("as configured by default", usual, SYN, true),
        ("as configured by default, without SYN", usual, ACK, true),
        ("without a limit", Limit::OFF, SYN, false),
    ] {
        let mut loaded = Loaded::with(limit);
        with_another_nic(&mut loaded);
        for port in 1..=VICTIMS {
            let flow = Flow {
                ifindex: LOOPBACK,
                identity: LOOPBACK,
                guest_address: Address::of_ipv4([192, 168, 122, 5]),
                guest_mac: OTHER_MAC,
                asked_mac: BRIDGE_MAC,
                asked_port: [0, 80],
                zero: [0; 2],
            };
            let mut flows = loaded.flows();
            flows.insert(key(OTHER_SLOT, port), flow, 0).unwrap();
        }
        let started = boot_ns();
        let ports = 0..=u16::MAX;
        let frames =
            ports.flat_map(|port| [segment(GUEST_MAC, port, flood), segment_ipv6(port, flood)]);
        let opened = passed(&mut loaded, frames);
        let took = Duration::from_nanos(boot_ns() - started);
        let flows = loaded.flows();
        let kept = (1..=VICTIMS).filter(|port| flows.get(&key(OTHER_SLOT, *port), 0).is_ok());
        let kept = kept.count();
        let known = flows.keys().count();
        let evicted = usize::from(VICTIMS) + opened - known;
        let over = refused(&mut loaded);
        needs::note(&format!(
            "{case}: 131072 attempts in {} ms, {opened} opened, {over} refused, {evicted} evicted; \
             the other guest keeps {kept} of {VICTIMS}",
            took.as_millis()
        ));
        assert_eq!(opened as u64 + over, 2 * 65_536, "{case}");
        assert_eq!(kept == usize::from(VICTIMS), victims_stay, "{case}");
        assert_eq!(evicted == 0, victims_stay, "{case}");
        if victims_stay {
            let due =
                (limit.capacity_ns + u64::try_from(took.as_nanos()).unwrap()) / limit.interval_ns;
            // Test runs stay on one CPU at a time, but not on the same one.
            assert!(opened as u64 <= due, "{case}: {opened} of {due}");
            assert!(known < FLOWS_MAX as usize, "{case}");
        }
    }
}

#[test]
fn unknown_senders_have_nothing_recorded() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::with(FORTY);
    let frames = (0..=u16::MAX).map(|number| {
        let [high, low] = number.to_be_bytes();
        segment([0x02, 0, 0, 0, high, low], number, SYN)
    });
    assert_eq!(passed(&mut loaded, frames), 0);
    assert_eq!(loaded.flows().keys().count(), 0, "flows");
    assert_eq!(loaded.buckets().keys().count(), 0, "buckets");
    let unknown = loaded.count(Counted::Dropped(Reason::UnknownSender));
    assert_eq!(unknown, 65_536);
}

/// Buckets of any state, and what the kernel's clock makes of them.
#[test]
fn kernel_takes_tokens_as_the_host_does() {
    if !needs::sandbox() {
        return;
    }
    const CASES: u32 = 2_000;
    for limit in [
        Limit::new(200, 600),
        Limit::new(1_000_000, 1),
        Limit::new(1, 1_000_000),
    ] {
        let loaded = std::cell::RefCell::new(Loaded::with(limit));
        let compared = std::cell::Cell::new([0_u32; 3]);
        let capacity = i64::try_from(limit.capacity_ns).unwrap();
        let distance = prop_oneof![
            4 => -capacity / 2..=2 * capacity,
            2 => capacity - 1_000_000..=capacity + 1_000_000,
            2 => -1_000_000..=1_000_000_i64,
            1 => any::<i64>(),
        ];
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new_with_rng(config, rng)
            .run(&distance, |distance| {
                let loaded = &mut *loaded.borrow_mut();
                let full_at = boot_ns().wrapping_add_signed(distance);
                let bucket = Bucket {
                    full_at,
                    refused: 7,
                };
                loaded.buckets().insert(SLOT, bucket, 0).unwrap();
                forget_flows(loaded);
                let before = boot_ns();
                let action = loaded
                    .run(GUEST_INGRESS, &segment(GUEST_MAC, 1, SYN))
                    .action;
                let after = boot_ns();
                let now = loaded.buckets().get(&SLOT, 0).unwrap();
                let span = [before, after].map(|time| limit.take(full_at, time));
                let mut counts = compared.get();
                match span {
                    [None, None] => {
                        prop_assert_eq!(
                            (action, now),
                            (
                                SHOT,
                                Bucket {
                                    refused: 8,
                                    ..bucket
                                }
                            )
                        );
                        counts[0] += 1;
                    }
                    [Some(Taken::Add(one)), Some(Taken::Add(other))] => {
                        prop_assert_eq!(one, other);
                        let full_at = full_at.wrapping_add(one);
                        prop_assert_eq!((action, now), (REDIRECT, Bucket { full_at, ..bucket }));
                        counts[1] += 1;
                    }
                    [Some(Taken::Set(first)), Some(Taken::Set(last))] => {
                        prop_assert_eq!((action, now.refused), (REDIRECT, 7));
                        prop_assert!((first..=last).contains(&now.full_at));
                        counts[2] += 1;
                    }
                    // The clock went past an edge while the program ran.
                    _ => {}
                }
                compared.set(counts);
                Ok(())
            })
            .unwrap();
        let [none, added, set] = compared.get();
        needs::note(&format!(
            "{limit:?}: {none} refused, {added} taken, {set} taken from a full one"
        ));
        let sum = none + added + set;
        assert!(sum > CASES / 2, "{limit:?}: {sum} could be compared");
        assert!(none > 100 && set > 100, "{limit:?}: {none}, {set}");
    }
}

fn forget_flows(loaded: &mut Loaded) {
    let mut flows = loaded.flows();
    let keys: Vec<_> = flows.keys().map(Result::unwrap).collect();
    for key in keys {
        flows.remove(&key).unwrap();
    }
}

/// The clock that the programs read.
fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
