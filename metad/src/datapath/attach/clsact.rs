//! Filters of the clsact qdisc. They hold themselves, and their handles say whose they are and whether the qdisc is, too;
//! so nothing but the kernel has to remember it.

use std::collections::BTreeSet;
use std::io;
use std::mem::ManuallyDrop;

use aya::programs::links::Link;
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::filters::Sign;
use super::{AttachError, filters, pins, qdisc};
use crate::config::Config;

/// Before everybody else's.
const PRIORITY: u16 = 1;

/// A filter or a qdisc that cannot be taken off an interface.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("cannot look for filters on {interface}")]
    Look {
        interface: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove a filter of ours from {interface}")]
    Filter {
        interface: String,
        #[source]
        source: Box<ProgramError>,
    },
    #[error("cannot remove the clsact qdisc from {interface}")]
    Qdisc {
        interface: String,
        #[source]
        source: io::Error,
    },
}

/// Puts the program into the filter that an earlier daemon has left, or into a new one.
pub(super) fn attach(
    config: &Config,
    classifier: &mut SchedClassifier,
    program: &'static str,
    ifindex: u32,
    interface: &str,
) -> Result<(), AttachError> {
    let name = config.name.as_str();
    let look = |source| AttachError::Filters {
        interface: interface.to_owned(),
        source,
    };
    let mut is_ours = pins::is_noted(config, ifindex);
    if let Some(sign) = filters::ours(name, ifindex).map_err(look)? {
        match replace(classifier, interface, sign) {
            Ok(()) => return Ok(()),
            Err(why) => {
                tracing::debug!(
                    interface,
                    why,
                    "the filter of an earlier daemon is of no use"
                );
                is_ours |= sign.added();
                // It detaches as it is dropped.
                drop(found(interface, sign));
            }
        }
    }
    let added = add_qdisc(config, ifindex, interface, is_ours)?;
    let put = put(classifier, interface, Sign::new(name, added));
    if put.is_err()
        && added
        && let Err(error) = qdisc::remove_unused(ifindex)
    {
        tracing::warn!(interface, %error, "a clsact qdisc stays without a filter");
    }
    // From here on, the filter says it.
    pins::forget_note(config, ifindex);
    put.map_err(|source| AttachError::Attach {
        program,
        interface: interface.to_owned(),
        source: Box::new(source),
    })
}

/// Adds the qdisc where there is none. Returns whether it is ours: `is_ours` says so of one that is there.
fn add_qdisc(
    config: &Config,
    ifindex: u32,
    interface: &str,
    is_ours: bool,
) -> Result<bool, AttachError> {
    if qdisc::is_there(ifindex) {
        return Ok(is_ours);
    }
    // Before it is there: a daemon may be killed before the filter is, which says so afterwards.
    pins::note(config, ifindex).map_err(|source| AttachError::Note {
        interface: interface.to_owned(),
        source,
    })?;
    match tc::qdisc_add_clsact(interface) {
        Ok(()) => Ok(true),
        Err(error) => {
            pins::forget_note(config, ifindex);
            if is_there_already(&error) {
                return Ok(false);
            }
            Err(AttachError::Clsact {
                interface: interface.to_owned(),
                source: error,
            })
        }
    }
}

fn put(classifier: &mut SchedClassifier, interface: &str, sign: Sign) -> Result<(), ProgramError> {
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        handle: TcHandle::from(sign.handle()),
        ..NlOptions::default()
    });
    let id = classifier.attach_with_options(interface, TcAttachType::Ingress, options)?;
    leave(classifier.take_link(id)?);
    Ok(())
}

/// Swaps the program of a filter; each frame meets the one or the other.
fn replace(classifier: &mut SchedClassifier, interface: &str, sign: Sign) -> Result<(), String> {
    let link = found(interface, sign).map_err(|error| error.to_string())?;
    let text = |error: ProgramError| format!("{:#}", anyhow::Error::from(error));
    let id = classifier.attach_to_link(link).map_err(text)?;
    leave(classifier.take_link(id).map_err(text)?);
    Ok(())
}

/// The filter stays where it is: it is released by what it says, or stays where a daemon ends and leaves the host as it
/// is.
fn leave(link: SchedClassifierLink) {
    let _it = ManuallyDrop::new(link);
}

fn found(interface: &str, sign: Sign) -> io::Result<SchedClassifierLink> {
    let handle = TcHandle::from(sign.handle());
    SchedClassifierLink::attached(interface, TcAttachType::Ingress, PRIORITY, handle, None)
}

/// The interfaces where something of a metad's may be.
///
/// # Errors
/// The kernel does not say.
pub(in crate::datapath) fn places(config: &Config) -> io::Result<BTreeSet<u32>> {
    let mut places = BTreeSet::from_iter(qdisc::all()?);
    places.extend(pins::noted(config));
    Ok(places)
}

/// Whether a filter of this metad's is on the interface.
pub(in crate::datapath) fn is_on(config: &Config, ifindex: u32) -> bool {
    filters::ours(config.name.as_str(), ifindex).is_ok_and(|sign| sign.is_some())
}

/// Takes our filter off an interface, and with it the qdisc that was added for it, if nobody else has come to use that.
/// Returns the name of the interface; `None`: there was nothing of ours.
///
/// # Errors
/// Something of ours is there, or may be, and stays.
pub(in crate::datapath) fn release(
    config: &Config,
    ifindex: u32,
) -> Result<Option<String>, ReleaseError> {
    let Some(interface) = name_of(ifindex) else {
        pins::forget_note(config, ifindex);
        return Ok(None);
    };
    let sign =
        filters::ours(config.name.as_str(), ifindex).map_err(|source| ReleaseError::Look {
            interface: interface.clone(),
            source,
        })?;
    let noted = pins::is_noted(config, ifindex);
    if sign.is_none() && !noted {
        return Ok(None);
    }
    if let Some(sign) = sign {
        let detached = found(&interface, sign)
            .map_err(|error| TcError::from(error).into())
            .and_then(Link::detach);
        detached.map_err(|source| ReleaseError::Filter {
            interface: interface.clone(),
            source: Box::new(source),
        })?;
    }
    if noted || sign.is_some_and(Sign::added) {
        qdisc::remove_unused(ifindex).map_err(|source| ReleaseError::Qdisc {
            interface: interface.clone(),
            source,
        })?;
    }
    pins::forget_note(config, ifindex);
    Ok(Some(interface))
}

/// Takes away what an earlier daemon has left on interfaces that are not among `ours`.
pub(super) fn sweep(config: &Config, ours: impl Fn(&u32) -> bool) {
    let places = match places(config) {
        Ok(places) => places,
        Err(error) => {
            tracing::warn!(%error, "what an earlier daemon has left stays: the kernel lists no qdiscs");
            return;
        }
    };
    for ifindex in places.into_iter().filter(|ifindex| !ours(ifindex)) {
        match release(config, ifindex) {
            Ok(Some(interface)) => {
                tracing::info!(interface, "took away the filter of an earlier daemon");
            }
            Ok(None) => {}
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "the filter of an earlier daemon stays");
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
