//! Filters of the clsact qdisc: they hold themselves, and marks in the run directory say which are ours.

use std::mem::ManuallyDrop;

use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle};
use aya::programs::{SchedClassifier, TcAttachType};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::{AttachError, pins};
use crate::config::Config;
use crate::datapath::pins::Mark;

/// Before everybody else's.
const PRIORITY: u16 = 1;

/// Puts the program into the filter that an earlier daemon has left, or into a new one.
pub(super) fn attach(
    config: &Config,
    classifier: &mut SchedClassifier,
    program: &'static str,
    ifindex: u32,
    interface: &str,
) -> Result<ManuallyDrop<SchedClassifierLink>, AttachError> {
    let found = Mark::read(config, ifindex);
    if let Some(handle) = found.and_then(|mark| mark.handle) {
        match replace(classifier, interface, handle) {
            Ok(link) => return Ok(link),
            Err(why) => {
                tracing::debug!(
                    interface,
                    why,
                    "the filter of an earlier daemon is of no use"
                );
            }
        }
    }
    let added = match tc::qdisc_add_clsact(interface) {
        Ok(()) => true,
        Err(error) if is_there_already(&error) => false,
        Err(source) => {
            return Err(AttachError::Clsact {
                interface: interface.to_owned(),
                source,
            });
        }
    };
    let unmarked = |source| AttachError::Mark {
        interface: interface.to_owned(),
        source,
    };
    let mark = Mark {
        // What an earlier attempt has added stays ours.
        added: added || found.is_some_and(|mark| mark.added),
        handle: None,
    };
    mark.write(config, ifindex).map_err(unmarked)?;
    let failed = |source| AttachError::Attach {
        program,
        interface: interface.to_owned(),
        source: Box::new(source),
    };
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        ..NlOptions::default()
    });
    let id = classifier
        .attach_with_options(interface, TcAttachType::Ingress, options)
        .map_err(failed)?;
    let link = ManuallyDrop::new(classifier.take_link(id).map_err(failed)?);
    let handle = Some(link.handle().map_err(failed)?.into());
    Mark { handle, ..mark }
        .write(config, ifindex)
        .map_err(unmarked)?;
    Ok(link)
}

/// Swaps the program of a filter; each frame meets the one or the other.
fn replace(
    classifier: &mut SchedClassifier,
    interface: &str,
    handle: u32,
) -> Result<ManuallyDrop<SchedClassifierLink>, String> {
    let link = found(interface, handle)?;
    let text = |error: aya::programs::ProgramError| format!("{:#}", anyhow::Error::from(error));
    let id = classifier.attach_to_link(link).map_err(text)?;
    classifier
        .take_link(id)
        .map(ManuallyDrop::new)
        .map_err(text)
}

fn found(interface: &str, handle: u32) -> Result<SchedClassifierLink, String> {
    let handle = TcHandle::from(handle);
    SchedClassifierLink::attached(interface, TcAttachType::Ingress, PRIORITY, handle, None)
        .map_err(|error| error.to_string())
}

/// Detaches what an earlier daemon has left on interfaces that are not among `ours`. The marks of qdiscs stay: they are
/// removed with everything else.
pub(super) fn sweep(config: &Config, ours: impl Fn(&u32) -> bool) {
    for ifindex in pins::marked(config) {
        if ours(&ifindex) {
            continue;
        }
        let Some(interface) = name_of(ifindex) else {
            Mark::remove(config, ifindex);
            continue;
        };
        let Some(mark) = Mark::read(config, ifindex) else {
            continue;
        };
        if let Some(handle) = mark.handle {
            // It detaches as it is dropped.
            drop(found(&interface, handle));
            tracing::info!(interface, "took away the filter of an earlier daemon");
            if let Err(error) = (Mark {
                handle: None,
                ..mark
            })
            .write(config, ifindex)
            {
                tracing::warn!(interface, %error, "cannot write down that a filter is gone");
            }
        }
    }
}

fn name_of(ifindex: u32) -> Option<String> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::index_to_name(any, ifindex).ok()
}

fn is_there_already(error: &TcError) -> bool {
    match error {
        TcError::AlreadyAttached => true,
        TcError::NetlinkError(error) => {
            error.raw_os_error() == Some(rustix::io::Errno::EXIST.raw_os_error())
        }
        TcError::NulError(_)
        | TcError::IoError(_)
        | TcError::InvalidTcxAttach(_)
        | TcError::InvalidLinkOperation => false,
    }
}
