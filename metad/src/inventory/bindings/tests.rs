//! Who gets which seat, now and from the next daemon.

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(machine: &str) -> NicName {
    NicName {
        machine: machine.into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
    }
}

fn claim(interface: &str, ifindex: Option<u32>, reading: u64) -> Claim {
    let owner = (uuid::Uuid::nil(), 0);
    Claim {
        interface: interface.into(),
        ifindex,
        reading: at(reading),
        owner,
    }
}

fn claims(entries: &[(&str, Claim)]) -> BTreeMap<NicName, Claim> {
    entries
        .iter()
        .map(|(machine, claim)| (name(machine), claim.clone()))
        .collect()
}

#[test]
fn a_recreated_tap_does_not_inherit_until_its_source_names_it_again() {
    let mut bindings = Bindings::default();
    let now = Duration::ZERO;
    bindings.update(&claims(&[("a", claim("vnet0", Some(7), 1))]), now);
    let first = bindings.get(&name("a")).cloned().unwrap();
    assert_eq!(first.ifindex, 7);

    bindings.update(&claims(&[("a", claim("vnet0", None, 1))]), at(2));
    assert_eq!(bindings.get(&name("a")), None, "the tap is gone");

    for (case, reading) in [
        ("nobody has named the new tap", 1),
        ("a reading was under way", 2),
    ] {
        let back = claims(&[("a", claim("vnet0", Some(9), reading))]);
        let refused = bindings.update(&back, at(3));
        assert_eq!(bindings.get(&name("a")), None, "{case}");
        assert_eq!(refused.unconfirmed, [name("a")], "{case}");
    }

    let refused = bindings.update(&claims(&[("a", claim("vnet0", Some(9), 3))]), at(4));
    let second = bindings.get(&name("a")).cloned().unwrap();
    assert_eq!(refused, Refused::default());
    assert_eq!(second.ifindex, 9);
    assert_ne!(second.slot, first.slot, "the old slot rests");
    assert_ne!(second.generation, first.generation);
}

#[test]
fn a_tap_that_changes_under_its_name_in_one_step_is_lost_too() {
    let mut bindings = Bindings::default();
    bindings.update(
        &claims(&[("a", claim("vnet0", Some(7), 1))]),
        Duration::ZERO,
    );
    let refused = bindings.update(&claims(&[("a", claim("vnet0", Some(9), 1))]), at(2));
    assert_eq!(refused.unconfirmed, [name("a")]);
    assert_eq!(bindings.get(&name("a")), None);
}

#[test]
fn an_interface_that_never_was_there_is_taken_when_it_appears() {
    let mut bindings = Bindings::default();
    bindings.update(&claims(&[("a", claim("vnet0", None, 1))]), Duration::ZERO);
    bindings.update(
        &claims(&[("a", claim("vnet0", Some(3), 1))]),
        Duration::ZERO,
    );
    assert!(bindings.get(&name("a")).is_some());
}

#[test]
fn two_claims_to_one_place_get_nothing() {
    let mut bindings = Bindings::default();
    bindings.update(
        &claims(&[("a", claim("vnet0", Some(7), 1))]),
        Duration::ZERO,
    );
    let both = claims(&[
        ("a", claim("vnet0", Some(7), 1)),
        ("b", claim("vnet0", Some(7), 1)),
    ]);
    let refused = bindings.update(&both, Duration::ZERO);
    assert_eq!(refused.contested, [name("a"), name("b")]);
    assert_eq!(bindings.get(&name("a")), None);
    assert_eq!(bindings.get(&name("b")), None);
}

#[test]
fn another_machine_under_the_same_name_is_another_owner() {
    let mut bindings = Bindings::default();
    bindings.update(
        &claims(&[("a", claim("vnet0", Some(7), 1))]),
        Duration::ZERO,
    );
    let before = bindings.get(&name("a")).cloned().unwrap();
    let mut reborn = claim("vnet0", Some(7), 2);
    reborn.owner = (uuid::Uuid::max(), 1);
    bindings.update(&claims(&[("a", reborn)]), Duration::ZERO);
    let after = bindings.get(&name("a")).cloned().unwrap();
    assert_ne!(
        (before.slot, before.generation),
        (after.slot, after.generation)
    );
}

/// What the next daemon knows, once what is known was written down and read again.
fn next_daemon(bindings: &Bindings) -> Bindings {
    Bindings::resume(Ledger::read(&bindings.ledger().text()).unwrap(), at(60))
}

#[test]
fn the_next_daemon_gives_each_nic_the_slot_that_it_had() {
    let now = Duration::from_secs(60);
    let both = claims(&[
        ("a", claim("vnet0", Some(7), 1)),
        ("b", claim("vnet1", Some(8), 1)),
    ]);
    let mut first = Bindings::default();
    first.update(&both, now);
    let mut second = next_daemon(&first);
    assert_eq!(second.undecided(), BTreeSet::from([1, 2]));
    // Its sources are heard one after the other.
    second.update(&claims(&[("b", claim("vnet1", Some(8), 5))]), now);
    assert_eq!(second.get(&name("b")), first.get(&name("b")));
    assert_eq!(second.undecided(), BTreeSet::from([1]));
    second.update(&both, now);
    assert_eq!(second.get(&name("a")), first.get(&name("a")));
    assert_eq!(second.undecided(), BTreeSet::new());
    assert_eq!(second.ledger(), first.ledger());
}

#[test]
fn no_other_claim_gets_a_slot_that_an_earlier_daemon_gave_out() {
    let now = Duration::from_secs(60);
    let mut first = Bindings::default();
    first.update(&claims(&[("a", claim("vnet0", Some(7), 1))]), now);
    let other_owner = Claim {
        owner: (uuid::Uuid::max(), 0),
        ..claim("vnet0", Some(7), 1)
    };
    for (case, machine, theirs) in [
        ("another interface", "a", claim("vnet1", Some(7), 1)),
        ("another index", "a", claim("vnet0", Some(9), 1)),
        ("another owner", "a", other_owner),
        ("another machine", "b", claim("vnet0", Some(7), 1)),
    ] {
        let mut second = next_daemon(&first);
        second.update(&claims(&[(machine, theirs)]), now);
        assert_eq!(second.get(&name(machine)).unwrap().slot, 2, "{case}");
        second.decide(now);
        let mut third = next_daemon(&second);
        assert_eq!(third.undecided(), BTreeSet::from([2]), "{case}");
        assert_eq!(third.ledger().resting, [(1, 60)], "{case}: it rests");
        third.decide(now);
        third.update(&claims(&[("c", claim("vnet9", Some(10), 1))]), now);
        assert_eq!(third.get(&name("c")).unwrap().slot, 3, "{case}");
    }
}

/// As it is where events were lost: the tap that is there now has the name and the index of the one before.
#[test]
fn a_tap_made_anew_under_its_old_index_gets_another_slot_once_it_is_named() {
    let mut bindings = Bindings::default();
    let same = |reading| claims(&[("a", claim("vnet0", Some(7), reading))]);
    bindings.update(&same(1), at(1));
    let first = bindings.get(&name("a")).cloned().unwrap();
    bindings.update(&same(1), at(2));
    assert_eq!(bindings.get(&name("a")), Some(&first), "nothing happened");
    bindings.vanish("vnet0", at(3));
    let refused = bindings.update(&same(1), at(3));
    assert_eq!(refused.unconfirmed, [name("a")]);
    assert_eq!(bindings.get(&name("a")), None);
    bindings.update(&same(4), at(4));
    let second = bindings.get(&name("a")).cloned().unwrap();
    assert_ne!(second.slot, first.slot);
    assert_ne!(second.generation, first.generation);
    bindings.update(&same(4), at(5));
    assert_eq!(bindings.get(&name("a")), Some(&second), "once is enough");
}

#[test]
fn what_vanished_while_another_daemon_wrote_is_not_believed_in_afterwards() {
    let mut elder = Bindings::default();
    let tap = |reading| claims(&[("a", claim("vnet0", Some(7), reading))]);
    elder.update(&tap(1), at(1));
    for (case, vanished, reading, expected) in [
        ("nothing went", None, 2, Some(1)),
        ("before it was read", Some(2), 3, Some(2)),
        ("after it was read", Some(3), 2, None),
        ("while it was read", Some(2), 2, None),
    ] {
        let mut heir = Bindings::default();
        if let Some(vanished) = vanished {
            heir.vanish("vnet0", at(vanished));
        }
        heir.go_on(Ledger::read(&elder.ledger().text()).unwrap(), at(4));
        heir.update(&tap(reading), at(4));
        let slot = heir.get(&name("a")).map(|binding| binding.slot);
        assert_eq!(slot, expected, "{case}");
    }
}

#[test]
fn a_doubt_takes_no_seat_and_gives_none_by_what_was_read_before() {
    let mut bindings = Bindings::default();
    let known = |reading| ("a", claim("vnet0", Some(7), reading));
    let mut late = claim("vnet1", Some(8), 1);
    bindings.update(&claims(&[known(1)]), at(1));
    bindings.doubt(at(2));
    let refused = bindings.update(&claims(&[known(1), ("b", late.clone())]), at(3));
    assert!(bindings.get(&name("a")).is_some());
    assert_eq!(refused.unconfirmed, [name("b")]);
    late.reading = at(3);
    bindings.update(&claims(&[known(1), ("b", late)]), at(4));
    assert!(bindings.get(&name("b")).is_some());
}
