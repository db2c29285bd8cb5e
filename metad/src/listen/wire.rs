//! A socket that the HTTP machinery, the handlers and the closing of the connection share.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::http::Line;

/// Octets taken from the socket at a time; a whole request of the largest kind needs two.
const CHUNK: usize = 8 * 1024;

/// The machinery's end of the socket.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    stream: Arc<TcpStream>,
    wrote: Arc<AtomicBool>,
}

impl Wire {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Self {
            stream,
            wrote: Arc::default(),
        }
    }

    /// Whether anything was ever sent.
    pub(super) fn has_written(&self) -> bool {
        self.wrote.load(Ordering::Relaxed)
    }

    fn poll_sent(
        &self,
        context: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match send(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    self.wrote.store(true, Ordering::Relaxed);
                    return Poll::Ready(sent);
                }
            }
        }
    }
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let room = into.remaining().min(CHUNK);
        let chunk = chunk.get_mut(..room).unwrap_or_default();
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(chunk) {
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
        Poll::Ready(hang_up(&self.stream))
    }
}

/// Says that nothing more will be sent. Reading goes on.
pub(super) fn hang_up(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}

impl Line for TcpStream {
    fn set_hop_limit(&self, hops: u8) -> io::Result<()> {
        let socket = SockRef::from(self);
        if self.local_addr()?.is_ipv4() {
            socket.set_ttl_v4(hops.into())
        } else {
            socket.set_unicast_hops_v6(hops.into())
        }
    }
}
