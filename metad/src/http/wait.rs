//! Requests that wait for their answer to change: `?wait_for_change=true&last_etag=…&timeout_sec=…`, in GCE's words, on
//! any path of any dialect.
//!
//! In: a request's query, and the routes that would answer it. Out: an answer that differs from the one that the guest
//! has, or the present one when the wait is over. Who waits sleeps on its own instance's notice; identity and tokens are
//! looked at before the wait and after it, and a request that does not wait passes through here without a lock or an
//! allocation.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::request::Parts;
use http::{Extensions, Method, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt;

use super::Line;
use super::caller::Identified;
use super::reply::{ABSENT, Reply};
use crate::identity::{Caller, Peer, Unknown};
use crate::inventory::{Snapshot, Waiting};
use crate::limits::{Bounds, Limit};

/// The longest wait; who asks for more, or names no time, waits so long and asks again.
pub const LONGEST: Duration = Duration::from_secs(300);

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    /// The tag of the answer that the guest has; `None`: whatever the present one is.
    last: Option<String>,
    limit: Duration,
}

/// A query that says to wait and cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misunderstood;

/// Reads from a query whether, and for what, to wait. Without `wait_for_change`, nothing else in it is looked at.
pub(super) fn wanted(method: &Method, query: Option<&str>) -> Result<Option<Wait>, Misunderstood> {
    let Some(query) = query else {
        return Ok(None);
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    let Some(wait) = one(query, "wait_for_change")? else {
        return Ok(None);
    };
    let waits = match wait.as_str() {
        // Python's clients write their booleans in their own way.
        "true" | "True" | "TRUE" => true,
        "false" | "False" | "FALSE" => false,
        _ => return Err(Misunderstood),
    };
    let last = one(query, "last_etag")?;
    let limit = match one(query, "timeout_sec")? {
        None => LONGEST,
        Some(text) => seconds(&text).ok_or(Misunderstood)?,
    };
    Ok(waits.then(|| Wait {
        last: last.map(|tag| tag.trim_matches('"').to_owned()),
        limit,
    }))
}

/// The value of a name that may be there once.
fn one(query: &str, name: &str) -> Result<Option<String>, Misunderstood> {
    let mut values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (Some(value), None) => match percent_decode_str(value).decode_utf8() {
            Ok(value) => Ok(Some(value.into_owned())),
            Err(_not_text) => Err(Misunderstood),
        },
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Misunderstood),
    }
}

/// Whole decimal seconds, not more than [`LONGEST`].
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    // Digits that do not fit are many.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// Whatever requests that wait are answered by.
#[derive(Debug, Clone)]
pub(super) struct Polls {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Answer without waiting.
    pub(super) routes: Router,
    pub(super) bounds: Arc<Bounds>,
    /// Turns true when nobody is to wait any longer.
    pub(super) stop: watch::Receiver<bool>,
}

impl Polls {
    /// Answers once there is something new, or once the wait is over.
    pub(super) async fn answer(&self, request: Request, wait: Wait) -> Response {
        let (mut parts, _read_before) = request.into_parts();
        let response = self.ask(&parts).await;
        let Some(tag) = tag(&response) else {
            return response;
        };
        let last = wait.last.unwrap_or_else(|| tag.to_owned());
        if last != tag || wait.limit.is_zero() {
            return response;
        }
        let deadline = Instant::now() + wait.limit;
        let line = parts.extensions.get::<Arc<dyn Line>>().cloned();
        let _paused = line.clone().map(Pause::begin);
        let over = over(deadline, line.as_deref(), self.stop.clone());
        let mut over = pin!(over);
        let mut place: Option<Waiting> = None;
        loop {
            let Ok(held) = self.place(&mut parts, place.take()) else {
                return crowded();
            };
            let Some(held) = held else {
                return self.ask(&parts).await;
            };
            if let Some(response) = self.sleep(&mut parts, &held, &last, over.as_mut()).await {
                return response;
            }
            place = Some(held);
        }
    }

    /// Sleeps until the instance changes, then returns nothing; or returns the answer, once it is another one than `last`
    /// or the wait is `over`.
    async fn sleep(
        &self,
        parts: &mut Parts,
        held: &Waiting,
        last: &str,
        over: impl Future<Output = ()>,
    ) -> Option<Response> {
        let mut rung = pin!(held.rung());
        // Listen before looking, or a change in between goes unheard.
        rung.as_mut().enable();
        let _same_or_gone = self.identify(&mut parts.extensions);
        let response = self.ask(parts).await;
        if tag(&response) != Some(last) {
            return Some(response);
        }
        // Held over a long sleep, it would cost each waiter its headers.
        drop(response);
        tokio::select! {
            () = over => {
                let _same_or_gone = self.identify(&mut parts.extensions);
                Some(self.ask(parts).await)
            }
            () = rung => None,
        }
    }

    /// A place among those who wait for the guest's instance, the one that is held if it still is there. `Ok(None)`:
    /// the guest is not known any more.
    fn place(&self, parts: &mut Parts, held: Option<Waiting>) -> Result<Option<Waiting>, Crowded> {
        let Ok(caller) = self.identify(&mut parts.extensions) else {
            return Ok(None);
        };
        let notice = &caller.seat.notice;
        match held {
            Some(held) if held.is_for(notice) => Ok(Some(held)),
            Some(_) | None => notice
                .wait(self.bounds.limits.waiters)
                .map(Some)
                .ok_or(Crowded),
        }
    }

    /// Finds the guest as it is now, for the next answer.
    pub(super) fn identify(&self, extensions: &mut Extensions) -> Result<Caller, Unknown> {
        let found = match extensions.get::<Peer>() {
            Some(peer) => peer.identify(&self.snapshot.load()),
            None => Err(Unknown::NoSeat),
        };
        extensions.insert(Identified(found.clone()));
        found
    }

    async fn ask(&self, parts: &Parts) -> Response {
        let request = Request::from_parts(parts.clone(), Body::empty());
        match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// All places are taken.
#[derive(Debug, Clone, Copy)]
struct Crowded;

fn crowded() -> Response {
    let reason = "the guest has too many requests waiting";
    let reply = Reply::refused(StatusCode::SERVICE_UNAVAILABLE, reason);
    reply.beyond(Limit::Waiters).into_response()
}

/// Resolves when nobody is to wait any longer, or nobody does.
async fn over(deadline: Instant, line: Option<&dyn Line>, mut stop: watch::Receiver<bool>) {
    let hung_up = async {
        match line {
            Some(line) => line.hung_up().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = sleep_until(deadline) => {}
        // A sender that is gone can no longer say so.
        _gone = stop.wait_for(|stop| *stop) => {}
        () = hung_up => {}
    }
}

/// The tag of an answer that may change into another one while its guest waits; a name that is not there has one too.
fn tag(response: &Response) -> Option<&str> {
    match response.status() {
        StatusCode::OK => response.headers().get(ETAG)?.to_str().ok(),
        StatusCode::NOT_FOUND => Some(ABSENT),
        _ => None,
    }
}

/// A line that is quiet because its guest waits.
struct Pause(Arc<dyn Line>);

impl Pause {
    fn begin(line: Arc<dyn Line>) -> Self {
        line.waits(true);
        Self(line)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.waits(false);
    }
}

#[cfg(test)]
impl Wait {
    /// The tag and the seconds.
    pub(super) fn parts(self) -> (Option<String>, u64) {
        (self.last, self.limit.as_secs())
    }
}
