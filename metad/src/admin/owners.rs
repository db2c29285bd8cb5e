//! The admin socket's own look at who connects. Its mode and its directory's keep others out; whoever gets a connection
//! all the same, through a mode that somebody changed or a descriptor that was handed on, is asked for once more.

use std::io;

use axum::serve::Listener;
use rustix::process::Uid;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// A listener that hands out connections of root's and of the daemon's own user alone; others are closed unread.
pub(super) struct Owners {
    listener: UnixListener,
    us: Uid,
}

impl Owners {
    pub(super) fn of(listener: UnixListener) -> Self {
        Self {
            listener,
            us: rustix::process::geteuid(),
        }
    }
}

impl Listener for Owners {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // Who connected, as the kernel wrote it down then (SO_PEERCRED).
            match stream.peer_cred() {
                Ok(peer) if may_ask(peer.uid(), self.us) => return (stream, address),
                Ok(peer) => tracing::warn!(
                    uid = peer.uid(),
                    "somebody else's connection to the admin socket was closed; its mode should be 0600"
                ),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin socket was closed: nobody knows whose");
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn may_ask(uid: u32, us: Uid) -> bool {
    let uid = Uid::from_raw(uid);
    uid.is_root() || uid == us
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_daemons_own_user_may_ask() {
        for (case, uid, us, expected) in [
            ("root asks root", 0, 0, true),
            ("root asks a developer's", 0, 1000, true),
            ("a developer asks their own", 1000, 1000, true),
            ("somebody asks root's", 1000, 0, false),
            ("nobody asks root's", 65_534, 0, false),
            ("somebody asks a developer's", 1001, 1000, false),
        ] {
            assert_eq!(may_ask(uid, Uid::from_raw(us)), expected, "{case}");
        }
    }
}
