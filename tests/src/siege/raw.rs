//! Handshakes that are begun and never finished, frame by frame: a guest's own TCP would answer with resets.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;

use super::{Pace, Target, is_over};
use crate::frames::{Ends, syn};
use crate::lab::Guest;

/// Frames a second. More only measures how fast this process is.
const PACE: u32 = 20_000;
/// Frames between two looks at the clock.
const BATCH: u32 = 100;
/// Half-open connections.
const HALF_OPEN: u16 = 10_000;
/// The guest's network has this address, and nobody uses it: answers to it meet silence, not a reset.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 250);

pub(super) fn flood(by: &Guest, target: &Target, over: &AtomicBool) -> Result<u64> {
    let wire = by.wire()?;
    let mut pace = Pace::per_second(PACE);
    let mut sent = 0;
    while !is_over(over) {
        for _ in 0..BATCH {
            // All ports, over and over.
            let port = 1024 + u16::try_from(sent % 64_000)?;
            wire.send(&syn(&ends(by, target, port)))?;
            sent += 1;
        }
        pace.wait(BATCH);
    }
    Ok(sent)
}

pub(super) fn half_open(by: &Guest, target: &Target, over: &AtomicBool) -> Result<u64> {
    let wire = by.wire()?;
    let mut pace = Pace::per_second(PACE);
    let mut sent = 0;
    for port in 0..HALF_OPEN {
        wire.send(&syn(&ends(by, target, 20_000 + port)))?;
        sent += 1;
        if u32::from(port) % BATCH == 0 {
            pace.wait(BATCH);
        }
        if is_over(over) {
            break;
        }
    }
    while !is_over(over) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(sent)
}

fn ends(by: &Guest, target: &Target, from_port: u16) -> Ends {
    Ends {
        from_mac: by.mac(),
        to_mac: target.mac,
        from: NOBODY,
        to: *target.address.ip(),
        from_port,
        to_port: target.address.port(),
    }
}
