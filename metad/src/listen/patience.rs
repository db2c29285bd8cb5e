//! How long a guest may take over its next request: a clock for each connection, not a timer for each request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Ends so long after it last began anew.
#[derive(Debug)]
pub(super) struct Patience {
    time: Duration,
    since: Instant,
    /// May go off early, and is then set to what is left.
    alarm: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(time: Duration) -> Self {
        Self {
            time,
            since: Instant::now(),
            alarm: Box::pin(sleep(time)),
        }
    }

    /// Begins anew.
    pub(super) fn renew(&mut self) {
        self.since = Instant::now();
    }

    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let end = self.since + self.time;
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_so_long_after_it_last_began() {
        let seconds = Duration::from_secs;
        let began = Instant::now();
        let mut patience = Patience::new(seconds(10));
        for rest in [9, 9, 3] {
            let ended = poll_fn(|context| patience.poll_end(context));
            let early = tokio::time::timeout(seconds(rest), ended).await;
            assert!(early.is_err(), "after {rest} s");
            patience.renew();
        }
        poll_fn(|context| patience.poll_end(context)).await;
        assert_eq!(began.elapsed(), seconds(9 + 9 + 3 + 10));
    }
}
