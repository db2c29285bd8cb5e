//! Gives out slots and lets them rest: a connection that outlives its NIC must never speak for the next one.

use std::collections::VecDeque;
use std::time::Duration;

use metad_common::slot;

use super::Slot;

/// How long a slot rests: longer than TCP keeps a dead connection alive under Linux' defaults (two hours of
/// keep-alive, then eleven minutes of probes; tcp(7)).
pub(super) const REST: Duration = Duration::from_secs(3 * 60 * 60);

/// The slots that nobody has. Time is any clock that does not go backwards.
#[derive(Debug)]
pub(super) struct Slots {
    next: Slot,
    last: Slot,
    resting: VecDeque<(Slot, Duration)>,
}

impl Default for Slots {
    fn default() -> Self {
        Self::up_to(slot::MAX)
    }
}

impl Slots {
    /// Gives out 1 to `last`.
    pub(super) fn up_to(last: Slot) -> Self {
        Self {
            next: 1,
            last: last.min(slot::MAX),
            resting: VecDeque::new(),
        }
    }

    /// Goes on where an earlier daemon had come to: all below `next` were given out, and these rest.
    pub(super) fn resume(next: Slot, resting: impl IntoIterator<Item = (Slot, Duration)>) -> Self {
        Self {
            next: next.max(1),
            resting: resting.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The first that was never given out.
    pub(super) fn next(&self) -> Slot {
        self.next
    }

    /// Those that rest, and since when.
    pub(super) fn resting(&self) -> impl Iterator<Item = (Slot, Duration)> {
        self.resting.iter().copied()
    }

    /// Takes a slot that nobody had for at least [`REST`]; `None` when there is none. One that has rested comes before one
    /// that nobody ever had: so there are never more than were in use, or resting, at one time.
    pub(super) fn take(&mut self, now: Duration) -> Option<Slot> {
        let first = self.resting.front();
        if first.is_some_and(|(_, since)| now.saturating_sub(*since) >= REST) {
            return self.resting.pop_front().map(|(slot, _)| slot);
        }
        if self.next > self.last {
            return None;
        }
        let slot = self.next;
        self.next += 1;
        Some(slot)
    }

    /// Puts a slot to rest.
    pub(super) fn retire(&mut self, slot: Slot, now: Duration) {
        self.resting.push_back((slot, now));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_retired_slot_rests_before_it_is_given_again() {
        let mut slots = Slots::up_to(2);
        let start = Duration::from_secs(100);
        assert_eq!(slots.take(start), Some(1));
        slots.retire(1, start);
        assert_eq!(slots.take(start), Some(2), "a fresh one while it rests");
        assert_eq!(
            slots.take(start + REST - Duration::from_nanos(1)),
            None,
            "still resting"
        );
        assert_eq!(slots.take(start + REST), Some(1), "rested");
        assert_eq!(slots.take(start + REST * 2), None, "all taken");
    }

    /// One machine after another for a hundred rests: what is remembered does not grow with them.
    #[test]
    fn churn_takes_no_more_slots_than_rest_at_one_time() {
        let mut slots = Slots::default();
        let mut now = Duration::ZERO;
        for _ in 0..100 * 180 {
            let slot = slots.take(now).unwrap();
            now += REST / 180;
            slots.retire(slot, now);
        }
        // 180 begin to rest within one rest, and one is in use.
        assert!(slots.next() <= 183, "{}", slots.next());
        assert!(slots.resting().count() <= 182);
    }

    proptest! {
        /// Whatever is taken and retired when: two owners never have one slot within the rest.
        #[test]
        fn no_slot_has_two_owners_within_the_rest(
            steps in proptest::collection::vec((any::<bool>(), 0..4_u64), 1..200),
        ) {
            let mut slots = Slots::up_to(5);
            let mut now = Duration::ZERO;
            let mut held = Vec::new();
            let mut retired = BTreeMap::new();
            for (take, quarters) in steps {
                now += REST / 4 * u32::try_from(quarters).unwrap();
                if take {
                    let Some(slot) = slots.take(now) else { continue };
                    prop_assert!(!held.contains(&slot));
                    if let Some(since) = retired.get(&slot) {
                        prop_assert!(now - *since >= REST);
                    }
                    held.push(slot);
                } else if !held.is_empty() {
                    let slot = held.remove(0);
                    retired.insert(slot, now);
                    slots.retire(slot, now);
                }
            }
        }
    }
}
