//! One line per request: who asked what, and how it ended. Neither bodies nor headers are ever part of it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::caller::Identified;
use super::reply::Reason;
use crate::identity::{Caller, Peer};
use crate::inventory::Slot;
use crate::limits::{Bounds, Limit};
use crate::token::BootTime;

/// More of a path than this is not logged, in characters.
const PATH_MAX: usize = 256;

/// The path without what stands in the place of NoCloud's secret, be it this guest's, another's or a guess.
pub(super) fn shown(path: &str) -> String {
    let cut = |path: &str| path.chars().take(PATH_MAX).collect();
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let segments = || decoded.split('/').filter(|segment| !segment.is_empty());
    let harmless = |segment: &str| PUBLIC.contains(&segment);
    if !segments().any(|segment| segment == "nocloud") || segments().all(harmless) {
        return cut(path);
    }
    let shown: Vec<&str> = segments()
        .map(|segment| if harmless(segment) { segment } else { "SECRET" })
        .collect();
    cut(&format!("/{}", shown.join("/")))
}

/// What stands in NoCloud's paths for everybody to see.
const PUBLIC: [&str; 7] = [
    "nocloud",
    "meta-data",
    "user-data",
    "vendor-data",
    "network-config",
    ".",
    "..",
];

/// A request and how it ended.
pub(super) struct Entry<'a> {
    pub(super) method: &'a Method,
    pub(super) status: StatusCode,
    pub(super) began: Instant,
    pub(super) reason: Option<&'static str>,
    /// The limit that it met, if it met one.
    pub(super) beyond: Option<Limit>,
}

impl Entry<'_> {
    /// Logs what a guest asked. Takes note of the limit that it met; of requests beyond the rate, only one a second has a
    /// line. `path` is asked for only if there is to be one.
    pub(super) fn of_guest(&self, bounds: &Bounds, caller: &Caller, path: impl FnOnce() -> String) {
        let seat = &caller.seat;
        if let Some(limit) = self.beyond {
            bounds.met(limit, Some(&seat.meter));
        }
        let unlogged = match self.beyond {
            Some(Limit::Requests) => match seat.meter.may_log(BootTime::now().0) {
                None => return,
                unlogged => unlogged,
            },
            _ => None,
        };
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let path = path();
        tracing::info!(
            guest = %seat.instance.name,
            mac = %seat.mac,
            interface = %seat.interface,
            method = %self.method,
            path,
            status = self.status.as_u16(),
            us = self.microseconds(),
            reason = self.reason,
            unlogged,
            "request"
        );
    }

    /// The same for a connection that is no guest's that is known.
    fn of_nobody(&self, bounds: &Bounds, slot: Option<Slot>, path: &str) {
        if let Some(limit) = self.beyond {
            bounds.met(limit, None);
        }
        let (status, us) = (self.status.as_u16(), self.microseconds());
        let (method, reason) = (self.method, self.reason);
        tracing::info!(slot, %method, path, status, us, reason, "request of nobody");
    }

    fn microseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Logs the request once its reply is made.
pub(super) async fn requests(
    State(bounds): State<Arc<Bounds>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let caller = request.extensions().get::<Identified>().cloned();
    // A query may hold anything and is never looked at.
    let path = shown(request.uri().path());
    let slot = request
        .extensions()
        .get::<Peer>()
        .and_then(|peer| peer.seat.ok())
        .map(|(slot, _)| slot);
    let response = next.run(request).await;
    let entry = Entry {
        method: &method,
        status: response.status(),
        began,
        reason: response.extensions().get::<Reason>().map(|reason| reason.0),
        beyond: response.extensions().get::<Limit>().copied(),
    };
    match caller {
        Some(Identified(Ok(caller))) => entry.of_guest(&bounds, &caller, || path),
        _ => entry.of_nobody(&bounds, slot, &path),
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_prefix_is_not_logged() {
        let long = "x".repeat(PATH_MAX + 9);
        for (path, expected) in [
            ("/nocloud/s3ed/meta-data", "/nocloud/SECRET/meta-data"),
            ("/%6eocloud//s3%65d/", "/nocloud/SECRET"),
            ("//nocloud/s3ed", "/nocloud/SECRET"),
            ("/nocloud/./s3ed/x", "/nocloud/./SECRET/SECRET"),
            ("/./nocloud/s3ed/", "/./nocloud/SECRET"),
            ("/x/../nocloud/s3ed", "/SECRET/../nocloud/SECRET"),
            ("/nocloud/meta-data/s3ed", "/nocloud/meta-data/SECRET"),
            ("/nocloud/meta%2ddata", "/nocloud/meta%2ddata"),
            ("/nocloud/", "/nocloud/"),
            ("/latest//x", "/latest//x"),
            (&long, long.get(..PATH_MAX).unwrap()),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }
}
