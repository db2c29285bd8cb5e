//! Connections that are used once, one after the other, at a pace.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::{Pace, Target, is_over};
use crate::lab::Guest;

/// Threads that do it.
const HANDS: u32 = 4;
/// Connections a second, all hands together: ten times what a guest may open.
const PACE: u32 = 2_000;
/// A handshake or an answer that takes longer is given up.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is done with a connection.
pub(super) struct Spent {
    /// Sent so often.
    text: &'static str,
    times: usize,
    /// Sent behind that.
    end: &'static str,
    /// Whether the answer is read.
    reads: bool,
}

pub(super) const CHURN: Spent = Spent {
    text: "GET /latest/meta-data/ HTTP/1.1\r\n",
    times: 1,
    end: "\r\n",
    reads: false,
};

pub(super) const HUGE_HEAD: Spent = Spent {
    text: "X-Fill: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
    times: 1_000,
    end: "",
    reads: true,
};

pub(super) const REQUEST: Spent = Spent {
    text: "GET /latest/meta-data/ HTTP/1.1\r\nConnection: close\r\n",
    times: 1,
    end: "\r\n",
    reads: true,
};

pub(super) const PIPELINE: Spent = Spent {
    text: "GET /latest/meta-data/ HTTP/1.1\r\n\r\n",
    times: 500,
    end: "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    reads: true,
};

/// Uses up connections; says how many.
pub(super) fn spend(by: &Guest, target: &Target, over: &AtomicBool, spent: &Spent) -> Result<u64> {
    let done = AtomicU64::new(0);
    let text = [
        // A head begins with a request, whatever follows.
        if spent.text.starts_with("GET") {
            ""
        } else {
            "GET / HTTP/1.1\r\n"
        },
        &spent.text.repeat(spent.times),
        spent.end,
    ]
    .concat();
    by.space().within(|| {
        std::thread::scope(|scope| {
            for _ in 0..HANDS {
                scope.spawn(|| {
                    let mut pace = Pace::per_second(PACE / HANDS);
                    while !is_over(over) {
                        if once(target, &text, spent.reads).is_ok() {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        pace.wait(1);
                    }
                });
            }
        });
    })?;
    Ok(done.into_inner())
}

fn once(target: &Target, text: &str, reads: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&target.address.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Refused in the middle, it still has sent something.
    let _sent = stream.write_all(text.as_bytes());
    if reads {
        let mut room = [0; 16 * 1024];
        while stream.read(&mut room)? > 0 {}
    }
    Ok(())
}
