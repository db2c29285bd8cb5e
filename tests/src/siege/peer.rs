//! Another server under the same siege, to tell what metad adds from what the machine alone costs: it answers with as many
//! octets, has no limit but that of its threads, and knows nobody.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::is_over;
use crate::lab::Namespace;

/// Connections at a time; one more is closed.
const CONNECTIONS: usize = 400;
/// A thread does nothing but copy.
const STACK: usize = 128 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest head that is read.
const HEAD_MAX: usize = 8 * 1024;

/// A running server; dropped, it is stopped.
#[derive(Debug)]
pub struct Peer {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Listens in this namespace. `text` is told to whoever asks for anything, `large` where the path ends in `user-data`.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(space: &Namespace, at: SocketAddrV4, text: &str, large: usize) -> Result<Self> {
        let listener = space.within(|| TcpListener::bind(at))?;
        let listener = listener.with_context(|| format!("cannot listen on {at}"))?;
        listener.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let answers = Arc::new([answer(text.as_bytes()), answer(&vec![b'#'; large])]);
        let until = Arc::clone(&over);
        let thread = Builder::new()
            .name("peer".to_owned())
            .spawn(move || accept(&listener, &answers, &until))?;
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn accept(listener: &TcpListener, answers: &Arc<[Vec<u8>; 2]>, over: &Arc<AtomicBool>) {
    let open = Arc::new(AtomicUsize::new(0));
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    while !is_over(over) {
        let mut ready = [PollFd::new(listener, PollFlags::IN)];
        let _waited = poll(&mut ready, Some(&moment));
        while let Ok((stream, _)) = listener.accept() {
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (answers, count) = (Arc::clone(answers), Arc::clone(&open));
            let attended = Builder::new().stack_size(STACK).spawn(move || {
                // However it ends, the connection is over.
                let _ended = attend(stream, &answers);
                count.fetch_sub(1, Ordering::Relaxed);
            });
            if attended.is_err() {
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn attend(mut stream: TcpStream, answers: &[Vec<u8>; 2]) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    let mut room = [0; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_MAX {
        let length = stream.read(&mut room)?;
        if length == 0 {
            return Ok(());
        }
        head.extend(room.iter().take(length));
    }
    let [text, large] = answers;
    let asked = String::from_utf8_lossy(&head);
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let answer = if path.ends_with("user-data") {
        large
    } else {
        text
    };
    stream.write_all(answer)?;
    stream.shutdown(std::net::Shutdown::Write)
}
