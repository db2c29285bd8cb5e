//! Which NIC sits on which interface, under which slot. A tap that comes back is not believed in until its source
//! has named it again: another machine may have taken the name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Slot;
use super::slots::Slots;
use crate::instance::Mac;

/// A NIC wherever it sits: the machine's name, its index there, its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NicName {
    pub(super) machine: String,
    pub(super) mac: Mac,
}

/// A NIC's claim to an interface, from the latest reading of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) interface: String,
    /// The interface that frames of this name arrive on now; `None` while there is none.
    pub(super) ifindex: Option<u32>,
    pub(super) reading: u64,
    /// Tells apart two machines under one name.
    pub(super) owner: (uuid::Uuid, u64),
}

/// A claim that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) slot: Slot,
    pub(super) generation: u64,
    pub(super) ifindex: u32,
    pub(super) interface: String,
    owner: (uuid::Uuid, u64),
}

/// What became of the claims.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    bound: BTreeMap<NicName, Binding>,
    /// Claims whose interface vanished, and the reading that had made them.
    lost: BTreeMap<NicName, (String, u64)>,
    slots: Slots,
    generation: u64,
}

/// What [`Bindings::update`] could not grant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// The interface is there again, but its source has not said so since it vanished.
    pub(super) unconfirmed: Vec<NicName>,
    /// No slot is left.
    pub(super) without_slot: Vec<NicName>,
    /// Two NICs claim one place; neither gets it.
    pub(super) contested: Vec<NicName>,
}

impl Bindings {
    pub(super) fn get(&self, name: &NicName) -> Option<&Binding> {
        self.bound.get(name)
    }

    /// Makes the bindings follow `claims`. Nothing that is not claimed stays bound.
    pub(super) fn update(&mut self, claims: &BTreeMap<NicName, Claim>, now: Duration) -> Refused {
        let mut refused = Refused {
            contested: contested(claims),
            ..Refused::default()
        };
        self.release(claims, &refused.contested, now);
        self.lost.retain(|name, _| claims.contains_key(name));
        for (name, claim) in claims {
            let Some(ifindex) = claim.ifindex else {
                continue;
            };
            if self.bound.contains_key(name) || refused.contested.contains(name) {
                continue;
            }
            if let Some((interface, reading)) = self.lost.get(name)
                && *interface == claim.interface
                && claim.reading <= *reading
            {
                refused.unconfirmed.push(name.clone());
                continue;
            }
            let Some(slot) = self.slots.take(now) else {
                refused.without_slot.push(name.clone());
                continue;
            };
            self.lost.remove(name);
            self.generation += 1;
            let binding = Binding {
                slot,
                generation: self.generation,
                ifindex,
                interface: claim.interface.clone(),
                owner: claim.owner,
            };
            self.bound.insert(name.clone(), binding);
        }
        refused
    }

    /// Forgets before anything is learnt: a NIC that moved never has two places, even for one frame.
    fn release(&mut self, claims: &BTreeMap<NicName, Claim>, contested: &[NicName], now: Duration) {
        let (slots, lost) = (&mut self.slots, &mut self.lost);
        self.bound.retain(|name, binding| {
            let claim = claims.get(name);
            let holds = claim.is_some_and(|claim| {
                claim.interface == binding.interface
                    && claim.ifindex == Some(binding.ifindex)
                    && claim.owner == binding.owner
            });
            if holds && !contested.contains(name) {
                return true;
            }
            if let Some(claim) = claim
                && claim.interface == binding.interface
                && claim.owner == binding.owner
            {
                lost.insert(name.clone(), (binding.interface.clone(), claim.reading));
            }
            slots.retire(binding.slot, now);
            false
        });
    }
}

/// NICs that claim what another one claims too.
fn contested(claims: &BTreeMap<NicName, Claim>) -> Vec<NicName> {
    let mut by_place: BTreeMap<(u32, Mac), Vec<&NicName>> = BTreeMap::new();
    for (name, claim) in claims {
        if let Some(ifindex) = claim.ifindex {
            by_place.entry((ifindex, name.mac)).or_default().push(name);
        }
    }
    by_place
        .into_values()
        .filter(|names| names.len() > 1)
        .flatten()
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(machine: &str) -> NicName {
        NicName {
            machine: machine.to_owned(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
        }
    }

    fn claim(interface: &str, ifindex: Option<u32>, reading: u64) -> Claim {
        let owner = (uuid::Uuid::nil(), 0);
        Claim {
            interface: interface.to_owned(),
            ifindex,
            reading,
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

        bindings.update(&claims(&[("a", claim("vnet0", None, 1))]), now);
        assert_eq!(bindings.get(&name("a")), None, "the tap is gone");

        let back = claims(&[("a", claim("vnet0", Some(9), 1))]);
        let refused = bindings.update(&back, now);
        assert_eq!(
            bindings.get(&name("a")),
            None,
            "nobody has named the new tap"
        );
        assert_eq!(refused.unconfirmed, [name("a")]);

        let refused = bindings.update(&claims(&[("a", claim("vnet0", Some(9), 2))]), now);
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
        let refused = bindings.update(
            &claims(&[("a", claim("vnet0", Some(9), 1))]),
            Duration::ZERO,
        );
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
}
