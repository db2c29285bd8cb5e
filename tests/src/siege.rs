//! What one guest can do to keep others from being answered: each siege with real frames or real connections, bounded, and
//! over when it is told so.
//!
//! In come a guest and a target, out comes how much was done. A siege asks for nothing that a guest's root could not send.

mod held;
mod peer;
mod raw;
mod spent;
mod witness;

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

pub use self::peer::Peer;
pub use self::witness::{Seen, witness};
use crate::frames::{METADATA, Mac};
use crate::lab::Guest;

/// A way to be a bad neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Siege {
    /// SYNs from ever new ports that never finish their handshake.
    SynFlood,
    /// 10,000 handshakes that are never finished.
    HalfOpen,
    /// Connections that send their head an octet at a time.
    Slowloris,
    /// Connections that ask for 1 MiB and take it an octet at a time.
    SlowReaders,
    /// Connections that ask and are gone before the answer.
    Churn,
    /// Heads far larger than any client's.
    HugeHeads,
    /// As many requests as fit, each on a connection of its own.
    Requests,
    /// Hundreds of requests in one segment.
    Pipelining,
    /// Connections that are kept for nothing.
    KeepAlive,
    /// Requests that wait for a change that never comes.
    Waiters,
}

/// Who is besieged.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub address: SocketAddrV4,
    /// Where frames to it go.
    pub mac: Mac,
}

impl Target {
    /// The metadata service, by way of the gateway.
    pub fn metadata(gateway: Mac) -> Self {
        Self {
            address: SocketAddrV4::new(METADATA, 80),
            mac: gateway,
        }
    }
}

impl Siege {
    pub const ALL: [Self; 10] = [
        Self::SynFlood,
        Self::HalfOpen,
        Self::Slowloris,
        Self::SlowReaders,
        Self::Churn,
        Self::HugeHeads,
        Self::Requests,
        Self::Pipelining,
        Self::KeepAlive,
        Self::Waiters,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::SynFlood => "SYN flood",
            Self::HalfOpen => "10,000 half-open",
            Self::Slowloris => "slowloris",
            Self::SlowReaders => "slow reads of 1 MiB",
            Self::Churn => "connection churn",
            Self::HugeHeads => "huge heads",
            Self::Requests => "request flood",
            Self::Pipelining => "pipelining",
            Self::KeepAlive => "keep-alive hogs",
            Self::Waiters => "waiters",
        }
    }

    /// Goes on until `over`, on this thread; says how many frames, connections or requests were sent.
    ///
    /// # Errors
    /// The guest's namespace or NIC is gone.
    pub fn lay(self, by: &Guest, target: &Target, over: &AtomicBool) -> Result<u64> {
        match self {
            Self::SynFlood => raw::flood(by, target, over),
            Self::HalfOpen => raw::half_open(by, target, over),
            Self::Slowloris => held::hold(by, target, over, &held::SLOWLORIS),
            Self::SlowReaders => held::hold(by, target, over, &held::SLOW_READER),
            Self::KeepAlive => held::hold(by, target, over, &held::KEEP_ALIVE),
            Self::Waiters => held::hold(by, target, over, &held::WAITER),
            Self::Churn => spent::spend(by, target, over, &spent::CHURN),
            Self::HugeHeads => spent::spend(by, target, over, &spent::HUGE_HEAD),
            Self::Requests => spent::spend(by, target, over, &spent::REQUEST),
            Self::Pipelining => spent::spend(by, target, over, &spent::PIPELINE),
        }
    }
}

fn is_over(over: &AtomicBool) -> bool {
    over.load(Ordering::Relaxed)
}

/// Keeps to a rate: a siege that took a whole core would measure the core.
struct Pace {
    began: Instant,
    each: Duration,
    done: u32,
}

impl Pace {
    fn per_second(rate: u32) -> Self {
        Self {
            began: Instant::now(),
            each: Duration::from_secs(1) / rate.max(1),
            done: 0,
        }
    }

    /// Waits until so many more may be done.
    fn wait(&mut self, more: u32) {
        self.done = self.done.saturating_add(more);
        let due = self.began + self.each * self.done;
        // Who fell behind does not make up for it.
        let Some(ahead) = due.checked_duration_since(Instant::now()) else {
            *self = Self {
                began: Instant::now(),
                each: self.each,
                done: 0,
            };
            return;
        };
        std::thread::sleep(ahead);
    }
}
