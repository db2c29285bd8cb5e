//! What is kept of instances over restarts, as the inventory lays it over what the sources say.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Inventory;
use crate::settings::{Kept, Loaded, Secret, Shelf};

impl Inventory {
    /// The same with the host's secret, with what is kept of instances, and with what of it could not be read.
    #[must_use]
    pub fn with_state(
        self,
        secret: Option<Secret>,
        kept: Shelf,
        unread: Vec<(String, String)>,
    ) -> Self {
        Self {
            secret,
            kept,
            unread,
            ..self
        }
    }

    /// What is kept of instances.
    pub fn kept(&self) -> &Shelf {
        &self.kept
    }

    /// The instances that there are now.
    pub fn names(&self) -> BTreeMap<&str, Uuid> {
        let machines = self.machines.iter();
        machines
            .map(|(name, machine)| (&**name, machine.instance().uuid))
            .collect()
    }

    /// Takes in what another daemon has kept meanwhile. What cannot be read now stays as it was.
    pub fn reread(&mut self, read: Loaded) {
        let all_read = read.problems.is_empty();
        let known: Vec<Uuid> = self.kept.keys().copied().collect();
        let gone = known
            .into_iter()
            .filter(|instance| all_read && !read.kept.contains_key(instance))
            .map(|instance| (instance, Kept::default()));
        let gone: Shelf = gone.collect();
        for (instance, kept) in gone.into_iter().chain(read.kept) {
            if self.kept.get(&instance) != Some(&kept) {
                self.keep(instance, kept);
            }
        }
    }

    /// Has this kept of an instance from now on.
    pub fn keep(&mut self, instance: Uuid, kept: Kept) {
        if kept.is_empty() {
            self.kept.remove(&instance);
        } else {
            self.kept.insert(instance, kept);
        }
        let machines = self.machines.iter();
        let names: Vec<Arc<str>> = machines
            .filter(|(_, machine)| machine.instance().uuid == instance)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in names {
            self.refresh(&name);
        }
    }
}
