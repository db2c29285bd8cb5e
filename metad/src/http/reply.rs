//! What a guest is answered: status, headers, body, and the reason that only the log sees.

use std::time::SystemTime;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    LAST_MODIFIED, RETRY_AFTER, SERVER,
};

use super::headers::{FieldValue, Headers};
use crate::identity::Unknown;
use crate::limits::Limit;
use crate::render::{Content, ETag};
use crate::token::Ttl;

/// Carries how long a token lives, asked for and granted, in seconds.
pub(super) const TOKEN_TTL: HeaderName =
    HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// The tag of a name that is not there: a guest can wait for it to change, as for any other.
pub(super) const ABSENT: &str = "0000000000000000";

/// A whole answer, before it is put on a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: Headers,
    pub body: Bytes,
    /// `Some`: no router may carry this reply further than so many hops.
    pub hop_limit: Option<u8>,
    /// What must be done first, which may change it.
    pub errand: Option<Errand>,
    /// Why it is no success. Guests are not told.
    pub reason: Option<&'static str>,
    /// The limit that the guest met, if that is why.
    pub beyond: Option<Limit>,
}

/// What is not decided from the request and the answers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// To keep the request's body as the password that the guest leaves.
    KeepPassword,
}

/// The reason of a reply on its way to the request log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reason(pub(super) &'static str);

impl Reply {
    /// What was asked for.
    pub(super) fn found(content: Content, body: Bytes, etag: ETag, made: SystemTime) -> Self {
        let (content_type, ranges) = match content {
            Content::Text => ("text/plain", "none"),
            Content::Json => ("application/json", "none"),
            Content::Yaml => ("text/yaml; charset=utf-8", "none"),
            Content::Octets => ("application/octet-stream", "bytes"),
        };
        let mut reply = Self::new(StatusCode::OK, content_type, body);
        let headers = &mut reply.headers;
        headers.insert(ACCEPT_RANGES, FieldValue::Text(ranges));
        headers.insert(LAST_MODIFIED, FieldValue::Date(made));
        headers.insert(ETAG, FieldValue::Tag(etag));
        reply
    }

    /// A token, and how long it was granted for.
    pub(super) fn token(token: String, ttl: Ttl, hop_limit: u8) -> Self {
        let mut reply = Self::new(StatusCode::OK, "text/plain", token.into());
        let seconds = FieldValue::Number(ttl.seconds().into());
        reply.headers.insert(TOKEN_TTL, seconds);
        reply.hop_limit = Some(hop_limit);
        reply
    }

    /// The same, once an errand is done.
    pub(super) fn after(self, errand: Errand) -> Self {
        Self {
            errand: Some(errand),
            ..self
        }
    }

    /// The same, as what a limit led to.
    pub(super) fn beyond(self, limit: Limit) -> Self {
        Self {
            beyond: Some(limit),
            ..self
        }
    }

    /// A text that nothing on the way may keep.
    pub(super) fn secret(text: Bytes) -> Self {
        let mut reply = Self::new(StatusCode::OK, "text/plain", text);
        let kept_by_none = FieldValue::Text("no-store");
        reply.headers.insert(CACHE_CONTROL, kept_by_none);
        reply
    }

    /// A one-line page with the status, as EC2's clients find it, and nothing else.
    pub(super) fn refused(status: StatusCode, reason: &'static str) -> Self {
        let phrase = status.canonical_reason().unwrap_or_default();
        let title = format!("{} - {phrase}", status.as_u16());
        let page = format!(
            "<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
        );
        let mut reply = Self::new(status, "text/html", page.into());
        reply.reason = Some(reason);
        if status == StatusCode::NOT_FOUND {
            reply.headers.insert(ETAG, FieldValue::Text(ABSENT));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            reply.headers.insert(RETRY_AFTER, FieldValue::Number(1));
        }
        reply
    }

    /// A method that the path does not take.
    pub(super) fn not_allowed(allow: &'static str) -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut reply = Self::new(status, "text/plain", Bytes::new());
        reply.headers.insert(ALLOW, FieldValue::Text(allow));
        reply.reason = Some("the path does not take this method");
        reply
    }

    fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let mut headers = Headers::new();
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        headers.insert(CONTENT_TYPE, FieldValue::Text(content_type));
        headers.insert(CONTENT_LENGTH, FieldValue::Number(length));
        // What old tools look for to tell whether they run on EC2.
        headers.insert(SERVER, FieldValue::Text("EC2ws"));
        Self {
            status,
            headers,
            body,
            hop_limit: None,
            errand: None,
            reason: None,
            beyond: None,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.to_map();
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(Reason(reason));
        }
        if let Some(limit) = self.beyond {
            response.extensions_mut().insert(limit);
        }
        response
    }
}

impl IntoResponse for Unknown {
    fn into_response(self) -> Response {
        Reply::refused(StatusCode::SERVICE_UNAVAILABLE, self.reason()).into_response()
    }
}
