//! A client of our own, octet for octet: what is sent is what was written, what came back is kept as it came.
//!
//! In come an address and octets, out goes everything that was answered and how the connection ended. No library
//! stands in between, since what such a library puts right is what the suite looks for. Every wait has an end, and so
//! has the amount that is read.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::answer::Answer;

/// More than the largest user-data of any server known.
const MOST: usize = 8 * 1024 * 1024;
/// Lets the first half of a request be read on its own.
const PAUSE: Duration = Duration::from_millis(20);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The server closed it.
    Closed,
    /// The server reset it.
    Reset,
    /// The answer was whole, and nobody looked further.
    Whole,
    /// Nothing more came, and it was still open.
    Open,
    /// It would not end.
    TooMuch,
}

/// When enough was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// One answer is whole, by its own account.
    OneAnswer,
    /// The server closes.
    Closed,
}

/// What to send, and what to wait for.
#[derive(Debug, Clone)]
pub(super) struct Script<'a> {
    /// Written one after the other, each in segments of its own.
    pub(super) pieces: &'a [&'a [u8]],
    /// Whether to say that no more will be sent.
    pub(super) half_close: bool,
    pub(super) until: Until,
    /// The longest wait, from the first octet sent.
    pub(super) limit: Duration,
    /// Whether the answer is to a HEAD, and so has no body.
    pub(super) head: bool,
}

impl<'a> Script<'a> {
    /// The octets, and one answer.
    pub(super) fn new(pieces: &'a [&'a [u8]], limit: Duration) -> Self {
        Self {
            pieces,
            half_close: false,
            until: Until::OneAnswer,
            limit,
            head: false,
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) octets: Vec<u8>,
    pub(super) end: End,
    pub(super) took: Duration,
}

/// Opens a connection.
pub(super) fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, limit)
        .map_err(|error| format!("no connection: {error}"))?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_write_timeout(Some(limit)))
        .map_err(|error| format!("no connection: {error}"))?;
    Ok(stream)
}

/// Plays a script on a connection of its own.
pub(super) fn exchange(address: SocketAddr, script: &Script<'_>) -> Result<Exchange, String> {
    let stream = connect(address, script.limit)?;
    Ok(play(stream, script))
}

/// Plays a script on a connection.
pub(super) fn play(mut stream: TcpStream, script: &Script<'_>) -> Exchange {
    let began = Instant::now();
    for (index, piece) in script.pieces.iter().enumerate() {
        if index > 0 {
            sleep(PAUSE);
        }
        // A server may have answered and hung up before it read everything; what it said counts.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    if script.half_close {
        let _closed_already = stream.shutdown(Shutdown::Write);
    }
    let (octets, end) = read(&mut stream, script, began);
    Exchange {
        octets,
        end,
        took: began.elapsed(),
    }
}

fn read(stream: &mut TcpStream, script: &Script<'_>, began: Instant) -> (Vec<u8>, End) {
    let mut octets = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        if script.until == Until::OneAnswer && Answer::is_whole(&octets, script.head) {
            return (octets, End::Whole);
        }
        let left = script.limit.saturating_sub(began.elapsed());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return (octets, End::Open);
        }
        match stream.read(&mut chunk) {
            Ok(0) => return (octets, End::Closed),
            Ok(length) => octets.extend(chunk.iter().take(length)),
            Err(error) => {
                let waited = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                if waited.contains(&error.kind()) {
                    return (octets, End::Open);
                }
                if error.kind() != ErrorKind::Interrupted {
                    return (octets, End::Reset);
                }
            }
        }
        if octets.len() > MOST {
            return (octets, End::TooMuch);
        }
    }
}
