//! One look at a socket: a plain request that is there already is answered at once, with one read and one write, by
//! whoever happens to look.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, sendmsg};
use socket2::SockRef;

use super::connection::HEAD_MAX;
use crate::http::{App, Line};
use crate::identity::Peer;

/// A body of no more octets is copied behind its head: the kernel takes one piece quicker than two.
const COPIED: usize = 2048;

/// What was found.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing yet.
    Nothing,
    /// The guest sends nothing more, or the connection is lost.
    End,
    /// A request, which has its whole answer. Where the connection `ends` with it, the end must be told at once: the answer
    /// may wait for that.
    Answered { ends: bool },
    /// A request, and what is still to be sent of its answer.
    Unsent { rest: [Bytes; 2], ends: bool },
    /// What only the router understands.
    Other(Vec<u8>),
}

/// What a thread reads into and writes heads into; nothing is left in it between two looks.
struct Scratch {
    read: Box<[u8]>,
    head: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        read: vec![0; HEAD_MAX].into(),
        head: Vec::with_capacity(1024),
    });
}

/// Looks at a socket that does not block.
pub(super) fn look(app: &App, peer: &Peer, socket: BorrowedFd<'_>) -> Seen {
    let looked = SCRATCH.with_borrow_mut(|scratch| {
        // A flaw that one guest's request wakes is to end its connection and nobody else's.
        catch_unwind(AssertUnwindSafe(|| scratch.look(app, peer, socket)))
    });
    looked.unwrap_or(Seen::End)
}

impl Scratch {
    fn look(&mut self, app: &App, peer: &Peer, socket: BorrowedFd<'_>) -> Seen {
        let length = loop {
            match rustix::net::recv(socket, &mut *self.read, RecvFlags::DONTWAIT) {
                Ok((_, length)) => break length,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Seen::Nothing,
                Err(_lost) => return Seen::End,
            }
        };
        let octets = self.read.get(..length).unwrap_or_default();
        if octets.is_empty() {
            return Seen::End;
        }
        self.head.clear();
        let Some(written) = app.quick(peer, &Bare(socket), octets, &mut self.head) else {
            return Seen::Other(octets.to_vec());
        };
        let ends = written.ends;
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // The last octets wait for the end of the connection, which is next, and leave in one packet with it (send(2)).
        flags.set(SendFlags::MORE, ends);
        let head_length = self.head.len();
        let sent = if written.body.len() <= COPIED {
            self.head.extend_from_slice(&written.body);
            rustix::net::send(socket, &self.head, flags)
        } else {
            let parts = [IoSlice::new(&self.head), IoSlice::new(&written.body)];
            sendmsg(socket, &parts, &mut SendAncillaryBuffer::default(), flags)
        };
        self.head.truncate(head_length);
        let sent = match sent {
            Ok(sent) => sent,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => 0,
            Err(_lost) => return Seen::End,
        };
        if sent == self.head.len() + written.body.len() {
            return Seen::Answered { ends };
        }
        let head = self.head.get(sent..).unwrap_or_default();
        let of_body = sent.saturating_sub(self.head.len());
        let rest = [Bytes::copy_from_slice(head), written.body.slice(of_body..)];
        Seen::Unsent { rest, ends }
    }
}

/// A socket that nobody waits on.
struct Bare<'a>(BorrowedFd<'a>);

impl Line for Bare<'_> {
    fn set_hop_limit(&self, hops: u8) -> io::Result<()> {
        set_hop_limit(self.0.as_fd(), hops)
    }
}

/// Lets what is sent on the connection from here on pass at most `hops` - 1 routers.
pub(super) fn set_hop_limit(socket: BorrowedFd<'_>, hops: u8) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    if socket.local_addr()?.is_ipv4() {
        socket.set_ttl_v4(hops.into())
    } else {
        socket.set_unicast_hops_v6(hops.into())
    }
}
