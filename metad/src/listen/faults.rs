//! What to do when `accept` fails: how long to rest, and how often to say so.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(10);
const LAST_DELAY: Duration = Duration::from_secs(1);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The failures in a row, and when one was last logged.
#[derive(Debug, Default)]
pub(super) struct Faults {
    row: u32,
    unlogged: u64,
    logged: Option<Instant>,
}

/// A failure that will not go away at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) delay: Duration,
    /// `Some`: time to log, with the number of failures since the last line.
    pub(super) log: Option<u64>,
}

impl Faults {
    /// Takes note of a failure; `None` where it was that one connection's and the next may be accepted at once.
    pub(super) fn note(&mut self, kind: ErrorKind, now: Instant) -> Option<Fault> {
        if matches!(
            kind,
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
        ) {
            return None;
        }
        let delay = FIRST_DELAY
            .saturating_mul(1 << self.row.min(10))
            .min(LAST_DELAY);
        self.row = self.row.saturating_add(1);
        let due = self
            .logged
            .is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_EVERY);
        let log = due.then_some(self.unlogged);
        if due {
            self.logged = Some(now);
            self.unlogged = 0;
        } else {
            self.unlogged += 1;
        }
        Some(Fault { delay, log })
    }

    /// Takes note that it works again.
    pub(super) fn over(&mut self) {
        self.row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_lines_are_few() {
        let mut faults = Faults::default();
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let fault = |ms, log| {
            let delay = Duration::from_millis(ms);
            Some(Fault { delay, log })
        };
        let full = ErrorKind::QuotaExceeded;
        assert_eq!(faults.note(full, after(0)), fault(10, Some(0)));
        assert_eq!(faults.note(full, after(10)), fault(20, None));
        assert_eq!(faults.note(full, after(30)), fault(40, None));
        for _ in 0..100 {
            faults.note(full, after(100));
        }
        assert_eq!(faults.note(full, after(10_000)), fault(1000, Some(102)));
        faults.over();
        assert_eq!(faults.note(full, after(10_001)), fault(10, None));
    }

    #[test]
    fn failure_of_one_connection_costs_nothing() {
        let mut faults = Faults::default();
        for kind in [
            ErrorKind::ConnectionAborted,
            ErrorKind::ConnectionReset,
            ErrorKind::Interrupted,
        ] {
            assert_eq!(faults.note(kind, Instant::now()), None, "{kind}");
        }
    }
}
