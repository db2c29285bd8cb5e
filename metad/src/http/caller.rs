//! The guest as the handlers get it: what the connection's identification found, and nothing a request could say.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::identity::{Caller, Unknown};

/// What [`crate::identity::Peer::identify`] found, on its way to the handlers and the log.
#[derive(Debug, Clone)]
pub(super) struct Identified(pub(super) Result<Caller, Unknown>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Unknown;

    fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> impl Future<Output = Result<Self, Unknown>> + Send {
        let found = parts
            .extensions
            .get::<Identified>()
            .map_or(Err(Unknown::NoSeat), |identified| identified.0.clone());
        std::future::ready(found)
    }
}
