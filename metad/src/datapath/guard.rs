//! The flood guard: one XDP link for each tap, where the administrator asks for it.
//!
//! On taps of the tun driver only, whose driver runs the program before there is a socket buffer. Elsewhere the network
//! stack would, which copies every large packet for it and spares nothing (docs/operations.md has the numbers).
//!
//! It only spares the host work: a guest whose tap has none is answered all the same, and its floods are dropped by
//! `guest_ingress`. So a failure is shown and tried again with the next happening, and is never in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, Xdp};

use super::follow::Wanted;
use super::load::{Kernel, LoadError};
use super::pins;
use crate::config::Config;

/// Why there is no flood guard on an interface.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error("cannot attach the flood guard to {interface}")]
    Attach {
        interface: String,
        #[source]
        source: Box<ProgramError>,
    },
    #[error("cannot keep the flood guard's link to {interface}")]
    Link {
        interface: String,
        #[source]
        source: LinkError,
    },
    #[error("cannot pin the flood guard's link to {interface}")]
    Pin {
        interface: String,
        #[source]
        source: aya::pin::PinError,
    },
}

/// What holds the program to a tap: a descriptor, and a pin that outlives it.
#[derive(Debug)]
struct Held {
    link: FdLink,
    path: PathBuf,
}

/// Every tap that should have a guard, and has it or not.
#[derive(Debug)]
pub(super) struct Guards {
    config: Config,
    held: BTreeMap<u32, Result<Held, String>>,
    /// Whether what an earlier daemon left was looked through.
    swept: bool,
}

impl Guards {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            held: BTreeMap::new(),
            swept: false,
        }
    }

    /// Forgets what is attached, and leaves it where it is: all is attached anew with the next update.
    pub(super) fn begin_anew(&mut self) {
        self.held.clear();
        self.swept = false;
    }

    /// Makes the guards follow `wanted`.
    pub(super) fn update(&mut self, kernel: &mut Kernel, wanted: &BTreeMap<u32, Wanted>) {
        let guarded: BTreeMap<u32, &str> = wanted
            .iter()
            .filter(|(_, wanted)| wanted.guard)
            .map(|(ifindex, wanted)| (*ifindex, wanted.name.as_str()))
            .collect();
        let gone: Vec<u32> = self
            .held
            .keys()
            .filter(|ifindex| !guarded.contains_key(ifindex))
            .copied()
            .collect();
        for ifindex in gone {
            if let Some(Ok(held)) = self.held.remove(&ifindex) {
                remove(held);
            }
        }
        for (ifindex, interface) in &guarded {
            let before = match self.held.get(ifindex) {
                Some(Ok(_)) => continue,
                Some(Err(before)) => Some(before),
                None => None,
            };
            let held = self.guard(kernel, *ifindex, interface);
            let held = settle(held, interface, before);
            self.held.insert(*ifindex, held);
        }
        if !self.swept && !wanted.is_empty() {
            self.swept = true;
            self.sweep();
        }
    }

    /// Whether the interface has its guard, or why it has none; `None` where there is to be none.
    pub(super) fn status(&self, ifindex: u32) -> Option<Result<(), &str>> {
        let held = self.held.get(&ifindex)?;
        Some(held.as_ref().map(|_| ()).map_err(String::as_str))
    }

    fn guard(&self, kernel: &mut Kernel, ifindex: u32, interface: &str) -> Result<Held, LoadError> {
        let program = kernel.flood_guard()?;
        let path = pins::guard_path(&self.config, ifindex);
        let link = match adopt(program, &path) {
            Some(link) => link,
            None => attach(program, ifindex, interface, &path)?,
        };
        Ok(Held { link, path })
    }

    /// Removes the guards that an earlier daemon left and nobody wants any more.
    fn sweep(&self) {
        let ours: BTreeSet<&Path> = self
            .held
            .values()
            .flatten()
            .map(|held| held.path.as_path())
            .collect();
        for path in pins::guard_paths(&self.config) {
            if ours.contains(path.as_path()) {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::debug!(path = %path.display(), "an earlier flood guard was removed")
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an earlier flood guard stays");
                }
            }
        }
    }
}

fn attach(
    program: &mut Xdp,
    ifindex: u32,
    interface: &str,
    path: &Path,
) -> Result<FdLink, GuardError> {
    let failed = |source| GuardError::Attach {
        interface: interface.to_owned(),
        source: Box::new(source),
    };
    let id = program
        .attach_to_if_index(ifindex, XdpMode::Driver)
        .map_err(failed)?;
    let link = program.take_link(id).map_err(failed)?;
    let link: FdLink = link.try_into().map_err(|source| GuardError::Link {
        interface: interface.to_owned(),
        source,
    })?;
    let pinned = link.pin(path).map_err(|source| GuardError::Pin {
        interface: interface.to_owned(),
        source,
    })?;
    Ok(pinned.into())
}

/// Takes over the link that an earlier daemon pinned: its interface has this program from then on, and is never without
/// one. `None`: there is none, or its interface is gone and with it what it held.
fn adopt(program: &mut Xdp, path: &Path) -> Option<FdLink> {
    let pinned = match PinnedLink::from_pin(path) {
        Ok(pinned) => pinned,
        Err(error) => {
            if path.exists() {
                tracing::warn!(path = %path.display(), %error, "an earlier flood guard cannot be taken over");
            }
            return None;
        }
    };
    let taken = replace(program, pinned);
    match taken {
        Ok(link) => Some(link),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "an earlier flood guard held nothing any more");
            let _ = fs::remove_file(path);
            None
        }
    }
}

/// Puts the program in the place of the one that the link holds.
fn replace(program: &mut Xdp, pinned: PinnedLink) -> anyhow::Result<FdLink> {
    let link = XdpLink::try_from(FdLink::from(pinned))?;
    let id = program.attach_to_link(link)?;
    Ok(program.take_link(id)?.try_into()?)
}

/// Takes a guard off; an interface that is gone has taken it along.
fn remove(held: Held) {
    let Held { link, path } = held;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a flood guard stays");
        }
        Ok(()) | Err(_) => {}
    }
    drop(link);
}

/// Logs the outcome of an attempt once: a failure that stays the same is not repeated.
fn settle(
    held: Result<Held, LoadError>,
    interface: &str,
    before: Option<&String>,
) -> Result<Held, String> {
    match held {
        Ok(held) => {
            tracing::debug!(interface, "the flood guard is attached");
            Ok(held)
        }
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            if before != Some(&text) {
                tracing::warn!(
                    interface,
                    error = text,
                    "no flood guard: floods on this interface are dropped later, at a higher cost"
                );
            }
            Err(text)
        }
    }
}
