//! The guests' listening sockets: an earlier daemon's where they are to be had, so that nobody who connects meanwhile
//! is turned away, or new ones.
//!
//! systemd keeps them for us while no daemon runs (`FDSTORE=1`, sd_notify(3); `LISTEN_FDS`, sd_listen_fds(3)).

use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sd_notify::NotifyState;
use socket2::{Domain, Socket, Type};

use crate::listen;
use crate::netns::{Namespace, veth};

/// Connections that wait to be accepted; beyond the kernel's own limit (net.core.somaxconn) it has no effect.
const BACKLOG: i32 = 4_096;
/// How long another daemon may take to end, and how often somebody looks.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(20);

/// What each family's sockets are called where they are kept, and where they listen.
fn doors() -> [(&'static str, SocketAddr); 2] {
    [
        ("metad-ipv4", SocketAddr::from((veth::METADATA, 80))),
        ("metad-ipv6", SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80))),
    ]
}

/// A guests' socket and its name.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) listener: TcpListener,
}

/// Takes what the service manager kept of an earlier life. To be called once, at the start.
pub(super) fn kept() -> Vec<(String, OwnedFd)> {
    let listed = match sd_notify::listen_fds_with_names() {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(%error, "what the service manager kept cannot be read");
            return Vec::new();
        }
    };
    let owned = |(number, name)| {
        // SAFETY: the service manager passed this descriptor to this process, and this is the one place that takes it.
        (name, unsafe { OwnedFd::from_raw_fd(number) })
    };
    listed.map(owned).collect()
}

/// Opens the guests' sockets in `namespace`: for each family those of `kept` that listen there, or one for each thread that
/// attends to guests.
///
/// # Errors
/// The kernel refuses a new one.
pub(super) fn open(namespace: &Namespace, kept: Vec<(String, OwnedFd)>) -> Result<Vec<Door>> {
    namespace.run(move || open_inside(kept))?
}

/// Gives the sockets to the service manager to keep, where there is one.
pub(super) fn keep(doors: &[Door]) {
    for door in doors {
        let states = [NotifyState::FdStore, NotifyState::FdName(door.name)];
        if let Err(error) = sd_notify::notify_with_fds(&states, &[door.listener.as_fd()]) {
            tracing::warn!(socket = door.name, %error, "the service manager cannot keep a socket: guests are turned away while metad restarts");
        }
    }
}

/// Ends what was kept, with all who wait there. It must listen nowhere any more, the service manager's copy neither: no
/// new one could have the address.
pub(super) fn end(kept: Vec<(String, OwnedFd)>) {
    for (name, socket) in kept {
        if let Err(error) = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both) {
            tracing::debug!(socket = name, %error, "a socket that was kept listens nowhere");
        }
    }
    forget();
}

/// Tells the service manager to keep none any more.
pub(super) fn forget() {
    for (name, _) in doors() {
        let states = [NotifyState::FdStoreRemove, NotifyState::FdName(name)];
        if let Err(error) = sd_notify::notify(&states) {
            tracing::warn!(socket = name, %error, "the service manager cannot forget a socket");
        }
    }
}

fn open_inside(kept: Vec<(String, OwnedFd)>) -> Result<Vec<Door>> {
    let kept = kept.into_iter();
    let mut opened: Vec<Door> = kept
        .filter_map(|(name, socket)| fitting(&name, socket))
        .collect();
    for door in &opened {
        door.listener
            .set_nonblocking(true)
            .context("cannot use a socket that was kept")?;
    }
    for (name, address) in doors() {
        // Those that were kept may be fewer than one would open now. Guests may wait at each, so all are used; and a socket of
        // a metad that had one alone lets no other have its address.
        if opened.iter().any(|door| door.name == name) {
            continue;
        }
        outwait(address, PATIENCE)?;
        for _ in 0..listen::threads() {
            match listener(address) {
                Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {
                    tracing::warn!("this kernel has no IPv6: guests are answered over IPv4 alone");
                    break;
                }
                listener => {
                    let what = || format!("cannot listen on {address} in metad's namespace");
                    let listener = listener.with_context(what)?;
                    opened.push(Door { name, listener });
                }
            }
        }
    }
    Ok(opened)
}

/// A socket that was kept, if it is one of ours and of this namespace.
fn fitting(name: &str, socket: OwnedFd) -> Option<Door> {
    let listener = TcpListener::from(socket);
    let fits = doors().into_iter().find(|(known, address)| {
        *known == name && listener.local_addr().is_ok_and(|found| found == *address)
    });
    let fits = fits.filter(|_| listens_here(&listener).unwrap_or(false));
    if fits.is_none() {
        let problem = "a socket that was kept is not metad's, or not of this namespace";
        tracing::warn!(socket = name, problem);
    }
    fits.map(|(name, _)| Door { name, listener })
}

/// Whether this socket is among those that listen in the namespace of this thread.
fn listens_here(listener: &TcpListener) -> io::Result<bool> {
    let inode = rustix::fs::fstat(listener)?.st_ino;
    let table = match listener.local_addr()? {
        SocketAddr::V4(_) => "/proc/thread-self/net/tcp",
        SocketAddr::V6(_) => "/proc/thread-self/net/tcp6",
    };
    Ok(is_listed(&fs::read_to_string(table)?, inode))
}

/// Whether a table of sockets, as proc_net_tcp has it, lists a listening one of this inode.
fn is_listed(table: &str, inode: u64) -> bool {
    /// `TCP_LISTEN` of the kernel's tcp_states.h.
    const LISTENS: &str = "0A";
    table.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace();
        words.nth(3) == Some(LISTENS) && words.nth(5).and_then(|it| it.parse().ok()) == Some(inode)
    })
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    // Each has connections of its own, so that no thread is woken for what another one takes (socket(7)).
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Waits until nobody listens on an address any more: sockets that share it would share guests with whoever that is. A
/// daemon whose run directory was deleted ends once its link is gone, which is by now.
fn outwait(address: SocketAddr, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let bound = socket(address).and_then(|socket| socket.bind(&address.into()));
        match bound {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                ensure!(
                    Instant::now() < deadline,
                    "another process answers guests: it listens on {address} in metad's namespace\nhelp: `metad down` ends a \
                     daemon whose run directory was deleted; `ip netns pids` shows who else is there"
                );
                std::thread::sleep(GLANCE);
            }
            // Whatever else it is, the sockets themselves will meet it.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has its own.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_socket_is_here_only_where_the_kernel_lists_it_as_listening() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(listens_here(&listener).unwrap());
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let inode = rustix::fs::fstat(&client).unwrap().st_ino;
        let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        assert!(!is_listed(&table, inode), "it is connected");
        for (case, table, expected) in [
            ("empty", "", false),
            ("a head alone", "  sl  local_address", false),
            (
                "listens",
                "head\n   0: FEA9FEA9:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100",
                true,
            ),
            (
                "another",
                "head\n   0: FEA9FEA9:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 471 1 0 100",
                false,
            ),
            (
                "cut short",
                "head\n   0: FEA9FEA9:0050 00000000:0000 0A 4711",
                false,
            ),
        ] {
            assert_eq!(is_listed(table, 4711), expected, "{case}");
        }
    }

    #[test]
    fn an_address_is_shared_with_nobody_that_was_there_before() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = listener(any).unwrap();
        let address = first.local_addr().unwrap();
        let refused = outwait(address, Duration::ZERO).unwrap_err().to_string();
        assert!(
            refused.contains("another process answers guests"),
            "{refused}"
        );
        drop(listener(address).unwrap());
        let waited = std::thread::spawn(move || outwait(address, PATIENCE));
        drop(first);
        assert!(waited.join().unwrap().is_ok(), "until it is gone");
    }

    #[test]
    fn what_is_kept_and_does_not_fit_is_not_used() {
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        for (name, socket) in [
            ("metad-ipv4", OwnedFd::from(stranger)),
            ("metad-ipv6", OwnedFd::from(file)),
        ] {
            assert!(fitting(name, socket).is_none(), "{name}");
        }
    }
}
