//! How those who wait for an instance to change learn of it, and how many may.
//!
//! A notice belongs to one instance and outlives its answers, so that nobody is woken by what happens to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// An instance's bell.
#[derive(Debug, Default)]
pub struct Notice {
    bell: Notify,
    waiting: AtomicUsize,
}

/// One place among those who wait, given back when dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Notice>);

impl Notice {
    /// Wakes everybody who listens now.
    pub fn ring(&self) {
        self.bell.notify_waiters();
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place among those who wait; `None` where `most` of them are taken.
    pub fn wait(self: &Arc<Self>, most: usize) -> Option<Waiting> {
        let taken = self.waiting.fetch_add(1, Ordering::Relaxed);
        // Counted down again by the drop where it was one too many.
        let waiting = Waiting(Arc::clone(self));
        (taken < most).then_some(waiting)
    }
}

impl Waiting {
    /// Resolves at the next ring after it was first polled or enabled.
    pub fn rung(&self) -> Notified<'_> {
        self.0.bell.notified()
    }

    /// Whether it is this bell that one waits for.
    pub fn is_for(&self, notice: &Arc<Notice>) -> bool {
        Arc::ptr_eq(&self.0, notice)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let notice = Arc::new(Notice::default());
        let mut places: Vec<Waiting> = (0..9).map_while(|_| notice.wait(4)).collect();
        assert_eq!(places.len(), 4);
        assert!(notice.wait(4).is_none(), "one too many");
        assert!(notice.wait(4).is_none(), "and it left no mark");
        places.pop();
        assert!(notice.wait(4).is_some(), "a place that was given back");
        let another = Arc::new(Notice::default());
        assert!(another.wait(4).is_some(), "another's");
        assert!(another.wait(0).is_none(), "nobody may");
    }
}
