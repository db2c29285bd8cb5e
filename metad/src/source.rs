//! What a source of instances tells the inventory, and how it is asked to look again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::instance::{Disk, Nic, Shared};
use crate::record::Record;

/// A source's place in the configuration; the later one wins.
pub type SourceIndex = usize;

/// One fact from one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub source: SourceIndex,
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A subject is new or has changed; it replaces what was said under the same key.
    Put(Box<Subject>),
    /// A subject is gone.
    Gone { key: String },
    /// A subject cannot be read: what was known of it stays, the problem is shown.
    Failed {
        key: String,
        name: String,
        problem: String,
    },
    /// The source has told everything: subjects and failures whose key is not here are gone.
    Synced { keys: Vec<String> },
    /// Whether the source itself works, for `metad status`.
    State(State),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Connected,
    /// `why` in the style of an error: what, on what, why.
    Away {
        why: String,
    },
    /// It is there and takes its time, which may end at any moment: whoever waits for it waits on.
    Late {
        why: String,
    },
}

/// A machine, or an addition to one, as one source sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// What the source knows it by: a domain's UUID, a file's name. Unique within the source.
    pub key: String,
    /// The machine's name; records without NICs are laid over the machine of this name.
    pub name: String,
    pub uuid: Option<Uuid>,
    /// Differs between two runs of a machine under one UUID (libvirt's domain id); 0 where that is unknown.
    pub epoch: u64,
    /// A stopped machine is listed but never answered.
    pub running: bool,
    /// `Some`: a machine of its own. `None`: an addition to the machine called `name`.
    pub nics: Option<Shared<Vec<Nic>>>,
    pub disks: Vec<Disk>,
    pub record: Record,
    /// When this reading began, by [`crate::clock`]. A tap that vanished since is not believed in again until a reading
    /// names it that began later.
    pub reading: Duration,
    /// What is wrong with the part that could not be used; the last good part stands in for it.
    pub problem: Option<String>,
}

/// What a source is handed when it starts: where to send, and the bell that asks it to read everything again.
#[derive(Debug, Clone)]
pub struct Outlet {
    pub source: SourceIndex,
    pub changes: mpsc::Sender<Change>,
    pub reread: Arc<Notify>,
}

impl Outlet {
    /// Sends from async code. `false`: nobody listens any more, the source may end.
    pub async fn send(&self, event: Event) -> bool {
        self.changes
            .send(Change {
                source: self.source,
                event,
            })
            .await
            .is_ok()
    }

    /// Sends from a thread of its own; must not be called on a runtime's thread.
    pub fn send_blocking(&self, event: Event) -> bool {
        self.changes
            .blocking_send(Change {
                source: self.source,
                event,
            })
            .is_ok()
    }
}
