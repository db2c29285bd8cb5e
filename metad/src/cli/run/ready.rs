//! The daemon's words to whoever started it, and theirs to the daemon.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal as on};
use tokio::sync::watch;

use crate::conductor::Progress;
use crate::config::Config;

/// Waits until the programs are where guests are, and until every source has told everything once or for `limit`: a
/// guest that no source knows yet retransmits.
pub(super) async fn wait(progress: &watch::Sender<Progress>, sources: usize, limit: Duration) {
    let mut now = progress.subscribe();
    let all = now.wait_for(|progress| progress.attached && progress.heard.len() >= sources);
    if tokio::time::timeout(limit, all).await.is_ok() {
        return;
    }
    tracing::warn!(
        limit_s = limit.as_secs(),
        "not every source has answered; serving what the others know"
    );
    let _ = progress
        .subscribe()
        .wait_for(|progress| progress.attached)
        .await;
}

/// Says that guests are being answered.
pub(super) fn tell(config: &Config) {
    say(&[NotifyState::Ready]);
    tracing::info!(
        name = config.name.as_str(),
        admin_socket = %config.admin_socket().display(),
        "ready: answering guests"
    );
}

/// Says that no new guest is being answered.
pub(super) fn tell_ending() {
    say(&[NotifyState::Stopping]);
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// Waits for SIGTERM or SIGINT and returns its name.
pub(super) async fn signal() -> io::Result<&'static str> {
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
