//! Who of two daemons is the one writer: orders to the conductor.

use tokio::sync::{mpsc, oneshot};

use crate::inventory::Ledger;
use crate::takeover::Lease;

/// What the conductor is told.
#[derive(Debug)]
pub enum Order {
    /// Become the one writer, with these slots or with those that were given out last, unless the lease has ended by
    /// then; and say which.
    Engage(Option<Ledger>, Option<Lease>, oneshot::Sender<bool>),
    /// Write nothing any more; then say so.
    StandAside(oneshot::Sender<()>),
}

/// Gives orders.
#[derive(Debug, Clone)]
pub struct Helm {
    orders: mpsc::Sender<Order>,
}

/// The conductor has ended.
#[derive(Debug, thiserror::Error)]
#[error("the conductor has ended")]
pub struct Ended;

impl Helm {
    /// The two ends.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(1);
        (Self { orders }, receiver)
    }

    /// Makes the conductor the one writer. Without a ledger, it goes on with the slots that it gave out itself. Returns
    /// once everything that is known has had its consequences; `false`: the `lease` had ended before, and nothing was
    /// touched.
    ///
    /// # Errors
    /// It has ended; why, it says itself.
    pub async fn engage(
        &self,
        ledger: Option<Ledger>,
        lease: Option<Lease>,
    ) -> Result<bool, Ended> {
        self.order(|done| Order::Engage(ledger, lease, done)).await
    }

    /// Has the conductor write nothing any more.
    ///
    /// # Errors
    /// It has ended; why, it says itself.
    pub async fn stand_aside(&self) -> Result<(), Ended> {
        self.order(Order::StandAside).await
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Ended> {
        let (done, obeyed) = oneshot::channel();
        let sent = self.orders.send(order(done)).await;
        sent.map_err(|_gone| Ended)?;
        obeyed.await.map_err(|_gone| Ended)
    }
}
