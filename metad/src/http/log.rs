//! One line per request: who asked what, and how it ended. Neither bodies nor headers are ever part of it.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::caller::Identified;
use super::reply::Reason;
use crate::identity::Peer;

/// More of a path than this is not logged, in characters.
const PATH_MAX: usize = 256;

/// Logs the request once its reply is made.
pub(super) async fn requests(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    // A query may hold anything and is never looked at.
    let path: String = request.uri().path().chars().take(PATH_MAX).collect();
    let caller = request.extensions().get::<Identified>().cloned();
    let slot = request
        .extensions()
        .get::<Peer>()
        .and_then(|peer| peer.seat.ok())
        .map(|(slot, _)| slot);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let reason = response.extensions().get::<Reason>().map(|reason| reason.0);
    if let Some(Identified(Ok(caller))) = caller {
        let seat = &caller.seat;
        tracing::info!(
            guest = %seat.instance.name,
            mac = %seat.mac,
            interface = %seat.interface,
            %method,
            path,
            status,
            us,
            reason,
            "request"
        );
    } else {
        tracing::info!(slot, %method, path, status, us, reason, "request of nobody");
    }
    response
}
