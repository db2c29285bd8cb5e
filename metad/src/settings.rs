//! What is kept of each instance over restarts of daemon and host: what its administrator has set while it runs, and the
//! password that its guest has left.
//!
//! In: wishes, from the admin socket and from guests. Out: what is to be kept and what to answer; and files, one for each
//! instance, under the state directory. The conductor is the one writer: it stores first, then applies, then answers.
//! Nothing is ever written over that could not be read, and no instance gets what was set for another UUID.

mod decide;
mod desk;
mod files;
mod secret;
mod shape;
mod tree;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use decide::{Decision, Plan, World, decide, leave_password};
pub use desk::{Errand, Outcome, Refusal, Shown, StateDesk, Stored, Wish};
pub use files::{FileError, Files, Loaded};
pub use secret::{NoSecret, Secret};
pub use tree::leaves;

/// The largest password that a guest may leave, in octets: four pieces of 255, as OpenStack keeps it.
pub const PASSWORD_MAX: usize = 1020;

/// What is kept of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// What it was called when this was kept.
    pub name: String,
    /// A tree below EC2's `meta-data/`.
    pub settings: Map<String, Value>,
    /// What the guest has left for its owner.
    pub password: Option<Bytes>,
}

impl Kept {
    /// Whether there is nothing that a file would be needed for.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.password.is_none()
    }
}

/// What is kept, by instance.
pub type Shelf = BTreeMap<Uuid, Kept>;

#[cfg(test)]
mod tests;
