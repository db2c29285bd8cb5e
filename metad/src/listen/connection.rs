//! One connection, from its first octet to a close that loses nothing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use rustix::ioctl::{Getter, Opcode, ioctl};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::conversation::Conversation;
use super::crowd::Place;
use super::wire::hang_up;
use super::{Desk, stopped};
use crate::http::App;
use crate::identity::{Peer, Unknown};
use crate::inventory::Slot;
use crate::limits::Limit;

/// The largest request head, in octets.
pub(super) const HEAD_MAX: usize = 8 * 1024;
/// How long a connection waits for its guest to be known: within the second that EC2's SDKs allow.
const HOLD_TIME: Duration = Duration::from_millis(900);
/// How long, and how much, a guest may go on sending once it has its answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_MAX: usize = 1024 * 1024;

/// A connection that was accepted and not yet read from.
pub(super) struct Connection {
    pub(super) stream: Arc<TcpStream>,
    pub(super) remote: SocketAddr,
    /// What it connected to.
    pub(super) local: SocketAddr,
    pub(super) slot: Option<Slot>,
    pub(super) place: Place,
}

/// A connection that somebody has had a look at.
pub(super) struct Begun {
    pub(super) turn: OwnedSemaphorePermit,
    pub(super) peer: Peer,
    pub(super) left: Left,
}

/// What is left to do before the next look.
pub(super) enum Left {
    Nothing,
    /// To send the rest of an answer, with which the connection `ends`.
    Unsent {
        rest: [Bytes; 2],
        ends: bool,
    },
    /// To have the router answer this.
    Read(Vec<u8>),
}

/// Serves one connection to its end.
pub(super) async fn attend(
    connection: Connection,
    begun: Option<Begun>,
    desk: Arc<Desk>,
    app: App,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let stream = &connection.stream;
    let (turn, peer, left) = match begun {
        Some(Begun { turn, peer, left }) => (Some(turn), peer, left),
        None => {
            let deadline = Instant::now() + HOLD_TIME;
            let turn = connection.place.turn(deadline).await;
            let peer = match turn {
                Some(_) => identify(&connection, &desk, deadline).await,
                None => {
                    desk.met(Limit::ServedConnections, connection.slot);
                    Peer::unknown(Unknown::Crowded)
                }
            };
            (turn, peer, Left::Nothing)
        }
    };
    let conversation = Conversation {
        stream,
        peer,
        desk: &desk,
        app,
        router,
        stop: stop.clone(),
    };
    let met = conversation.hold(left).await;
    // The next in line need not wait for this guest to hang up.
    drop(turn);
    if let Some(limit) = met {
        desk.met(limit, connection.slot);
    }
    match met {
        Some(Limit::ConnectionTime) => cut_off(stream),
        _ => see_off(stream, &desk, connection.slot, stop).await,
    }
}

/// Waits, within reason, until the guest has all that it was sent.
pub(super) async fn see_off(
    stream: &TcpStream,
    desk: &Desk,
    slot: Option<Slot>,
    stop: watch::Receiver<bool>,
) {
    linger(stream).await;
    let time = desk.bounds.limits.connection_time;
    tokio::select! {
        taken = taken(stream, time) => if !taken {
            desk.met(Limit::ConnectionTime, slot);
            cut_off(stream);
        },
        // What is left then is the kernel's to bring, as before.
        () = stopped(stop) => {}
    }
}

/// Has the connection end in a reset. Closed as usual, it would leave what is unsent to the kernel, which keeps it for minutes
/// and counts it as nobody's.
fn cut_off(stream: &TcpStream) {
    let _reset = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Waits until the guest has acknowledged all that it was sent: until then the kernel keeps it, so the connection keeps
/// its place. `false`: it has not within `time`, or the kernel has given up on it before.
async fn taken(stream: &TcpStream, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    let mut rest = Duration::from_millis(20);
    while unacknowledged(stream.as_fd()) > 0 {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(Duration::from_secs(1));
    }
    !matches!(stream.take_error(), Ok(Some(error)) if is_silence(&error))
}

/// Whether the kernel ended the connection since its guest acknowledged nothing, or kept its window shut.
pub(super) fn is_silence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// As asm-generic/ioctls.h has it under the name of TIOCOUTQ.
const SIOCOUTQ: Opcode = 0x5411;

/// Whether a connection is no more, be it by a reset or because both sides have ended it: then it has no peer
/// (getpeername(2)).
pub(super) fn is_over(socket: BorrowedFd<'_>) -> bool {
    rustix::net::getpeername(socket).is_err()
}

/// Octets that were sent and are not acknowledged, and those that were not sent yet (SIOCOUTQ, tcp(7)).
pub(super) fn unacknowledged(socket: BorrowedFd<'_>) -> i32 {
    // The kernel goes on counting what a reset has left unsent.
    if is_over(socket) {
        return 0;
    }
    // SAFETY: the operation writes one int, which is what the getter has room for.
    let getter = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: as above; the descriptor is an open socket's for as long as it is borrowed.
    let asked = unsafe { ioctl(socket, getter) };
    // A socket that has no answer has nothing left to send.
    asked.unwrap_or(0)
}

/// Ties the connection to the seat of its slot, waiting for one until `deadline`.
async fn identify(connection: &Connection, desk: &Desk, deadline: Instant) -> Peer {
    let Some(slot) = connection.slot else {
        return Peer::unknown(Unknown::NoSeat);
    };
    let (remote, local) = (connection.remote, connection.local);
    loop {
        let mut swapped = pin!(desk.swapped.notified());
        // Listen before looking, or a swap in between goes unheard.
        swapped.as_mut().enable();
        if let Some(peer) = seated(desk, Some(slot), remote, local) {
            return peer;
        }
        if timeout_at(deadline, swapped).await.is_err() {
            return Peer::unknown(Unknown::NoSeat);
        }
    }
}

/// Ties a connection of `slot` to its seat, if there is one now.
pub(super) fn seated(
    desk: &Desk,
    slot: Option<Slot>,
    remote: SocketAddr,
    local: SocketAddr,
) -> Option<Peer> {
    let snapshot = desk.snapshot.load();
    let seat = snapshot.seats.get(&slot?)?;
    Some(Peer {
        // Known even where the kernel has forgotten the connection.
        over_ipv6: remote.is_ipv6(),
        ..Peer::seated(seat, desk.flows.origin(remote, local))
    })
}

/// Hangs up and reads on for a while: closing a socket with unread octets resets the connection, and a client that is
/// still sending would lose the answer that is already on its way.
async fn linger(stream: &TcpStream) {
    if hang_up(stream.as_fd()).is_err() {
        return;
    }
    let rest = async {
        let mut left = LINGER_MAX;
        let mut chunk = [0; 4096];
        while left > 0 && stream.readable().await.is_ok() {
            match stream.try_read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => left = left.saturating_sub(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
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

    #[tokio::test]
    async fn what_a_guest_has_not_taken_keeps_its_connection_unless_that_is_no_more() {
        use tokio::io::AsyncReadExt;
        let small = |client: &TcpStream| {
            let narrow = SockRef::from(client).set_recv_buffer_size(2048);
            narrow.unwrap();
        };
        let full = |stream: &TcpStream| while stream.try_write(&[b'x'; 4096]).is_ok() {};
        let short = Duration::from_millis(50);
        for case in ["takes nothing", "takes all", "resets", "is given up on"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let (client, accepted) = tokio::join!(client, listener.accept());
            let (mut client, stream) = (client.unwrap(), accepted.unwrap().0);
            small(&client);
            SockRef::from(&stream).set_send_buffer_size(2048).unwrap();
            stream.writable().await.unwrap();
            full(&stream);
            hang_up(stream.as_fd()).unwrap();
            assert!(!taken(&stream, short).await, "{case}: at first");
            let time = match case {
                "takes nothing" => short,
                "takes all" => {
                    let mut all = Vec::new();
                    client.read_to_end(&mut all).await.unwrap();
                    LINGER_TIME * 20
                }
                "is given up on" => {
                    let silence = Duration::from_millis(100);
                    let socket = SockRef::from(&stream);
                    socket.set_tcp_user_timeout(Some(silence)).unwrap();
                    LINGER_TIME * 120
                }
                _ => {
                    SockRef::from(&client)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                    drop(client);
                    LINGER_TIME * 20
                }
            };
            let expected = !["takes nothing", "is given up on"].contains(&case);
            assert_eq!(taken(&stream, time).await, expected, "{case}");
        }
    }
}
