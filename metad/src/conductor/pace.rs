//! When consequences are drawn: at once where it is quiet, and for half of the time at most where one change follows the
//! other. Drawing them takes the longer the more instances there are, and a source tells of all of them one by one.

use std::time::{Duration, Instant};

/// How long drawing consequences takes, and whether some are waited for.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// They are not drawn again before.
    rests_until: Option<Instant>,
    waits: bool,
}

impl Pace {
    /// Something has changed: whether its consequences are drawn `now`. If not, they are due later.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        self.waits = self.rests_until.is_some_and(|until| now < until);
        !self.waits
    }

    /// They were drawn: it took so long until `now`.
    pub(super) fn drew(&mut self, took: Duration, now: Instant) {
        self.rests_until = now.checked_add(took);
        self.waits = false;
    }

    /// When what is waited for is to be drawn.
    pub(super) fn due(&self) -> Option<Instant> {
        self.rests_until.filter(|_| self.waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_waits_as_long_as_the_last_ones_consequences_took() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        assert!(pace.allows(at(0)), "the first");
        assert_eq!(pace.due(), None);
        pace.drew(Duration::from_millis(20), at(20));
        assert_eq!(pace.due(), None, "nothing waits");
        for (case, ms, allowed) in [
            ("at once after", 20, false),
            ("a little later", 39, false),
            ("rested", 40, true),
            ("long after", 4_000, true),
        ] {
            assert_eq!(pace.allows(at(ms)), allowed, "{case}");
            assert_eq!(pace.due(), (!allowed).then_some(at(40)), "{case}");
        }
        pace.drew(Duration::ZERO, at(50));
        assert!(pace.allows(at(50)), "what takes no time need not wait");
    }

    #[test]
    fn what_was_drawn_meanwhile_is_not_due_any_more() {
        let start = Instant::now();
        let took = Duration::from_millis(20);
        let mut pace = Pace::default();
        pace.drew(took, start);
        assert!(!pace.allows(start));
        pace.drew(took, start + took);
        assert_eq!(pace.due(), None);
    }
}
