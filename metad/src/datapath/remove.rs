//! Removes every trace of a datapath, whoever left it: links, filters, maps, the veth, the namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::TcAttachType;
use aya::programs::tc::{TcError, qdisc_detach_program};
use metad_common::names;
use rtnetlink::packet_route::tc::{TcHandle, TcMessage};
use rtnetlink::{Handle, new_connection};

use super::pins::{self, Mark};
use crate::config::Config;
use crate::interfaces::watch;
use crate::netns::{self, Namespace, NetnsError, veth};

/// Something that could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum Leftover {
    #[error("cannot remove {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("cannot open a netlink socket")]
    Netlink(#[source] io::Error),
    #[error(transparent)]
    Interfaces(#[from] watch::ListError),
    #[error("cannot look for filters on {interface}")]
    Filters {
        interface: String,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("cannot remove guest_ingress from {interface}")]
    Filter {
        interface: String,
        #[source]
        source: TcError,
    },
    #[error("cannot remove the clsact qdisc from {interface}")]
    Qdisc {
        interface: String,
        #[source]
        source: rtnetlink::Error,
    },
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
        remove_clsact(config, &mut removal).await;
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
/// link that is pinned or a filter that is marked.
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
        pins::linked(config).contains(&index) || pins::marked(config).contains(&index)
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

/// clsact filters hold themselves; the marks tell where they are.
async fn remove_clsact(config: &Config, removal: &mut Removal) {
    let marks = pins::marks(config);
    if !marks.exists() {
        return;
    }
    let (connection, handle, _) = match new_connection() {
        Ok(connection) => connection,
        Err(error) => return removal.leftovers.push(Leftover::Netlink(error)),
    };
    tokio::spawn(connection);
    let all = match watch::list().await {
        Ok(all) => all,
        // The marks stay, or nobody would find the filters again.
        Err(error) => return removal.leftovers.push(error.into()),
    };
    for ifindex in pins::marked(config) {
        let ours = Mark::read(config, ifindex).is_some_and(|mark| mark.added);
        let Some(interface) = all.iter().find(|interface| interface.index == ifindex) else {
            continue;
        };
        match remove_filter(&handle, interface.index, &interface.name, ours).await {
            Ok(()) => removal
                .removed
                .push(format!("filter on {}", interface.name)),
            Err(leftover) => removal.leftovers.push(leftover),
        }
    }
    if let Err(error) = fs::remove_dir_all(&marks) {
        removal.leftovers.push(Leftover::File(marks, error));
    }
}

async fn remove_filter(
    handle: &Handle,
    ifindex: u32,
    name: &str,
    ours: bool,
) -> Result<(), Leftover> {
    let interface = || name.to_owned();
    match qdisc_detach_program(name, TcAttachType::Ingress, names::GUEST_INGRESS) {
        Ok(()) => {}
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(Leftover::Filter {
                interface: interface(),
                source,
            });
        }
    }
    if !ours
        || in_use(handle, ifindex)
            .await
            .map_err(|source| Leftover::Filters {
                interface: interface(),
                source,
            })?
    {
        return Ok(());
    }
    let index = i32::try_from(ifindex).unwrap_or(i32::MAX);
    let mut request = handle.qdisc().del(index);
    address(request.message_mut());
    match request.execute().await {
        Err(source) if !is_gone(&source) => Err(Leftover::Qdisc {
            interface: interface(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The kernel's words for a qdisc that is not there: none was, or the place of one is empty again.
fn is_gone(error: &rtnetlink::Error) -> bool {
    use rustix::io::Errno;
    let rtnetlink::Error::NetlinkError(message) = error else {
        return false;
    };
    let code = message.raw_code().unsigned_abs();
    [Errno::NOENT, Errno::INVAL]
        .iter()
        .any(|gone| code == gone.raw_os_error().unsigned_abs())
}

/// Whether somebody else has put filters into the qdisc that we added.
async fn in_use(handle: &Handle, ifindex: u32) -> Result<bool, rtnetlink::Error> {
    use futures_util::TryStreamExt;
    let index = i32::try_from(ifindex).unwrap_or(i32::MAX);
    for get in [
        handle.traffic_filter(index).get().ingress(),
        handle.traffic_filter(index).get().egress(),
    ] {
        let mut filters = get.execute();
        if filters.try_next().await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Names the clsact qdisc (`TC_H_CLSACT` of linux/pkt_sched.h).
fn address(message: &mut TcMessage) {
    message.header.parent = TcHandle {
        major: 0xffff,
        minor: 0xfff1,
    };
    message.header.handle = TcHandle {
        major: 0xffff,
        minor: 0,
    };
}
