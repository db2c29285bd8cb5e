//! A ledger of slots: from octets to who has which.
//!
//! One that is taken can be gone on with: nobody gets a slot that rests or is another's, and what is written next is a
//! ledger again.

use std::collections::BTreeSet;
use std::time::Duration;

use metad::inventory::Ledger;

use crate::world::{self, OPEN};

/// A day after the host was started.
const NOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads it as the next daemon would.
pub fn replay(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let Ok(ledger) = Ledger::read(text) else {
        return;
    };
    let mut inventory = world::two_machines(OPEN);
    inventory.resume(ledger, NOW);
    for _ in 0..2 {
        let resolution = inventory.resolve(&world::interfaces(), NOW);
        let given: BTreeSet<u32> = resolution.nics.values().map(|nic| nic.slot).collect();
        assert_eq!(given.len(), resolution.nics.len(), "a slot has two NICs");
        assert!(given.is_disjoint(&resolution.undecided), "another's slot");
        let text = inventory.ledger().text();
        let again = Ledger::read(&text).expect("what is written cannot be read");
        assert_eq!(again, inventory.ledger());
        inventory.decide(NOW);
    }
}
