//! One thread's share of the guests: accepts connections, answers at once whom it can, and has the others attended to.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use axum::Router;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::connection::{self, Begun, Connection, Left};
use super::crowd::{Crowd, Full, Place};
use super::doors::{Arrival, Doors};
use super::faults::Faults;
use super::look::{Seen, look};
use super::parting::{LOOKS_AFTER, LOOKS_EVERY, Parted, Parting};
use super::wire::hang_up;
use super::{Desk, stopped};
use crate::http::App;
use crate::inventory::Slot;
use crate::limits::Limit;

/// Who attends to guests on one thread.
pub(super) struct Attendant {
    desk: Arc<Desk>,
    app: App,
    router: Router,
    crowd: Arc<Mutex<Crowd>>,
    stop: watch::Receiver<bool>,
    open: JoinSet<()>,
    parting: Parting,
}

impl Attendant {
    pub(super) fn new(
        desk: Arc<Desk>,
        crowd: Arc<Mutex<Crowd>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let app = desk.app();
        Self {
            router: crate::http::router(app.clone(), stop.clone()),
            desk,
            app,
            crowd,
            stop,
            open: JoinSet::new(),
            parting: Parting::default(),
        }
    }

    /// Attends until the service stops, and then to those who are there already for as long as [`Desk::farewell`] says.
    ///
    /// # Errors
    /// The runtime cannot watch a socket.
    pub(super) async fn attend(mut self, listeners: Vec<TcpListener>) -> Result<()> {
        let mut doors = Doors::open(listeners).context("cannot watch a listening socket")?;
        let mut faults = Faults::default();
        let mut stopping = pin!(stopped(self.stop.clone()));
        let mut gate = self.desk.open.clone();
        let mut looks = tokio::time::interval(LOOKS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let open_now = *gate.borrow_and_update();
            tokio::select! {
                () = &mut stopping => break,
                Ok(()) = gate.changed() => {}
                accepted = doors.accept(), if open_now => match accepted {
                    Ok(arrival) => {
                        faults.over();
                        self.admit(arrival);
                    }
                    Err(error) => rest(&mut faults, &error, &self.stop).await,
                },
                _now = looks.tick(), if !self.parting.is_empty() => self.sweep(),
                Some(_ended) = self.open.join_next() => {}
            }
        }
        // New connections are the next process's, if there is one; they wait in the backlog of a socket it also holds.
        drop(doors);
        for parted in self.parting.take() {
            self.see_off(parted);
        }
        let mut open = self.open;
        let ended = tokio::time::timeout((self.desk.farewell)().whole, async {
            while open.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(connections = open.len(), "open connections were cut off");
            open.shutdown().await;
        }
        Ok(())
    }

    fn admit(&mut self, arrival: Arrival) {
        let slot = (self.desk.slot_of)(arrival.remote);
        let mut entered = self.enter(slot);
        if entered.is_err() && !self.parting.is_empty() {
            // Those that are over keep their places until somebody looks. A guest that asks fast is not to be sent away for
            // connections that it has hung up.
            self.sweep();
            entered = self.enter(slot);
        }
        let place = match entered {
            Ok(place) => place,
            Err(full) => {
                let limit = match full {
                    Full::Guest => Limit::OpenConnections,
                    Full::Everybody => Limit::AllConnections,
                };
                self.desk.met(limit, slot);
                tracing::debug!(slot, limit = limit.name(), "connection closed at once");
                return;
            }
        };
        let Some(turn) = place.turn_now() else {
            return self.spawn(arrival, place, None);
        };
        let Some(peer) = connection::seated(&self.desk, slot, arrival.remote, arrival.local) else {
            drop(turn);
            return self.spawn(arrival, place, None);
        };
        let left = match look(&self.app, &peer, arrival.socket.as_fd()) {
            Seen::Nothing | Seen::Answered { ends: false } => Left::Nothing,
            Seen::Answered { ends: true } => {
                // One that is lost needs no farewell.
                if hang_up(arrival.socket.as_fd()).is_ok() {
                    self.parting.push(Parted {
                        socket: arrival.socket,
                        place,
                        since: tokio::time::Instant::now(),
                    });
                    if self.parting.unlooked() >= LOOKS_AFTER {
                        self.sweep();
                    }
                }
                return;
            }
            Seen::End => return,
            Seen::Unsent { rest, ends } => Left::Unsent { rest, ends },
            Seen::Other(octets) => Left::Read(octets),
        };
        self.spawn(arrival, place, Some(Begun { turn, peer, left }));
    }

    fn enter(&self, slot: Option<Slot>) -> Result<Place, Full> {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.enter(slot)
    }

    /// Closes the connections that are over, and has those seen off that take longer.
    fn sweep(&mut self) {
        for parted in self.parting.sweep(tokio::time::Instant::now()) {
            self.see_off(parted);
        }
    }

    /// Has a connection attended to that cannot be answered at once.
    fn spawn(&mut self, arrival: Arrival, place: Place, begun: Option<Begun>) {
        let Ok(stream) = TcpStream::from_std(arrival.socket.into()) else {
            // The runtime is out of room for it.
            return;
        };
        let connection = Connection {
            slot: (self.desk.slot_of)(arrival.remote),
            stream: Arc::new(stream),
            remote: arrival.remote,
            local: arrival.local,
            place,
        };
        self.open.spawn(connection::attend(
            connection,
            begun,
            Arc::clone(&self.desk),
            self.app.clone(),
            self.router.clone(),
            self.stop.clone(),
        ));
    }

    /// Waits for the end of a connection that was answered at once.
    fn see_off(&mut self, parted: Parted) {
        let Ok(stream) = TcpStream::from_std(parted.socket.into()) else {
            return;
        };
        let (desk, stop) = (Arc::clone(&self.desk), self.stop.clone());
        self.open.spawn(async move {
            let slot = stream
                .peer_addr()
                .ok()
                .and_then(|remote| (desk.slot_of)(remote));
            connection::see_off(&stream, &desk, slot, stop).await;
            drop(parted.place);
        });
    }
}

/// Waits before the next `accept` where this one failed for a reason that lasts.
async fn rest(faults: &mut Faults, error: &std::io::Error, stop: &watch::Receiver<bool>) {
    let Some(fault) = faults.note(error.kind(), Instant::now()) else {
        return;
    };
    if let Some(unlogged) = fault.log {
        tracing::error!(%error, unlogged, "cannot accept connections");
    }
    tokio::select! {
        () = tokio::time::sleep(fault.delay) => {}
        () = stopped(stop.clone()) => {}
    }
}
