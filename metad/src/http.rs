//! HTTP as guests speak it: from a request of an identified guest to the reply.
//!
//! In: requests whose connection carries a [`Peer`]. Out: replies with a length, never in chunks, never a redirect,
//! never encoded. No request takes a lock, reads a file or asks libvirt, and no token or user-data is ever logged.

mod caller;
mod decide;
mod headers;
mod log;
mod password;
mod proof;
mod quick;
mod reply;
mod target;
#[cfg(test)]
mod tests;
mod throttle;
mod wait;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use tokio::sync::watch;

use crate::identity::{Caller, Peer, Unknown};
use crate::instance::Instance;
use crate::inventory::Snapshot;
use crate::limits::{Bounds, Limit, TooMany};
use crate::render::Answers;
use crate::settings::StateDesk;
use crate::signer::Signer;
use crate::token::{BootTime, Tokens};

use caller::Identified;
use wait::Polls;

pub use decide::{Ask, Asker, decide};
pub use quick::Written;
pub use reply::{Errand, Reply};
pub use target::{Malformed, Target};
pub use wait::LONGEST;

/// Why an administrator sees a refusal; guests never get this header.
pub const REASON: HeaderName = HeaderName::from_static("x-metad-reason");

/// The largest request body that is read; octets.
const BODY_MAX: usize = 4096;

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct App {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub tokens: Tokens,
    /// Keeps what guests leave for their owners.
    pub state: StateDesk,
    pub signer: Signer,
    /// Whether a connection may ask more than once. Some clients read to the end of it and would hang.
    pub keep_alive: bool,
    pub bounds: Arc<Bounds>,
}

/// The connection that a request came on.
pub trait Line: Send + Sync {
    /// Lets what is sent from here on pass at most `hops` - 1 routers.
    ///
    /// # Errors
    /// The system refused it.
    fn set_hop_limit(&self, hops: u8) -> io::Result<()>;

    /// Resolves once the guest sends nothing more.
    fn hung_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Takes note that the guest waits for a change, or does not any more.
    fn waits(&self, _waiting: bool) {}
}

/// Builds the service that answers guests. Nobody waits for a change once `stop` is true or its sender is gone.
pub fn router(app: App, stop: watch::Receiver<bool>) -> Router {
    let mut dialects = Router::new().route("/latest/api/token", at(decide::token));
    for (prefix, _) in target::PREFIXES {
        dialects = dialects
            .route(&format!("/{prefix}"), at(decide::other))
            .route(&format!("/{prefix}/{{*name}}"), at(decide::other));
    }
    let dialects = dialects
        .fallback_service(at(decide::ec2).with_state(app.clone()))
        .with_state(app.clone());
    let polls = Arc::new(Polls {
        snapshot: Arc::clone(&app.snapshot),
        routes: dialects.clone(),
        bounds: Arc::clone(&app.bounds),
        stop,
    });
    // Outermost last. Paths must be in one spelling before they are routed, so the dialects are a service of their own.
    Router::new()
        .fallback_service(dialects)
        .layer(middleware::from_fn_with_state(polls, normalise))
        .layer(middleware::from_fn_with_state(
            app.bounds.limits.body_time,
            take_body,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.bounds),
            log::requests,
        ))
        .layer(middleware::from_fn_with_state(app, identify))
}

/// Answers as `instance` would be answered with a valid token, for the host's administrator. `address` is the source
/// address that the guest would have. Refusals say why in [`REASON`].
pub fn answer_as(
    signer: &Signer,
    instance: &Instance,
    answers: &Answers,
    address: Option<Ipv4Addr>,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut reply = match parsed(target) {
        Some(target) => decide(&Ask {
            method,
            target: &target,
            headers,
            instance,
            answers,
            address,
            signer,
            wall: SystemTime::now(),
            ipv6: false,
            asker: Asker::Administrator,
        }),
        None => malformed(),
    };
    let mut headers = reply.headers.to_map();
    if let Some(reason) = reply.reason {
        headers.insert(REASON, HeaderValue::from_static(reason));
    }
    if method == Method::HEAD {
        reply.body = Bytes::new();
    }
    (reply.status, headers, reply.body)
}

fn parsed(target: &str) -> Option<Target> {
    let uri: Uri = if target.starts_with('/') || target.contains("://") {
        target.parse().ok()?
    } else {
        format!("/{target}").parse().ok()?
    };
    Some(Target::new(uri.path()).ok()?.with_query(uri.query()))
}

/// A route: the guest, its request, the decision, and what that means for the connection.
fn at(decide: fn(&Ask<'_>) -> Reply) -> MethodRouter<App> {
    any(
        async move |caller: Caller, State(app): State<App>, mut request: Request| {
            let Some(target) = request.extensions().get::<Target>() else {
                return malformed();
            };
            let reply = decide(&Ask {
                method: request.method(),
                target,
                headers: request.headers(),
                instance: &caller.seat.instance,
                answers: &caller.seat.answers,
                address: caller.address.and_then(ipv4),
                signer: &app.signer,
                wall: SystemTime::now(),
                ipv6: caller.over_ipv6,
                asker: Asker::Guest {
                    tokens: &app.tokens,
                    now: BootTime::now(),
                },
            });
            let mut extensions = std::mem::take(request.extensions_mut());
            let reply = limit_hops(reply, extensions.get::<Arc<dyn Line>>().map(|line| &**line));
            let body = extensions.remove().unwrap_or(Carried(Bytes::new())).0;
            password::run(reply, &app.state, caller.seat.instance.uuid, body).await
        },
    )
}

/// The address, if it is one of IPv4.
fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Puts the reply's hop limit on the connection; a token that could travel further is not sent.
fn limit_hops(reply: Reply, line: Option<&dyn Line>) -> Reply {
    let Some(hops) = reply.hop_limit else {
        return reply;
    };
    let limited = match line {
        Some(line) => line.set_hop_limit(hops),
        None => Err(io::ErrorKind::NotConnected.into()),
    };
    match limited {
        Ok(()) => reply,
        Err(_refused) => {
            let reason = "the hop limit of the token could not be set";
            Reply::refused(StatusCode::INTERNAL_SERVER_ERROR, reason)
        }
    }
}

/// Finds the guest behind the connection, anew for each request.
async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let found = match request.extensions().get::<Peer>() {
        Some(peer) => peer.identify(&app.snapshot.load()),
        None => Err(Unknown::NoSeat),
    };
    request.extensions_mut().insert(Identified(found));
    let mut response = next.run(request).await;
    if !app.keep_alive {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// What a request carries, for the few that may carry something.
#[derive(Debug, Clone)]
struct Carried(Bytes);

/// Reads what a request carries, as far as anybody may have a use for it.
async fn take_body(State(time): State<Duration>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|octets: u64| octets > BODY_MAX as u64) {
        return too_large().into_response();
    }
    let whole = Limited::new(body, BODY_MAX).collect();
    match tokio::time::timeout(time, whole).await {
        Ok(Ok(body)) => {
            parts.extensions.insert(Carried(body.to_bytes()));
            next.run(Request::from_parts(parts, Body::empty())).await
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large().into_response(),
        Ok(Err(_broken)) => {
            let reason = "the body cannot be read";
            Reply::refused(StatusCode::BAD_REQUEST, reason).into_response()
        }
        Err(_elapsed) => {
            let reason = "the body took too long";
            let reply = Reply::refused(StatusCode::REQUEST_TIMEOUT, reason);
            reply.beyond(Limit::BodyTime).into_response()
        }
    }
}

/// Gives the path its one spelling, and lets those wait who want to.
async fn normalise(State(polls): State<Arc<Polls>>, mut request: Request, next: Next) -> Response {
    // `GET latest` names a host and no path.
    let uri = request.uri();
    let is_path = uri.authority().is_none() || uri.scheme().is_some();
    if !is_path && request.method() != Method::CONNECT {
        return malformed().into_response();
    }
    let Ok(target) = Target::new(request.uri().path()) else {
        return malformed().into_response();
    };
    let target = target.with_query(request.uri().query());
    let Ok(uri) = target.escaped().parse() else {
        return malformed().into_response();
    };
    let wait = wait::wanted(request.method(), request.uri().query());
    *request.uri_mut() = uri;
    request.extensions_mut().insert(target);
    match throttle::wait(&polls.bounds, &request) {
        Ok(Duration::ZERO) => {}
        Ok(late) => {
            tokio::time::sleep(late).await;
            let _same_or_gone = polls.identify(request.extensions_mut());
        }
        Err(TooMany) => return throttle::shed(),
    }
    match wait {
        Ok(None) => next.run(request).await,
        Ok(Some(wait)) => Box::pin(polls.answer(request, wait)).await,
        Err(wait::Misunderstood) => {
            let reason = "the query says to wait, and not for what";
            Reply::refused(StatusCode::BAD_REQUEST, reason).into_response()
        }
    }
}

fn too_large() -> Reply {
    let reason = "the body is larger than 4096 octets";
    Reply::refused(StatusCode::PAYLOAD_TOO_LARGE, reason).beyond(Limit::BodySize)
}

fn malformed() -> Reply {
    let reason = "the path is malformed";
    Reply::refused(StatusCode::BAD_REQUEST, reason)
}
