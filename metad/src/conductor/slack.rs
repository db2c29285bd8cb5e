//! When memory is given back to the host: once a large reading is over. What it left behind would stay for as long as the
//! daemon runs, since nobody reads as much again.

use std::time::{Duration, Instant};

/// Changes that make a reading a large one.
const MANY: usize = 512;
/// It is over when nothing has changed for so long. Sources tell in bursts, and giving back takes a moment.
const CALM: Duration = Duration::from_millis(500);

/// How much has been taken in since memory was last given back.
#[derive(Debug, Default)]
pub(super) struct Slack {
    changes: usize,
    due: Option<Instant>,
}

impl Slack {
    /// A change was taken in.
    pub(super) fn grew(&mut self, now: Instant) {
        self.changes = self.changes.saturating_add(1);
        if self.changes >= MANY {
            self.due = now.checked_add(CALM);
        }
    }

    /// When memory is to be given back.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It was.
    pub(super) fn went(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_once_a_large_reading_is_over_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut slack = Slack::default();
        for _ in 1..MANY {
            slack.grew(at(0));
        }
        assert_eq!(slack.due(), None, "one change after the other");
        slack.grew(at(1));
        assert_eq!(slack.due(), Some(at(1) + CALM));
        slack.grew(at(300));
        assert_eq!(slack.due(), Some(at(300) + CALM), "more comes");
        slack.went();
        assert_eq!(slack.due(), None);
        slack.grew(at(900));
        assert_eq!(slack.due(), None, "little since");
    }
}
