//! A socket that the HTTP machinery, the handlers and the closing of the connection share.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::look::set_hop_limit;
use crate::http::Line;

/// Octets taken from the socket at a time; a whole request of the largest kind needs two.
const CHUNK: usize = 8 * 1024;

/// The machinery's end of the socket.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    socket: Arc<Socket>,
    /// What was read from the socket before the machinery had it.
    read: Bytes,
}

/// The socket, and what its two users tell each other of it.
#[derive(Debug)]
struct Socket {
    stream: Arc<TcpStream>,
    wrote: AtomicBool,
    /// Whether the guest waits for a change now.
    waiting: AtomicBool,
    born: Instant,
    /// When it last waited, in milliseconds after `born`.
    waited: AtomicU64,
}

impl Wire {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        let socket = Socket {
            stream,
            wrote: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            born: Instant::now(),
            waited: AtomicU64::new(0),
        };
        Self {
            socket: Arc::new(socket),
            read: Bytes::new(),
        }
    }

    /// The same, for who has not seen yet what was `read` already.
    pub(super) fn after(self, read: Bytes) -> Self {
        Self { read, ..self }
    }

    /// The handlers' end.
    pub(super) fn line(&self) -> Arc<dyn Line> {
        Arc::<Socket>::clone(&self.socket)
    }

    /// Whether anything was ever sent.
    pub(super) fn has_written(&self) -> bool {
        self.socket.wrote.load(Ordering::Relaxed)
    }

    /// When the connection last waited for a change of the host's, or else for its first request: until then, its guest
    /// was not slow.
    pub(super) fn last_waited(&self) -> Instant {
        if self.socket.waiting.load(Ordering::Relaxed) {
            return Instant::now();
        }
        let waited = self.socket.waited.load(Ordering::Relaxed);
        self.socket.born + Duration::from_millis(waited)
    }

    fn poll_sent(
        &self,
        context: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.stream.poll_write_ready(context))?;
            match send(&self.socket.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    self.socket.wrote.store(true, Ordering::Relaxed);
                    return Poll::Ready(sent);
                }
            }
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let length = into.remaining().min(self.read.len());
            into.put_slice(&self.read.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let mut chunk = [0; CHUNK];
        let room = into.remaining().min(CHUNK);
        let chunk = chunk.get_mut(..room).unwrap_or_default();
        loop {
            ready!(self.socket.stream.poll_read_ready(context))?;
            match self.socket.stream.try_read(chunk) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => {
                    into.put_slice(chunk.get(..length).unwrap_or_default());
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(context, |stream| stream.try_write(from))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(context, |stream| stream.try_write_vectored(from))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(hang_up(self.socket.stream.as_fd()))
    }
}

/// Says that nothing more will be sent. Reading goes on.
pub(super) fn hang_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&socket).shutdown(Shutdown::Write)
}

impl Line for Socket {
    fn set_hop_limit(&self, hops: u8) -> io::Result<()> {
        set_hop_limit(self.stream.as_fd(), hops)
    }

    fn hung_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut next = [0];
            match self.stream.peek(&mut next).await {
                Ok(0) | Err(_) => {}
                // The next request is there already; what comes after it cannot be seen.
                Ok(_) => std::future::pending().await,
            }
        })
    }

    fn waits(&self, waiting: bool) {
        if !waiting {
            let since = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.waited.store(since, Ordering::Relaxed);
        }
        self.waiting.store(waiting, Ordering::Relaxed);
    }
}
