//! How many connections each guest has, so that none can crowd out another.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::inventory::Slot;

/// Connections of one guest that are served at a time.
pub(super) const SERVED_MAX: usize = 32;
/// Connections of one guest that exist at a time, those that wait for their turn or for their end included.
pub(super) const OPEN_MAX: usize = 160;
/// So many entrances later, guests without connections are forgotten.
const SWEEP_EVERY: usize = 256;

/// The guests that have connections. Only the accept loop owns it.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    guests: HashMap<Option<Slot>, Guest>,
    entered: usize,
}

#[derive(Debug)]
struct Guest {
    served: Arc<Semaphore>,
    open: Arc<()>,
}

/// One connection's place among its guest's, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    served: Arc<Semaphore>,
    _open: Arc<()>,
}

impl Crowd {
    /// Lets a connection of `slot` in, unless the guest has [`OPEN_MAX`].
    pub(super) fn enter(&mut self, slot: Option<Slot>) -> Option<Place> {
        self.entered = self.entered.wrapping_add(1);
        if self.entered.is_multiple_of(SWEEP_EVERY) {
            self.guests
                .retain(|_, guest| Arc::strong_count(&guest.open) > 1);
        }
        let guest = self.guests.entry(slot).or_insert_with(|| Guest {
            served: Arc::new(Semaphore::new(SERVED_MAX)),
            open: Arc::new(()),
        });
        (Arc::strong_count(&guest.open) <= OPEN_MAX).then(|| Place {
            served: Arc::clone(&guest.served),
            _open: Arc::clone(&guest.open),
        })
    }
}

impl Place {
    /// Waits for the connection's turn to be served, until `deadline`.
    pub(super) async fn turn(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.served).acquire_owned();
        timeout_at(deadline, turn).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_guest_fills_only_its_own_places() {
        let mut crowd = Crowd::default();
        let mut places: Vec<Place> = (0..OPEN_MAX).map_while(|_| crowd.enter(Some(1))).collect();
        assert_eq!(places.len(), OPEN_MAX);
        assert!(crowd.enter(Some(1)).is_none());
        assert!(crowd.enter(Some(2)).is_some());
        assert!(crowd.enter(None).is_some());
        places.pop();
        assert!(crowd.enter(Some(1)).is_some());
    }

    #[test]
    fn guests_without_connections_are_forgotten() {
        let mut crowd = Crowd::default();
        let kept = crowd.enter(Some(1));
        for slot in 2..=u32::try_from(SWEEP_EVERY).unwrap() {
            crowd.enter(Some(slot));
        }
        assert_eq!(crowd.guests.len(), 2, "the kept one and the last");
        assert!(kept.is_some());
    }

    #[tokio::test]
    async fn turns_come_when_others_end() {
        let mut crowd = Crowd::default();
        let places: Vec<Place> = (0..=SERVED_MAX)
            .map_while(|_| crowd.enter(Some(1)))
            .collect();
        // A deadline that has come still lets a free place be taken.
        let soon = Instant::now;
        let mut turns = Vec::new();
        for place in &places[..SERVED_MAX] {
            turns.push(place.turn(soon()).await.unwrap());
        }
        let last = &places[SERVED_MAX];
        assert!(last.turn(soon()).await.is_none());
        turns.pop();
        assert!(last.turn(soon()).await.is_some());
    }
}
