//! A quiet guest beside the siege: asks at its leisure, and notes how long each answer took and which never came.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Pace, Target};
use crate::lab::{Guest, Reply, Request};

/// Below the rate that every guest may ask at.
const PACE: u32 = 70;
/// How long an answer may take before it counts as lost. No client waits so long: a time is the bench's to look at, and
/// the processor may be everybody else's for a while.
const PATIENCE: Duration = Duration::from_secs(60);
const PATH: &str = "/latest/meta-data/hostname";

/// What a quiet guest saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// From the first SYN to the last octet, of each right answer.
    pub times: Vec<Duration>,
    /// What became of each request that was not answered with its own hostname.
    pub lost: Vec<String>,
}

impl Seen {
    /// Takes in what was seen elsewhere or later.
    pub fn add(&mut self, more: Self) {
        self.times.extend(more.times);
        self.lost.extend(more.lost);
        self.times.sort_unstable();
    }
}

/// Asks for its hostname so many times, each on a connection of its own, at a pace that meets no limit.
///
/// # Errors
/// The guest's namespace is gone, or it was told another's hostname: that is worse than lost.
pub fn witness(guest: &Guest, target: &Target, expected: &str, requests: usize) -> Result<Seen> {
    guest.space().within(|| {
        let mut seen = Seen::default();
        let mut pace = Pace::per_second(PACE);
        for _ in 0..requests {
            pace.wait(1);
            let asked = Instant::now();
            match ask(target) {
                Ok(reply) if reply.status == 200 => {
                    let told = reply.text();
                    ensure!(
                        told == expected,
                        "{} was told {told:?} and is {expected:?}",
                        guest.name()
                    );
                    seen.times.push(asked.elapsed());
                }
                Ok(reply) => seen.lost.push(format!("answered with {}", reply.status)),
                Err(error) => seen.lost.push(format!("{error:#}")),
            }
        }
        seen.times.sort_unstable();
        Ok(seen)
    })?
}

fn ask(target: &Target) -> Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&target.address.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(Request::get(PATH).text().as_bytes())?;
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets)?;
    Reply::parse(&octets)
}
