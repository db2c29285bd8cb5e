//! Whether libvirt still announces what happens. Pure: what readings found, what was announced and a clock in, what to
//! do about it out.
//!
//! libvirt looks at whether anybody listens before it locks its queue of events (`virObjectEventStateQueueRemote`). An
//! event that meets the last listener leaving is queued for nobody, and while it lies there no later one wakes
//! libvirt's loop: nobody hears anything any more, until the last listener leaves again and the queue is emptied. So
//! the cure is to connect anew, which works unless somebody else listens too.

use std::time::{Duration, Instant};

/// What is to be done about a libvirt that announces nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Close the connection, and only then open another.
    Reconnect,
    /// That did not help, and it is too early to try again: look for changes often.
    Poll,
}

/// What is known of libvirt's announcements.
#[derive(Debug)]
pub(super) struct Hearing {
    /// How long a change that a reading found may wait for its announcement.
    grace: Duration,
    /// How long after a cure that did not help the next one is tried.
    retry: Duration,
    /// When the first change was found that nothing has announced yet.
    suspicion: Option<Instant>,
    /// How often it was found deaf since it was last heard.
    findings: u32,
    /// When it was last connected to anew for that.
    cured: Option<Instant>,
}

impl Hearing {
    pub(super) fn new(grace: Duration, retry: Duration) -> Self {
        Self {
            grace,
            retry,
            suspicion: None,
            findings: 0,
            cured: None,
        }
    }

    /// A new connection: what changed before it was not to be announced.
    pub(super) fn connected(&mut self) {
        self.suspicion = None;
    }

    /// Something was announced. `true`: for the first time since it was found deaf.
    pub(super) fn heard(&mut self) -> bool {
        self.suspicion = None;
        self.cured = None;
        std::mem::take(&mut self.findings) > 0
    }

    /// A reading found a change that was not announced before.
    pub(super) fn unannounced(&mut self, now: Instant) {
        self.suspicion.get_or_insert(now);
    }

    /// When to ask for [`Hearing::verdict`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.suspicion.map(|since| since + self.grace)
    }

    /// What to do, once a change has waited too long for its announcement.
    pub(super) fn verdict(&mut self, now: Instant) -> Option<Cure> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.suspicion = None;
        self.findings = self.findings.saturating_add(1);
        let early = self.cured.is_some_and(|cured| now < cured + self.retry);
        if early {
            return Some(Cure::Poll);
        }
        self.cured = Some(now);
        Some(Cure::Reconnect)
    }

    /// Whether connecting anew did not help: changes must be looked for.
    pub(super) fn is_deaf(&self) -> bool {
        self.findings > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);
    const RETRY: Duration = Duration::from_mins(5);

    #[test]
    fn a_change_that_is_announced_in_time_is_no_finding() {
        let start = Instant::now();
        for (case, heard_after, expected) in [
            ("at once", Some(0), None),
            ("at the last moment", Some(4), None),
            ("never", None, Some(Cure::Reconnect)),
        ] {
            let mut hearing = Hearing::new(GRACE, RETRY);
            hearing.unannounced(start);
            if let Some(seconds) = heard_after {
                let then = start + Duration::from_secs(seconds);
                assert_eq!(hearing.verdict(then), None, "{case}: too early");
                assert!(!hearing.heard(), "{case}: it was not deaf");
            }
            assert_eq!(hearing.verdict(start + GRACE), expected, "{case}");
        }
    }

    #[test]
    fn the_first_change_counts_not_the_last() {
        let start = Instant::now();
        let mut hearing = Hearing::new(GRACE, RETRY);
        for second in 0..5 {
            hearing.unannounced(start + Duration::from_secs(second));
        }
        assert_eq!(hearing.verdict(start + GRACE), Some(Cure::Reconnect));
        assert_eq!(hearing.deadline(), None, "said once");
    }

    #[test]
    fn a_cure_that_does_not_help_is_not_repeated_at_once() {
        let start = Instant::now();
        let mut hearing = Hearing::new(GRACE, RETRY);
        let mut now = start;
        let mut find = |hearing: &mut Hearing, after: Duration| {
            now += after;
            hearing.unannounced(now);
            now += GRACE;
            hearing.verdict(now)
        };
        assert_eq!(find(&mut hearing, GRACE), Some(Cure::Reconnect));
        assert!(!hearing.is_deaf(), "it may have helped");
        hearing.connected();
        assert_eq!(find(&mut hearing, GRACE), Some(Cure::Poll));
        assert!(hearing.is_deaf());
        assert_eq!(find(&mut hearing, RETRY), Some(Cure::Reconnect));
        assert!(hearing.is_deaf(), "until something is heard");
        assert!(hearing.heard(), "it is over");
        assert!(!hearing.is_deaf());
        assert!(!hearing.heard(), "said once");
        assert_eq!(
            find(&mut hearing, GRACE),
            Some(Cure::Reconnect),
            "from the start"
        );
    }

    #[test]
    fn what_changed_before_a_connection_was_not_to_be_announced() {
        let start = Instant::now();
        let mut hearing = Hearing::new(GRACE, RETRY);
        hearing.unannounced(start);
        hearing.connected();
        assert_eq!(hearing.verdict(start + GRACE), None);
    }
}
