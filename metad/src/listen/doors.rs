//! Several listening sockets as one.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with, getsockname};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Octets that the kernel keeps of an answer until its guest has taken them (it takes twice as many for itself). Left to
/// grow, it keeps a megabyte for a guest that takes none, and guests have many connections.
const SEND_BUFFER: usize = 128 * 1024;
/// How long a guest may leave what it was sent unacknowledged, or its window shut.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection is quiet before the kernel looks whether the guest still has it. It keeps the kernel programs'
/// record of a connection that waits from being the one that was used least recently.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connection that has come in. Its socket does not block, and nobody watches it.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: OwnedFd,
    pub(super) remote: SocketAddr,
    /// What it connected to.
    pub(super) local: SocketAddr,
}

/// One socket.
#[derive(Debug)]
struct Door {
    listener: AsyncFd<TcpListener>,
    /// Where it listens; `None`: at more addresses than one.
    local: Option<SocketAddr>,
}

/// The sockets that guests come in by.
#[derive(Debug)]
pub(super) struct Doors {
    listeners: Vec<Door>,
    /// Who is asked first, so that a rush at one leaves nobody standing at another.
    turn: usize,
}

impl Doors {
    /// Takes sockets that do not block. What is set here, the connections that come in by them inherit.
    pub(super) fn open(listeners: Vec<TcpListener>) -> io::Result<Self> {
        for listener in &listeners {
            let socket = SockRef::from(listener);
            socket.set_tcp_nodelay(true)?;
            socket.set_send_buffer_size(SEND_BUFFER)?;
            socket.set_tcp_user_timeout(Some(SILENCE))?;
            let alive = TcpKeepalive::new()
                .with_time(KEEP_ALIVE)
                .with_interval(KEEP_ALIVE / 4);
            socket.set_tcp_keepalive(&alive)?;
        }
        let watched = listeners.into_iter().map(Door::open);
        Ok(Self {
            listeners: watched.collect::<io::Result<_>>()?,
            turn: 0,
        })
    }

    /// Waits for the next connection at any of them. Nothing is lost where the wait is given up.
    pub(super) async fn accept(&mut self) -> io::Result<Arrival> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        let (before, from) = self.listeners.split_at(self.turn);
        for (passed, listener) in from.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                self.turn = (self.turn + passed + 1) % self.listeners.len();
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

impl Door {
    fn open(listener: TcpListener) -> io::Result<Self> {
        let local = listener.local_addr()?;
        // SAFETY: a listener has one descriptor of its own, and closes it when it is dropped and no sooner.
        let watched = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
        Ok(Self {
            listener: watched?,
            local: Some(local).filter(|local| !local.ip().is_unspecified()),
        })
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        loop {
            let mut ready = ready!(self.listener.poll_read_ready(context))?;
            // Another thread may have been quicker.
            if let Ok(accepted) = ready.try_io(|listener| self.accept(listener.get_ref())) {
                return Poll::Ready(accepted);
            }
        }
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<Arrival> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, remote) = acceptfrom_with(listener, flags)?;
        // One without an address is gone already.
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        let address = |address| SocketAddr::try_from(address).map_err(|_no_address| gone());
        Ok(Arrival {
            remote: address(remote.ok_or_else(gone)?)?,
            local: match self.local {
                Some(local) => local,
                None => address(getsockname(&socket)?)?,
            },
            socket,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream as Client};

    use super::*;

    fn listener() -> TcpListener {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    #[tokio::test]
    async fn a_rush_at_one_door_does_not_close_the_other() {
        let (rushed, quiet) = (listener(), listener());
        let addresses = [rushed.local_addr().unwrap(), quiet.local_addr().unwrap()];
        let mut doors = Doors::open(vec![rushed, quiet]).unwrap();
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..5 {
            clients.push(Client::connect(addresses[0]).unwrap());
        }
        clients.push(Client::connect(addresses[1]).unwrap());
        let mut came_in_by = Vec::new();
        for _ in 0..2 {
            came_in_by.push(doors.accept().await.unwrap().local);
        }
        assert_eq!(came_in_by, addresses);
        for _ in 0..4 {
            assert_eq!(doors.accept().await.unwrap().local, addresses[0]);
        }
    }
}
