//! Which NIC sits on which interface, under which slot. A tap that comes back is not believed in until its source
//! has named it again: another machine may have taken the name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Slot;
use super::ledger::{Entry, Ledger};
use super::slots::Slots;
use super::vanished::Vanished;
use crate::instance::Mac;

/// A NIC wherever it sits: the machine's name, its index there, its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NicName {
    pub(super) machine: Arc<str>,
    pub(super) mac: Mac,
}

/// A NIC's claim to an interface, from the latest reading of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) interface: Arc<str>,
    /// The interface that frames of this name arrive on now; `None` while there is none.
    pub(super) ifindex: Option<u32>,
    /// When the reading began that says so.
    pub(super) reading: Duration,
    /// Tells apart two machines under one name.
    pub(super) owner: (uuid::Uuid, u64),
}

/// A claim that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) slot: Slot,
    pub(super) generation: u64,
    pub(super) ifindex: u32,
    pub(super) interface: Arc<str>,
    owner: (uuid::Uuid, u64),
    /// When it was granted; an interface that vanished later takes it along.
    granted: Duration,
}

/// What became of the claims.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    bound: BTreeMap<NicName, Binding>,
    vanished: Vanished,
    /// What an earlier daemon granted, and nobody has claimed since.
    remembered: BTreeMap<NicName, Binding>,
    slots: Slots,
    generation: u64,
    /// Raised with every change to what the next daemon must know.
    revision: u64,
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

    fn resume(ledger: Ledger, now: Duration) -> Self {
        let slots = Slots::resume(ledger.next, ledger.resting(now));
        let remembered = ledger.seats.into_iter().map(|entry| {
            let name = NicName {
                machine: entry.machine.into(),
                mac: entry.mac,
            };
            let binding = Binding {
                slot: entry.slot,
                generation: entry.generation,
                ifindex: entry.ifindex,
                interface: entry.interface.into(),
                owner: (entry.uuid, entry.epoch),
                granted: Duration::from_nanos(entry.granted).min(now),
            };
            (name, binding)
        });
        Self {
            remembered: remembered.collect(),
            slots,
            generation: ledger.generation,
            ..Self::default()
        }
    }

    /// Goes on where an earlier daemon had come to: who claims what it had granted gets the same slot again, in the same
    /// generation. An interface that went meanwhile is not believed in for that.
    pub(super) fn go_on(&mut self, ledger: Ledger, now: Duration) {
        let vanished = std::mem::take(&mut self.vanished);
        *self = Self {
            vanished,
            revision: self.revision + 1,
            ..Self::resume(ledger, now)
        };
    }

    /// The interface of this name is gone, or another is there in its place: whoever sat on it must be named again.
    pub(super) fn vanish(&mut self, interface: &str, now: Duration) {
        self.vanished.note(interface, now);
    }

    /// Any interface may have been replaced until now: nobody new is seated by what was read before. Who has a seat keeps it.
    pub(super) fn doubt(&mut self, now: Duration) {
        self.vanished.doubt(now);
    }

    /// What the next daemon must know.
    pub(super) fn ledger(&self) -> Ledger {
        let seats = self.bound.iter().chain(&self.remembered);
        let entry = |(name, binding): (&NicName, &Binding)| Entry {
            slot: binding.slot,
            generation: binding.generation,
            machine: name.machine.to_string(),
            mac: name.mac,
            interface: binding.interface.to_string(),
            ifindex: binding.ifindex,
            uuid: binding.owner.0,
            epoch: binding.owner.1,
            granted: binding.granted.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        let resting = self.slots.resting();
        Ledger {
            next: self.slots.next(),
            generation: self.generation,
            resting: resting
                .map(|(slot, since)| (slot, whole_seconds(since)))
                .collect(),
            seats: seats.map(entry).collect(),
            ..Ledger::default()
        }
    }

    pub(super) fn compact(&mut self) {
        self.bound = std::mem::take(&mut self.bound).into_iter().collect();
    }

    /// Another number whenever [`Bindings::ledger`] says something else than before.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The slots that an earlier daemon gave out, and nobody has claimed since.
    pub(super) fn undecided(&self) -> BTreeSet<Slot> {
        let remembered = self.remembered.values();
        remembered.map(|binding| binding.slot).collect()
    }

    /// Nobody else will claim what an earlier daemon granted.
    pub(super) fn decide(&mut self, now: Duration) {
        self.revision += 1;
        for binding in std::mem::take(&mut self.remembered).into_values() {
            self.slots.retire(binding.slot, now);
        }
    }

    /// Makes the bindings follow `claims`. Nothing that is not claimed stays bound.
    pub(super) fn update(&mut self, claims: &BTreeMap<NicName, Claim>, now: Duration) -> Refused {
        let mut refused = Refused {
            contested: contested(claims),
            ..Refused::default()
        };
        self.release(claims, &refused.contested, now);
        for (name, claim) in claims {
            let Some(ifindex) = claim.ifindex else {
                continue;
            };
            if self.bound.contains_key(name) || refused.contested.contains(name) {
                continue;
            }
            if !self.vanished.believes(&claim.interface, claim.reading) {
                refused.unconfirmed.push(name.clone());
                continue;
            }
            let Some(binding) = self.grant(name, claim, ifindex, now) else {
                refused.without_slot.push(name.clone());
                continue;
            };
            self.bound.insert(name.clone(), binding);
        }
        refused
    }

    /// What an earlier daemon granted to the same claim, or a slot that nobody has.
    fn grant(
        &mut self,
        name: &NicName,
        claim: &Claim,
        ifindex: u32,
        now: Duration,
    ) -> Option<Binding> {
        self.revision += 1;
        if let Some(granted) = self.remembered.remove(name) {
            if granted.ifindex == ifindex
                && granted.interface == claim.interface
                && granted.owner == claim.owner
                && !self.vanished.voids(&granted.interface, granted.granted)
            {
                return Some(granted);
            }
            self.slots.retire(granted.slot, now);
        }
        let slot = self.slots.take(now)?;
        self.generation += 1;
        Some(Binding {
            slot,
            generation: self.generation,
            ifindex,
            interface: Arc::clone(&claim.interface),
            owner: claim.owner,
            granted: now,
        })
    }

    /// Forgets before anything is learnt: a NIC that moved never has two places, even for one frame.
    fn release(&mut self, claims: &BTreeMap<NicName, Claim>, contested: &[NicName], now: Duration) {
        let (slots, vanished) = (&mut self.slots, &mut self.vanished);
        let revision = &mut self.revision;
        self.bound.retain(|name, binding| {
            let claim = claims.get(name);
            let holds = claim.is_some_and(|claim| {
                claim.interface == binding.interface
                    && claim.ifindex == Some(binding.ifindex)
                    && claim.owner == binding.owner
                    && !vanished.voids(&binding.interface, binding.granted)
            });
            if holds && !contested.contains(name) {
                return true;
            }
            if let Some(claim) = claim
                && claim.interface == binding.interface
                && (claim.ifindex != Some(binding.ifindex) || contested.contains(name))
            {
                vanished.note(&binding.interface, now);
            }
            *revision += 1;
            slots.retire(binding.slot, now);
            false
        });
    }
}

/// Rounds up: a slot rests a little longer rather than shorter.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
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
mod tests;
