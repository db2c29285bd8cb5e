//! What one guest may use of what all share: how often it may ask, and how often it was refused something.
//!
//! In: what the administrator allows, and the moments at which guests ask. Out: whether a request is answered now, later
//! or not at all, and counts. No lock and no table: what belongs to an instance hangs on its seats, and is given up with
//! them.

mod bucket;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use once_cell::race::OnceBox;

use crate::config;

pub use bucket::{Bucket, TooMany};

/// A limit that can be met, each with a counter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Requests,
    RequestsDelayed,
    OpenConnections,
    AllConnections,
    ServedConnections,
    Waiters,
    HeadSize,
    HeadTime,
    BodySize,
    BodyTime,
    ConnectionTime,
    Signatures,
}

impl Limit {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Requests,
        Self::RequestsDelayed,
        Self::OpenConnections,
        Self::AllConnections,
        Self::ServedConnections,
        Self::Waiters,
        Self::HeadSize,
        Self::HeadTime,
        Self::BodySize,
        Self::BodyTime,
        Self::ConnectionTime,
        Self::Signatures,
    ];

    /// What its counter is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::RequestsDelayed => "requests-delayed",
            Self::OpenConnections => "open-connections",
            Self::AllConnections => "all-connections",
            Self::ServedConnections => "served-connections",
            Self::Waiters => "waiters",
            Self::HeadSize => "head-size",
            Self::HeadTime => "head-time",
            Self::BodySize => "body-size",
            Self::BodyTime => "body-time",
            Self::ConnectionTime => "connection-time",
            Self::Signatures => "signatures",
        }
    }

    /// What happened to the guest.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Requests => "A request beyond the rate was answered with 503.",
            Self::RequestsDelayed => {
                "A request beyond the rate, for a token or an instance-id, was answered late."
            }
            Self::OpenConnections => {
                "A connection was closed at once: the guest had as many as it may."
            }
            Self::AllConnections => {
                "A connection was closed at once: the daemon is short of room, and the guest had more than its share."
            }
            Self::ServedConnections => {
                "A connection waited 0.9 s for its turn and was answered with 503."
            }
            Self::Waiters => "A request that wanted to wait for a change was answered with 503.",
            Self::HeadSize => "A request head was larger than 8 KiB and answered with 431.",
            Self::HeadTime => "A connection was closed: no whole request head came in time.",
            Self::BodySize => "A request body was larger than 4 KiB and answered with 413.",
            Self::BodyTime => "A request body did not come in time and was answered with 408.",
            Self::ConnectionTime => {
                "A connection was cut off: its guest did not take its answer in time."
            }
            Self::Signatures => "A request for a signature too many was answered with 503.",
        }
    }
}

/// How often each limit was met.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Limit::ALL.len()]);

impl Counts {
    fn add(&self, limit: Limit) {
        if let Some(count) = self.0.get(limit as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often this one was.
    pub fn of(&self, limit: Limit) -> u64 {
        let count = self.0.get(limit as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What one instance has used; shared by its NICs, and kept while it changes.
#[derive(Debug, Default)]
pub struct Meter {
    requests: Bucket,
    lines: Bucket,
    unlogged: AtomicU64,
    /// None until a limit is met: few guests ever meet one.
    counts: OnceBox<Counts>,
}

/// Of those that have met no limit.
static NONE: Counts = Counts([const { AtomicU64::new(0) }; Limit::ALL.len()]);

impl Meter {
    /// How often its guest met each limit.
    pub fn counts(&self) -> &Counts {
        self.counts.get().unwrap_or(&NONE)
    }

    /// Whether a refusal may have a line in the log at `now`, by any clock that does not go backwards: the number of
    /// those before that had none. One a second may, or a guest would write the host's log full.
    pub fn may_log(&self, now: Duration) -> Option<u64> {
        const A_LINE: config::Rate = config::Rate {
            per_second: 1,
            burst: 1,
        };
        match self.lines.take(A_LINE, now, Duration::ZERO) {
            Ok(_at_once) => Some(self.unlogged.swap(0, Ordering::Relaxed)),
            Err(TooMany) => {
                self.unlogged.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// The limits that hold, and how often all guests together met them.
#[derive(Debug, Default)]
pub struct Bounds {
    pub limits: config::Limits,
    counts: Counts,
}

impl Bounds {
    pub fn new(limits: config::Limits) -> Self {
        Self {
            limits,
            counts: Counts::default(),
        }
    }

    /// Counts that a guest met a limit; `None`: one that nobody knows.
    pub fn met(&self, limit: Limit, meter: Option<&Meter>) {
        self.counts.add(limit);
        if let Some(meter) = meter {
            meter.counts.get_or_init(Box::default).add(limit);
        }
    }

    /// How often each limit was met since the daemon started.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts a request at `now`, by any clock that does not go backwards, and says how long it must wait for its answer:
    /// `patience` at most.
    ///
    /// # Errors
    /// It would have to wait longer. It is not counted then.
    pub fn request(
        &self,
        meter: &Meter,
        now: Duration,
        patience: Duration,
    ) -> Result<Duration, TooMany> {
        match self.limits.request_rate() {
            Some(rate) => meter.requests.take(rate, now, patience),
            None => Ok(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_a_sentence_and_a_counter_of_its_own() {
        let bounds = Bounds::default();
        let (alice, bob) = (Meter::default(), Meter::default());
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, place, "{limit:?}");
            assert!(limit.sentence().ends_with('.'), "{limit:?}");
            let of_name = Limit::ALL.iter().filter(|it| it.name() == limit.name());
            assert_eq!(of_name.count(), 1, "{limit:?}");
            bounds.met(limit, Some(&alice));
            bounds.met(limit, None);
            for it in Limit::ALL {
                let met = u64::from(it as usize <= place);
                assert_eq!(bounds.counts().of(it), 2 * met, "{limit:?} {it:?}");
                assert_eq!(alice.counts().of(it), met, "{limit:?} {it:?}");
                assert_eq!(bob.counts().of(it), 0, "{limit:?} {it:?}");
            }
        }
    }

    #[test]
    fn a_guests_refusals_have_one_line_a_second() {
        let meter = Meter::default();
        let ms = Duration::from_millis;
        assert_eq!(meter.may_log(ms(0)), Some(0));
        for now in [0, 1, 500, 999] {
            assert_eq!(meter.may_log(ms(now)), None, "{now}");
        }
        assert_eq!(meter.may_log(ms(1000)), Some(4));
        assert_eq!(meter.may_log(ms(5000)), Some(0));
        assert_eq!(meter.may_log(ms(5999)), None);
    }

    #[test]
    fn without_rates_nothing_is_refused() {
        let mut limits = config::Limits {
            requests: config::Rate {
                per_second: 1,
                burst: 1,
            },
            ..config::Limits::default()
        };
        let (now, patience) = (Duration::from_secs(9), Duration::ZERO);
        for (enabled, refused) in [(true, 99), (false, 0)] {
            limits.enabled = enabled;
            let (bounds, meter) = (Bounds::new(limits), Meter::default());
            let asked = (0..100).map(|_| bounds.request(&meter, now, patience));
            assert_eq!(asked.filter(Result::is_err).count(), refused, "{enabled}");
        }
    }
}
