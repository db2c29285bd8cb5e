//! Several listening sockets as one.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with, getsockname, sockopt};
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

/// Who decides how much may be under way (tcp(7), `TCP_CONGESTION`), whatever the host has as its default. Between a guest and its host
/// there is a queue in memory and no wire: a choice that paces (bbr) makes answers wait for timers, and costs a guest's every
/// acknowledgement an estimate of a bandwidth that nobody needs. This one is in every kernel.
const CONGESTION: &str = "reno";

/// So many are accepted before the first of them is looked at; other threads may have time for the rest.
const AT_ONCE: usize = 8;
/// How long the kernel keeps a connection to itself on which nothing was sent yet. Whoever connects to a server of HTTP sends at
/// once, and then there is something to read when the connection is accepted.
const QUIET: Duration = Duration::from_secs(1);

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
            sockopt::set_tcp_congestion(listener, CONGESTION)?;
            defer_accept(listener, QUIET)?;
        }
        let watched = listeners.into_iter().map(Door::open);
        Ok(Self {
            listeners: watched.collect::<io::Result<_>>()?,
            turn: 0,
        })
    }

    /// Waits for connections at any of them, and adds those that there are to `arrivals`, some at the most. Nothing is lost where
    /// the wait is given up.
    pub(super) async fn accept(&mut self, arrivals: &mut Vec<Arrival>) -> io::Result<()> {
        poll_fn(|context| {
            arrivals.push(ready!(self.poll_accept(context))?);
            while arrivals.len() < AT_ONCE
                && let Poll::Ready(Ok(arrival)) = self.poll_accept(context)
            {
                arrivals.push(arrival);
            }
            Poll::Ready(Ok(()))
        })
        .await
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

/// Has connections accepted once there is something to read, or after so long (TCP_DEFER_ACCEPT, tcp(7)).
fn defer_accept(listener: &TcpListener, time: Duration) -> io::Result<()> {
    let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    // SAFETY: the option is an int, which lives until the call is over, and its length is given.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            u32::try_from(size_of::<i32>()).unwrap_or_default(),
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
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
    async fn connections_have_the_listeners_choices_whatever_the_host_prefers() {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let mut doors = Doors::open(vec![listener]).unwrap();
        let _client = Client::connect(address).unwrap();
        let mut arrivals = Vec::new();
        doors.accept(&mut arrivals).await.unwrap();
        let socket = &arrivals.first().unwrap().socket;
        assert_eq!(sockopt::tcp_congestion(socket).unwrap(), CONGESTION);
        assert!(sockopt::tcp_nodelay(socket).unwrap());
        let silence = sockopt::tcp_user_timeout(socket).unwrap();
        assert_eq!(u128::from(silence), SILENCE.as_millis());
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
        let (mut came_in_by, mut arrivals) = (Vec::new(), Vec::new());
        while came_in_by.len() < 6 {
            doors.accept(&mut arrivals).await.unwrap();
            came_in_by.extend(arrivals.drain(..).map(|arrival| arrival.local));
        }
        assert_eq!(came_in_by.first(), Some(&addresses[0]));
        assert!(
            came_in_by
                .iter()
                .take(3)
                .any(|local| *local == addresses[1]),
            "{came_in_by:?}"
        );
        assert!(came_in_by.ends_with(&[addresses[0]; 3]));
    }
}
