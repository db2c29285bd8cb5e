//! Connections as they come in from the kernel programs.
//!
//! In: listening sockets inside metad's own namespace. Out: requests that carry the [`identity::Peer`] they came from. A
//! connection is tied to one seat from its first octet to its last, no guest can use up what others need, and no
//! client learns of the end from a reset while it still has an answer to read.

mod attendant;
mod connection;
mod conversation;
mod crowd;
mod doors;
mod faults;
mod look;
mod parting;
mod patience;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use tokio::sync::{Notify, oneshot, watch};

use crate::http::App;
use crate::identity::{self, Flows};
use crate::inventory::{Slot, Snapshot};
use crate::limits::{Bounds, Limit, Meter};
use crate::settings::StateDesk;
use crate::signer::Signer;
use crate::token::Tokens;

use attendant::Attendant;
use crowd::{Crowd, Room};

/// More threads than this would wait for each other's guests: a few of them answer more than any host's ask.
const THREADS_MAX: usize = 16;
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
    fn app(&self) -> App {
        App {
            snapshot: Arc::clone(&self.snapshot),
            tokens: self.tokens.clone(),
            signer: self.signer.clone(),
            state: self.state.clone(),
            keep_alive: self.keep_alive,
            bounds: Arc::clone(&self.bounds),
        }
    }

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
    listeners: Vec<TcpListener>,
    desk: Arc<Desk>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let crowd = Arc::new(Mutex::new(Crowd::new(room(&desk))));
    Attendant::new(desk, crowd, stop).attend(listeners).await
}

/// How many threads attend to guests: one for each core, within reason.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX))
}

/// The same with several threads, each of which has its own of the sockets as far as there are enough of an address. Whoever
/// accepts a connection attends to it to its end: nothing of it ever moves from one core to another.
///
/// # Errors
/// A thread cannot be started, or cannot watch a socket.
pub async fn serve_on_each_core(
    listeners: Vec<TcpListener>,
    desk: Arc<Desk>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let addresses: Vec<SocketAddr> = addresses
        .collect::<io::Result<_>>()
        .context("cannot tell where a guests' socket listens")?;
    let crowd = Arc::new(Mutex::new(Crowd::new(room(&desk))));
    let mut ends = Vec::new();
    for (thread, share) in shares(&addresses, threads()).into_iter().enumerate() {
        let own = share.into_iter().filter_map(|place| listeners.get(place));
        let copies: Vec<TcpListener> = own
            .map(TcpListener::try_clone)
            .collect::<io::Result<_>>()
            .context("cannot copy the guests' sockets")?;
        let attendant = Attendant::new(Arc::clone(&desk), Arc::clone(&crowd), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("guests-{thread}"))
            .spawn(move || end.send(runtime.block_on(attendant.attend(copies))))
            .context("cannot start a thread")?;
        ends.push(ended);
    }
    drop(listeners);
    for ended in futures_util::future::try_join_all(ends)
        .await
        .context("a thread that attends to guests failed")?
    {
        ended?;
    }
    Ok(())
}

/// Which of the sockets with these addresses each thread accepts from: each socket has at least one thread, and each thread at
/// least one socket of each address.
fn shares(addresses: &[SocketAddr], threads: usize) -> Vec<Vec<usize>> {
    let mut shares = vec![Vec::new(); threads];
    let mut alike: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
    for (place, address) in addresses.iter().enumerate() {
        alike.entry(*address).or_default().push(place);
    }
    for places in alike.values() {
        for turn in 0..places.len().max(threads) {
            let (place, thread) = (turn % places.len(), turn % threads.max(1));
            if let (Some(share), Some(place)) = (shares.get_mut(thread), places.get(place)) {
                share.push(*place);
            }
        }
    }
    shares
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
