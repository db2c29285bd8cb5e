//! Connections that were answered at once and are about to end: closed once their guests have hung up, too.
//!
//! Nobody waits on these sockets; somebody looks at them every few milliseconds. Nearly all are done by then, and have
//! cost the runtime nothing. Those that are not are waited for like any other connection.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::time::Instant;

use super::connection::{is_over, unacknowledged};
use super::crowd::Place;

/// How often somebody looks. A guest's next connection does not wait for it.
pub(super) const LOOKS_EVERY: Duration = Duration::from_millis(10);
/// Somebody looks, too, once there are so many new ones: a guest that asks fast would use up all its places in the
/// meantime, or the threads' timers may be late.
pub(super) const LOOKS_AFTER: usize = 32;
/// Guests on a busy host have so long to hang up without anybody's waiting for it.
const PATIENCE: Duration = Duration::from_millis(200);

/// A connection with its whole answer sent, and its end of the conversation ended.
#[derive(Debug)]
pub(super) struct Parted {
    pub(super) socket: OwnedFd,
    pub(super) place: Place,
    /// Since when.
    pub(super) since: Instant,
}

/// All of one thread's.
#[derive(Debug, Default)]
pub(super) struct Parting {
    all: VecDeque<Parted>,
    /// Those that came since somebody looked.
    unlooked: usize,
}

impl Parting {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn push(&mut self, parted: Parted) {
        self.all.push_back(parted);
        self.unlooked += 1;
    }

    /// How many came since somebody looked.
    pub(super) fn unlooked(&self) -> usize {
        self.unlooked
    }

    /// Closes those whose guests have hung up and have all that they were sent. Returns those that take longer.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<Parted> {
        let mut slow = Vec::new();
        self.unlooked = 0;
        for _ in 0..self.all.len() {
            let Some(parted) = self.all.pop_front() else {
                break;
            };
            match parted.state() {
                State::Over => {}
                State::Quiet if now.duration_since(parted.since) < PATIENCE => {
                    self.all.push_back(parted);
                }
                State::Quiet | State::Busy => slow.push(parted),
            }
        }
        slow
    }

    /// All of them.
    pub(super) fn take(&mut self) -> Vec<Parted> {
        std::mem::take(&mut self.all).into()
    }
}

enum State {
    /// Nothing is left to do.
    Over,
    /// The guest has not hung up.
    Quiet,
    /// The guest sends on, or has not taken all.
    Busy,
}

impl Parted {
    fn state(&self) -> State {
        // Both have hung up, and each knows: nearly all are so far, and nothing else need be asked.
        if is_over(self.socket.as_fd()) {
            return State::Over;
        }
        let mut next = [0];
        match rustix::net::recv(
            &self.socket,
            &mut next,
            RecvFlags::DONTWAIT | RecvFlags::PEEK,
        ) {
            Ok((_, 0)) if unacknowledged(self.socket.as_fd()) > 0 => State::Busy,
            Ok((_, 0)) => State::Over,
            Ok(_) => State::Busy,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => State::Quiet,
            Err(_lost) => State::Over,
        }
    }
}
