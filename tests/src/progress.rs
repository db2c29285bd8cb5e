//! What a person sees while minutes pass: one line per thing done, and how long it took. Goes to standard output.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A clock that starts when the work starts, and the one place that prints.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    // Lines of two threads must not mix.
    output: Mutex<()>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Starts the clock.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            output: Mutex::new(()),
        }
    }

    /// A clock that has been running for `elapsed` already, in another process.
    pub fn resume(elapsed: Duration) -> Self {
        let now = Instant::now();
        Self {
            started: now.checked_sub(elapsed).unwrap_or(now),
            output: Mutex::new(()),
        }
    }

    /// Prints one line behind the time since the start.
    pub fn say(&self, line: impl fmt::Display) {
        self.print(&format!("[{:>6}] {line}", Seconds(self.started.elapsed())));
    }

    /// Prints text as it is, without the time.
    pub fn print(&self, text: &str) {
        let _turn = self.output.lock();
        // A reader that went away (`| head`) is no reason to leave a half-made host behind.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// Says what begins, does it, and says how long it took.
    pub fn step<T, E>(&self, what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.say(format_args!("{what} …"));
        let began = Instant::now();
        let result = work();
        let took = Seconds(began.elapsed());
        match result {
            Ok(_) => self.say(format_args!("{what}: done in {took}")),
            Err(_) => self.say(format_args!("{what}: failed after {took}")),
        }
        result
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A time as people read it: `4.2 s`, `83 s`.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = if seconds < 9.95 {
            format!("{seconds:.1} s")
        } else {
            format!("{seconds:.0} s")
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_a_digit_only_while_it_tells_something() {
        for (millis, expected) in [
            (40, "0.0 s"),
            (4_230, "4.2 s"),
            (9_960, "10 s"),
            (83_400, "83 s"),
        ] {
            assert_eq!(
                Seconds(Duration::from_millis(millis)).to_string(),
                expected,
                "{millis} ms"
            );
        }
    }
}
