//! The clock that outlives a daemon.

use std::time::Duration;

/// Time since the host was started, asleep or not: it goes on while nobody serves, and never goes back.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}
