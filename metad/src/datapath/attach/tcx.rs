//! Links to tcx, pinned: they hold a program to its interface while no daemon runs.

use std::fs;
use std::io;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};

use super::{AttachError, pins};
use crate::config::Config;

/// Puts the program into the link that an earlier daemon has left, or into a new one.
pub(super) fn attach(
    config: &Config,
    classifier: &mut SchedClassifier,
    program: &'static str,
    ifindex: u32,
    interface: &str,
) -> Result<PinnedLink, AttachError> {
    let path = pins::link_path(config, ifindex);
    if path.exists() {
        match replace(classifier, &path, interface) {
            Ok(link) => return Ok(link),
            Err(why) => {
                // The interface that it was for is gone, or was moved to another namespace and has taken its link along;
                // another one has its index now.
                tracing::debug!(interface, why, "the link of an earlier daemon is of no use");
                let _ = fs::remove_file(&path);
            }
        }
    }
    let failed = |source| AttachError::Attach {
        program,
        interface: interface.to_owned(),
        source: Box::new(source),
    };
    let link = |source| AttachError::Link {
        interface: interface.to_owned(),
        source,
    };
    // First of all programs: what is for us must not be lost to another one's verdict.
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = classifier
        .attach_with_options(interface, TcAttachType::Ingress, order)
        .map_err(failed)?;
    let taken = classifier.take_link(id).map_err(failed)?;
    let taken: FdLink = taken.try_into().map_err(link)?;
    let pin = |source| AttachError::Pin {
        interface: interface.to_owned(),
        source,
    };
    taken.pin(path).map_err(pin)
}

/// Swaps the program of a link; each frame meets the one or the other.
fn replace(
    classifier: &mut SchedClassifier,
    path: &Path,
    interface: &str,
) -> Result<PinnedLink, String> {
    let found = PinnedLink::from_pin(path).map_err(|error| error.to_string())?;
    let found: SchedClassifierLink = FdLink::from(found)
        .try_into()
        .map_err(|error: aya::programs::links::LinkError| error.to_string())?;
    let text = |error: aya::programs::ProgramError| format!("{:#}", anyhow::Error::from(error));
    let id = classifier.attach_to_link(found).map_err(text)?;
    // The pin goes on holding it.
    drop(classifier.take_link(id).map_err(text)?);
    let program = classifier.info().map_err(text)?.id();
    match has(interface, program) {
        Ok(true) => PinnedLink::from_pin(path).map_err(|error| error.to_string()),
        Ok(false) => Err("it holds the program to another interface".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the program with this number sits on the interface.
///
/// # Errors
/// The kernel does not say.
pub(super) fn has(interface: &str, program: u32) -> io::Result<bool> {
    let asked = SchedClassifier::query_tcx(interface, TcAttachType::Ingress);
    let (_, programs) = asked.map_err(io::Error::other)?;
    Ok(programs.iter().any(|found| found.id() == program))
}

/// Detaches what an earlier daemon has left on interfaces that are not among `ours`.
pub(super) fn sweep(config: &Config, ours: impl Fn(&u32) -> bool) {
    for ifindex in pins::linked(config) {
        if ours(&ifindex) {
            continue;
        }
        match fs::remove_file(pins::link_path(config, ifindex)) {
            Ok(()) => tracing::info!(ifindex, "took away the link of an earlier daemon"),
            Err(error) => {
                tracing::warn!(ifindex, %error, "the link of an earlier daemon stays");
            }
        }
    }
}
