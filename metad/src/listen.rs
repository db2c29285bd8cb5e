//! Connections as they come in from the kernel programs.
//!
//! In: listening sockets inside metad's own namespace. Out: requests that carry the [`identity::Peer`] they came from. A
//! connection is tied to one seat from its first octet to its last, no guest can use up what others need, and no
//! client learns of the end from a reset while it still has an answer to read.

mod connection;
mod crowd;
mod doors;
mod faults;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::http::{self, App};
use crate::identity::{self, Flows};
use crate::inventory::{Slot, Snapshot};
use crate::limits::{Bounds, Limit, Meter};
use crate::settings::StateDesk;
use crate::signer::Signer;
use crate::token::Tokens;

use connection::Connection;
use crowd::{Crowd, Full, Room};
use doors::Doors;
use faults::Faults;

/// What a process may have open where nobody has said otherwise (getrlimit(2)).
const DESCRIPTORS: usize = 1024;

/// How much time open connections are given once the service stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// Until one that has not asked may bring its request: it was accepted, so nobody else will answer it.
    pub last_call: Duration,
    /// Until all must have ended.
    pub whole: Duration,
}

impl Farewell {
    /// Where guests can be answered no more afterwards.
    pub const SHORT: Self = Self {
        last_call: Duration::from_secs(1),
        whole: Duration::from_secs(2),
    };
    /// Where another daemon answers already: as long as a connection may last.
    pub const LONG: Self = Self {
        last_call: Duration::from_secs(30),
        whole: Duration::from_secs(120),
    };
}

/// What the listener asks of the other rooms.
#[derive(Clone)]
pub struct Desk {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// To be rung with `notify_waiters` after each swap of `snapshot`.
    pub swapped: Arc<Notify>,
    pub flows: Arc<dyn Flows>,
    pub tokens: Tokens,
    /// Keeps what guests leave for their owners.
    pub state: StateDesk,
    pub signer: Signer,
    /// Whether a connection may ask more than once.
    pub keep_alive: bool,
    pub bounds: Arc<Bounds>,
    /// File descriptors that the process may have open; connections of all guests together leave most of them free.
    pub descriptors: usize,
    /// Whether to accept connections now. They wait meanwhile; for good, once the sender is gone.
    pub open: watch::Receiver<bool>,
    /// Asked once the service stops.
    pub farewell: Arc<dyn Fn() -> Farewell + Send + Sync>,
    /// Reads the slot out of a peer's address.
    pub slot_of: fn(SocketAddr) -> Option<Slot>,
}

impl Desk {
    /// A desk that reads slots as the kernel programs write them, and closes after each reply.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        swapped: Arc<Notify>,
        flows: Arc<dyn Flows>,
        tokens: Tokens,
        signer: Signer,
    ) -> Self {
        Self {
            snapshot,
            swapped,
            flows,
            tokens,
            state: StateDesk::default(),
            signer,
            keep_alive: false,
            bounds: Arc::default(),
            descriptors: DESCRIPTORS,
            open: watch::channel(true).1,
            farewell: Arc::new(|| Farewell::SHORT),
            slot_of: identity::slot_of,
        }
    }
}

impl Desk {
    /// Counts that the guest of this slot met a limit.
    fn met(&self, limit: Limit, slot: Option<Slot>) {
        let snapshot = self.snapshot.load();
        let seat = slot.and_then(|slot| snapshot.seats.get(&slot));
        let meter: Option<&Meter> = seat.map(|seat| &*seat.meter);
        self.bounds.met(limit, meter);
    }
}

/// Serves guests on `listeners`, which must not block, until `stop` turns true or its sender is gone. Then open
/// requests have [`Desk::farewell`] to end.
///
/// # Errors
/// The runtime cannot watch a socket.
pub async fn serve(
    listeners: Vec<std::net::TcpListener>,
    desk: Arc<Desk>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut doors = Doors::open(listeners).context("cannot watch a listening socket")?;
    let router = http::router(
        App {
            snapshot: Arc::clone(&desk.snapshot),
            tokens: desk.tokens.clone(),
            signer: desk.signer.clone(),
            state: desk.state.clone(),
            keep_alive: desk.keep_alive,
            bounds: Arc::clone(&desk.bounds),
        },
        stop.clone(),
    );
    let mut open = JoinSet::new();
    let mut crowd = Crowd::new(room(&desk));
    let mut faults = Faults::default();
    let mut stopping = pin!(stopped(stop.clone()));
    let mut gate = desk.open.clone();
    loop {
        let open_now = *gate.borrow_and_update();
        tokio::select! {
            () = &mut stopping => break,
            Ok(()) = gate.changed() => {}
            accepted = doors.accept(), if open_now => match accepted {
                Ok((stream, remote)) => {
                    faults.over();
                    admit(&mut open, &mut crowd, &desk, &router, &stop, stream, remote);
                }
                Err(error) => rest(&mut faults, &error, &stop).await,
            },
            Some(_ended) = open.join_next() => {}
        }
    }
    // New connections are the next process's, if there is one; they wait in the backlog of a socket it also holds.
    drop(doors);
    let ended = tokio::time::timeout((desk.farewell)().whole, async {
        while open.join_next().await.is_some() {}
    });
    if ended.await.is_err() {
        tracing::warn!(connections = open.len(), "open connections were cut off");
        open.shutdown().await;
    }
    Ok(())
}

fn room(desk: &Desk) -> Room {
    let limits = &desk.bounds.limits;
    Room {
        open: limits.open_connections,
        served: limits.served_connections,
        all: desk.descriptors / 4,
    }
}

/// Resolves when the service is to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone can no longer say so.
    let _gone = stop.wait_for(|stop| *stop).await;
}

fn admit(
    open: &mut JoinSet<()>,
    crowd: &mut Crowd,
    desk: &Arc<Desk>,
    router: &Router,
    stop: &watch::Receiver<bool>,
    stream: TcpStream,
    remote: SocketAddr,
) {
    let slot = (desk.slot_of)(remote);
    let place = match crowd.enter(slot) {
        Ok(place) => place,
        Err(full) => {
            let limit = match full {
                Full::Guest => Limit::OpenConnections,
                Full::Everybody => Limit::AllConnections,
            };
            desk.met(limit, slot);
            tracing::debug!(slot, limit = limit.name(), "connection closed at once");
            return;
        }
    };
    let connection = Connection {
        stream: Arc::new(stream),
        remote,
        slot,
        place,
    };
    open.spawn(connection::attend(
        connection,
        Arc::clone(desk),
        router.clone(),
        stop.clone(),
    ));
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
