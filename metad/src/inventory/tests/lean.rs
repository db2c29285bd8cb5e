//! What is left out where nothing has changed, and what is waited for.

use super::*;

#[test]
fn who_was_named_is_expected() {
    let mut inventory = inventory(Identity::Port);
    let absent = |inventory: &mut Inventory| {
        inventory.resolve(&Interfaces::default(), Duration::from_secs(1));
    };
    let stopped = Subject {
        running: false,
        ..domain("web1", 1)
    };
    inventory.apply(put(0, stopped));
    absent(&mut inventory);
    assert!(!inventory.expects(MAC), "it does not run");
    inventory.apply(put(0, domain("web1", 1)));
    absent(&mut inventory);
    assert!(inventory.expects(MAC), "its tap is not there yet");
    assert!(!inventory.expects(Mac([2; 6])), "nobody was named so");
    resolve(&mut inventory);
    assert!(
        inventory.expects(MAC),
        "it has a place, and may be heard through its bridge"
    );
}

#[test]
fn who_sits_there_is_no_stranger_to_its_tap_and_its_bridge() {
    for identity in [Identity::Port, Identity::Mac] {
        let mut inventory = inventory(identity);
        inventory.apply(put(0, domain("web1", 1)));
        let snapshot = resolve(&mut inventory).snapshot;
        let has = |mac, ifindex| snapshot.has_seat(mac, ifindex, &interfaces());
        assert!(has(MAC, 7), "{identity:?}: by its tap");
        assert!(has(MAC, 3), "{identity:?}: by its bridge");
        assert!(!has(MAC, 8), "{identity:?}: by another interface");
        assert!(!has(Mac([2; 6]), 3), "{identity:?}: another address");
    }
}

#[test]
fn places_depend_on_names_and_by_mac_on_bridges() {
    let tap = Interface {
        index: 7,
        name: "vnet0".to_owned(),
        controller: Some(3),
        is_bridge: false,
        is_tap: true,
        is_tun: true,
        is_up: true,
        mac: None,
    };
    let other = |change: fn(&mut Interface)| {
        let mut other = tap.clone();
        change(&mut other);
        other
    };
    for (case, before, by_port, by_mac) in [
        ("new", None, true, true),
        (
            "set up, with another address",
            Some(other(|it| {
                it.is_up = false;
                it.mac = Some(MAC);
            })),
            false,
            false,
        ),
        (
            "on another bridge before",
            Some(other(|it| it.controller = None)),
            false,
            true,
        ),
        (
            "another name before",
            Some(other(|it| it.name = "vnet1".to_owned())),
            true,
            true,
        ),
    ] {
        for (identity, expected) in [(Identity::Port, by_port), (Identity::Mac, by_mac)] {
            let heeds = inventory(identity).heeds(before.as_ref(), &tap);
            assert_eq!(heeds, expected, "{case}, {identity:?}");
        }
    }
}

#[test]
fn what_is_compact_says_the_same_and_what_stays_as_it_was_is_not_made_anew() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    inventory.apply(put(1, addition("web1")));
    let before = resolve(&mut inventory);
    let revision = inventory.revision();
    inventory.compact();
    let after = resolve(&mut inventory);
    assert_eq!(after.nics, before.nics);
    let of = |resolution: &Resolution| Arc::clone(&resolution.snapshot.instances["web1"]);
    assert!(Arc::ptr_eq(&of(&after), &of(&before)));
    assert_eq!(inventory.revision(), revision, "nothing to write down");
    inventory.apply(put(
        1,
        Subject {
            problem: Some("x".to_owned()),
            ..addition("web1")
        },
    ));
    let same = resolve(&mut inventory);
    assert!(Arc::ptr_eq(&of(&same), &of(&before)), "it says the same");
    inventory.resolve(&Interfaces::default(), Duration::from_secs(2));
    assert_ne!(inventory.revision(), revision, "a slot rests");
}
