//! One connection, from its first octet to a close that loses nothing.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use rustix::ioctl::{Getter, Opcode, ioctl};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt;

use super::crowd::Place;
use super::wire::{Wire, hang_up};
use super::{Desk, stopped};
use crate::identity::{FlowOrigin, Peer, Unknown};
use crate::inventory::Slot;
use crate::limits::Limit;

/// The largest request head, in octets.
const HEAD_MAX: usize = 8 * 1024;
/// How long a connection waits for its guest to be known: within the second that EC2's SDKs allow.
const HOLD_TIME: Duration = Duration::from_millis(900);
/// How long, and how much, a guest may go on sending once it has its answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_MAX: usize = 1024 * 1024;

/// Said to what is so far from HTTP/1 that the machinery has no answer to it.
const NOT_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A connection that was accepted and not yet read from.
pub(super) struct Connection {
    pub(super) stream: Arc<TcpStream>,
    pub(super) remote: SocketAddr,
    pub(super) slot: Option<Slot>,
    pub(super) place: Place,
}

/// Serves one connection to its end.
pub(super) async fn attend(
    connection: Connection,
    desk: Arc<Desk>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let stream = &connection.stream;
    let deadline = Instant::now() + HOLD_TIME;
    let turn = connection.place.turn(deadline).await;
    let peer = match turn {
        Some(_) => identify(&connection, &desk, deadline).await,
        None => {
            desk.met(Limit::ServedConnections, connection.slot);
            Peer::unknown(Unknown::Crowded)
        }
    };
    let mut met = converse(stream, peer, &desk, router, stop.clone()).await;
    // The next in line need not wait for this guest to hang up.
    drop(turn);
    if met != Some(Limit::ConnectionTime) {
        linger(stream).await;
        let time = desk.bounds.limits.connection_time;
        tokio::select! {
            taken = taken(stream, time) => if !taken {
                met = Some(Limit::ConnectionTime);
            },
            // What is left then is the kernel's to bring, as before.
            () = stopped(stop) => {}
        }
    }
    if let Some(limit) = met {
        desk.met(limit, connection.slot);
    }
    if met == Some(Limit::ConnectionTime) {
        // Closed as usual, it would leave what is unsent to the kernel, which keeps it for minutes and counts it as nobody's.
        let _reset = SockRef::from(&**stream).set_linger(Some(Duration::ZERO));
    }
}

/// Waits until the guest has acknowledged all that it was sent: until then the kernel keeps it, so the connection keeps
/// its place. `false`: it has not within `time`.
async fn taken(stream: &TcpStream, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    let mut rest = Duration::from_millis(20);
    while unacknowledged(stream) > 0 {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(Duration::from_secs(1));
    }
    true
}

/// As asm-generic/ioctls.h has it under the name of TIOCOUTQ.
const SIOCOUTQ: Opcode = 0x5411;

/// Octets that were sent and are not acknowledged, and those that were not sent yet (SIOCOUTQ, tcp(7)).
fn unacknowledged(stream: &TcpStream) -> i32 {
    // The kernel goes on counting what a reset has left unsent; a connection that is no more has no peer (getpeername(2)).
    if stream.peer_addr().is_err() {
        return 0;
    }
    // SAFETY: the operation writes one int, which is what the getter has room for.
    let getter = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: as above; the descriptor is an open socket's for as long as it is borrowed.
    let asked = unsafe { ioctl(stream, getter) };
    // A socket that has no answer has nothing left to send.
    asked.unwrap_or(0)
}

/// Ties the connection to the seat of its slot, waiting for one until `deadline`.
async fn identify(connection: &Connection, desk: &Desk, deadline: Instant) -> Peer {
    let Some(slot) = connection.slot else {
        return Peer::unknown(Unknown::NoSeat);
    };
    let origin = origin(connection, desk);
    loop {
        let mut swapped = pin!(desk.swapped.notified());
        // Listen before looking, or a swap in between goes unheard.
        swapped.as_mut().enable();
        if let Some(seat) = desk.snapshot.load().seats.get(&slot) {
            return Peer {
                // Known even where the kernel has forgotten the connection.
                over_ipv6: connection.remote.is_ipv6(),
                ..Peer::seated(seat, origin)
            };
        }
        if timeout_at(deadline, swapped).await.is_err() {
            return Peer::unknown(Unknown::NoSeat);
        }
    }
}

fn origin(connection: &Connection, desk: &Desk) -> Option<FlowOrigin> {
    let local = connection.stream.local_addr().ok()?;
    desk.flows.origin(connection.remote, local)
}

/// Answers requests until either side has had enough. Returns the limit that ended it, if one did.
async fn converse(
    stream: &Arc<TcpStream>,
    peer: Peer,
    desk: &Desk,
    router: Router,
    stop: watch::Receiver<bool>,
) -> Option<Limit> {
    let limits = &desk.bounds.limits;
    let wire = Wire::new(Arc::clone(stream));
    let line = wire.line();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(&line));
        router.clone().oneshot(request)
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_header_size(HEAD_MAX)
            .max_buf_size(2 * HEAD_MAX)
            .half_close(true)
            .keep_alive(desk.keep_alive)
            .title_case_headers(true)
            .serve_connection(wire.clone(), service)
    );
    let whole = async {
        tokio::select! {
            ended = served.as_mut() => ended,
            () = last_call(stop, desk) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    match while_alive(&wire, limits.connection_time, whole).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            if error.is_parse() && !wire.has_written() {
                // What cannot be sent at once is not worth waiting for.
                let _sent = stream.try_write(NOT_HTTP);
            }
            tracing::debug!(%error, slot = peer.seat.ok().map(|seat| seat.0), "connection ended early");
            if error.is_timeout() {
                Some(Limit::HeadTime)
            } else {
                error.is_parse_too_large().then_some(Limit::HeadSize)
            }
        }
        Err(_elapsed) => {
            tracing::debug!("connection cut off: it lasted too long");
            Some(Limit::ConnectionTime)
        }
    }
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

/// Hangs up and reads on for a while: closing a socket with unread octets resets the connection, and a client that is
/// still sending would lose the answer that is already on its way.
async fn linger(stream: &TcpStream) {
    if hang_up(stream).is_err() {
        return;
    }
    let rest = async {
        let mut left = LINGER_MAX;
        let mut chunk = [0; 4096];
        while left > 0 && stream.readable().await.is_ok() {
            match stream.try_read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => left = left.saturating_sub(length),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_lost) => return,
            }
        }
    };
    // However it ends, the socket is closed next.
    let _ended = timeout(LINGER_TIME, rest).await;
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
    async fn what_a_guest_has_not_taken_keeps_its_connection_unless_that_is_no_more() {
        use tokio::io::AsyncReadExt;
        let small = |client: &TcpStream| {
            let narrow = SockRef::from(client).set_recv_buffer_size(2048);
            narrow.unwrap();
        };
        let full = |stream: &TcpStream| while stream.try_write(&[b'x'; 4096]).is_ok() {};
        let short = Duration::from_millis(50);
        for case in ["takes nothing", "takes all", "resets"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let (client, accepted) = tokio::join!(client, listener.accept());
            let (mut client, stream) = (client.unwrap(), accepted.unwrap().0);
            small(&client);
            SockRef::from(&stream).set_send_buffer_size(2048).unwrap();
            stream.writable().await.unwrap();
            full(&stream);
            hang_up(&stream).unwrap();
            assert!(!taken(&stream, short).await, "{case}: at first");
            let time = match case {
                "takes nothing" => short,
                "takes all" => {
                    let mut all = Vec::new();
                    client.read_to_end(&mut all).await.unwrap();
                    LINGER_TIME * 20
                }
                _ => {
                    SockRef::from(&client)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                    drop(client);
                    LINGER_TIME * 20
                }
            };
            assert_eq!(
                taken(&stream, time).await,
                case != "takes nothing",
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
