//! One daemon follows another.

use std::process::{Child, ExitStatus};

use anyhow::{Context, Result, bail};

use super::{Daemon, STARTS};
use crate::lab::until;

/// What an heir logs when it serves alone.
const HANDED_OVER: &str = "the other metad has handed over";

impl Daemon {
    /// Has another one take over from it, and waits until it has ended.
    ///
    /// # Errors
    /// The other one fails, or this one does not end; the log is in the error. The one that ran goes on as this one.
    pub fn take_over(&mut self) -> Result<ExitStatus> {
        self.take_over_with(|_| Ok(()))
    }

    /// The same, with something to be done once the heir serves and before this one must have ended.
    ///
    /// # Errors
    /// As [`Daemon::take_over`], and whatever `act` fails with.
    pub fn take_over_with(&mut self, act: impl FnOnce(&Self) -> Result<()>) -> Result<ExitStatus> {
        let before = self.log().len();
        let mut heir = self.spawn(&["--take-over"])?;
        let serves = until("an heir that serves", STARTS, || {
            let log = self.log();
            let said = log.get(before..).unwrap_or_default().contains(HANDED_OVER);
            (said || matches!(heir.try_wait(), Ok(Some(_)))).then_some(())
        });
        let acted = serves.and_then(|()| act(self));
        let mut elder = self.child.take().context("metad does not run")?;
        let ended = until("the end of the elder", STARTS, || {
            match (elder.try_wait(), heir.try_wait()) {
                (Ok(Some(status)), _) => Some(Ok(status)),
                // One that ended well was followed in its turn.
                (_, Ok(Some(status))) if !status.success() => Some(Err(status)),
                _ => None,
            }
        });
        match ended {
            Ok(Ok(status)) => {
                self.child = Some(heir);
                acted.map(|()| status)
            }
            Ok(Err(status)) => {
                self.child = Some(elder);
                bail!("the heir ended ({status}):\n{}", self.log())
            }
            Err(error) => {
                // They are children of this process, and nobody else may end them.
                let _killed = heir.kill();
                let _reaped = heir.wait();
                self.child = Some(elder);
                Err(error).with_context(|| format!("the log:\n{}", self.log()))
            }
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// It does not run, or cannot be asked.
    pub fn has_ended(&mut self) -> Result<bool> {
        let child = self.child.as_mut().context("metad does not run")?;
        Ok(child.try_wait()?.is_some())
    }

    /// Starts an heir of it, which takes over unless it is ended before.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn heir(&self) -> Result<Child> {
        self.spawn(&["--take-over"])
    }

    /// Starts it, and does not wait until it is ready.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(&mut self) -> Result<()> {
        self.child = Some(self.spawn(&[])?);
        Ok(())
    }
}
