//! The administrator's door: HTTP on a unix socket that root alone can open. Requests of `metad status`, `metad query`
//! and `metad down` come in, JSON goes out. No guest ever reaches it, and it decides nothing about guests: what they
//! are told is asked of the [`Host`].

mod answer;
mod claim;
mod client;
mod holder;
mod owners;
mod query;
mod server;
mod status;
mod trust;

pub use answer::answer;
pub use claim::{Claim, Error, successor_in};
pub use client::{Client, ClientError};
pub use holder::{Holder, State, of_silence};
pub use query::{Method, Query, QueryError, Reply};
pub use server::{routes, serve};
pub use status::{
    AttachedBy, Counters, InstanceStatus, InterfaceStatus, NicStatus, Problem, Role, SourceStatus,
    Status,
};
pub use trust::trust;

use crate::signer::Certificate;

use crate::settings::StateDesk;

/// What the daemon behind the socket can say and do.
pub trait Host: Send + Sync + 'static {
    /// Everything `metad status` prints.
    fn status(&self) -> Status;

    /// What the guest would be told, with a valid token, from the NIC that `query` names or its first running one.
    fn query(&self, query: &Query) -> Result<Reply, QueryError>;

    /// The public half of the key that instances are vouched for with.
    fn certificate(&self) -> Certificate;

    /// Where wishes about what is kept of instances go.
    fn state(&self) -> &StateDesk;

    /// Asks the daemon to end cleanly, and returns at once.
    fn stop(&self);
}

#[cfg(test)]
mod tests;
