//! One link for each interface: tcx where the kernel has it (6.6), clsact before. A failed one is tried again with the
//! next happening, and shown until then.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLinkId, TcAttachOptions, TcError};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use aya::util::KernelVersion;
use metad_common::names;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::follow::Wanted;
use super::load::{Kernel, LoadError};
use super::pins;
use crate::admin::{AttachedBy, InterfaceStatus};
use crate::config::{Attach, Config};

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
    #[error("cannot write down that {interface} has a clsact qdisc")]
    Mark {
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
    /// Detached by its program.
    Clsact(SchedClassifierLinkId),
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
}

impl Attachments {
    pub(super) fn new(config: &Config, veth: u32) -> Self {
        let by = match config.datapath.attach {
            Attach::Tcx => AttachedBy::Tcx,
            Attach::Clsact => AttachedBy::Clsact,
            Attach::Auto if kernel_has_tcx() => AttachedBy::Tcx,
            Attach::Auto => AttachedBy::Clsact,
        };
        Self {
            config: config.clone(),
            by,
            veth,
            attached: BTreeMap::new(),
            reply: None,
        }
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
            // The kernel is told what the interface is before its first frame can ask.
            if let Err(error) = kernel.ports.insert(ifindex, wanted.port, 0) {
                tracing::error!(interface = wanted.name, %error, "cannot describe an interface to the kernel");
            }
            let held = match self.attached.remove(ifindex) {
                Some(Attached { held: Ok(held), .. }) => Ok(held),
                known => {
                    let attached =
                        self.attach(kernel, names::GUEST_INGRESS, *ifindex, &wanted.name);
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
            guard: None,
            problem: attached.held.as_ref().err().cloned(),
        };
        self.attached.iter().map(status).collect()
    }

    fn forget(&mut self, kernel: &mut Kernel, ifindex: u32) {
        let Some(attached) = self.attached.remove(&ifindex) else {
            return;
        };
        if let Ok(held) = attached.held {
            detach(kernel, held, &attached.wanted.name);
        }
        // The mark of an interface that is gone says nothing any more.
        let _ = fs::remove_file(pins::clsact_path(&self.config, ifindex));
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
        let held = match self.by {
            AttachedBy::Tcx => self.attach_tcx(classifier, program, ifindex, interface),
            AttachedBy::Clsact => self.attach_clsact(classifier, program, ifindex, interface),
        }?;
        // Programs are attached by name; the name may have passed to another interface in between.
        if index_of(interface) != Some(ifindex) {
            detach(kernel, held, interface);
            let interface = interface.to_owned();
            return Err(AttachError::Replaced { program, interface }.into());
        }
        Ok(held)
    }

    fn attach_tcx(
        &self,
        classifier: &mut SchedClassifier,
        program: &'static str,
        ifindex: u32,
        interface: &str,
    ) -> Result<Held, AttachError> {
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
        let path = pins::link_path(&self.config, ifindex);
        let pin = |source| AttachError::Pin {
            interface: interface.to_owned(),
            source,
        };
        Ok(Held::Tcx(taken.pin(path).map_err(pin)?))
    }

    fn attach_clsact(
        &self,
        classifier: &mut SchedClassifier,
        program: &'static str,
        ifindex: u32,
        interface: &str,
    ) -> Result<Held, AttachError> {
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
        if ifindex != self.veth {
            let mark = |source| AttachError::Mark {
                interface: interface.to_owned(),
                source,
            };
            let path = pins::clsact_path(&self.config, ifindex);
            fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(mark)?;
            let text = if added {
                pins::CLSACT_OURS
            } else {
                pins::CLSACT_FOUND
            };
            // What an earlier attempt has added stays ours.
            if added || !path.exists() {
                fs::write(&path, text).map_err(mark)?;
            }
        }
        let options = TcAttachOptions::Netlink(NlOptions {
            priority: 1,
            ..NlOptions::default()
        });
        classifier
            .attach_with_options(interface, TcAttachType::Ingress, options)
            .map(Held::Clsact)
            .map_err(|source| AttachError::Attach {
                program,
                interface: interface.to_owned(),
                source: Box::new(source),
            })
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

/// Takes a program off its interface; an interface that is gone has taken it along.
fn detach(kernel: &mut Kernel, held: Held, interface: &str) {
    let result = match held {
        Held::Tcx(link) => link.unpin().map(drop).map_err(|error| error.to_string()),
        Held::Clsact(id) => match kernel.program(names::GUEST_INGRESS) {
            Ok(program) => program.detach(id).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
    };
    if let Err(error) = result {
        tracing::debug!(interface, error, "a link was gone before it was taken off");
    }
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

/// Links to tc hooks came with Linux 6.6 (commit e420bed02507).
fn kernel_has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

fn index_of(interface: &str) -> Option<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(any, interface).ok()
}
