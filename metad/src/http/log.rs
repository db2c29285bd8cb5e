//! One line per request: who asked what, and how it ended. Neither bodies nor headers are ever part of it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::caller::Identified;
use super::reply::Reason;
use crate::identity::Peer;
use crate::limits::{Bounds, Limit};
use crate::token::BootTime;

/// More of a path than this is not logged, in characters.
const PATH_MAX: usize = 256;

/// The path without what stands in the place of NoCloud's secret, be it this guest's, another's or a guess.
fn shown(path: &str) -> String {
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

/// Logs the request once its reply is made.
/// Takes note of the limit that it met, if it met one; of requests beyond the rate, only one a second has a line.
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
    let status = response.status().as_u16();
    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let reason = response.extensions().get::<Reason>().map(|reason| reason.0);
    let beyond = response.extensions().get::<Limit>().copied();
    if let Some(Identified(Ok(caller))) = caller {
        let seat = &caller.seat;
        if let Some(limit) = beyond {
            bounds.met(limit, Some(&seat.meter));
        }
        let unlogged = match beyond {
            Some(Limit::Requests) => match seat.meter.may_log(BootTime::now().0) {
                None => return response,
                unlogged => unlogged,
            },
            _ => None,
        };
        tracing::info!(
            guest = %seat.instance.name,
            mac = %seat.mac,
            interface = %seat.interface,
            %method,
            path,
            status,
            us,
            reason,
            unlogged,
            "request"
        );
    } else {
        if let Some(limit) = beyond {
            bounds.met(limit, None);
        }
        tracing::info!(slot, %method, path, status, us, reason, "request of nobody");
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
