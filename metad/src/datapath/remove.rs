//! Removes every trace of a datapath, whoever left it: links, filters, maps, the veth, the namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::attach::clsact::{self, ReleaseError};
use super::pins;
use crate::config::Config;
use crate::interfaces::watch;
use crate::netns::{self, Namespace, NetnsError, veth};

/// Something that could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum Leftover {
    #[error("cannot remove {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Interfaces(#[from] watch::ListError),
    #[error("cannot list the qdiscs of this host")]
    Qdiscs(#[source] io::Error),
    #[error(transparent)]
    Filter(#[from] ReleaseError),
    #[error(transparent)]
    Veth(#[from] veth::VethError),
    #[error(transparent)]
    Namespace(#[from] NetnsError),
}

/// What was found and removed, in words; and what was found and stayed.
#[derive(Debug, Default)]
pub struct Removal {
    pub removed: Vec<String>,
    pub leftovers: Vec<Leftover>,
}

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    /// The network namespace, and with it the end of the veth inside.
    pub namespace: bool,
    /// The host's end of the veth, links, filters and pins.
    pub datapath: bool,
}

impl Traces {
    pub const ALL: Self = Self {
        namespace: true,
        datapath: true,
    };
    pub const NONE: Self = Self {
        namespace: false,
        datapath: false,
    };
}

/// Removes what a metad of this configuration may have left in the kernel, and goes on after a failure. Nothing there
/// is no failure.
pub async fn remove(config: &Config, traces: Traces) -> Removal {
    let mut removal = Removal::default();
    if traces.datapath {
        // First of all: what is half removed is nothing to go on with.
        let stamp = pins::stamp(config);
        if let Err(error) = fs::remove_file(&stamp)
            && error.kind() != io::ErrorKind::NotFound
        {
            removal.leftovers.push(Leftover::File(stamp, error));
        }
        // What shows that the veth is ours goes before it.
        let veth = is_veth_ours(config).await;
        remove_filters(config, &mut removal);
        if pins::are_ours(config) {
            remove_pins(&config.pins(), &mut removal);
        }
        match veth {
            Ok(true) => remove_veth(&config.veth_host(), &mut removal).await,
            Ok(false) => {}
            Err(leftover) => removal.leftovers.push(leftover),
        }
    }
    if traces.namespace {
        match netns::remove(config.name.as_str()) {
            Ok(true) => removal.removed.push(format!("namespace {}", config.name)),
            Ok(false) => {}
            Err(error) => removal.leftovers.push(error.into()),
        }
    }
    removal
}

/// Whether the interface that is called like our end of the veth is that: it leads into our namespace, or has `reply`, by a
/// link that is pinned or a filter that says so.
async fn is_veth_ours(config: &Config) -> Result<bool, Leftover> {
    let (host, inside) = (config.veth_host(), config.veth_inner());
    // One that cannot be looked into proves nothing.
    if let Ok(Some(namespace)) = Namespace::left(config.name.as_str())
        && veth::leads_into(&host, &inside, &namespace)
            .await?
            .is_some()
    {
        return Ok(true);
    }
    let all = watch::list().await?;
    let found = all.iter().find(|interface| interface.name == host);
    Ok(found.is_some_and(|found| {
        let index = found.index;
        pins::linked(config).contains(&index) || clsact::is_on(config, index)
    }))
}

async fn remove_veth(veth: &str, removal: &mut Removal) {
    match veth::remove(veth).await {
        Ok(true) => removal.removed.push(format!("interface {veth}")),
        Ok(false) => {}
        Err(error) => removal.leftovers.push(error.into()),
    }
}

/// Removing the pin of a link detaches its program; with the last pin of a map goes the map.
fn remove_pins(directory: &Path, removal: &mut Removal) {
    match fs::remove_dir_all(directory) {
        Ok(()) => removal
            .removed
            .push(format!("pins {}", directory.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => removal
            .leftovers
            .push(Leftover::File(directory.to_owned(), error)),
    }
}

/// Filters of clsact qdiscs hold themselves, and say whose they are.
fn remove_filters(config: &Config, removal: &mut Removal) {
    let places = match clsact::places(config) {
        Ok(places) => places,
        Err(error) => return removal.leftovers.push(Leftover::Qdiscs(error)),
    };
    for ifindex in places {
        match clsact::release(config, ifindex) {
            Ok(Some(interface)) => removal.removed.push(format!("filter on {interface}")),
            Ok(None) => {}
            Err(error) => removal.leftovers.push(error.into()),
        }
    }
}
