//! What is said on one connection, from its first request to the last answer.
//!
//! As long as requests are plain, they are answered as they are found; the first that is not goes, with all that comes
//! after it, to the router.

use std::error::Error;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use super::connection::{HEAD_MAX, Left, is_silence};
use super::look::{Seen, look};
use super::patience::Patience;
use super::wire::Wire;
use super::{Desk, stopped};
use crate::http::App;
use crate::identity::Peer;
use crate::limits::Limit;

/// Said to what is so far from HTTP/1 that the machinery has no answer to it.
const NOT_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A connection and who answers on it.
pub(super) struct Conversation<'a> {
    pub(super) stream: &'a Arc<TcpStream>,
    pub(super) peer: Peer,
    pub(super) desk: &'a Desk,
    pub(super) app: App,
    pub(super) router: Router,
    pub(super) stop: watch::Receiver<bool>,
}

impl Conversation<'_> {
    /// Answers requests until either side has had enough. Returns the limit that ended it, if one did.
    pub(super) async fn hold(&self, left: Left) -> Option<Limit> {
        let wire = Wire::new(Arc::clone(self.stream));
        let whole = async {
            match self.quickly(left).await {
                // Few come here, and it is large.
                Ok(read) => Box::pin(self.by_the_router(wire.clone(), read)).await,
                Err(met) => met,
            }
        };
        let time = self.desk.bounds.limits.connection_time;
        match while_alive(&wire, time, whole).await {
            Ok(met) => met,
            Err(_elapsed) => {
                tracing::debug!("connection cut off: it lasted too long");
                Some(Limit::ConnectionTime)
            }
        }
    }

    /// Answers plain requests. Returns what is none.
    ///
    /// # Errors
    /// The conversation is over, by the limit that is named.
    async fn quickly(&self, mut left: Left) -> Result<Vec<u8>, Option<Limit>> {
        let mut last_call = pin!(last_call(self.stop.clone(), self.desk));
        let mut patience = Patience::new(self.desk.bounds.limits.head_time);
        loop {
            left = match left {
                Left::Read(octets) => return Ok(octets),
                Left::Unsent { rest, ends } => match send(self.stream, rest).await {
                    Err(lost) if is_silence(&lost) => return Err(Some(Limit::ConnectionTime)),
                    Ok(()) if !ends => Left::Nothing,
                    Ok(()) | Err(_) => return Err(None),
                },
                Left::Nothing => match self.next(&mut patience, last_call.as_mut()).await? {
                    Seen::Nothing | Seen::Answered { ends: false } => Left::Nothing,
                    Seen::Unsent { rest, ends } => Left::Unsent { rest, ends },
                    Seen::Other(octets) => Left::Read(octets),
                    Seen::Answered { ends: true } | Seen::End => return Err(None),
                },
            };
        }
    }

    /// Waits until there is something to see.
    async fn next(
        &self,
        patience: &mut Patience,
        mut last_call: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Seen, Option<Limit>> {
        patience.renew();
        poll_fn(|context| {
            if let Poll::Ready(readable) = self.stream.poll_read_ready(context) {
                return Poll::Ready(readable.map(|()| self.look()).map_err(|_lost| None));
            }
            if patience.poll_end(context).is_ready() {
                return Poll::Ready(Err(Some(Limit::HeadTime)));
            }
            last_call.as_mut().poll(context).map(|()| Err(None))
        })
        .await
    }

    fn look(&self) -> Seen {
        let mut seen = Seen::Nothing;
        let _readiness = self.stream.try_io(Interest::READABLE, || {
            seen = look(&self.app, &self.peer, self.stream.as_fd());
            match seen {
                // There may be more than was read.
                Seen::Other(_) => Ok(()),
                Seen::Nothing | Seen::End | Seen::Answered { .. } | Seen::Unsent { .. } => {
                    Err(std::io::ErrorKind::WouldBlock.into())
                }
            }
        });
        seen
    }

    /// Answers what begins with the octets that were `read`, and all that comes after it.
    async fn by_the_router(&self, wire: Wire, read: Vec<u8>) -> Option<Limit> {
        let (limits, peer) = (&self.desk.bounds.limits, self.peer);
        let line = wire.line();
        let service = service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Arc::clone(&line));
            self.router.clone().oneshot(request)
        });
        let mut served = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_time)
                .max_header_size(HEAD_MAX)
                .max_buf_size(2 * HEAD_MAX)
                .half_close(true)
                .keep_alive(self.desk.keep_alive)
                .title_case_headers(true)
                .serve_connection(wire.clone().after(read.into()), service)
        );
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = last_call(self.stop.clone(), self.desk) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        let Err(error) = ended else {
            return None;
        };
        if error.is_parse() && !wire.has_written() {
            // What cannot be sent at once is not worth waiting for.
            let _sent = rustix::net::send(self.stream, NOT_HTTP, SendFlags::DONTWAIT);
        }
        let slot = peer.seat.ok().map(|seat| seat.0);
        tracing::debug!(%error, slot, "connection ended early");
        let lost = error.source().and_then(|why| why.downcast_ref());
        if error.is_timeout() {
            Some(Limit::HeadTime)
        } else if lost.is_some_and(is_silence) {
            Some(Limit::ConnectionTime)
        } else {
            error.is_parse_too_large().then_some(Limit::HeadSize)
        }
    }
}

/// Sends all of it.
async fn send(stream: &TcpStream, [mut head, mut body]: [Bytes; 2]) -> std::io::Result<()> {
    while head.has_remaining() || body.has_remaining() {
        stream.writable().await?;
        let parts = [&head, &body].map(|part| std::io::IoSlice::new(part));
        let sent = match stream.try_write_vectored(&parts) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            sent => sent?,
        };
        let of_head = sent.min(head.len());
        head.advance(of_head);
        body.advance(sent - of_head);
    }
    Ok(())
}

/// Cuts off what lasts longer than a connection may. Waiting for a change is no slowness of the guest's: its time begins
/// anew once it has been answered.
async fn while_alive<T>(
    wire: &Wire,
    life: Duration,
    whole: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut whole = pin!(whole);
    loop {
        let deadline = wire.last_waited() + life;
        match timeout_at(deadline, whole.as_mut()).await {
            Err(_early) if Instant::now() < wire.last_waited() + life => {}
            ended => return ended,
        }
    }
}

/// Resolves when a connection that has not asked yet is not to be waited for any longer.
async fn last_call(stop: watch::Receiver<bool>, desk: &Desk) {
    stopped(stop).await;
    tokio::time::sleep((desk.farewell)().last_call).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wire() -> (Wire, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (Wire::new(Arc::new(accepted.unwrap().0)), client.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_change_does_not_use_up_a_connections_time() {
        let seconds = Duration::from_secs;
        for (case, before, waited, after, ends) in [
            ("never waits", 119, 0, 0, true),
            ("never waits, and lasts too long", 121, 0, 0, false),
            ("waits long", 1, 1000, 119, true),
            ("waits long, late", 119, 1000, 119, true),
            ("waits long, and lasts too long then", 1, 1000, 121, false),
        ] {
            let (wire, _client) = wire().await;
            let line = wire.line();
            let whole = async {
                tokio::time::sleep(seconds(before)).await;
                if waited > 0 {
                    line.waits(true);
                    tokio::time::sleep(seconds(waited)).await;
                    line.waits(false);
                }
                tokio::time::sleep(seconds(after)).await;
            };
            assert_eq!(
                while_alive(&wire, seconds(120), whole).await.is_ok(),
                ends,
                "{case}"
            );
        }
    }

    #[tokio::test]
    async fn a_guest_that_hangs_up_is_told_from_one_that_asks_on() {
        use tokio::io::AsyncWriteExt;
        let (wire, mut client) = wire().await;
        let line = wire.line();
        client.shutdown().await.unwrap();
        line.hung_up().await;

        let (wire, mut client) = self::wire().await;
        let line = wire.line();
        client.write_all(b"G").await.unwrap();
        client.shutdown().await.unwrap();
        let mut hung_up = line.hung_up();
        let looked = futures_util::future::poll_immediate(&mut hung_up).await;
        assert!(looked.is_none(), "there is something to read");
    }
}
