//! Interfaces that went, and since when they are not to be believed in: what comes back under an old name, or under an
//! old index, may be another machine's.

use std::collections::BTreeMap;
use std::time::Duration;

/// Names that are remembered one by one; more than a host has taps.
const MAX: usize = 16_384;

/// When interfaces vanished. All times are of the clock that readings are stamped by.
#[derive(Debug, Default)]
pub(super) struct Vanished {
    by_name: BTreeMap<String, Duration>,
    /// Any interface may have vanished until then.
    doubt: Duration,
}

impl Vanished {
    /// The interface is gone, or is not the one that it was.
    pub(super) fn note(&mut self, interface: &str, now: Duration) {
        self.by_name.insert(interface.to_owned(), now);
        if self.by_name.len() <= MAX {
            return;
        }
        // The older half is remembered by its last: readings that are older than that are made again.
        let mut times: Vec<Duration> = self.by_name.values().copied().collect();
        times.sort_unstable();
        let middle = times.get(MAX / 2).copied().unwrap_or(now);
        self.by_name.retain(|_, at| *at > middle);
        self.doubt = self.doubt.max(middle);
    }

    /// Nobody knows which interfaces vanished until now.
    pub(super) fn doubt(&mut self, now: Duration) {
        self.doubt = self.doubt.max(now);
    }

    /// Whether a reading that began at this time speaks of the interface that is there now. One that was under way when the
    /// interface went may have found the one or the other.
    pub(super) fn believes(&self, interface: &str, reading: Duration) -> bool {
        let at = self.by_name.get(interface).copied().unwrap_or_default();
        reading > at.max(self.doubt)
    }

    /// Whether what was granted at this time was for an interface that has vanished since.
    pub(super) fn voids(&self, interface: &str, granted: Duration) -> bool {
        self.by_name.get(interface).is_some_and(|at| *at >= granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_reading_counts_only_if_it_began_after_the_interface_went() {
        let mut vanished = Vanished::default();
        vanished.note("vnet0", at(5));
        for (case, interface, reading, expected) in [
            ("before", "vnet0", 4, false),
            ("at that moment", "vnet0", 5, false),
            ("after", "vnet0", 6, true),
            ("another interface", "vnet1", 1, true),
        ] {
            let believed = vanished.believes(interface, at(reading));
            assert_eq!(believed, expected, "{case}");
        }
        vanished.doubt(at(7));
        assert!(!vanished.believes("vnet1", at(7)), "any may have gone");
        assert!(vanished.believes("vnet0", at(8)), "read since");
        assert!(vanished.voids("vnet0", at(5)) && !vanished.voids("vnet0", at(6)));
        assert!(!vanished.voids("vnet1", at(1)), "a doubt takes no seat");
    }

    #[test]
    fn names_without_end_cost_no_memory_and_are_not_believed_in_either() {
        let mut vanished = Vanished::default();
        for number in 0..3 * MAX {
            let now = Duration::from_secs(number.try_into().unwrap());
            vanished.note(&format!("tap{number}"), now);
            assert!(vanished.by_name.len() <= MAX);
        }
        for number in [0, MAX, 3 * MAX - 1] {
            let then = Duration::from_secs(number.try_into().unwrap());
            let name = format!("tap{number}");
            assert!(!vanished.believes(&name, then), "{name}");
        }
        assert!(vanished.believes("tap1", at(u64::MAX)));
    }
}
