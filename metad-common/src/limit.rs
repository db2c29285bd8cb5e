//! How often something may happen: a bucket of tokens that fills at a steady rate, kept as one number.
//!
//! The number is the time at which the bucket is full again (the generic cell rate algorithm of ITU-T I.371, in which
//! a token is a span of time): nothing has to be filled up, nothing is divided, and a bucket that nobody remembers is
//! a full one. So whoever takes a slot over starts with a full bucket once the last owner's has filled, and
//! [`FULL_WITHIN_SECONDS`] is less than slots rest.

/// A bucket is full again within this time, whatever its limit.
pub const FULL_WITHIN_SECONDS: u64 = 3_600;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// How fast a bucket fills and how much it holds, both as times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Nanoseconds in which one token comes; 0: no limit at all.
    pub interval_ns: u64,
    /// Nanoseconds in which an empty bucket is full.
    pub capacity_ns: u64,
}

/// How a bucket changes when a token is taken out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was full: the new number.
    Set(u64),
    /// It was not: what is added to the number, so that two that add at the same time both count.
    Add(u64),
}

impl Limit {
    /// Whatever happens may happen.
    pub const OFF: Self = Self {
        interval_ns: 0,
        capacity_ns: 0,
    };

    /// Allows `per_second` a second on average, and `burst` at once.
    ///
    /// Neither is less than one, and a burst for which the bucket would fill for longer than [`FULL_WITHIN_SECONDS`] is
    /// cut to that.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        let burst = if burst == 0 { 1 } else { burst };
        // Both factors are 32 bits wide at most.
        let interval_ns = NS_PER_SECOND.div_ceil(per_second as u64);
        let capacity_ns = interval_ns * burst as u64;
        let longest_ns = FULL_WITHIN_SECONDS * NS_PER_SECOND;
        Self {
            interval_ns,
            capacity_ns: if capacity_ns > longest_ns {
                longest_ns
            } else {
                capacity_ns
            },
        }
    }

    /// Whether there is no limit, and no bucket to look at.
    #[inline(always)]
    pub const fn is_off(self) -> bool {
        self.interval_ns == 0
    }

    /// Takes a token out of a bucket that will be full at `full_at`; `None`: there is none. Both times are of one clock
    /// that does not go back, in nanoseconds; that of another CPU may lag a little.
    #[inline(always)]
    pub const fn take(self, full_at: u64, now: u64) -> Option<Taken> {
        let missing = full_at.wrapping_sub(now);
        // What lies behind looks like half of all time ahead.
        if missing == 0 || missing > i64::MAX as u64 {
            return Some(Taken::Set(self.first(now)));
        }
        if missing.wrapping_add(self.interval_ns) > self.capacity_ns {
            return None;
        }
        Some(Taken::Add(self.interval_ns))
    }

    /// The number of a bucket that owes more than this limit ever lets it: it did so under another one, and is an empty
    /// bucket under this. `None`: it stays as it is.
    pub const fn settle(self, full_at: u64, now: u64) -> Option<u64> {
        let missing = full_at.wrapping_sub(now);
        // As in `take`.
        if missing > i64::MAX as u64 || missing <= self.capacity_ns {
            return None;
        }
        Some(now.wrapping_add(self.capacity_ns))
    }

    /// The number of a bucket that was full until `now`, when a token was taken out of it.
    #[inline(always)]
    pub const fn first(self, now: u64) -> u64 {
        now.wrapping_add(self.interval_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes a token, if there is one.
    fn take(limit: Limit, full_at: &mut u64, now: u64) -> bool {
        match limit.take(*full_at, now) {
            Some(Taken::Set(number)) => *full_at = number,
            Some(Taken::Add(number)) => *full_at = full_at.wrapping_add(number),
            None => return false,
        }
        true
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let limit = Limit::new(200, 600);
        let (mut full_at, start) = (0, 77_000_000_000);
        let at_once = (0..1_000).filter(|_| take(limit, &mut full_at, start));
        assert_eq!(at_once.count(), 600, "at once");
        for (case, milliseconds, expected) in [
            ("before the next token", 4, 0),
            ("one token", 5, 1),
            ("none is left", 5, 0),
            ("a second later", 1_005, 200),
            ("full, and no fuller", 3_600_000, 600),
        ] {
            let now = start + milliseconds * 1_000_000;
            let taken = (0..1_000).filter(|_| take(limit, &mut full_at, now));
            assert_eq!(taken.count(), expected, "{case}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_the_nearest_that_do() {
        for (case, per_second, burst, expected) in [
            ("as given", 200, 600, (5_000_000, 3_000_000_000)),
            ("never", 0, 0, (1_000_000_000, 1_000_000_000)),
            ("the fastest", u32::MAX, 1, (1, 1)),
            (
                "a burst of days",
                1,
                u32::MAX,
                (1_000_000_000, 3_600_000_000_000),
            ),
        ] {
            let limit = Limit::new(per_second, burst);
            assert_eq!((limit.interval_ns, limit.capacity_ns), expected, "{case}");
            assert!(!limit.is_off(), "{case}");
        }
        assert!(Limit::OFF.is_off());
    }

    /// Two CPUs that read one bucket both add: one too many is let through, and paid for.
    #[test]
    fn what_two_take_at_once_is_paid_for() {
        let limit = Limit::new(1, 2);
        let now = 5;
        let full_at = limit.first(now);
        let both = [limit.take(full_at, now), limit.take(full_at, now)];
        assert_eq!(both, [Some(Taken::Add(limit.interval_ns)); 2]);
        let after = full_at + 2 * limit.interval_ns;
        for (case, seconds, expected) in [("in debt", 1, false), ("paid", 2, true)] {
            let later = now + seconds * limit.interval_ns;
            assert_eq!(limit.take(after, later).is_some(), expected, "{case}");
        }
    }

    #[test]
    fn what_is_owed_under_another_limit_is_cut_to_this_one() {
        let limit = Limit::new(1_000, 1_000);
        for now in [77_000_000_000, u64::MAX - 5] {
            for (case, owed, expected) in [
                (
                    "a minute, from a slower one",
                    60_000_000_000,
                    Some(1_000_000_000),
                ),
                ("a little more", 1_000_000_001, Some(1_000_000_000)),
                ("all that is allowed", 1_000_000_000, None),
                ("nothing", 0, None),
                ("full long ago", u64::MAX - 3_000_000_000, None),
            ] {
                let settled = limit.settle(now.wrapping_add(owed), now);
                let expected = expected.map(|owed: u64| now.wrapping_add(owed));
                assert_eq!(settled, expected, "{case} at {now}");
                let mut full_at = settled.unwrap_or(now.wrapping_add(owed));
                let soon = now.wrapping_add(limit.interval_ns);
                assert!(
                    take(limit, &mut full_at, soon),
                    "{case}: a token comes in time"
                );
            }
        }
    }

    /// Any limit that the configuration takes, any start of the clock (the end of its range too), any waits.
    fn histories() -> impl Strategy<Value = (Limit, u64, Vec<u64>)> {
        let limit = (1..=1_000_000_u32, 1..=1_000_000_u32);
        let limit = limit.prop_map(|(per_second, burst)| Limit::new(per_second, burst));
        let start = prop_oneof![any::<u64>(), u64::MAX - 1_000_000..=u64::MAX];
        let wait = prop_oneof![
            4 => Just(0_u64),
            2 => 0..2_000_000_u64,
            1 => 0..5_000_000_000_u64,
        ];
        (limit, start, proptest::collection::vec(wait, 1..400))
    }

    proptest! {
        /// Counted with numbers wide enough to need no trick: tokens that came until then, cut to what the bucket holds.
        #[test]
        fn a_bucket_gives_what_a_counted_one_gives((limit, start, waits) in histories()) {
            let (interval, capacity) = (u128::from(limit.interval_ns), u128::from(limit.capacity_ns));
            let (mut full_at, mut now) = (start, start);
            let mut level = capacity;
            for wait in waits {
                now = now.wrapping_add(wait);
                level = (level + u128::from(wait)).min(capacity);
                let allowed = level >= interval;
                if allowed {
                    level -= interval;
                }
                prop_assert_eq!(take(limit, &mut full_at, now), allowed);
            }
        }

        /// No span of time sees more than the burst and what came in it.
        #[test]
        fn no_span_sees_more_than_its_due((limit, start, waits) in histories()) {
            let (mut full_at, mut now, mut taken) = (start, start, 0_u128);
            let mut passed = 0_u128;
            for wait in waits {
                now = now.wrapping_add(wait);
                passed += u128::from(wait);
                taken += u128::from(take(limit, &mut full_at, now));
                let due = (passed + u128::from(limit.capacity_ns)) / u128::from(limit.interval_ns);
                prop_assert!(taken <= due, "{} of {}", taken, due);
            }
        }

        /// Whatever stands in the map, a bucket is full again in time.
        #[test]
        fn every_bucket_that_is_left_alone_is_full_in_time(
            (limit, start, waits) in histories(),
        ) {
            let (mut full_at, mut now) = (start, start);
            for wait in waits {
                now = now.wrapping_add(wait);
                take(limit, &mut full_at, now);
            }
            let rested = now.wrapping_add(FULL_WITHIN_SECONDS * NS_PER_SECOND);
            prop_assert_eq!(limit.take(full_at, rested), Some(Taken::Set(limit.first(rested))));
        }
    }
}
