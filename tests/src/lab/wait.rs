//! Waiting for a condition instead of for a time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Probes until there is a value; `what` completes the sentence "... did not happen within".
///
/// # Errors
/// There is none within `limit`.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if started.elapsed() >= limit {
            bail!("{what} did not happen within {} s", limit.as_secs_f32());
        }
        // Twenty milliseconds: a guest that asks each time stays within the rate that the daemon allows it.
        sleep(Duration::from_millis(20));
    }
}
