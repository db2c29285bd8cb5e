//! What administrators and guests want kept: stored on the disk first, then applied, then answered.

use uuid::Uuid;

use super::Conductor;
use crate::settings::{
    Decision, Errand, FileError, Kept, Outcome, Plan, Refusal, Stored, Wish, World, decide,
    leave_password,
};

impl Conductor {
    /// Fulfils what can be fulfilled, and answers. Whoever asked may be gone by then.
    pub(super) async fn fulfil(&mut self, errand: Errand) {
        match errand {
            Errand::Wish(wish, answer) => {
                let _gone = answer.send(self.wish(wish).await);
            }
            Errand::Password(instance, password, answer) => {
                let names = self.inventory.names();
                let world = World {
                    kept: self.inventory.kept(),
                    names: &names,
                };
                let stored = match leave_password(instance, password, world) {
                    None => Stored::AlreadySet,
                    Some(plan) => match self.carry_out(plan).await {
                        Ok(()) => Stored::Stored,
                        Err(error) => {
                            let error = error.line();
                            tracing::error!(%instance, error, "a guest's password is not kept");
                            Stored::Failed
                        }
                    },
                };
                let _gone = answer.send(stored);
            }
        }
    }

    async fn wish(&mut self, wish: Wish) -> Result<Outcome, Refusal> {
        let names = self.inventory.names();
        let world = World {
            kept: self.inventory.kept(),
            names: &names,
        };
        match decide(wish, world)? {
            Decision::Answer(outcome) => Ok(outcome),
            Decision::Write(plan) => match self.carry_out(plan).await {
                Ok(()) => Ok(Outcome::Done),
                Err(error) => Err(Refusal::unstored(&error)),
            },
        }
    }

    async fn carry_out(&mut self, plan: Plan) -> Result<(), FileError> {
        let Plan { instance, kept } = plan;
        self.store(instance, kept.clone()).await?;
        tracing::info!(guest = %kept.name, "what is kept of an instance has changed");
        self.inventory.keep(instance, kept);
        self.settle();
        Ok(())
    }

    /// Disks may be slow; the runtime's threads answer guests meanwhile.
    async fn store(&self, instance: Uuid, kept: Kept) -> Result<(), FileError> {
        let files = self.inputs.files.clone();
        let before = self.inventory.kept().get(&instance).cloned();
        let write = move || files.write(instance, before.as_ref(), &kept);
        let written = tokio::task::spawn_blocking(write).await;
        written.unwrap_or_else(|error| Err(FileError::lost(error)))
    }
}
