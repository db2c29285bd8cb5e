//! Floor 1: what the built object holds. No privilege.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use aya_obj::Object;
use metad::datapath::OBJECT;
use metad_common::{names, slot};

#[test]
fn object_has_the_programs_and_maps_that_the_loader_asks_for() {
    let object = Object::parse(OBJECT).unwrap();
    let programs: BTreeSet<&str> = object.programs.keys().map(String::as_str).collect();
    assert_eq!(
        programs,
        BTreeSet::from([names::GUEST_INGRESS, names::REPLY, names::FLOOD_GUARD])
    );
    for name in [
        names::NICS,
        names::FLOWS,
        names::PORTS,
        names::COUNTERS,
        names::STRANGERS,
        names::REPORTED,
        names::LOGGED,
        names::BUCKETS,
    ] {
        assert!(
            object.maps.contains_key(name),
            "{name} is not in {:?}",
            object.maps.keys()
        );
    }
}

#[test]
fn object_tells_the_kernel_its_licence_and_the_loader_its_types() {
    let object = Object::parse(OBJECT).unwrap();
    assert_eq!(object.license.to_str(), Ok("Dual MIT/GPL"));
    assert!(object.btf.is_some(), "no BTF");
    assert!(
        object.btf_ext.is_some(),
        "no line information for the verifier's messages"
    );
}

/// What the kernel program writes into source addresses, and what the unit lets the daemon speak to, are one thing.
#[test]
fn the_unit_lets_the_daemon_speak_to_slots_and_to_nobody_else() {
    let unit = include_str!("../../dist/metad.service");
    let [ipv4, ipv6] = [
        format!(
            "{}/{}",
            Ipv4Addr::from(slot::address(0)),
            slot::PREFIX_LENGTH
        ),
        format!(
            "{}/{}",
            Ipv6Addr::from(slot::ipv6(0).0),
            slot::PREFIX_LENGTH_IPV6
        ),
    ];
    for line in [
        "IPAddressDeny=any".to_owned(),
        format!("IPAddressAllow={ipv4} {ipv6}"),
    ] {
        assert!(unit.lines().any(|there| there == line), "no `{line}`");
    }
}
