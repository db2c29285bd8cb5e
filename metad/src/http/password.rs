//! The password that a guest leaves for its owner, once.
//!
//! In: a reply that waits for the store. Out: the reply as the store has it. The password itself is never logged.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue};

use super::reply::{Errand, Reply};
use crate::instance::Instance;
use crate::render;
use crate::settings::{PASSWORD_MAX, StateDesk, Stored};

/// Runs the reply's errand, if it has one.
pub(super) async fn run(
    reply: Reply,
    state: &StateDesk,
    instance: &Instance,
    body: Bytes,
) -> Reply {
    let left = instance.password.as_ref();
    match reply.errand {
        None => reply,
        Some(Errand::ShowPassword) => show(reply, left.cloned().unwrap_or_default()),
        Some(Errand::KeepPassword) if left.is_some() => refused(Stored::AlreadySet),
        Some(Errand::KeepPassword) if body.is_empty() || body.len() > PASSWORD_MAX => {
            refused(Stored::TooLong)
        }
        Some(Errand::KeepPassword) => match state.store_password(instance.uuid, body).await {
            Stored::Stored => reply,
            refusal => refused(refusal),
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

fn refused(outcome: Stored) -> Reply {
    let (status, reason) = match outcome {
        Stored::AlreadySet => (StatusCode::CONFLICT, "the guest has left a password before"),
        Stored::TooLong => (
            StatusCode::BAD_REQUEST,
            "the password is not 1 to 1020 octets",
        ),
        Stored::Stored | Stored::Failed => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the password could not be kept",
        ),
    };
    Reply::refused(status, reason)
}
