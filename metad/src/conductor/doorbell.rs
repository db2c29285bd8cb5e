//! How often an unknown sender may make the sources read everything again. A guest that makes up addresses, or one that
//! nobody will ever know, must not keep libvirt busy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::instance::Mac;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// Interfaces that are remembered. More than a host has; a guest cannot make any.
const MAX: usize = 16_384;

/// All interfaces together may ring so often at once, and then once in so long. A reading tells of everybody, whoever asked
/// for it, and costs the more the more guests there are.
const AT_ONCE: u32 = 32;
const EACH: Duration = Duration::from_secs(2);

/// How long the news of a tap may take: its guest can be heard before them, and is known once they are here.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// When each interface may ring again.
#[derive(Debug, Default)]
pub(super) struct Doorbell {
    interfaces: BTreeMap<u32, Patience>,
    /// When those were first heard whom a source has named, and whose tap is not known or has no program yet.
    expected: BTreeMap<Mac, Instant>,
    /// When [`AT_ONCE`] rings will be there again for all.
    full: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Patience {
    next: Instant,
    wait: Duration,
}

impl Doorbell {
    /// Whether somebody whom a source has named already is to be waited for: the news of the tap are under way, and
    /// another reading would only be in their way. Who is still unknown later may be elsewhere than the source said.
    pub(super) fn awaits(&mut self, mac: Mac, now: Instant) -> bool {
        self.expected
            .retain(|_, first| now.saturating_duration_since(*first) < LONGEST);
        if self.expected.len() >= MAX {
            return false;
        }
        let first = *self.expected.entry(mac).or_insert(now);
        now.saturating_duration_since(first) < UNDER_WAY
    }

    /// Whether a stranger on this interface is heard now. Each time, the interface must wait twice as long, until it has
    /// been quiet for the longest wait.
    pub(super) fn rings(&mut self, ifindex: u32, now: Instant) -> bool {
        self.interfaces
            .retain(|_, patience| now < patience.next + LONGEST);
        let before = self.interfaces.get(&ifindex).copied();
        let may = match before {
            Some(patience) => now >= patience.next,
            None => self.interfaces.len() < MAX,
        };
        // One that is not heard for others' sake may try again at once.
        if !may || !self.takes_turn(now) {
            return false;
        }
        let wait = before.map_or(FIRST, |patience| (patience.wait * 2).min(LONGEST));
        let next = now + wait;
        self.interfaces.insert(ifindex, Patience { next, wait });
        true
    }

    /// Takes one of the rings that all interfaces have together, if there is one.
    fn takes_turn(&mut self, now: Instant) -> bool {
        let full = self.full.map_or(now, |full| full.max(now)) + EACH;
        let may = full <= now + EACH * AT_ONCE;
        if may {
            self.full = Some(full);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_heard_at_once_then_ever_more_rarely() {
        let mut doorbell = Doorbell::default();
        let start = Instant::now();
        // An hour of a report every 100 ms, as the kernel side allows.
        let heard = (0..36_000_u32)
            .filter(|tick| doorbell.rings(7, start + FIRST * *tick))
            .count();
        let end = start + FIRST * 36_000;
        assert!(doorbell.rings(8, end), "another interface is heard");
        assert!((120..=130).contains(&heard), "{heard} readings in an hour");
    }

    /// Each is heard rarely, but there are many, and each time all is read.
    #[test]
    fn strangers_on_many_interfaces_are_heard_no_oftener_together_than_the_sources_can_bear() {
        let mut doorbell = Doorbell::default();
        let start = Instant::now();
        let mut heard = Vec::new();
        // A hundred seconds of a report every 100 ms on each of 100.
        for tick in 0..1_000_u32 {
            let now = start + FIRST * tick;
            heard.extend((0..100).filter(|it| doorbell.rings(*it, now)).map(|_| now));
        }
        let most = usize::try_from(AT_ONCE).unwrap() + 50;
        assert!((most - 5..=most).contains(&heard.len()), "{}", heard.len());
        // Whoever comes now is told of by a reading that somebody gets before long.
        let gaps = heard.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max().unwrap() <= EACH + FIRST);
        assert!(
            doorbell.rings(500, start + FIRST * 1_000 + EACH),
            "a new one"
        );
        let quiet = start + LONGEST * 100;
        let at_once = (0..500).filter(|it| doorbell.rings(*it, quiet)).count();
        assert_eq!(at_once, usize::try_from(AT_ONCE).unwrap(), "after a rest");
    }

    #[test]
    fn who_was_named_is_waited_for_a_moment_and_then_asked_about() {
        let mut doorbell = Doorbell::default();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let [one, other] = [1, 2].map(|last| Mac([2, 0, 0, 0, 0, last]));
        for (case, mac, at, expected) in [
            ("first heard", one, 0, true),
            ("the news are under way", one, 299, true),
            ("they are not", one, 300, false),
            ("nor a second later", one, 1_300, false),
            ("somebody else", other, 1_300, true),
            ("long after", one, 30_000, true),
        ] {
            assert_eq!(doorbell.awaits(mac, ms(at)), expected, "{case}");
        }
    }

    #[test]
    fn addresses_without_end_cost_no_memory() {
        let mut doorbell = Doorbell::default();
        let start = Instant::now();
        for number in 0..2 * MAX {
            let [.., a, b, c] = number.to_be_bytes();
            let awaited = doorbell.awaits(Mac([2, 0, 0, a, b, c]), start);
            assert_eq!(awaited, number < MAX, "{number}");
        }
    }

    #[test]
    fn an_interface_that_was_quiet_is_heard_at_once_again() {
        let mut doorbell = Doorbell::default();
        let start = Instant::now();
        assert!(doorbell.rings(7, start));
        assert!(!doorbell.rings(7, start + FIRST / 2));
        assert!(doorbell.rings(7, start + LONGEST * 3));
        assert!(doorbell.rings(7, start + LONGEST * 3 + FIRST));
    }
}
