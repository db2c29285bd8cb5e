//! Requests beyond an instance's rate: data is refused, and what clients cannot take a refusal for is answered late.
//!
//! In: a request whose guest and target are known. Out: its answer, or 503 with `Retry-After`. Nobody waits longer here
//! than EC2's SDKs wait for a connection to say something.

use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, HeaderValue};
use http::{Method, StatusCode};

use super::caller::Identified;
use super::reply::Reply;
use super::target::{Route, Target};
use crate::instance::Dialect;
use crate::limits::{Bounds, Limit, TooMany};
use crate::token::BootTime;

/// How long a request may be kept waiting for its answer: SDKs give up after a second.
const PATIENCE: Duration = Duration::from_millis(900);

/// Counts the request, and says how long it has to wait for its answer.
///
/// # Errors
/// The guest asks too often for it to be answered; [`shed`] tells it so.
pub(super) fn wait(bounds: &Bounds, request: &Request) -> Result<Duration, TooMany> {
    let Some(Identified(Ok(caller))) = request.extensions().get() else {
        // What nobody asks is refused anyway.
        return Ok(Duration::ZERO);
    };
    let target = request.extensions().get();
    let patience = match target.is_some_and(|it| is_vital(request.method(), it)) {
        true => PATIENCE,
        false => Duration::ZERO,
    };
    let meter = &caller.seat.meter;
    let wait = match bounds.request(meter, BootTime::now().0, patience) {
        // Only as many as are served at a time can wait here, so this is a rate, too.
        Err(TooMany) if !patience.is_zero() => patience,
        taken => taken?,
    };
    if !wait.is_zero() {
        bounds.met(Limit::RequestsDelayed, Some(meter));
    }
    Ok(wait)
}

/// Whether a client takes a refusal of this for the end: cloud-init up to 22.4 gives up on EC2 where a token is refused,
/// OpenStack's data source asks once whether anybody is there.
fn is_vital(method: &Method, target: &Target) -> bool {
    match target.route() {
        Route::Token => method == Method::PUT,
        Route::Ec2(path) => {
            let below_version = path.split_once('/').map(|parts| parts.1);
            below_version == Some("meta-data/instance-id")
        }
        Route::Other(dialect, path) => dialect == Dialect::OpenStack && path.is_empty(),
    }
}

/// The refusal. The connection ends with it, so that the rate of connections bounds refusals.
pub(super) fn shed() -> Response {
    let reason = "the guest asks too often";
    let reply = Reply::refused(StatusCode::SERVICE_UNAVAILABLE, reason).beyond(Limit::Requests);
    let mut response = reply.into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_clients_give_up_on_is_never_refused() {
        for (method, path, vital) in [
            ("PUT", "/latest/api/token", true),
            ("GET", "/latest/api/token", false),
            ("GET", "/latest/meta-data/instance-id", true),
            ("GET", "//latest/meta-data//instance-id/", true),
            ("HEAD", "/2009-04-04/meta-data/instance-id", true),
            ("GET", "/latest/meta-data/instance-type", false),
            ("GET", "/latest/meta-data/", false),
            ("GET", "/latest/user-data", false),
            ("GET", "/instance-id", false),
            ("GET", "/openstack", true),
            ("GET", "/openstack/", true),
            ("GET", "/openstack/latest/meta_data.json", false),
            ("GET", "/nocloud", false),
            ("GET", "/", false),
        ] {
            let (target, method) = (Target::new(path).unwrap(), method.parse().unwrap());
            assert_eq!(is_vital(&method, &target), vital, "{method} {path}");
        }
    }
}
