//! What the daemon does to follow another, and to be followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::Ending;
use crate::conductor::{Helm, LedgerFile};
use crate::listen::Farewell;
use crate::takeover::{Conversation, Household, Outcome, TakeOverError};

/// The daemon's own affairs.
#[derive(Debug, Clone)]
pub(super) struct House {
    helm: Helm,
    /// Whether guests may come in.
    door: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    ledger: Arc<LedgerFile>,
    followed: Arc<AtomicBool>,
}

impl House {
    /// Its door is shut.
    pub(super) fn new(helm: Helm, stop: watch::Sender<bool>, ledger: LedgerFile) -> Self {
        Self {
            helm,
            door: watch::Sender::new(false),
            stop,
            ledger: Arc::new(ledger),
            followed: Arc::default(),
        }
    }

    /// Says whether guests may come in.
    pub(super) fn door(&self) -> watch::Receiver<bool> {
        self.door.subscribe()
    }

    pub(super) fn open(&self) {
        self.door.send_replace(true);
    }

    /// How long open connections have once the service stops.
    pub(super) fn farewell(&self) -> Arc<dyn Fn() -> Farewell + Send + Sync> {
        let followed = Arc::clone(&self.followed);
        Arc::new(move || match followed.load(Ordering::Acquire) {
            true => Farewell::LONG,
            false => Farewell::SHORT,
        })
    }

    /// Takes the place of a running daemon, with everything up but the last step.
    ///
    /// # Errors
    /// The other one goes on.
    pub(super) async fn succeed(&self, mut conversation: Conversation) -> Result<()> {
        conversation.ready().await?;
        let ledger = self.ledger.read()?;
        if !self
            .helm
            .engage(Some(ledger), Some(conversation.lease()?))
            .await?
        {
            return Err(TakeOverError::TooLate.into());
        }
        self.open();
        match conversation.serving().await? {
            Outcome::Handed => tracing::info!("the other metad has handed over"),
            Outcome::Alone => tracing::warn!("the other metad ended before it had handed over"),
        }
        Ok(())
    }

    /// Whether another daemon serves.
    pub(super) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire)
    }

    /// Why the daemon ended.
    pub(super) fn ending(&self, signal: Option<&str>) -> Ending {
        match signal {
            _ if self.is_followed() => Ending::Followed,
            Some(_) => Ending::Signal,
            None => Ending::Asked,
        }
    }
}

impl Household for House {
    fn stand_aside(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.door.send_replace(false);
            // A conductor that has ended writes nothing any more either.
            let _ended = self.helm.stand_aside().await;
        })
    }

    fn resume(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let ledger = self.ledger.read().context("the slots of the other metad");
            let ledger = ledger.map_err(|error| {
                let error = format!("{error:#}");
                tracing::error!(error, "going on with the slots that this metad gave out");
            });
            let _ended = self.helm.engage(ledger.ok(), None).await;
            self.open();
        })
    }

    fn retire(&self) {
        self.followed.store(true, Ordering::Release);
        self.stop.send_replace(true);
    }

    fn objection(&self) -> Option<String> {
        let managed = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // A unit whose main process ends is stopped, and the heir with it.
        (managed("NOTIFY_SOCKET") && managed("INVOCATION_ID")).then(|| {
            "systemd runs it, and would end both: `systemctl restart` loses no request either"
                .to_owned()
        })
    }
}
