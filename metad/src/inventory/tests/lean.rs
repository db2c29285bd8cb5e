//! What is left out where nothing has changed, and what is waited for.

use super::*;

#[test]
fn who_was_named_and_has_no_place_is_expected() {
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
    assert!(!inventory.expects(MAC), "it has a place");
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
