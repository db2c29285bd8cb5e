//! The other end of the admin socket: what the command line asks the daemon through.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::{Holder, Query, QueryError, Reply, Status, of_silence};
use crate::config::Name;
use crate::settings::{Outcome, Refusal, Wish};
use crate::signer::Certificate;

/// How long the daemon may take for one answer. It never waits for anything while it makes one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two attempts to reach a daemon that takes up nobody.
const AGAIN: Duration = Duration::from_millis(50);

/// Octets; the largest user-data in base64 and a status with thousands of instances fit well.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Asks one daemon; each call is a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

/// A daemon that did not answer, or answered something else than was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot ask the daemon at {}\nno metad of this name is running\nhelp: {}", socket.display(), start(socket, running))]
    NotRunning {
        socket: PathBuf,
        /// The names of those that do run here.
        running: Vec<String>,
        #[source]
        source: io::Error,
    },
    #[error("cannot ask the daemon at {}\nhelp: the admin socket is open to root alone; try again with sudo", socket.display())]
    Denied {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot ask the daemon at {}", socket.display())]
    Connection {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the daemon at {} did not answer within {} s{}", socket.display(), after.as_secs_f32(), of_silence(holder.as_ref()))]
    Silent {
        socket: PathBuf,
        after: Duration,
        /// Its process, where that is to be found.
        holder: Option<Holder>,
    },
    #[error("the daemon at {} broke off its answer", socket.display())]
    Broken {
        socket: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the daemon at {} answered {status}, which this command does not understand\nhelp: the daemon may be of another version; restart it", socket.display())]
    Strange { socket: PathBuf, status: StatusCode },
    #[error("cannot make a query of this path or header")]
    Unspeakable {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Query(QueryError),
    #[error(transparent)]
    Settings(Refusal),
}

impl Client {
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            patience: PATIENCE,
        }
    }

    /// The same client with another limit for each answer.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Fetches what `metad status` prints.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let (status, body) = self.ask(Method::GET, "/status", Bytes::new()).await?;
        if status == StatusCode::OK {
            self.read(&body)
        } else {
            Err(self.strange(status))
        }
    }

    /// Fetches what a guest would be told.
    pub async fn query(&self, query: &Query) -> Result<Reply, ClientError> {
        let body = serde_json::to_vec(query).map_err(|error| ClientError::Unspeakable {
            source: error.into(),
        })?;
        let (status, body) = self.ask(Method::POST, "/query", body.into()).await?;
        if status == StatusCode::OK {
            self.read(&body)
        } else {
            Err(serde_json::from_slice(&body)
                .map_or_else(|_| self.strange(status), ClientError::Query))
        }
    }

    /// Fetches the public half of the key that instances are vouched for with.
    pub async fn certificate(&self) -> Result<Certificate, ClientError> {
        let (status, body) = self
            .ask(Method::GET, "/identity/cert", Bytes::new())
            .await?;
        if status == StatusCode::OK {
            Certificate::from_pem(&body).map_err(|problem| self.broken(problem))
        } else {
            Err(self.strange(status))
        }
    }

    /// Has a wish fulfilled.
    pub async fn settings(&self, wish: &Wish) -> Result<Outcome, ClientError> {
        let body = serde_json::to_vec(wish).map_err(|error| ClientError::Unspeakable {
            source: error.into(),
        })?;
        let (status, body) = self.ask(Method::POST, "/settings", body.into()).await?;
        if status == StatusCode::OK {
            self.read(&body)
        } else {
            Err(serde_json::from_slice(&body)
                .map_or_else(|_| self.strange(status), ClientError::Settings))
        }
    }

    /// Asks the daemon to end; it may still be ending when this returns.
    pub async fn stop(&self) -> Result<(), ClientError> {
        let (status, _) = self.ask(Method::POST, "/stop", Bytes::new()).await?;
        if status == StatusCode::ACCEPTED {
            Ok(())
        } else {
            Err(self.strange(status))
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        match timeout(self.patience, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> ClientError {
        ClientError::Silent {
            socket: self.socket.clone(),
            after: self.patience,
            holder: self.socket.parent().and_then(Holder::of),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = loop {
            match UnixStream::connect(&self.socket).await {
                // As many wait already as fit before the socket (unix(7)); the patience is the caller's.
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN).await,
                stream => break stream.map_err(|source| self.unreachable(source))?,
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "metad")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Unspeakable {
                source: error.into(),
            })?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| self.broken(error))?;
        connection.abort();
        Ok((head.status, body.to_bytes()))
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.broken(error))
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        if matches!(
            source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        ) {
            let running = self.socket.parent().map(Holder::beside);
            ClientError::NotRunning {
                socket,
                running: running.unwrap_or_default(),
                source,
            }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            ClientError::Denied { socket, source }
        } else {
            ClientError::Connection { socket, source }
        }
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken {
            socket: self.socket.clone(),
            source: source.into(),
        }
    }

    fn strange(&self, status: StatusCode) -> ClientError {
        ClientError::Strange {
            socket: self.socket.clone(),
            status,
        }
    }
}

/// How to start the daemon of this socket, where those of these names run.
fn start(socket: &Path, running: &[String]) -> String {
    let directory = socket.parent().and_then(Path::file_name);
    let usual = directory.is_some_and(|name| name == Name::default().as_str());
    let start = match usual {
        true => "start it with `systemctl start metad`, or `metad serve` in a terminal",
        false => "start it with `metad serve`, with the same --name or --config",
    };
    if running.is_empty() {
        return start.to_owned();
    }
    let running: Vec<String> = running.iter().map(|name| format!("`{name}`")).collect();
    let running = running.join(", ");
    format!("{start}; --name or --config says which is meant, and running here: {running}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_a_daemon_that_does_not_run_is_told_of_those_that_do() {
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (socket, running, expected) in [
            (
                "/run/metad/admin.sock",
                names(&[]),
                "start it with `systemctl start metad`, or `metad serve` in a terminal",
            ),
            (
                "/run/metad/admin.sock",
                names(&["lab", "test"]),
                "start it with `systemctl start metad`, or `metad serve` in a terminal; --name or --config says which is meant, and running here: `lab`, `test`",
            ),
            (
                "/run/lab/admin.sock",
                names(&[]),
                "start it with `metad serve`, with the same --name or --config",
            ),
            (
                "/run/lab/admin.sock",
                names(&["metad"]),
                "start it with `metad serve`, with the same --name or --config; --name or --config says which is meant, and running here: `metad`",
            ),
        ] {
            let told = start(Path::new(socket), &running);
            assert_eq!(told, expected, "{socket} {running:?}");
        }
    }
}
