//! Connections that are held as long as they last, and opened again when they end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::{Target, is_over};
use crate::lab::Guest;

/// More than any guest may have.
const CONNECTIONS: usize = 200;
/// Between two pokes at each connection.
const ROUND: Duration = Duration::from_millis(100);
/// Connections that are opened in one round: what is refused is tried again, and again.
const OPENED: usize = 50;

/// What is done with a connection.
pub(super) struct Held {
    /// Sent at first.
    greeting: &'static str,
    /// What is done every round; an error ends the connection.
    poke: fn(&mut TcpStream) -> io::Result<()>,
    /// Whether the guest's kernel has hardly any room for answers.
    narrow: bool,
}

pub(super) const SLOWLORIS: Held = Held {
    greeting: "GET /latest/meta-data/ HTTP/1.1\r\nX-Slow: ",
    poke: |stream| stream.write_all(b"x").and_then(|()| read_one(stream)),
    narrow: false,
};

pub(super) const SLOW_READER: Held = Held {
    greeting: "GET /latest/user-data HTTP/1.1\r\nConnection: close\r\n\r\n",
    poke: read_one,
    narrow: true,
};

pub(super) const KEEP_ALIVE: Held = Held {
    greeting: "GET /latest/meta-data/instance-id HTTP/1.1\r\n\r\n",
    poke: read_all,
    narrow: false,
};

pub(super) const WAITER: Held = Held {
    greeting: "GET /latest/meta-data/instance-id?wait_for_change=true HTTP/1.1\r\n\r\n",
    poke: read_all,
    narrow: false,
};

/// Holds as many connections as it gets; says how many it had in all.
pub(super) fn hold(by: &Guest, target: &Target, over: &AtomicBool, held: &Held) -> Result<u64> {
    by.space().within(|| {
        let mut connections: Vec<TcpStream> = Vec::new();
        let mut opened = 0;
        while !is_over(over) {
            connections.retain_mut(|stream| (held.poke)(stream).is_ok());
            let room = CONNECTIONS.saturating_sub(connections.len()).min(OPENED);
            for _ in 0..room {
                if let Ok(stream) = open(target, held) {
                    connections.push(stream);
                    opened += 1;
                }
            }
            std::thread::sleep(ROUND);
        }
        Ok(opened)
    })?
}

/// Begins a connection; the greeting is sent as soon as there is one, or by the next round.
fn open(target: &Target, held: &Held) -> Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    if held.narrow {
        set_socket_recv_buffer_size(socket.as_fd(), 2048)?;
    }
    // A handshake that meets silence must not hold up the others.
    let limit = rustix::net::sockopt::Timeout::Send;
    rustix::net::sockopt::set_socket_timeout(&socket, limit, Some(Duration::from_millis(50)))?;
    connect(&socket, &target.address)?;
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    stream.write_all(held.greeting.as_bytes())?;
    Ok(stream)
}

/// Takes one octet, if there is one.
fn read_one(stream: &mut TcpStream) -> io::Result<()> {
    at_most(stream, &mut [0; 1])
}

/// Takes what is there.
fn read_all(stream: &mut TcpStream) -> io::Result<()> {
    at_most(stream, &mut [0; 4096])
}

fn at_most(stream: &mut TcpStream, room: &mut [u8]) -> io::Result<()> {
    match stream.read(room) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
