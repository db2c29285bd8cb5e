//! The password that a guest leaves for its owner, once.
//!
//! In: a reply that waits for the store. Out: the reply as the store has it. The password itself is never logged.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use uuid::Uuid;

use super::reply::{Errand, Reply};
use crate::render;

/// What fits into the four fields that OpenStack keeps it in; octets.
const PASSWORD_MAX: usize = 1020;

/// Keeps passwords, one for each instance.
pub trait Passwords: fmt::Debug + Send + Sync {
    /// Returns what this instance has left; must not wait for anything.
    fn left(&self, instance: Uuid) -> Option<Bytes>;

    /// Keeps a password over restarts before it returns, unless there is one already.
    fn keep(&self, instance: Uuid, password: Bytes) -> Keeping<'_>;
}

/// A password on its way to the disk.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), NotKept>> + Send + 'a>>;

/// Why a password was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// The instance has left one before.
    Taken,
    /// Nothing was written; the log says why.
    Failed,
}

/// Runs the reply's errand, if it has one.
pub(super) async fn run(
    reply: Reply,
    store: Option<&dyn Passwords>,
    instance: Uuid,
    body: Bytes,
) -> Reply {
    let left = || store.and_then(|store| store.left(instance));
    match (reply.errand, store) {
        (None, _) => reply,
        (Some(Errand::ShowPassword), _) => show(reply, left().unwrap_or_default()),
        (Some(Errand::KeepPassword), None) => unkept(NotKept::Failed),
        (Some(Errand::KeepPassword), Some(_)) if left().is_some() => unkept(NotKept::Taken),
        (Some(Errand::KeepPassword), Some(_)) if body.is_empty() || body.len() > PASSWORD_MAX => {
            let reason = "the password is not 1 to 1020 octets";
            Reply::refused(StatusCode::BAD_REQUEST, reason)
        }
        (Some(Errand::KeepPassword), Some(store)) => match store.keep(instance, body).await {
            Ok(()) => reply,
            Err(refusal) => unkept(refusal),
        },
    }
}

fn show(mut reply: Reply, password: Bytes) -> Reply {
    reply.headers.insert(CONTENT_LENGTH, password.len().into());
    let etag = render::ETag::of(&password).to_string();
    if let Ok(etag) = HeaderValue::try_from(etag) {
        reply.headers.insert(ETAG, etag);
    }
    Reply {
        body: password,
        ..reply
    }
}

fn unkept(refusal: NotKept) -> Reply {
    match refusal {
        NotKept::Taken => {
            let reason = "the guest has left a password before";
            Reply::refused(StatusCode::CONFLICT, reason)
        }
        NotKept::Failed => {
            let reason = "the password could not be kept";
            Reply::refused(StatusCode::SERVICE_UNAVAILABLE, reason)
        }
    }
}
