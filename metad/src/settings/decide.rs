//! The decision: one wish against what is kept and who there is. No file, no clock; every input has an answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::{Kept, Outcome, Refusal, Shelf, Shown, Wish, tree};

/// What a wish is decided by.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    pub kept: &'a Shelf,
    /// The instances that there are now.
    pub names: &'a BTreeMap<&'a str, Uuid>,
}

/// What is to be done about a wish.
#[derive(Debug, PartialEq)]
pub enum Decision {
    Answer(Outcome),
    Write(Plan),
}

/// What is to be stored, then applied, then answered with [`Outcome::Done`].
#[derive(Debug, PartialEq)]
pub struct Plan {
    pub instance: Uuid,
    pub kept: Kept,
}

/// Decides what an administrator wishes.
///
/// # Errors
/// See [`Refusal`].
pub fn decide(wish: Wish, world: World<'_>) -> Result<Decision, Refusal> {
    match wish {
        Wish::Set {
            instance,
            path,
            value,
            force,
        } => {
            let (uuid, mut kept) = world.present(&instance)?;
            tree::set(&instance, &mut kept.settings, &path, value, force)?;
            Ok(write(uuid, kept))
        }
        Wish::Unset {
            instance,
            path: Some(path),
        } => {
            let (uuid, mut kept) = world.any(&instance)?;
            tree::unset(&instance, &mut kept.settings, &path)?;
            Ok(write(uuid, kept))
        }
        Wish::Unset {
            instance,
            path: None,
        } => {
            let (uuid, kept) = world.any(&instance)?;
            let settings = serde_json::Map::new();
            // The guest's password is no setting; it has a command of its own. Nobody is left to clear an orphan's.
            let password = kept.password.filter(|_| !world.is_orphan(uuid));
            Ok(write(
                uuid,
                Kept {
                    settings,
                    password,
                    ..kept
                },
            ))
        }
        Wish::Show { instance: None } => {
            let shown = world
                .kept
                .iter()
                .map(|(uuid, kept)| world.shown(*uuid, kept));
            let mut shown: Vec<Shown> = shown.collect();
            shown.sort_by(|a, b| (&a.name, a.uuid).cmp(&(&b.name, b.uuid)));
            Ok(Decision::Answer(Outcome::Kept(shown)))
        }
        Wish::Show {
            instance: Some(instance),
        } => {
            let (uuid, kept) = world.any(&instance)?;
            let shown = world.shown(uuid, &kept);
            Ok(Decision::Answer(Outcome::Kept(vec![shown])))
        }
        Wish::Password { instance } => {
            let (_, kept) = world.any(&instance)?;
            Ok(Decision::Answer(Outcome::password(kept.password.as_ref())))
        }
        Wish::ClearPassword { instance } => {
            let (uuid, kept) = world.any(&instance)?;
            let password = None;
            Ok(write(uuid, Kept { password, ..kept }))
        }
    }
}

/// Decides what becomes of a password; `None`: there is one.
pub fn leave_password(instance: Uuid, password: Bytes, world: World<'_>) -> Option<Plan> {
    let kept = world.kept.get(&instance).cloned().unwrap_or_default();
    if kept.password.is_some() {
        return None;
    }
    let present = world.names.iter().find(|(_, uuid)| **uuid == instance);
    let name = present.map_or(kept.name, |(name, _)| (*name).to_owned());
    let kept = Kept {
        name,
        password: Some(password),
        settings: kept.settings,
    };
    Some(Plan { instance, kept })
}

fn write(instance: Uuid, kept: Kept) -> Decision {
    Decision::Write(Plan { instance, kept })
}

impl World<'_> {
    /// An instance that there is now, and what is kept of it under its present name.
    fn present(&self, name: &str) -> Result<(Uuid, Kept), Refusal> {
        let known = self.names.keys().copied();
        let uuid = *self
            .names
            .get(name)
            .ok_or_else(|| Refusal::unknown(name, known))?;
        let kept = self.kept.get(&uuid).cloned().unwrap_or_default();
        let name = name.to_owned();
        Ok((uuid, Kept { name, ..kept }))
    }

    /// The same, or one that is gone: by its UUID, or by its name where only one that is gone had it.
    fn any(&self, name: &str) -> Result<(Uuid, Kept), Refusal> {
        let refusal = match self.present(name) {
            Ok(present) => return Ok(present),
            Err(refusal) => refusal,
        };
        let uuid = Uuid::parse_str(name).ok();
        if let Some(uuid) = uuid
            && let Some(kept) = self.kept.get(&uuid)
        {
            return Ok((uuid, kept.clone()));
        }
        let mut orphans = self
            .kept
            .iter()
            .filter(|(uuid, kept)| kept.name == name && self.is_orphan(**uuid));
        match (orphans.next(), orphans.next()) {
            (Some((uuid, kept)), None) => Ok((*uuid, kept.clone())),
            (Some((one, _)), Some((other, _))) => Err(Refusal::Malformed {
                what: format!(
                    "several instances that are gone were called `{name}`\nhelp: name one by its UUID, such as {one} or {other}"
                ),
            }),
            (None, _) => Err(refusal),
        }
    }

    fn is_orphan(&self, uuid: Uuid) -> bool {
        !self.names.values().any(|present| *present == uuid)
    }

    fn shown(&self, uuid: Uuid, kept: &Kept) -> Shown {
        let present = self.names.iter().find(|(_, present)| **present == uuid);
        Shown {
            name: present.map_or_else(|| kept.name.clone(), |(name, _)| (*name).to_owned()),
            uuid,
            orphan: present.is_none(),
            password: kept.password.is_some(),
            settings: kept.settings.clone(),
        }
    }
}
