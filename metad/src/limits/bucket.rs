//! A rate that is kept without a lock, as the time at which all that was used is there again (the generic cell rate
//! algorithm, as ITU-T I.371 has it for virtual scheduling).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Rate;

const SECOND: u64 = 1_000_000_000;

/// So many at once, and then so many a second. New ones are full.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When it is full again, in nanoseconds.
    full: AtomicU64,
}

/// There is nothing left for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Bucket {
    /// Takes one at `now`, by any clock that does not go backwards, and says how long to wait for it: `patience` at most.
    ///
    /// # Errors
    /// It would take longer than that. Nothing is taken then.
    pub fn take(&self, rate: Rate, now: Duration, patience: Duration) -> Result<Duration, TooMany> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = nanoseconds(now);
        // Rounded up: never faster than the rate.
        let each = SECOND.div_ceil(u64::from(rate.per_second.max(1)));
        let at_once = now.saturating_add(each.saturating_mul(u64::from(rate.burst.max(1))));
        let latest = at_once.saturating_add(nanoseconds(patience));
        let order = Ordering::Relaxed;
        let taken = self.full.try_update(order, order, |full| {
            let full = full.max(now).checked_add(each)?;
            (full <= latest).then_some(full)
        });
        let before = taken.map_err(|_full| TooMany)?;
        let full = before.max(now).saturating_add(each);
        Ok(Duration::from_nanos(full.saturating_sub(at_once)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second, burst }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let bucket = Bucket::default();
        let rate = rate(10, 3);
        let ms = |ms| NOW + Duration::from_millis(ms);
        let none = Duration::ZERO;
        for (case, at, expected) in [
            ("first of the burst", 0, Ok(none)),
            ("second", 0, Ok(none)),
            ("third", 0, Ok(none)),
            ("one too many", 0, Err(TooMany)),
            ("just before the next", 99, Err(TooMany)),
            ("the next", 100, Ok(none)),
            ("and no other", 100, Err(TooMany)),
            ("after a rest, the burst", 10_000, Ok(none)),
            ("again", 10_000, Ok(none)),
            ("and again", 10_000, Ok(none)),
            ("but not more", 10_000, Err(TooMany)),
        ] {
            assert_eq!(bucket.take(rate, ms(at), none), expected, "{case}");
        }
    }

    #[test]
    fn who_is_patient_is_told_how_long() {
        let bucket = Bucket::default();
        let patience = Duration::from_millis(250);
        let waits: Vec<_> = (0..5)
            .map(|_| bucket.take(rate(10, 1), NOW, patience))
            .collect();
        let ms = Duration::from_millis;
        assert_eq!(
            waits,
            [
                Ok(ms(0)),
                Ok(ms(100)),
                Ok(ms(200)),
                Err(TooMany),
                Err(TooMany)
            ]
        );
    }

    #[test]
    fn threads_never_take_more_than_is_there() {
        let bucket = Bucket::default();
        let taken: usize = std::thread::scope(|scope| {
            let take = || {
                let tries = (0..10_000).map(|_| bucket.take(rate(1, 1_000), NOW, Duration::ZERO));
                tries.filter(Result::is_ok).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    proptest! {
        #[test]
        fn in_no_span_of_time_are_more_let_through(
            per_second in 1..5_000_u32,
            burst in 1..50_u32,
            gaps in prop::collection::vec(0..30_000_u64, 1..300),
        ) {
            let bucket = Bucket::default();
            let mut now = NOW;
            let mut passed = Vec::new();
            for gap in gaps {
                now += Duration::from_micros(gap);
                if bucket.take(rate(per_second, burst), now, Duration::ZERO).is_ok() {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (count, to) in passed.iter().skip(first).enumerate() {
                    let span = (*to - *from).as_secs_f64();
                    let most = f64::from(burst) + span * f64::from(per_second) + 1e-6;
                    prop_assert!((count + 1) as f64 <= most + 1.0, "{} in {span} s", count + 1);
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused(
            per_second in 1..5_000_u32,
            burst in 1..50_u32,
            count in 1..300_u32,
        ) {
            let bucket = Bucket::default();
            let each = Duration::from_nanos(SECOND.div_ceil(per_second.into()));
            for place in 0..count {
                let taken = bucket.take(rate(per_second, burst), NOW + each * place, Duration::ZERO);
                prop_assert_eq!(taken, Ok(Duration::ZERO));
            }
        }

        #[test]
        fn no_number_panics_and_no_wait_is_longer_than_patience(
            full: u64,
            now: u64,
            per_second: u32,
            burst: u32,
            patience: u64,
        ) {
            let bucket = Bucket { full: full.into() };
            let patience = Duration::from_nanos(patience);
            let taken = bucket.take(rate(per_second, burst), Duration::from_nanos(now), patience);
            prop_assert!(taken.is_err() || taken.unwrap() <= patience);
        }
    }
}
