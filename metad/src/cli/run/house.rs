//! What the daemon does to follow another, and to be followed.

use std::sync::Arc;

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
    phase: watch::Sender<Phase>,
}

/// Who has what the daemon stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has, and serves.
    Serving,
    /// An heir has it on trial.
    Aside,
    /// Another daemon has it for good.
    Followed,
    /// It has, and will do with it as it was told; nobody can follow any more.
    Ending,
}

impl House {
    /// Its door is shut.
    pub(super) fn new(helm: Helm, stop: watch::Sender<bool>, ledger: LedgerFile) -> Self {
        Self {
            helm,
            door: watch::Sender::new(false),
            stop,
            ledger: Arc::new(ledger),
            phase: watch::Sender::new(Phase::Serving),
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
        let phase = self.phase.clone();
        Arc::new(move || match *phase.borrow() {
            Phase::Followed => Farewell::LONG,
            Phase::Serving | Phase::Aside | Phase::Ending => Farewell::SHORT,
        })
    }

    /// Takes the place of a running daemon, with everything up but the last step.
    ///
    /// # Errors
    /// The other one goes on.
    pub(super) async fn succeed(&self, mut conversation: Conversation) -> Result<Outcome> {
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
        let outcome = conversation.serving().await?;
        match outcome {
            Outcome::Handed => tracing::info!("the other metad has handed over"),
            Outcome::Alone => tracing::warn!("the other metad ended before it had handed over"),
        }
        Ok(outcome)
    }

    /// Begins to end: from now on nobody can follow. Where an heir has everything on trial, waits until that is decided,
    /// and either has it back or is followed.
    pub(super) async fn begin_to_end(&self) {
        let mut phases = self.phase.subscribe();
        while !self.enter(Phase::Serving, Phase::Ending) && *self.phase.borrow() == Phase::Aside {
            tracing::info!("another metad is taking over: ending once that is decided");
            // Fails only without a sender, and this is one.
            let _ = phases.wait_for(|phase| *phase != Phase::Aside).await;
        }
    }

    /// Goes from one phase to another; `false`: it was in none of that kind.
    fn enter(&self, from: Phase, to: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let is_it = *phase == from;
            if is_it {
                *phase = to;
            }
            is_it
        })
    }

    /// Whether another daemon serves.
    pub(super) fn is_followed(&self) -> bool {
        *self.phase.borrow() == Phase::Followed
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
    fn stand_aside(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            if !self.enter(Phase::Serving, Phase::Aside) {
                return false;
            }
            self.door.send_replace(false);
            // A conductor that has ended writes nothing any more either.
            let _ended = self.helm.stand_aside().await;
            true
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
            self.enter(Phase::Aside, Phase::Serving);
        })
    }

    fn retire(&self) {
        self.phase.send_replace(Phase::Followed);
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::conductor::Order;

    /// A household whose conductor obeys.
    fn household() -> (House, watch::Receiver<bool>) {
        let (helm, mut orders) = Helm::new();
        tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                match order {
                    Order::Engage(_, _, done) => drop(done.send(true)),
                    Order::StandAside(done) => drop(done.send(())),
                }
            }
        });
        let (stop, stopped) = watch::channel(false);
        let ledger = LedgerFile::new(PathBuf::from("/nowhere/slots.json"));
        (House::new(helm, stop, ledger), stopped)
    }

    #[tokio::test]
    async fn a_daemon_that_is_told_to_end_while_it_is_followed_waits_for_the_outcome() {
        for (case, is_followed) in [("the heir serves", true), ("the heir fails", false)] {
            let (house, stopped) = household();
            assert!(house.stand_aside().await, "{case}");
            let decided = {
                let house = house.clone();
                tokio::spawn(async move { house.begin_to_end().await })
            };
            tokio::task::yield_now().await;
            assert!(!decided.is_finished(), "{case}: nothing is decided");
            match is_followed {
                true => house.retire(),
                false => house.resume().await,
            }
            decided.await.unwrap();
            assert_eq!(house.is_followed(), is_followed, "{case}");
            assert_eq!(*stopped.borrow(), is_followed, "{case}");
            let ending = house.ending(Some("SIGTERM"));
            let expected = match is_followed {
                true => Ending::Followed,
                false => Ending::Signal,
            };
            assert_eq!(ending, expected, "{case}");
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_ending_cannot_be_followed() {
        let (house, _stopped) = household();
        house.begin_to_end().await;
        assert!(!house.stand_aside().await);
        assert!(!house.is_followed());
    }
}
