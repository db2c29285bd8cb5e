//! The password that a guest leaves for its owner, once.
//!
//! In: a reply that waits for the password to be kept. Out: the reply as it went. The password itself is never logged.

use bytes::Bytes;
use http::StatusCode;
use uuid::Uuid;

use super::reply::{Errand, Reply};
use crate::settings::{StateDesk, Stored};

/// Runs the reply's errand, if it has one: `body` is what `instance` leaves.
pub(super) async fn run(reply: Reply, state: &StateDesk, instance: Uuid, body: Bytes) -> Reply {
    match reply.errand {
        None => return reply,
        Some(Errand::KeepPassword) if body.is_empty() => return unfit(),
        Some(Errand::KeepPassword) => {}
    }
    match state.store_password(instance, body).await {
        Stored::Stored => reply,
        Stored::AlreadySet => taken(),
        Stored::TooLong => unfit(),
        Stored::Failed => {
            let reason = "the password could not be kept";
            Reply::refused(StatusCode::SERVICE_UNAVAILABLE, reason)
        }
    }
}

/// There is one already.
pub(super) fn taken() -> Reply {
    let reason = "the guest has left a password before";
    Reply::refused(StatusCode::CONFLICT, reason)
}

fn unfit() -> Reply {
    let reason = "the password is not 1 to 1020 octets";
    Reply::refused(StatusCode::BAD_REQUEST, reason)
}
