//! Answers that are signed: proofs of the identity document, and tokens that name the instance.

use bytes::Bytes;
use http::StatusCode;

use super::decide::{Ask, Asker, FORWARDED_FOR, told};
use super::reply::Reply;
use crate::instance::Dialect;
use crate::limits::Limit;
use crate::render::{self, Content, DOCUMENT, ETag, Version};
use crate::signer::{Audience, Form, Refused, WrongAudience};
use crate::token::BootTime;

/// Where a guest asks for a token that names it, below any version. It is not listed: without an audience there is no
/// answer.
pub(super) const JWT: &str = "dynamic/instance-identity/jwt";

/// Answers with what proves the very document that this request would get.
pub(super) fn proof(ask: &Ask<'_>, form: Form) -> Reply {
    let document = ask.answers.get(Dialect::Ec2, Version::LATEST, DOCUMENT);
    let Some(document) = document else {
        let reason = "there is no document to prove";
        return Reply::refused(StatusCode::NOT_FOUND, reason);
    };
    let document = match told(ask, document.body) {
        Ok(document) => document,
        Err(untold) => return untold.reply(),
    };
    let proven = ask
        .answers
        .proofs
        .of(&document, form, ask.signer, asked_at(ask));
    match proven {
        Ok(body) => {
            let etag = ETag::of(&body);
            Reply::found(Content::Text, body, etag, ask.answers.made)
        }
        Err(refused) => unsigned(refused),
    }
}

/// Decides a request for a token that names the instance. `session`: what its session token has left. It is asked for
/// even where all else is open, so that nothing that merely makes a guest fetch an address gets one.
pub(super) fn jwt(ask: &Ask<'_>, session: Option<u32>) -> Reply {
    if matches!(ask.asker, Asker::Administrator) {
        let reason = "identity tokens are handed to the guest alone";
        return Reply::refused(StatusCode::FORBIDDEN, reason);
    }
    if session.is_none() {
        let reason = "an identity token is only for those with a session token";
        return Reply::refused(StatusCode::UNAUTHORIZED, reason);
    }
    // A proxy in the guest would hand it to whoever it serves.
    if ask.headers.contains_key(FORWARDED_FOR) {
        let reason = "an identity token was asked for through a proxy";
        return Reply::refused(StatusCode::FORBIDDEN, reason);
    }
    let audience = match Audience::in_query(ask.target.query()) {
        Ok(audience) => audience,
        Err(wrong) => return Reply::refused(StatusCode::BAD_REQUEST, reason_of(wrong)),
    };
    if let Err(refused) = ask.answers.proofs.spend(asked_at(ask)) {
        return unsigned(refused);
    }
    let claims = render::claims(ask.instance, ask.answers);
    match ask.signer.token(claims, &audience, ask.wall) {
        Ok(token) => Reply::secret(Bytes::from(token)),
        Err(cannot) => unsigned(cannot.into()),
    }
}

fn asked_at(ask: &Ask<'_>) -> Option<BootTime> {
    match ask.asker {
        Asker::Guest { now, .. } => Some(now),
        Asker::Administrator => None,
    }
}

fn unsigned(refused: Refused) -> Reply {
    match refused {
        Refused::TooMany => {
            let reason = "the guest asks for too many signatures";
            Reply::refused(StatusCode::SERVICE_UNAVAILABLE, reason).beyond(Limit::Signatures)
        }
        Refused::CannotSign(_) => {
            let reason = "the system gives no random numbers";
            Reply::refused(StatusCode::INTERNAL_SERVER_ERROR, reason)
        }
    }
}

fn reason_of(wrong: WrongAudience) -> &'static str {
    match wrong {
        WrongAudience::Missing => "the query has no audience",
        WrongAudience::Several => "the query has more than one audience",
        WrongAudience::Malformed => "the audience is empty, too long or no text",
    }
}
