//! One link for each interface: tcx where the kernel has it (6.6), clsact before. A failed one is tried again with the
//! next happening, and shown until then. What an earlier daemon has attached is replaced in one step, so that no frame
//! is met by no program.

pub(super) mod clsact;
mod filters;
mod qdisc;
mod tcx;

use std::collections::BTreeMap;
use std::io;

use aya::programs::ProgramError;
use aya::programs::links::{LinkError, PinnedLink};
use aya::programs::tc::TcError;
use aya::util::KernelVersion;
use metad_common::names;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::follow::Wanted;
use super::load::{self, Kernel, LoadError};
use super::pins;
use crate::admin::{AttachedBy, InterfaceStatus};
use crate::config::{Attach, Config};
use crate::interfaces::Interface;

/// Why a program does not sit on an interface.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("cannot attach {program} to {interface}")]
    Attach {
        program: &'static str,
        interface: String,
        #[source]
        source: Box<ProgramError>,
    },
    #[error("cannot add the clsact qdisc to {interface}")]
    Clsact {
        interface: String,
        #[source]
        source: TcError,
    },
    #[error("cannot keep the link of {interface}")]
    Link {
        interface: String,
        #[source]
        source: LinkError,
    },
    #[error("cannot pin the link of {interface}")]
    Pin {
        interface: String,
        #[source]
        source: aya::pin::PinError,
    },
    #[error("cannot write down that a clsact qdisc is added to {interface}")]
    Note {
        interface: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot look for filters on {interface}")]
    Filters {
        interface: String,
        #[source]
        source: io::Error,
    },
    #[error("{interface} was replaced while {program} was being attached to it")]
    Replaced {
        program: &'static str,
        interface: String,
    },
}

/// What holds a program to an interface.
#[derive(Debug)]
enum Held {
    /// Detached when it is unpinned and dropped.
    Tcx(PinnedLink),
    /// The kernel's filter itself, which is found again by what it says.
    Clsact,
}

#[derive(Debug)]
struct Attached {
    wanted: Wanted,
    held: Result<Held, String>,
}

/// Everything we are attached to.
#[derive(Debug)]
pub(super) struct Attachments {
    config: Config,
    by: AttachedBy,
    veth: u32,
    attached: BTreeMap<u32, Attached>,
    reply: Option<Held>,
    /// Whether what an earlier daemon has left, and nobody wants, is gone.
    swept: bool,
}

/// How programs are held to interfaces under this configuration.
pub(super) fn by(config: &Config) -> AttachedBy {
    match config.datapath.attach {
        Attach::Tcx => AttachedBy::Tcx,
        Attach::Clsact => AttachedBy::Clsact,
        Attach::Auto if kernel_has_tcx() => AttachedBy::Tcx,
        Attach::Auto => AttachedBy::Clsact,
    }
}

impl Attachments {
    pub(super) fn new(config: &Config, veth: u32) -> Self {
        Self {
            config: config.clone(),
            by: by(config),
            veth,
            attached: BTreeMap::new(),
            reply: None,
            swept: false,
        }
    }

    /// Forgets what is attached, and leaves it where it is: all is attached anew with the next update.
    pub(super) fn begin_anew(&mut self) {
        self.attached.clear();
        self.reply = None;
        self.swept = false;
    }

    /// Attaches `reply` to the host's end of the veth.
    pub(super) fn attach_reply(
        &mut self,
        kernel: &mut Kernel,
        veth_name: &str,
    ) -> Result<(), LoadError> {
        let held = self.attach(kernel, names::REPLY, self.veth, veth_name)?;
        self.reply = Some(held);
        Ok(())
    }

    /// Makes the attachments follow `wanted`.
    ///
    /// An interface is attached to once it is up. Nothing comes in before, and whoever sets it up needs the lock that
    /// the kernel holds for a grace period, some 20 ms, while it attaches (`tcx_entry_sync`). What is set down keeps its
    /// program: it may be up again before this daemon hears of it.
    pub(super) fn update(&mut self, kernel: &mut Kernel, wanted: &BTreeMap<u32, Wanted>) {
        let gone: Vec<u32> = self
            .attached
            .keys()
            .filter(|ifindex| !wanted.contains_key(ifindex))
            .copied()
            .collect();
        for ifindex in gone {
            self.forget(kernel, ifindex);
        }
        for (ifindex, wanted) in wanted {
            let known = self.attached.get(ifindex);
            if known.is_some_and(|known| known.wanted == *wanted && known.held.is_ok()) {
                continue;
            }
            if known.is_none() && !wanted.up {
                continue;
            }
            // The kernel is told what the interface is before its first frame can ask.
            let described = kernel.ports.insert(ifindex, wanted.port, 0);
            let described = described.map_err(|error| LoadError::Port {
                interface: wanted.name.clone(),
                why: load::no_room(&error, "interfaces", names::PORTS_MAX),
            });
            let held = match self.attached.remove(ifindex) {
                Some(Attached { held: Ok(held), .. }) => Ok(held),
                known => {
                    let attached = described.and_then(|()| {
                        self.attach(kernel, names::GUEST_INGRESS, *ifindex, &wanted.name)
                    });
                    let before = known.and_then(|known| known.held.err());
                    settle(attached, wanted, before.as_ref())
                }
            };
            self.attached.insert(
                *ifindex,
                Attached {
                    wanted: wanted.clone(),
                    held,
                },
            );
        }
        if !self.swept {
            self.sweep(kernel);
            self.swept = true;
        }
    }

    /// Takes away what an earlier daemon has left on interfaces that are not to have it any more.
    fn sweep(&self, kernel: &mut Kernel) {
        let ours = |ifindex: &u32| *ifindex == self.veth || self.attached.contains_key(ifindex);
        match self.by {
            AttachedBy::Tcx => tcx::sweep(&self.config, ours),
            AttachedBy::Clsact => clsact::sweep(&self.config, ours),
        }
        let described: Vec<u32> = kernel.ports.keys().flatten().collect();
        for ifindex in described.iter().filter(|ifindex| !ours(ifindex)) {
            if let Err(error) = kernel.ports.remove(ifindex) {
                tracing::debug!(ifindex, %error, "an interface was not in the kernel's table");
            }
        }
    }

    /// Whether an interface lacks its program.
    pub(super) fn is_incomplete(&self) -> bool {
        self.attached.values().any(|it| it.held.is_err())
    }

    /// Whether the program that this daemon has put on the interface is there; `None`: it has put none. Nobody else
    /// attaches this one program, and it goes with its interface: as long as it is there, the interface is the same.
    pub(super) fn still_holds(&self, kernel: &Kernel, interface: &Interface) -> Option<bool> {
        let program = if interface.index == self.veth {
            self.reply.as_ref()?;
            names::REPLY
        } else {
            let attached = self.attached.get(&interface.index)?;
            attached.held.as_ref().ok()?;
            names::GUEST_INGRESS
        };
        let holds = kernel.id_of(program).map(|id| match self.by {
            AttachedBy::Tcx => tcx::has(&interface.name, id),
            AttachedBy::Clsact => filters::has(interface.index, id),
        });
        match holds {
            Ok(Ok(holds)) => Some(holds),
            Ok(Err(error)) => {
                tracing::debug!(interface = interface.name, %error, "it cannot be asked for its programs");
                Some(false)
            }
            Err(error) => {
                tracing::error!(%error, "a program of this daemon cannot be told from others");
                Some(false)
            }
        }
    }

    /// Index of the host's end of the veth.
    pub(super) fn veth(&self) -> u32 {
        self.veth
    }

    pub(super) fn status(&self) -> Vec<InterfaceStatus> {
        let status = |(ifindex, attached): (&u32, &Attached)| InterfaceStatus {
            name: attached.wanted.name.clone(),
            ifindex: *ifindex,
            role: attached.wanted.role,
            attached: attached.held.is_ok().then_some(self.by),
            guarded: false,
            problem: attached.held.as_ref().err().cloned(),
        };
        self.attached.iter().map(status).collect()
    }

    fn forget(&mut self, kernel: &mut Kernel, ifindex: u32) {
        let Some(attached) = self.attached.remove(&ifindex) else {
            return;
        };
        if let Ok(held) = attached.held {
            self.detach(held, ifindex, &attached.wanted.name);
        }
        if let Err(error) = kernel.ports.remove(&ifindex) {
            tracing::debug!(interface = attached.wanted.name, %error, "an interface was not in the kernel's table");
        }
        tracing::info!(interface = attached.wanted.name, ifindex, "detached");
    }

    fn attach(
        &self,
        kernel: &mut Kernel,
        program: &'static str,
        ifindex: u32,
        interface: &str,
    ) -> Result<Held, LoadError> {
        let classifier = kernel.program(program)?;
        let config = &self.config;
        let held = match self.by {
            AttachedBy::Tcx => Held::Tcx(tcx::attach(
                config, classifier, program, ifindex, interface,
            )?),
            AttachedBy::Clsact => {
                clsact::attach(config, classifier, program, ifindex, interface)?;
                Held::Clsact
            }
        };
        // Programs are attached by name; the name may have passed to another interface in between.
        let now = index_of(interface);
        if now != Some(ifindex) {
            self.detach(held, now.unwrap_or(ifindex), interface);
            let interface = interface.to_owned();
            return Err(AttachError::Replaced { program, interface }.into());
        }
        Ok(held)
    }

    /// Takes a program off its interface; an interface that is gone has taken it along.
    fn detach(&self, held: Held, ifindex: u32, interface: &str) {
        let result = match held {
            Held::Tcx(link) => link.unpin().map(drop).map_err(anyhow::Error::from),
            Held::Clsact => clsact::release(&self.config, ifindex)
                .map(drop)
                .map_err(anyhow::Error::from),
        };
        if let Err(error) = result {
            let error = format!("{error:#}");
            tracing::debug!(interface, error, "a link was gone before it was taken off");
        }
    }
}

/// Logs the outcome of an attempt once: a failure that stays the same is not repeated.
fn settle(
    attached: Result<Held, LoadError>,
    wanted: &Wanted,
    before: Option<&String>,
) -> Result<Held, String> {
    let (interface, role) = (&wanted.name, wanted.role);
    match attached {
        Ok(held) => {
            tracing::info!(interface, ?role, "attached");
            Ok(held)
        }
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            if before != Some(&text) {
                tracing::error!(
                    interface,
                    error = text,
                    "guests on this interface get no answers"
                );
            }
            Err(text)
        }
    }
}

/// Links to tc hooks came with Linux 6.6 (commit e420bed02507).
fn kernel_has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

fn index_of(interface: &str) -> Option<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(any, interface).ok()
}
