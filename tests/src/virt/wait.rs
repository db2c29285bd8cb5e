//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at; nothing here is done in less.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `look` finds something, fails, or `patience` is over. `what` completes "waited … for".
pub fn until<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {} s for {what}", patience.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_condition_a_failure_or_the_deadline() {
        let mut looks = 0;
        let found = until(Duration::from_secs(5), "the third look", || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), 3);
        let failed = until::<()>(Duration::from_secs(5), "nothing", || bail!("broken"));
        assert_eq!(failed.unwrap_err().to_string(), "broken");
        let late = until::<()>(Duration::ZERO, "a pig to fly", || Ok(None));
        assert_eq!(late.unwrap_err().to_string(), "waited 0 s for a pig to fly");
    }
}
