//! The kernel programs: loaded, attached where guests are, told which NICs there are, and counted.
//!
//! Interfaces and the table of NICs come in; nothing of a request passes through here but the look-up of where a
//! connection came from. What is not known in the kernel's table is dropped there.

mod attach;
pub mod buckets;
mod counters;
mod debts;
mod flows;
mod follow;
mod guard;
mod layout;
mod load;
mod pins;
pub(crate) mod release;
mod remove;
mod steps;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};

use metad_common::abi::{NicKey, NicSlot};
use metad_common::names;

pub use self::attach::AttachError;
pub use self::flows::KernelFlows;
pub use self::guard::GuardError;
pub use self::load::{Globals, LoadError, OBJECT, object_loader};
pub use self::remove::{Leftover, Removal, Traces, remove};
pub use self::strangers::Strangers;

use self::attach::Attachments;
use self::guard::Guards;
use self::layout::Layout;
use self::load::Kernel;
use crate::admin::{Counters, InterfaceStatus};
use crate::config::{Config, Identity};
use crate::interfaces::Interfaces;
use crate::inventory::Slot;
use crate::netns::veth::Veth;

/// The loaded programs and what they are attached to.
pub struct Datapath {
    kernel: Kernel,
    attachments: Attachments,
    guards: Guards,
    config: Config,
    /// What the kernel's table of NICs holds; we are its only writer.
    nics: BTreeMap<NicKey, NicSlot>,
    /// What it would not take, and why.
    refused: BTreeMap<NicKey, (NicSlot, String)>,
    /// Whether what an earlier daemon let guests owe is settled.
    settled: bool,
}

/// Interfaces that may be others than they were, by index.
#[derive(Debug, Default)]
pub struct Unproven {
    /// They had a program of ours, and do not have it any more.
    pub replaced: Vec<u32>,
    /// They had none, so that nothing tells.
    pub unseen: Vec<u32>,
}

impl Datapath {
    /// Whether a metad of this configuration has pinned anything, and did not unpin it.
    pub fn is_pinned(config: &Config) -> bool {
        pins::are_ours(config)
    }

    /// Why what an earlier daemon has pinned cannot be gone on with; `None`: it can.
    ///
    /// # Errors
    /// This metad was built wrong.
    pub fn objection(config: &Config) -> Result<Option<String>, LoadError> {
        let layout = Layout::of_object(attach::by(config))?;
        Ok(layout.objection(&pins::stamp(config), &config.pins()))
    }

    /// Has the next daemon make everything anew.
    pub fn condemn(config: &Config) {
        // Without it, nothing that is pinned is gone on with; with it, that is at worst tried once more.
        let _ = std::fs::remove_file(pins::stamp(config));
    }

    /// Loads the programs, with the maps that an earlier daemon has pinned or with new ones. Nothing is attached yet.
    ///
    /// # Errors
    /// Names what the kernel refused and what usually helps.
    pub fn load(config: &Config, veth: Veth) -> Result<Self, LoadError> {
        let layout = Layout::of_object(attach::by(config))?;
        let kernel = Kernel::load(config, &layout, veth)?;
        let stamp = pins::stamp(config);
        layout
            .write(&stamp)
            .map_err(|error| LoadError::Stamp(stamp, error))?;
        Ok(Self {
            kernel,
            attachments: Attachments::new(config, veth.host),
            guards: Guards::new(config),
            config: config.clone(),
            nics: BTreeMap::new(),
            refused: BTreeMap::new(),
            settled: false,
        })
    }

    /// Attaches `reply` to the host's end of the veth, in place of an earlier daemon's, and reads what the kernel's
    /// table of NICs holds. From now on, nobody else may write to it.
    ///
    /// # Errors
    /// Names what the kernel refused.
    pub fn engage(&mut self) -> Result<(), LoadError> {
        self.attachments.begin_anew();
        self.guards.begin_anew();
        self.refused.clear();
        self.settled = false;
        self.nics = self
            .kernel
            .nics
            .iter()
            .collect::<Result<_, _>>()
            .map_err(|source| LoadError::Map {
                name: names::NICS,
                source,
            })?;
        let veth = self.config.veth_host();
        self.attachments.attach_reply(&mut self.kernel, &veth)
    }

    /// Attaches to interfaces that guests appeared on, and forgets those that are gone.
    pub fn follow(&mut self, interfaces: &Interfaces) {
        let wanted = follow::wanted(&self.config.datapath, interfaces);
        self.attachments.update(&mut self.kernel, &wanted);
        self.guards.update(&mut self.kernel, &wanted);
        if !std::mem::replace(&mut self.settled, true) {
            debts::settle(&mut self.kernel.buckets, load::connections(&self.config));
        }
    }

    /// Whether `ifindex` is the host's end of the veth.
    pub fn is_link(&self, ifindex: u32) -> bool {
        ifindex == self.attachments.veth()
    }

    /// Which of the interfaces cannot be shown to be those that they were.
    pub fn unproven(&self, interfaces: &Interfaces) -> Unproven {
        let mut unproven = Unproven::default();
        for interface in interfaces.iter() {
            match self.attachments.still_holds(&self.kernel, interface) {
                Some(true) => {}
                Some(false) => unproven.replaced.push(interface.index),
                // By MAC, a NIC's place is its bridge's, whose ports have the programs.
                None if self.config.datapath.identity == Identity::Mac => {}
                None => unproven.unseen.push(interface.index),
            }
        }
        unproven
    }

    /// Whether the host's end of the veth is among `interfaces`.
    pub fn is_linked(&self, interfaces: &Interfaces) -> bool {
        interfaces.get(self.attachments.veth()).is_some()
    }

    /// Takes out of the kernel's table what `want` does not have. Before anything is learnt: a NIC that moved must
    /// never belong to two instances, even for one frame.
    ///
    /// What has one of the `undecided` slots, and no other in `want`, stays: an earlier daemon knew it.
    pub fn forget(&mut self, want: &BTreeMap<NicKey, NicSlot>, undecided: &BTreeSet<Slot>) {
        for key in steps::to_forget(&self.nics, want, |had, has| had.slot == has.slot) {
            let had = self.nics.get(&key).map(|had| had.slot);
            if !want.contains_key(&key) && had.is_some_and(|slot| undecided.contains(&slot)) {
                continue;
            }
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
        let before = std::mem::take(&mut self.refused);
        for (key, slot) in steps::to_learn(&self.nics, want) {
            match self.kernel.nics.insert(key, slot, 0) {
                Ok(()) => {
                    self.nics.insert(key, slot);
                }
                Err(error) => {
                    let why = load::no_room(&error, "NICs", names::NICS_MAX);
                    if before.get(&key).is_none_or(|(_, said)| *said != why) {
                        tracing::error!(
                            ifindex = key.ifindex,
                            error = why,
                            "cannot put a NIC into the kernel's table; its guest gets no answers"
                        );
                    }
                    self.refused.insert(key, (slot, why));
                }
            }
        }
    }

    /// The NICs that the kernel's table would not take, by their slots, and why.
    pub fn refused(&self) -> impl Iterator<Item = (Slot, &str)> {
        let refused = self.refused.values();
        refused.map(|(slot, why)| (slot.slot, why.as_str()))
    }

    /// Whether something was refused that may be granted later without any other happening.
    pub fn is_incomplete(&self) -> bool {
        !self.refused.is_empty() || self.attachments.is_incomplete()
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

    /// How often each NIC was refused a connection, by its slot.
    pub fn refused_connections(&self) -> BTreeMap<Slot, u64> {
        buckets::refused(&self.kernel.buckets)
    }

    /// Where the programs sit.
    pub fn interfaces(&self) -> Vec<InterfaceStatus> {
        let mut interfaces = self.attachments.status();
        for interface in &mut interfaces {
            match self.guards.status(interface.ifindex) {
                None => {}
                Some(Ok(())) => interface.guarded = true,
                Some(Err(why)) => {
                    interface.problem.get_or_insert_with(|| why.to_owned());
                }
            }
        }
        interfaces
    }
}
