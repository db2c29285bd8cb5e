//! The daemon's words to whoever started it, and theirs to the daemon.

use std::io;
use std::time::Duration;

use anyhow::Result;
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

/// Waits until every source has told everything, as whoever takes the place of a running daemon must: that one may know
/// what a source that is away said before.
///
/// # Errors
/// One is away, or has not told everything within `limit`, or what it says of a machine cannot be read.
pub(super) async fn wait_for_all(
    progress: &watch::Sender<Progress>,
    config: &Config,
    limit: Duration,
) -> Result<()> {
    let sources = config.sources.len();
    let mut now = progress.subscribe();
    let all = now.wait_for(|progress| {
        progress.attached && progress.heard.len() >= sources && progress.away.is_empty()
    });
    let all = tokio::time::timeout(limit, all).await.is_ok();
    let progress = progress.borrow();
    if let Some(name) = progress.unread.first() {
        anyhow::bail!(
            "cannot take over without what the running metad may know: what a record says of {name} cannot be read\nhelp: `metad status` says why; mend it, and try again"
        );
    }
    if all {
        return Ok(());
    }
    let missing = config
        .sources
        .iter()
        .enumerate()
        .filter(|(index, _)| !progress.heard.contains(index) || progress.away.contains(index));
    let missing: Vec<String> = missing.map(|(_, source)| source.to_string()).collect();
    anyhow::bail!(
        "cannot take over without what the running metad may know: no answer from {}\nhelp: try again once it is back",
        missing.join(", ")
    )
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_is_taken_over_from_without_every_source() {
        let sources = "[[source]]\nkind = \"libvirt\"\nuri = \"qemu:///system\"\n[[source]]\nkind = \"directory\"\npath = \"/records\"\n";
        let config = Config::parse(sources, std::path::Path::new("/")).unwrap();
        let heard = |all: &[usize]| all.iter().copied().collect::<BTreeSet<_>>();
        for (case, heard, away, unread, missing) in [
            ("all is told", heard(&[0, 1]), heard(&[]), None, None),
            (
                "a record is broken",
                heard(&[0, 1]),
                heard(&[]),
                Some("web1"),
                Some("what a record says of web1 cannot be read\n"),
            ),
            (
                "one is away",
                heard(&[0, 1]),
                heard(&[0]),
                None,
                Some("no answer from libvirt qemu:///system\n"),
            ),
            (
                "one has not told everything",
                heard(&[0]),
                heard(&[]),
                None,
                Some("no answer from directory /records\n"),
            ),
        ] {
            let progress = watch::Sender::new(Progress {
                heard,
                away,
                unread: unread.map(str::to_owned).into_iter().collect(),
                attached: true,
            });
            let waited = wait_for_all(&progress, &config, Duration::from_secs(60)).await;
            match (missing, waited) {
                (None, waited) => waited.unwrap(),
                (Some(missing), Err(error)) => {
                    assert!(error.to_string().contains(missing), "{case}: {error}");
                }
                (Some(_), Ok(())) => panic!("{case}"),
            }
        }
    }
}
