//! The daemon's words to whoever started it, and theirs to the daemon.

use std::io;
use std::time::Duration;

use anyhow::Result;
use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::conductor::Progress;
use crate::config::{Config, Source};

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
/// what a source that is away said before. A directory that is not there holds nothing, as for any start; it is waited for
/// no longer than by one.
///
/// # Errors
/// One is away, or has not told everything within `limit`, or what it says of a machine cannot be read.
pub(super) async fn wait_for_all(
    progress: &watch::Sender<Progress>,
    config: &Config,
    limit: Duration,
) -> Result<()> {
    let everyone: Vec<String> = config.sources.iter().map(ToString::to_string).collect();
    let everyone = everyone.join(", ");
    tracing::info!(
        sources = everyone,
        limit_s = limit.as_secs(),
        "the running metad serves until every source has told everything"
    );
    let mut now = progress.subscribe();
    let mut told = Vec::new();
    let all = async {
        loop {
            let away = {
                let progress = now.borrow_and_update();
                if progress.attached && missing(&progress, config).is_empty() {
                    return;
                }
                away(&progress, config)
            };
            if away != told && !away.is_empty() {
                tracing::warn!(
                    sources = away.join(", "),
                    limit_s = limit.as_secs(),
                    "waiting for what is away: the running metad may know what it said before, and serves on"
                );
            }
            told = away;
            if now.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    let all = tokio::time::timeout(limit, all).await.is_ok();
    let progress = progress.borrow();
    if let Some(name) = progress.unread.first() {
        anyhow::bail!(
            "cannot take over without what the running metad may know: what a record says of {name} cannot be read\nhelp: `metad status` says why; mend it, and try again"
        );
    }
    if all {
        for source in config.sources.iter().filter(|source| is_nowhere(source)) {
            tracing::warn!(%source, "it is not there, so it says nothing: what the running metad knows from it is not taken over");
        }
        return Ok(());
    }
    anyhow::bail!(
        "cannot take over without what the running metad may know: no answer within {} s from {}\nhelp: the running metad serves on; try again once it is back, with a longer `--wait`, or take the source out of the configuration",
        limit.as_secs(),
        missing(&progress, config).join(", ")
    )
}

/// The sources that have not told everything, or that are away.
fn missing(progress: &Progress, config: &Config) -> Vec<String> {
    let sources = config.sources.iter().enumerate();
    let missing = sources.filter(|(index, source)| {
        let away = progress.away.contains(index) && !is_nowhere(source);
        away || !progress.heard.contains(index)
    });
    missing.map(|(_, source)| source.to_string()).collect()
}

/// Those that have said that they are away.
fn away(progress: &Progress, config: &Config) -> Vec<String> {
    let sources = config.sources.iter().enumerate();
    sources
        .filter(|(index, source)| progress.away.contains(index) && !is_nowhere(source))
        .map(|(_, source)| source.to_string())
        .collect()
}

/// Whether it is a directory that does not exist.
fn is_nowhere(source: &Source) -> bool {
    match source {
        Source::Directory { path } => {
            let found = std::fs::metadata(path);
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        }
        Source::Libvirt { .. } => false,
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_is_taken_over_from_without_every_source() {
        let there = tempfile::tempdir().unwrap();
        let there = there.path().display();
        let sources = format!(
            "[[source]]\nkind = \"libvirt\"\nuri = \"qemu:///system\"\n[[source]]\nkind = \"directory\"\npath = \"{there}\"\n\
             [[source]]\nkind = \"directory\"\npath = \"{there}/nowhere\"\n"
        );
        let config = Config::parse(&sources, std::path::Path::new("/")).unwrap();
        let unheard = format!("no answer within 60 s from directory {there}\n");
        let heard = |all: &[usize]| all.iter().copied().collect::<BTreeSet<_>>();
        for (case, heard, away, unread, missing) in [
            ("all is told", heard(&[0, 1, 2]), heard(&[]), None, None),
            (
                "a directory that is not there",
                heard(&[0, 1, 2]),
                heard(&[2]),
                None,
                None,
            ),
            (
                "one that is there and cannot be read",
                heard(&[0, 1, 2]),
                heard(&[1]),
                None,
                Some(unheard.as_str()),
            ),
            (
                "a record is broken",
                heard(&[0, 1, 2]),
                heard(&[]),
                Some("web1"),
                Some("what a record says of web1 cannot be read\n"),
            ),
            (
                "one is away",
                heard(&[0, 1, 2]),
                heard(&[0]),
                None,
                Some("no answer within 60 s from libvirt qemu:///system\n"),
            ),
            (
                "one has not told everything",
                heard(&[0, 2]),
                heard(&[]),
                None,
                Some(unheard.as_str()),
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
