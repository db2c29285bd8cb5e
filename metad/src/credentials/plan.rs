//! When to ask for credentials again, and when to stop serving those that there are. Pure.
//!
//! Two clocks: expiry is the wall's, which may be set; patience is counted in the time that this runs.

use std::time::{Duration, SystemTime};

/// New credentials are there at least so long before the old ones expire, where they live long enough. SDKs begin to ask
/// for others a quarter of an hour before.
const LEAD: Duration = Duration::from_secs(15 * 60);
/// A command is not run again sooner, whatever it printed.
const PAUSE: Duration = Duration::from_secs(10);
/// After the first failure; doubled with each further one.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(300);

/// The time, twice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: SystemTime,
    /// Since the follower began.
    pub(super) running: Duration,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Fetch,
    /// What there is has expired.
    Lapse,
    /// Nothing before this has passed.
    Wait(Duration),
}

/// What is held, and how the last attempts went.
#[derive(Debug)]
pub(super) struct Plan {
    /// A file is read when it changes; a command must be asked.
    asks: bool,
    /// Whether the next attempt waits for nothing.
    at_once: bool,
    failures: u32,
    not_before: Duration,
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    refresh: SystemTime,
    expires: SystemTime,
}

impl Plan {
    pub(super) fn for_file() -> Self {
        Self {
            asks: false,
            at_once: true,
            failures: 0,
            not_before: Duration::ZERO,
            held: None,
        }
    }

    pub(super) fn for_command() -> Self {
        Self {
            asks: true,
            ..Self::for_file()
        }
    }

    /// Decides what to do.
    pub(super) fn step(&self, now: Now) -> Step {
        if self.held.is_some_and(|held| held.expires <= now.wall) {
            return Step::Lapse;
        }
        if self.at_once {
            return Step::Fetch;
        }
        let until = |time: SystemTime| time.duration_since(now.wall).unwrap_or_default();
        let pause = self.not_before.saturating_sub(now.running);
        let due = match self.held {
            // A file that failed may be on a file system that comes back without a change of it.
            _ if self.failures > 0 => Some(pause),
            Some(held) if self.asks => Some(pause.max(until(held.refresh))),
            None if self.asks => Some(pause),
            Some(_) | None => None,
        };
        let end = self.held.map(|held| until(held.expires));
        match due {
            Some(Duration::ZERO) => Step::Fetch,
            Some(due) => Step::Wait(end.map_or(due, |end| due.min(end))),
            None => Step::Wait(end.unwrap_or(Duration::MAX)),
        }
    }

    /// The file is another one than before.
    pub(super) fn changed(&mut self) {
        self.at_once = true;
    }

    /// There are credentials until `expires`.
    pub(super) fn succeeded(&mut self, expires: SystemTime, now: Now) {
        let life = expires.duration_since(now.wall).unwrap_or_default();
        let refresh = expires.checked_sub(LEAD.min(life / 2)).unwrap_or(now.wall);
        self.at_once = false;
        self.failures = 0;
        self.not_before = now.running + PAUSE;
        self.held = Some(Held { refresh, expires });
    }

    /// There are no new ones; what is held stays.
    pub(super) fn failed(&mut self, now: Now) {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let patience = PATIENCE.saturating_mul(factor).min(PATIENCE_MAX);
        self.at_once = false;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.running + patience;
    }

    /// What was held is no more.
    pub(super) fn lapsed(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Now {
        Now {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds),
            running: Duration::from_secs(seconds),
        }
    }

    fn wait(seconds: u64) -> Step {
        Step::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn command_is_asked_again_well_before_the_end() {
        for (case, life, refresh) in [
            ("an hour", 60 * MINUTE, 45 * 60),
            ("twelve hours", 12 * 60 * MINUTE, 12 * 3600 - 15 * 60),
            ("a quarter", 15 * MINUTE, 450),
            ("seconds", Duration::from_secs(30), 15),
            ("too short to be polite", Duration::from_secs(12), 10),
        ] {
            let mut plan = Plan::for_command();
            assert_eq!(plan.step(at(0)), Step::Fetch, "{case}");
            plan.succeeded(at(0).wall + life, at(0));
            assert_eq!(plan.step(at(0)), wait(refresh), "{case}");
            assert_eq!(plan.step(at(refresh - 1)), wait(1), "{case}");
            assert_eq!(plan.step(at(refresh)), Step::Fetch, "{case}");
        }
    }

    #[test]
    fn failures_are_answered_with_patience_and_old_credentials_stay_to_their_end() {
        let mut plan = Plan::for_command();
        plan.succeeded(at(0).wall + 2 * MINUTE, at(0));
        assert_eq!(plan.step(at(60)), Step::Fetch);
        let mut now = 60;
        for patience in [5, 10, 20] {
            plan.failed(at(now));
            assert_eq!(plan.step(at(now)), wait(patience), "at {now}");
            now += patience;
            assert_eq!(plan.step(at(now)), Step::Fetch, "at {now}");
        }
        plan.failed(at(now));
        assert_eq!(plan.step(at(now)), wait(25), "no longer than they are good");
        assert_eq!(plan.step(at(120)), Step::Lapse);
        plan.lapsed();
        assert_eq!(plan.step(at(120)), wait(15));
        for _ in 0..40 {
            plan.failed(at(200));
        }
        assert_eq!(plan.step(at(200)), wait(300), "and never longer");
    }

    #[test]
    fn file_is_read_when_it_changes_and_after_a_failure() {
        let mut plan = Plan::for_file();
        assert_eq!(plan.step(at(0)), Step::Fetch);
        plan.succeeded(at(0).wall + 60 * MINUTE, at(0));
        assert_eq!(plan.step(at(3000)), wait(600), "only its end counts");
        plan.changed();
        assert_eq!(plan.step(at(3000)), Step::Fetch);
        plan.failed(at(3000));
        assert_eq!(plan.step(at(3000)), wait(5));
        assert_eq!(plan.step(at(3005)), Step::Fetch);
        plan.succeeded(at(3600).wall, at(3005));
        assert_eq!(plan.step(at(3600)), Step::Lapse);
        plan.lapsed();
        assert_eq!(plan.step(at(3600)), Step::Wait(Duration::MAX));
        plan.changed();
        assert_eq!(plan.step(at(3600)), Step::Fetch);
    }

    #[test]
    fn clock_that_is_set_counts_at_once() {
        let mut plan = Plan::for_command();
        plan.succeeded(at(0).wall + 60 * MINUTE, at(0));
        let later = |minutes| Now {
            wall: at(0).wall + minutes * MINUTE,
            running: Duration::from_secs(20),
        };
        assert_eq!(plan.step(later(50)), Step::Fetch);
        assert_eq!(plan.step(later(60)), Step::Lapse);
    }
}
