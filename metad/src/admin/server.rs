//! The routes of the admin socket.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::owners::Owners;
use super::{Host, Query, QueryError};
use crate::memory;
use crate::settings::{Refusal, Wish};

/// Octets; a query is a path and a few headers.
const REQUEST_MAX: usize = 64 * 1024;

/// Answers on `listener` until `stop` turns true or its sender is gone, then finishes what is under way.
pub async fn serve(
    listener: UnixListener,
    host: Arc<dyn Host>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let stopped = async move {
        // An error means that the sender is gone, which is an end too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(Owners::of(listener), routes(host))
        .with_graceful_shutdown(stopped)
        .await
}

/// Everything that can be asked of the daemon.
pub fn routes(host: Arc<dyn Host>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/query", post(query))
        .route("/identity/cert", get(certificate))
        .route("/identity/jwks", get(jwks))
        .route("/stop", post(end))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .route(
            "/settings",
            post(settings).layer(DefaultBodyLimit::max(WISH_MAX)),
        )
        .with_state(host)
}

/// Octets; the largest settings of an instance at once, with every letter escaped.
const WISH_MAX: usize = 8 * 1024 * 1024;

/// Instances whose list leaves so much memory behind that it is worth giving back.
const MANY: usize = 1_000;

type AnyHost = State<Arc<dyn Host>>;

async fn status(State(host): AnyHost) -> Response {
    let status = host.status();
    let is_long = status.instances.len() >= MANY;
    let response = Json(status).into_response();
    if is_long {
        tokio::task::spawn_blocking(memory::give_back);
    }
    response
}

async fn query(State(host): AnyHost, query: Result<Json<Query>, JsonRejection>) -> Response {
    let answer = match query {
        Ok(Json(query)) => host.query(&query),
        Err(rejection) => Err(QueryError::Malformed {
            what: rejection.body_text(),
        }),
    };
    match answer {
        Ok(reply) => Json(reply).into_response(),
        Err(error) => (status_of(&error), Json(error)).into_response(),
    }
}

async fn certificate(State(host): AnyHost) -> Response {
    let kind = [(CONTENT_TYPE, "application/x-pem-file")];
    (kind, host.certificate().pem().to_owned()).into_response()
}

async fn jwks(State(host): AnyHost) -> Response {
    let kind = [(CONTENT_TYPE, "application/jwk-set+json")];
    (kind, host.certificate().jwks().to_string()).into_response()
}

async fn settings(State(host): AnyHost, wish: Result<Json<Wish>, JsonRejection>) -> Response {
    let outcome = match wish {
        Ok(Json(wish)) => host.state().ask(wish).await,
        Err(rejection) => Err(Refusal::Malformed {
            what: rejection.body_text(),
        }),
    };
    match outcome {
        Ok(outcome) => Json(outcome).into_response(),
        Err(refusal) => (status_of_refusal(&refusal), Json(refusal)).into_response(),
    }
}

fn status_of_refusal(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownInstance { .. } | Refusal::NotSet { .. } => StatusCode::NOT_FOUND,
        Refusal::BadPath { .. } | Refusal::BadValue { .. } | Refusal::Malformed { .. } => {
            StatusCode::BAD_REQUEST
        }
        Refusal::Full { .. } => StatusCode::CONFLICT,
        Refusal::Unstored { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::Ending => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn end(State(host): AnyHost) -> StatusCode {
    host.stop();
    StatusCode::ACCEPTED
}

fn status_of(error: &QueryError) -> StatusCode {
    match error {
        QueryError::UnknownInstance { .. } | QueryError::UnknownNic { .. } => StatusCode::NOT_FOUND,
        QueryError::NoNic { .. } => StatusCode::CONFLICT,
        QueryError::Malformed { .. } => StatusCode::BAD_REQUEST,
    }
}
