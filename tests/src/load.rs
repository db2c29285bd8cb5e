//! Load: guests that ask as fast as they can, or at a pace, with as little of the machine as that takes.
//!
//! In come lanes, each a guest with one request at a time, and what they ask; out come the time of every answer and what
//! was wrong with the rest. Every answer is compared, octet by octet. Nothing blocks but the wait for all lanes at once,
//! since whoever makes the load has its processors from whoever answers it.

mod answer;
mod crew;
mod lane;

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::Namespace;

/// One request, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub request: Ask,
    pub expected: Expected,
}

/// The octets of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Whole(Vec<u8>),
    /// With the body of the answer before in the middle: a token.
    Around(Vec<u8>, Vec<u8>),
}

/// What an answer must be. Its status is 200 and its length is announced, in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Body(Vec<u8>),
    /// Any body that is not empty and that fits into a header.
    Token,
}

/// How connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One for each request, which the server closes: what cloud-init and most SDKs do.
    Closing,
    /// One for all requests of a lane.
    KeptAlive,
}

/// When the next request is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Once a lane has its answer.
    Closed,
    /// So many a second by all lanes, whenever a lane is free; times begin when the request is made.
    Idle(f64),
    /// So many a second by all lanes, whatever becomes of those before; times begin when the request is due, so that a
    /// server that is late has nothing hidden for it.
    Open(f64),
}

/// Somebody who asks, one request at a time.
#[derive(Debug, Clone, Copy)]
pub struct Lane<'a> {
    pub from: &'a Namespace,
    pub to: SocketAddrV4,
    /// What is asked, over and over.
    pub script: &'a [Step],
    /// At most so many requests.
    pub requests: u64,
}

/// A whole load.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    pub lanes: Vec<Lane<'a>>,
    pub manner: Manner,
    pub pace: Pace,
    /// No request is begun after so long.
    pub time: Duration,
    /// Threads that drive the lanes; no more than there are lanes.
    pub threads: usize,
}

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// From a request's beginning, its connection included, to the last octet of its right answer; sorted.
    pub times: Vec<Duration>,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Octets of bodies.
    pub octets: u64,
    /// Requests without a right answer.
    pub failed: u64,
    /// What became of the first of them.
    pub failures: Vec<String>,
}

/// An answer that takes longer is none.
pub const PATIENCE: Duration = Duration::from_secs(30);

impl Manner {
    /// As in a title.
    pub fn words(self) -> &'static str {
        match self {
            Self::Closing => "a connection for each",
            Self::KeptAlive => "connections that stay",
        }
    }
}

impl Step {
    /// GET of this path on a connection of the manner.
    pub fn get(path: &str, manner: Manner, body: &[u8]) -> Self {
        let closing = match manner {
            Manner::Closing => "Connection: close\r\n",
            Manner::KeptAlive => "",
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nUser-Agent: metad-bench\r\nAccept: */*\r\n{closing}\r\n"
        );
        Self {
            request: Ask::Whole(request.into_bytes()),
            expected: Expected::Body(body.to_vec()),
        }
    }
}

impl<'a> Load<'a> {
    /// Several lanes that are all alike, without a limit but the time, driven by as many threads as there are processors.
    pub fn alike(lane: Lane<'a>, lanes: usize, manner: Manner, time: Duration) -> Self {
        Self {
            lanes: vec![lane; lanes],
            manner,
            pace: Pace::Closed,
            time,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Makes the load, and returns when its last request has ended.
    ///
    /// # Errors
    /// The load cannot be made. That requests fail is no error but counted.
    pub fn run(&self) -> Result<Tally> {
        ensure!(!self.lanes.is_empty(), "a load without a lane");
        let threads = self.threads.clamp(1, self.lanes.len());
        let tallies = std::thread::scope(|scope| {
            let crews: Vec<_> = (0..threads)
                .map(|at| {
                    let lanes: Vec<Lane<'_>> = self
                        .lanes
                        .iter()
                        .copied()
                        .skip(at)
                        .step_by(threads)
                        .collect();
                    scope.spawn(move || {
                        crew::drive(&lanes, self.manner, self.share(threads), self.time)
                    })
                })
                .collect();
            crews
                .into_iter()
                .map(|crew| crew.join().ok().context("the load panicked")?)
                .collect::<Result<Vec<Tally>>>()
        })?;
        let mut whole = Tally::default();
        for tally in tallies {
            whole.add(tally);
        }
        whole.times.sort_unstable();
        Ok(whole)
    }

    /// The pace of one of so many threads.
    fn share(&self, threads: usize) -> Pace {
        #[expect(clippy::cast_precision_loss, reason = "a few threads")]
        let of = |rate: f64| rate / threads as f64;
        match self.pace {
            Pace::Closed => Pace::Closed,
            Pace::Idle(rate) => Pace::Idle(of(rate)),
            Pace::Open(rate) => Pace::Open(of(rate)),
        }
    }
}

impl Tally {
    /// Right answers a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some thousand")]
        let count = self.times.len() as f64;
        per_second(count, self.took)
    }

    /// Octets of bodies a second.
    pub fn pace(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let octets = self.octets as f64;
        per_second(octets, self.took)
    }

    /// Adds what another load came to beside or after this one; `times` are to be sorted again, and `took` is the longer.
    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.took = self.took.max(other.took);
        self.octets += other.octets;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(SHOWN);
    }
}

/// Failures that are kept in words.
const SHOWN: usize = 5;

fn per_second(count: f64, took: Duration) -> f64 {
    if took.is_zero() {
        0.0
    } else {
        count / took.as_secs_f64()
    }
}
