//! What follows from what sources say and interfaces do.

mod kept;
mod lean;
mod roles;
mod templates;

use super::*;
use crate::interfaces::{Happening, Interface};
use crate::record::Record;
use crate::source::{Event, State, Subject};

const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);

fn nic(interface: Option<&str>) -> Nic {
    Nic {
        mac: MAC,
        interface: interface.map(str::to_owned),
        bridge: Some("virbr0".to_owned()),
        network: None,
        addresses: Vec::new(),
        subnets: Vec::new(),
        mtu: None,
        fixed: None,
        offer: crate::instance::Offer::default(),
    }
}

/// A running domain with one NIC on `vnet0`.
fn domain(name: &str, reading: u64) -> Subject {
    Subject {
        key: format!("key of {name}"),
        name: name.to_owned(),
        uuid: None,
        epoch: 1,
        running: true,
        nics: Some(vec![nic(Some("vnet0"))].into()),
        disks: Vec::new(),
        record: Record {
            hostname: Some("from-libvirt".to_owned()),
            ..Record::default()
        },
        reading: Duration::from_secs(reading),
        problem: None,
    }
}

fn addition(name: &str) -> Subject {
    let mut addition = Subject {
        nics: None,
        key: format!("{name}.yaml"),
        record: Record::default(),
        ..domain(name, 1)
    };
    addition.record.instance_type = Some("big".to_owned());
    addition
}

fn inventory(identity: Identity) -> Inventory {
    let sources = vec!["libvirt".to_owned(), "directory".to_owned()];
    Inventory::new(identity, Defaults::default(), sources)
}

fn put(source: SourceIndex, subject: Subject) -> Change {
    Change {
        source,
        event: Event::Put(Box::new(subject)),
    }
}

fn interfaces() -> Interfaces {
    let interface = |index, name: &str, controller| Interface {
        index,
        name: name.to_owned(),
        controller,
        is_bridge: index == 3,
        is_tap: index != 3,
        is_tun: false,
        is_up: true,
        mac: None,
    };
    let mut all = Interfaces::default();
    all.apply(Happening::All(vec![
        interface(3, "virbr0", None),
        interface(7, "vnet0", Some(3)),
    ]));
    all
}

fn resolve(inventory: &mut Inventory) -> Resolution {
    inventory.resolve(&interfaces(), Duration::ZERO)
}

#[test]
fn a_running_domain_is_seated_on_its_tap() {
    for (case, identity, ifindex) in [("by port", Identity::Port, 7), ("by MAC", Identity::Mac, 3)]
    {
        let mut inventory = inventory(identity);
        inventory.apply(put(0, domain("web1", 1)));
        let resolution = resolve(&mut inventory);
        let nic = resolution.nics.get(&NicKey::new(ifindex, MAC.0));
        let seat = nic.and_then(|nic| resolution.snapshot.seats.get(&nic.slot));
        assert_eq!(
            seat.map(|seat| seat.instance.name.as_str()),
            Some("web1"),
            "{case}"
        );
        assert_eq!(resolution.nics.len(), 1, "{case}");
    }
}

#[test]
fn an_option_reaches_the_kernels_table_without_another_slot() {
    let mut inventory = inventory(Identity::Port);
    let mut found = Vec::new();
    for (reading, ipv6) in [
        (1, None),
        (2, Some(Switch::Disabled)),
        (3, Some(Switch::Enabled)),
    ] {
        let mut web1 = domain("web1", reading);
        web1.record.options.ipv6 = ipv6;
        inventory.apply(put(0, web1));
        found.extend(resolve(&mut inventory).nics.into_values());
    }
    let [first, off, on] = found[..] else {
        panic!("one NIC each time: {found:?}")
    };
    assert_eq!(first, NicSlot::new(first.slot, true));
    assert_eq!(off, NicSlot::new(first.slot, false));
    assert_eq!(on, first);
}

#[test]
fn a_stopped_domain_is_listed_and_has_no_seat() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    assert_eq!(resolve(&mut inventory).nics.len(), 1);
    inventory.apply(put(
        0,
        Subject {
            running: false,
            ..domain("web1", 2)
        },
    ));
    let resolution = resolve(&mut inventory);
    assert!(resolution.nics.is_empty() && resolution.snapshot.seats.is_empty());
    assert!(resolution.snapshot.instances.contains_key("web1"));
}

#[test]
fn a_record_without_nics_is_laid_over_the_domain_of_its_name() {
    for (case, order) in [("domain first", [0, 1]), ("record first", [1, 0])] {
        let mut inventory = inventory(Identity::Port);
        let subjects = [put(0, domain("web1", 1)), put(1, addition("web1"))];
        for index in order {
            inventory.apply(subjects[index].clone());
        }
        let snapshot = resolve(&mut inventory).snapshot;
        let instance = &snapshot.instances["web1"].instance;
        assert_eq!(instance.instance_type, "big", "{case}");
        assert_eq!(instance.hostname, "from-libvirt", "{case}");
        assert_eq!(snapshot.problems, [], "{case}");
    }
}

#[test]
fn what_goes_leaves_nothing_behind() {
    for (case, event) in [
        (
            "gone",
            Event::Gone {
                key: "key of web1".to_owned(),
            },
        ),
        ("not in the full list", Event::Synced { keys: Vec::new() }),
    ] {
        let mut inventory = inventory(Identity::Port);
        inventory.apply(put(0, domain("web1", 1)));
        inventory.apply(put(1, addition("web1")));
        inventory.apply(Change { source: 0, event });
        let resolution = resolve(&mut inventory);
        assert!(resolution.nics.is_empty(), "{case}");
        assert!(resolution.snapshot.instances.is_empty(), "{case}");
        let problems = resolution.snapshot.problems;
        assert!(
            problems[0].1.contains("waits for a machine called web1"),
            "{case}: {problems:?}"
        );
    }
}

#[test]
fn a_failed_reading_keeps_the_last_good_one_and_is_shown() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    let (key, name) = ("key of web1".to_owned(), "web1".to_owned());
    let event = Event::Failed {
        key,
        name,
        problem: "line 3: no".to_owned(),
    };
    inventory.apply(Change { source: 0, event });
    let resolution = resolve(&mut inventory);
    assert_eq!(resolution.nics.len(), 1);
    assert_eq!(
        resolution.snapshot.problems,
        [("web1".to_owned(), "line 3: no".to_owned())]
    );
    inventory.apply(put(0, domain("web1", 2)));
    assert_eq!(resolve(&mut inventory).snapshot.problems, []);
}

/// A record that restricts its machine and cannot be read at a start must not count as none: user-data would be there
/// without the token that it asks for.
#[test]
fn a_machine_whose_record_was_never_readable_is_not_answered() {
    let failed = |name: &str| Change {
        source: 1,
        event: Event::Failed {
            key: addition(name).key,
            name: name.to_owned(),
            problem: "line 3: no".to_owned(),
        },
    };
    let synced = |names: &[&str]| Change {
        source: 1,
        event: Event::Synced {
            keys: names.iter().map(|name| addition(name).key).collect(),
        },
    };
    for (case, domain_first) in [("it comes first", true), ("it comes last", false)] {
        let mut inventory = inventory(Identity::Port);
        let changes = [put(0, domain("web1", 1)), failed("web1")];
        let changes: Vec<Change> = match domain_first {
            true => changes.into_iter().collect(),
            false => changes.into_iter().rev().collect(),
        };
        for change in changes {
            inventory.apply(change);
        }
        inventory.apply(synced(&["web1"]));
        let resolution = resolve(&mut inventory);
        assert!(resolution.nics.is_empty(), "{case}");
        let (name, problem) = &resolution.snapshot.problems[0];
        assert_eq!(name, "web1", "{case}");
        assert!(
            problem.contains("until it can be read"),
            "{case}: {problem}"
        );
        assert!(inventory.never_read().eq(["web1"]), "{case}");
        let mended = match domain_first {
            true => put(1, addition("web1")),
            // The file was taken away.
            false => synced(&[]),
        };
        inventory.apply(mended);
        assert_eq!(resolve(&mut inventory).nics.len(), 1, "{case}: mended");
    }
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    inventory.apply(synced(&[]));
    inventory.apply(failed("web1"));
    let resolution = resolve(&mut inventory);
    assert_eq!(
        resolution.nics.len(),
        1,
        "a record that comes later takes nothing away"
    );
}

#[test]
fn a_source_that_is_away_or_late_keeps_its_guests_answered() {
    let why = || "connection refused".to_owned();
    for state in [State::Away { why: why() }, State::Late { why: why() }] {
        let mut inventory = inventory(Identity::Port);
        inventory.apply(put(0, domain("web1", 1)));
        let event = Event::State(state);
        inventory.apply(Change { source: 0, event });
        let resolution = resolve(&mut inventory);
        assert_eq!(resolution.nics.len(), 1);
        assert_eq!(
            resolution.snapshot.sources[0].away.as_deref(),
            Some("connection refused")
        );
        let event = Event::State(State::Connected);
        inventory.apply(Change { source: 0, event });
        assert_eq!(resolve(&mut inventory).snapshot.sources[0].away, None);
    }
}

#[test]
fn who_claims_a_nics_place_too_is_named() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    inventory.apply(put(0, domain("web2", 1)));
    let resolution = resolve(&mut inventory);
    assert!(resolution.nics.is_empty());
    let expected = [("web1", "web2"), ("web2", "web1")].map(|(name, rival)| {
        let problem = format!(
            "NIC {MAC} on vnet0 is not answered: `{rival}` claims the same MAC address there, and neither gets it"
        );
        (name.to_owned(), problem)
    });
    assert_eq!(resolution.snapshot.problems, expected);
}

#[test]
fn a_tap_that_comes_back_makes_its_source_look_again() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    resolve(&mut inventory);
    let gone = inventory.resolve(&Interfaces::default(), Duration::from_secs(1));
    assert!(gone.nics.is_empty() && gone.ask_again.is_empty());
    let back = resolve(&mut inventory);
    assert!(back.nics.is_empty(), "not before its source has named it");
    assert_eq!(back.ask_again, BTreeSet::from([0]));
    inventory.apply(put(0, domain("web1", 2)));
    let named = resolve(&mut inventory);
    assert_eq!(named.nics.len(), 1);
    assert!(named.ask_again.is_empty());
}

#[test]
fn answers_are_rendered_only_when_the_instance_changes() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, domain("web1", 1)));
    let answers = |inventory: &mut Inventory| {
        Arc::clone(&resolve(inventory).snapshot.instances["web1"].answers[0])
    };
    let first = answers(&mut inventory);
    inventory.apply(put(0, domain("web1", 2)));
    assert!(
        Arc::ptr_eq(&first, &answers(&mut inventory)),
        "read again, nothing new"
    );
    inventory.apply(put(1, addition("web1")));
    assert!(!Arc::ptr_eq(&first, &answers(&mut inventory)), "changed");
}

#[test]
fn of_two_with_one_uuid_only_the_first_is_answered_and_the_other_is_told_of() {
    let mut inventory = inventory(Identity::Port);
    let uuid = Some(uuid::Uuid::from_u128(7));
    let other = Nic {
        mac: Mac([0x52, 0x54, 0, 0, 0, 2]),
        ..nic(Some("vnet0"))
    };
    for (name, nic, running) in [
        ("alice", nic(Some("vnet0")), true),
        ("bob", other.clone(), true),
        ("absent", other, false),
    ] {
        let subject = Subject {
            uuid,
            running,
            nics: Some(vec![nic].into()),
            ..domain(name, 1)
        };
        inventory.apply(put(0, subject));
    }
    let snapshot = resolve(&mut inventory).snapshot;
    let seated = |name: &str| snapshot.instances[name].seats[0].is_some();
    assert_eq!(["absent", "alice", "bob"].map(seated), [false, true, false]);
    let told: Vec<&str> = snapshot
        .problems
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(told, ["bob"], "{:?}", snapshot.problems);
}
