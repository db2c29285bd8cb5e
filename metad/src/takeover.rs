//! One daemon follows another without a guest noticing: `metad serve --take-over`.
//!
//! The elder hands the heir its sockets and its claim to the name over a unix socket in the run directory. The heir
//! brings itself up beside it; only then the elder stands aside, and only when the heir serves, the elder ends. Up to
//! that moment, whatever happens to the heir, the elder goes on.
//!
//! ```text
//! heir                          elder
//! Hello ───────────────────────►          who are you?
//!       ◄─────────────────────── Offer    with the lock and the sockets; or Refused
//! (reads its sources, loads its programs, attaches nothing)
//! Ready ───────────────────────►          stops accepting and writing; the slots are written down
//!       ◄─────────────────────── Aside
//! (takes the slots, swaps the programs, accepts)
//! Serving ─────────────────────►          ends its open connections, and itself
//!       ◄─────────────────────── Yours    or Resumed, where the heir took too long
//! ```
//!
//! An elder that is told to end once it has stood aside waits for the outcome, seconds at most: what it stands on is its
//! heir's then, or its own again, and is removed only in the latter case. One that is told before ends, and its heir with it.
//!
//! Must never happen: that both write to the kernel's tables, or that neither serves.

mod elder;
mod heir;
mod lease;
mod wire;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::admin::{Holder, of_silence};

pub use self::elder::{Bequest, Elder, Household};
pub use self::heir::{Conversation, Inheritance, Outcome, inherit};
pub use self::lease::Lease;

/// Raised with each change that an older daemon would misunderstand; both must be of the same.
const PROTOCOL: u32 = 1;
/// How long either waits for a word that the other has ready.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long an elder waits for its heir to come up. Sources may be slow: longer than an heir may wait for them (`--wait`).
const COMES_UP: Duration = Duration::from_secs(180);
/// How long guests wait while neither accepts; then the elder goes on.
const TAKES_OVER: Duration = Duration::from_secs(15);
/// How long an elder waits for an heir that came too late to let go.
const LETS_GO: Duration = Duration::from_secs(1);

/// What the heir says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum FromHeir {
    Hello {
        protocol: u32,
        version: String,
        pid: u32,
    },
    Ready,
    Serving,
}

/// What the elder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum FromElder {
    /// Comes with the lock, the admin socket, this socket, and the guests' sockets, in this order.
    Offer {
        version: String,
        pid: u32,
        /// What the guests' sockets are called.
        sockets: Vec<String>,
    },
    Refused {
        why: String,
    },
    Aside,
    Yours,
    Resumed,
}

/// Why a daemon could not be taken over. It serves on.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error(
        "there is no running metad to take over\nhelp: start one with `metad serve`, without --take-over"
    )]
    NobodyThere(#[source] io::Error),
    #[error("the running metad is not to be reached\nhelp: try again as root, with sudo")]
    Denied(#[source] io::Error),
    #[error("somebody else than root or this user listens at {}\nhelp: find out who, with `ss -xlp`, and how it came there", .0.display())]
    Foreign(PathBuf),
    #[error("the running metad refuses to be taken over: {0}")]
    Refused(String),
    #[error(
        "the running metad cannot be understood\nhelp: it may be of another version: stop it and start this one; guests are not answered in between"
    )]
    Misunderstood(#[source] io::Error),
    #[error("the running metad did not answer within {} s{}", after.as_secs(), of_silence(holder.as_ref()))]
    Silent {
        after: Duration,
        /// Its process, where that is to be found.
        holder: Option<Holder>,
    },
    #[error(
        "the running metad ended while it was being taken over\nhelp: nobody answers guests now; start one with `metad serve`, without --take-over"
    )]
    Gone(#[source] io::Error),
    #[error("the running metad has gone on serving: this one took too long")]
    TooLate,
}

#[cfg(test)]
mod tests;
