//! How often an unknown sender may make the sources read everything again. A guest that makes up addresses, or one that
//! nobody will ever know, must not keep libvirt busy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// Interfaces that are remembered. More than a host has; a guest cannot make any.
const MAX: usize = 16_384;

/// When each interface may ring again.
#[derive(Debug, Default)]
pub(super) struct Doorbell {
    interfaces: BTreeMap<u32, Patience>,
}

#[derive(Debug)]
struct Patience {
    next: Instant,
    wait: Duration,
}

impl Doorbell {
    /// Whether a stranger on this interface is heard now. Each time, the interface must wait twice as long, until it has
    /// been quiet for the longest wait.
    pub(super) fn rings(&mut self, ifindex: u32, now: Instant) -> bool {
        self.interfaces
            .retain(|_, patience| now < patience.next + LONGEST);
        let full = self.interfaces.len() >= MAX;
        let Some(patience) = self.interfaces.get_mut(&ifindex) else {
            if !full {
                let patience = Patience {
                    next: now + FIRST,
                    wait: FIRST,
                };
                self.interfaces.insert(ifindex, patience);
            }
            return !full;
        };
        if now < patience.next {
            return false;
        }
        patience.wait = (patience.wait * 2).min(LONGEST);
        patience.next = now + patience.wait;
        true
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
        assert!(doorbell.rings(8, start), "another interface is heard");
        assert!((120..=130).contains(&heard), "{heard} readings in an hour");
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
