//! All instances now: the changes of every source, laid over each other, and the seat of every NIC.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::instance::{Instance, Mac, Nic};
use crate::render::Answers;

/// A small number that names a NIC in the kernel and in the rewritten source address. Never zero.
pub type Slot = u32;

/// Everything a request may need, immutable and swapped whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Who answers to which slot. Only looked up, never listed.
    pub seats: HashMap<Slot, Arc<Seat>>,
    /// By name; for the administrator.
    pub instances: BTreeMap<String, Arc<Hosted>>,
    pub sources: Vec<SourceStatus>,
    /// What is wrong with what a source said: `(subject, problem)`.
    pub problems: Vec<(String, String)>,
}

/// An instance and its seats.
#[derive(Debug)]
pub struct Hosted {
    pub instance: Arc<Instance>,
    pub running: bool,
    /// In the order of `instance.nics`; `None` where the NIC has no interface here.
    pub seats: Vec<Option<Arc<Seat>>>,
    /// What each NIC would be told, in the order of `instance.nics`; for `metad query`.
    pub answers: Vec<Arc<Answers>>,
}

/// A NIC's place: the slot it was given, and what its guest is told.
#[derive(Debug)]
pub struct Seat {
    pub slot: Slot,
    /// Tells two owners of one slot apart.
    pub generation: u64,
    pub instance: Arc<Instance>,
    /// Index into `instance.nics`.
    pub nic: usize,
    pub mac: Mac,
    /// The interface that the guest's frames must arrive on.
    pub interface: String,
    pub ifindex: u32,
    pub answers: Arc<Answers>,
}

impl Seat {
    pub fn nic(&self) -> Option<&Nic> {
        self.instance.nics.get(self.nic)
    }
}

/// How a source is, for `metad status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// As in the configuration: `libvirt qemu:///system`.
    pub name: String,
    /// `None`: it works.
    pub away: Option<String>,
    pub subjects: usize,
}
