//! How the rooms of a daemon come to their end.

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ready;
use crate::cli::run::signals::Signals;

/// Waits for a signal, for the administrator, or for a room to fail; then until it is `decided` whose the rooms are; then
/// ends the others. Returns the signal. `let_go` is called once the end has begun; the last guests may take their time.
pub(super) async fn until_end(
    stop: &watch::Sender<bool>,
    mut signals: Signals,
    conducting: &mut JoinHandle<Result<()>>,
    mut listening: JoinHandle<Result<()>>,
    decided: impl Future<Output = ()>,
    let_go: impl FnOnce(),
) -> Result<Option<&'static str>> {
    let mut stopped = stop.subscribe();
    let mut signalled = None;
    let (mut conducted, mut listened) = (None, None);
    // Nothing returns from here before the others are told: they would be waited for without end.
    tokio::select! {
        signal = signals.end() => {
            signalled = Some(signal);
            tracing::info!(signal, "ending");
        }
        _ = stopped.wait_for(|stop| *stop) => {}
        ended = &mut *conducting => conducted = Some(ended),
        ended = &mut listening => listened = Some(ended),
    }
    decided.await;
    ready::tell_ending();
    stop.send_replace(true);
    let_go();
    // A room that was told of the end may have come to its own before this task was: the guests of the others are
    // waited for all the same.
    let listened = match listened {
        Some(ended) => ended,
        None => listening.await,
    };
    let conducted = match conducted {
        Some(ended) => ended,
        None => conducting.await,
    };
    listened.context("the listener failed")??;
    conducted.context("the conductor failed")??;
    Ok(signalled)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_conductor_that_ends_first_cuts_no_guest_off() {
        // Which of two ends is seen first is chance.
        for _ in 0..32 {
            let stop = watch::Sender::new(true);
            let signals = Signals::new().unwrap();
            let mut conducting = tokio::spawn(async { Ok(()) });
            let answered = Arc::new(AtomicBool::new(false));
            let last = Arc::clone(&answered);
            let listening = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                last.store(true, Ordering::Release);
                Ok(())
            });
            while !conducting.is_finished() {
                tokio::task::yield_now().await;
            }
            until_end(&stop, signals, &mut conducting, listening, async {}, || {})
                .await
                .unwrap();
            assert!(answered.load(Ordering::Acquire), "the last guest");
        }
    }
}
