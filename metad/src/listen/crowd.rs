//! How many connections each guest has, so that none can crowd out another.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::inventory::Slot;

/// So many entrances later, guests without connections are forgotten.
const SWEEP_EVERY: usize = 256;

/// The guests that have connections.
#[derive(Debug)]
pub(super) struct Crowd {
    room: Room,
    guests: HashMap<Option<Slot>, Guest>,
    /// Counted like a guest's: every place holds one.
    open: Arc<()>,
    entered: usize,
}

/// How many connections there may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Of one guest, those that wait for their turn or for their end included.
    pub(super) open: usize,
    /// Of one guest, those that are served.
    pub(super) served: usize,
    /// Of all guests, before each may only have its share of them. Whoever has less is let in all the same, so there may be
    /// a few times as many.
    pub(super) all: usize,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Its guest has as many as one may have.
    Guest,
    /// There are too many, and its guest has more than its share.
    Everybody,
}

#[derive(Debug)]
struct Guest {
    served: Arc<Semaphore>,
    open: Arc<()>,
}

/// One connection's place among its guest's and among all, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    served: Arc<Semaphore>,
    _open: [Arc<()>; 2],
}

impl Crowd {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            guests: HashMap::new(),
            open: Arc::new(()),
            entered: 0,
        }
    }

    /// Lets a connection of `slot` in, unless there is no room for it.
    pub(super) fn enter(&mut self, slot: Option<Slot>) -> Result<Place, Full> {
        let others = |open: &Arc<()>| Arc::strong_count(open) - 1;
        self.entered = self.entered.wrapping_add(1);
        if self.entered.is_multiple_of(SWEEP_EVERY) {
            self.guests.retain(|_, guest| others(&guest.open) > 0);
        }
        let all = others(&self.open);
        let guests = self.guests.len().max(1);
        let guest = self.guests.entry(slot).or_insert_with(|| Guest {
            served: Arc::new(Semaphore::new(self.room.served)),
            open: Arc::new(()),
        });
        let open = others(&guest.open);
        if open >= self.room.open {
            return Err(Full::Guest);
        }
        if all >= self.room.all && open >= (self.room.all / guests).max(1) {
            return Err(Full::Everybody);
        }
        Ok(Place {
            served: Arc::clone(&guest.served),
            _open: [Arc::clone(&guest.open), Arc::clone(&self.open)],
        })
    }
}

impl Place {
    /// The connection's turn, if that is now.
    pub(super) fn turn_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.served).try_acquire_owned().ok()
    }

    /// Waits for the connection's turn to be served, until `deadline`.
    pub(super) async fn turn(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.served).acquire_owned();
        timeout_at(deadline, turn).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        open: 10,
        served: 4,
        all: 100,
    };

    #[test]
    fn one_guest_fills_only_its_own_places() {
        let mut crowd = Crowd::new(ROOM);
        let mut places: Vec<Place> = (0..ROOM.open)
            .map_while(|_| crowd.enter(Some(1)).ok())
            .collect();
        assert_eq!(places.len(), ROOM.open);
        assert_eq!(crowd.enter(Some(1)).unwrap_err(), Full::Guest);
        assert!(crowd.enter(Some(2)).is_ok());
        assert!(crowd.enter(None).is_ok());
        places.pop();
        assert!(crowd.enter(Some(1)).is_ok());
    }

    #[test]
    fn many_guests_together_leave_room_for_who_has_less_than_its_share() {
        let mut crowd = Crowd::new(ROOM);
        let mut places: Vec<Place> = Vec::new();
        for slot in 0..10 {
            places.extend((0..10).map_while(|_| crowd.enter(Some(slot)).ok()));
        }
        assert_eq!(places.len(), ROOM.all);
        for late in 10..20 {
            let few: Vec<Place> = (0..10)
                .map_while(|_| crowd.enter(Some(late)).ok())
                .collect();
            assert!(!few.is_empty(), "the guest {late} came late");
            assert_eq!(crowd.enter(Some(late)).unwrap_err(), Full::Everybody);
            places.extend(few);
        }
        places.drain(..9);
        assert_eq!(crowd.enter(Some(0)).map(drop), Ok(()), "it has one left");
        assert!(places.len() < 2 * ROOM.all, "{}", places.len());
        drop(places);
        let alone: Vec<Place> = (0..99).map_while(|_| crowd.enter(Some(5)).ok()).collect();
        assert_eq!(alone.len(), ROOM.open, "there is room again");
    }

    #[test]
    fn guests_without_connections_are_forgotten() {
        let mut crowd = Crowd::new(ROOM);
        let kept = crowd.enter(Some(1));
        for slot in 2..=u32::try_from(SWEEP_EVERY).unwrap() {
            crowd.enter(Some(slot)).unwrap();
        }
        assert_eq!(crowd.guests.len(), 2, "the kept one and the last");
        assert!(kept.is_ok());
    }

    #[tokio::test]
    async fn turns_come_when_others_end() {
        let mut crowd = Crowd::new(ROOM);
        let places: Vec<Place> = (0..=ROOM.served)
            .map_while(|_| crowd.enter(Some(1)).ok())
            .collect();
        // A deadline that has come still lets a free place be taken.
        let soon = Instant::now;
        let mut turns = Vec::new();
        for place in &places[..ROOM.served] {
            turns.push(place.turn(soon()).await.unwrap());
        }
        let last = &places[ROOM.served];
        assert!(last.turn(soon()).await.is_none());
        turns.pop();
        assert!(last.turn(soon()).await.is_some());
    }
}
