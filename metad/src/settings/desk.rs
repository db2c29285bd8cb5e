//! The way to the one writer: a wish goes in, and comes back once it is stored and applied, or with what was in its way.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{FileError, PASSWORD_MAX};
use crate::nearest::nearest;

/// Wishes that wait for the writer; who comes when so many wait, waits too.
const QUEUE: usize = 64;

/// What an administrator wants of what is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "wish",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Wish {
    /// Has the guest told `value` at `path`, below EC2's `meta-data/`.
    Set {
        instance: String,
        path: String,
        value: Value,
        /// Whether a value is kept that does not look as clients of its path expect it.
        #[serde(default)]
        force: bool,
    },
    /// Takes back what was set at `path` and below; without one, everything that is kept of the instance.
    Unset {
        instance: String,
        #[serde(default)]
        path: Option<String>,
    },
    /// Shows what is kept of an instance, or of all.
    Show {
        #[serde(default)]
        instance: Option<String>,
    },
    /// Shows the password that the guest has left.
    Password { instance: String },
    /// Lets the guest leave another password.
    ClearPassword { instance: String },
}

/// A wish that was fulfilled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is stored, and counts from the next request on.
    Done,
    Kept(Vec<Shown>),
    /// In base64; `None`: the guest has left none.
    Password(Option<String>),
}

impl Outcome {
    pub(super) fn password(octets: Option<&Bytes>) -> Self {
        Self::Password(octets.map(|octets| STANDARD.encode(octets)))
    }
}

/// What is kept of one instance, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shown {
    pub name: String,
    pub uuid: Uuid,
    /// No instance has this UUID now.
    pub orphan: bool,
    /// Whether the guest has left a password.
    pub password: bool,
    pub settings: Map<String, Value>,
}

/// A wish that was not fulfilled. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Refusal {
    #[error("no instance is called `{instance}`\nhelp: {}", meant(nearest.as_deref()))]
    UnknownInstance {
        instance: String,
        nearest: Option<String>,
    },
    #[error("cannot set `{path}`: {problem}{}", advice(help.as_deref()))]
    BadPath {
        path: String,
        problem: String,
        help: Option<String>,
    },
    #[error("cannot set `{path}`: the value {problem}{}", advice(help.as_deref()))]
    BadValue {
        path: String,
        problem: String,
        help: Option<String>,
    },
    #[error("nothing is set at `{path}` for `{instance}`{}", advice(help.as_deref()))]
    NotSet {
        instance: String,
        path: String,
        help: Option<String>,
    },
    #[error("{problem}\nhelp: `metad unset {instance} PATH` makes room")]
    Full { instance: String, problem: String },
    /// A file of the state directory cannot be used.
    #[error("{text}")]
    Unstored { text: String },
    #[error("the wish is malformed: {what}")]
    Malformed { what: String },
    #[error("the daemon is ending\nhelp: try again once it serves")]
    Ending,
}

impl Refusal {
    /// What could not be stored, with its cause; advice comes last.
    pub fn unstored(error: &FileError) -> Self {
        let mut text = error.line();
        for line in error.to_string().lines().skip(1) {
            text.push('\n');
            text.push_str(line);
        }
        Self::Unstored { text }
    }

    /// An instance that is none of `known`, with the one that was probably meant.
    pub(super) fn unknown<'a>(instance: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::UnknownInstance {
            instance: instance.to_owned(),
            nearest: nearest(instance, known).map(str::to_owned),
        }
    }
}

fn meant(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`metad status` lists the instances".to_owned(),
    }
}

fn advice(help: Option<&str>) -> String {
    help.map(|help| format!("\nhelp: {help}"))
        .unwrap_or_default()
}

/// What became of a guest's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is on the disk, and the next request reads it.
    Stored,
    /// There is one, which only its owner can clear.
    AlreadySet,
    /// It has more than [`PASSWORD_MAX`] octets.
    TooLong,
    /// It could not be kept; the log says why.
    Failed,
}

/// A wish on its way, and where its answer goes.
#[derive(Debug)]
pub enum Errand {
    Wish(Wish, oneshot::Sender<Result<Outcome, Refusal>>),
    Password(Uuid, Bytes, oneshot::Sender<Stored>),
}

/// Takes wishes to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateDesk(Arc<mpsc::Sender<Errand>>);

impl Default for StateDesk {
    /// A desk that nobody sits behind: every wish fails at once.
    fn default() -> Self {
        Self::open().0
    }
}

impl StateDesk {
    /// The desk, and what the writer receives.
    pub fn open() -> (Self, mpsc::Receiver<Errand>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(Arc::new(sender)), receiver)
    }

    /// Has the writer fulfil a wish.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn ask(&self, wish: Wish) -> Result<Outcome, Refusal> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Errand::Wish(wish, answer)).await;
        sent.ok().ok_or(Refusal::Ending)?;
        answered.await.unwrap_or(Err(Refusal::Ending))
    }

    /// Keeps what a guest leaves for its owner, once.
    pub async fn store_password(&self, instance: Uuid, password: Bytes) -> Stored {
        if password.len() > PASSWORD_MAX {
            return Stored::TooLong;
        }
        let (answer, answered) = oneshot::channel();
        let errand = Errand::Password(instance, password, answer);
        if self.0.send(errand).await.is_err() {
            return Stored::Failed;
        }
        answered.await.unwrap_or(Stored::Failed)
    }
}
