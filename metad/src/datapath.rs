//! The kernel programs: loaded, attached where guests are, told which NICs there are, and counted.
//!
//! Interfaces and the table of NICs come in; nothing of a request passes through here but the look-up of where a
//! connection came from. What is not known in the kernel's table is dropped there.

mod attach;
mod counters;
mod flows;
mod follow;
mod guard;
mod load;
mod pins;
mod remove;
mod steps;
mod strangers;

use std::collections::BTreeMap;

use metad_common::abi::{NicKey, NicSlot};

pub use self::attach::AttachError;
pub use self::flows::KernelFlows;
pub use self::guard::GuardError;
pub use self::load::{Globals, LoadError, OBJECT, object_loader};
pub use self::remove::{Leftover, Removal, Traces, remove};
pub use self::strangers::Strangers;

use self::attach::Attachments;
use self::guard::Guards;
use self::load::Kernel;
use crate::admin::{Counters, InterfaceStatus};
use crate::config::Config;
use crate::interfaces::Interfaces;
use crate::netns::veth::Veth;

/// The loaded programs and what they are attached to.
pub struct Datapath {
    kernel: Kernel,
    attachments: Attachments,
    guards: Guards,
    config: crate::config::Datapath,
    /// What the kernel's table of NICs holds; we are its only writer.
    nics: BTreeMap<NicKey, NicSlot>,
}

impl Datapath {
    /// Loads the programs, pins their maps, and attaches `reply` to the host's end of the veth.
    ///
    /// # Errors
    /// Names what the kernel refused and what usually helps.
    pub fn up(config: &Config, veth: Veth) -> Result<Self, LoadError> {
        let kernel = Kernel::load(config, veth)?;
        let attachments = Attachments::new(config, veth.host);
        let mut datapath = Self {
            kernel,
            attachments,
            guards: Guards::new(config),
            config: config.datapath.clone(),
            nics: BTreeMap::new(),
        };
        let veth_name = config.veth_host();
        datapath
            .attachments
            .attach_reply(&mut datapath.kernel, &veth_name)?;
        Ok(datapath)
    }

    /// Attaches to interfaces that guests appeared on, and forgets those that are gone.
    pub fn follow(&mut self, interfaces: &Interfaces) {
        let wanted = follow::wanted(&self.config, interfaces);
        self.attachments.update(&mut self.kernel, &wanted);
        self.guards.update(&mut self.kernel, &wanted);
    }

    /// Whether the host's end of the veth is among `interfaces`.
    pub fn is_linked(&self, interfaces: &Interfaces) -> bool {
        interfaces.get(self.attachments.veth()).is_some()
    }

    /// Takes out of the kernel's table what `want` does not have. Before anything is learnt: a NIC that moved must
    /// never belong to two instances, even for one frame.
    pub fn forget(&mut self, want: &BTreeMap<NicKey, NicSlot>) {
        for key in steps::to_forget(&self.nics, want, |had, has| had.slot == has.slot) {
            match self.kernel.nics.remove(&key) {
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => {}
                Err(error) => {
                    tracing::error!(ifindex = key.ifindex, %error, "cannot take a NIC out of the kernel's table");
                    continue;
                }
            }
            self.nics.remove(&key);
        }
    }

    /// Puts into the kernel's table what it does not have of `want`. After the snapshot was published: the first frame
    /// of a guest must find its seat.
    pub fn learn(&mut self, want: &BTreeMap<NicKey, NicSlot>) {
        for (key, slot) in steps::to_learn(&self.nics, want) {
            match self.kernel.nics.insert(key, slot, 0) {
                Ok(()) => {
                    self.nics.insert(key, slot);
                }
                Err(error) => {
                    tracing::error!(
                        ifindex = key.ifindex,
                        %error,
                        "cannot put a NIC into the kernel's table; its guest gets no answers"
                    );
                }
            }
        }
    }

    /// The table of connections, for the listener.
    pub fn flows(&mut self) -> Result<KernelFlows, LoadError> {
        self.kernel.take_flows().map(KernelFlows::new)
    }

    /// The ring of unknown senders.
    pub fn strangers(&mut self) -> Result<Strangers, LoadError> {
        let ring = self.kernel.take_strangers()?;
        Strangers::new(ring).map_err(LoadError::Ring)
    }

    /// What has been counted since the programs were loaded.
    pub fn counters(&self) -> Counters {
        counters::sum(&self.kernel.counters)
    }

    /// Where the programs sit.
    pub fn interfaces(&self) -> Vec<InterfaceStatus> {
        let mut interfaces = self.attachments.status();
        for interface in &mut interfaces {
            match self.guards.status(interface.ifindex) {
                None => {}
                Some(Ok(by)) => interface.guard = Some(by),
                Some(Err(why)) => {
                    interface.problem.get_or_insert_with(|| why.to_owned());
                }
            }
        }
        interfaces
    }
}
