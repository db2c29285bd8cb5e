//! What `metad status` shows, as JSON on the admin socket; see docs/operations.md for its meaning.

use std::collections::BTreeMap;

use metad_common::reason::Reason;
use serde::{Deserialize, Serialize};

use crate::inventory::{Hosted, Slot, Snapshot};
use crate::limits::{Counts, Limit};

/// One metad, now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    pub interfaces: Vec<InterfaceStatus>,
    pub instances: Vec<InstanceStatus>,
    pub sources: Vec<SourceStatus>,
    pub problems: Vec<Problem>,
    pub counters: Counters,
    /// How often guests met each limit since the daemon started, by its name; those that nobody met are not there.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
}

/// An interface that guests are met on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    pub name: String,
    pub ifindex: u32,
    pub role: Role,
    /// `None`: no program sits there; `problem` says why.
    pub attached: Option<AttachedBy>,
    /// Whether the flood guard is in front; where it should be and is not, `problem` says why.
    #[serde(default)]
    pub guarded: bool,
    pub problem: Option<String>,
}

/// Why an interface is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It matches a pattern and has ports.
    Bridge,
    /// It is a port of such a bridge.
    Port,
    /// It matches a pattern and is no bridge.
    Single,
}

/// What holds a program to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachedBy {
    Tcx,
    Clsact,
}

/// An instance and its NICs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InstanceStatus {
    pub name: String,
    pub instance_id: String,
    pub uuid: String,
    pub running: bool,
    pub nics: Vec<NicStatus>,
    /// Where the guest finds NoCloud's files; holds the secret of a secret prefix. `None`: nowhere.
    #[serde(default)]
    pub nocloud_url: Option<String>,
    /// How often its guest met each limit since the daemon knows it; those that it never met are not there.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
}

/// A NIC; the last three are `None` while it has no seat, that is, while it cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicStatus {
    pub mac: String,
    pub interface: Option<String>,
    pub ifindex: Option<u32>,
    pub slot: Option<u32>,
}

/// A source of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    /// `None`: it works.
    pub away: Option<String>,
    pub subjects: usize,
}

/// What is wrong with what a source said of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub subject: String,
    pub problem: String,
}

/// Frames since the programs were loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    pub arp_answered: u64,
    /// Neighbour solicitations, ARP's like in IPv6.
    #[serde(default)]
    pub neighbour_answered: u64,
    /// Guest to metad.
    pub delivered: u64,
    /// metad to guest.
    pub returned: u64,
    /// Connections that were forgotten while they were open, and known again with their guest's next packet.
    #[serde(default)]
    pub recalled: u64,
    /// By the reason's name; reasons that never applied may be missing.
    pub dropped: BTreeMap<String, u64>,
}

impl Status {
    /// Puts together what the snapshot knows and what only the datapath knows.
    pub fn new(
        name: &str,
        snapshot: &Snapshot,
        interfaces: Vec<InterfaceStatus>,
        counters: Counters,
        met: &Counts,
    ) -> Self {
        Self {
            name: name.to_owned(),
            interfaces,
            instances: snapshot
                .instances
                .values()
                .map(|hosted| instance(hosted))
                .collect(),
            sources: snapshot
                .sources
                .iter()
                .map(|source| SourceStatus {
                    name: source.name.clone(),
                    away: source.away.clone(),
                    subjects: source.subjects,
                })
                .collect(),
            problems: snapshot
                .problems
                .iter()
                .map(|(subject, problem)| Problem {
                    subject: subject.clone(),
                    problem: problem.clone(),
                })
                .collect(),
            counters,
            limits: limits(met),
        }
    }

    /// Adds a limit that the kernel programs hold: everybody's refusals from the counter of `reason`, and each
    /// instance's from those of its NICs, by slot.
    pub fn met_by_slot(&mut self, limit: &str, reason: Reason, refused: &BTreeMap<Slot, u64>) {
        let Some(all) = self
            .counters
            .dropped
            .get(reason.name())
            .filter(|it| **it > 0)
        else {
            return;
        };
        self.limits.insert(limit.to_owned(), *all);
        for instance in &mut self.instances {
            let slots = instance.nics.iter().filter_map(|nic| nic.slot);
            let met: u64 = slots.filter_map(|slot| refused.get(&slot)).sum();
            if met > 0 {
                instance.limits.insert(limit.to_owned(), met);
            }
        }
    }
}

impl Counters {
    /// Whether a frame was ever dropped for this reason.
    pub fn is_dropped(&self, reason: Reason) -> bool {
        self.dropped
            .get(reason.name())
            .is_some_and(|count| *count > 0)
    }
}

fn instance(hosted: &Hosted) -> InstanceStatus {
    let instance = &hosted.instance;
    let nics = instance.nics.iter().enumerate().map(|(index, nic)| {
        let seat = hosted.seats.get(index).and_then(Option::as_ref);
        NicStatus {
            mac: nic.mac.to_string(),
            interface: seat.map(|seat| seat.interface.to_string()),
            ifindex: seat.map(|seat| seat.ifindex),
            slot: seat.map(|seat| seat.slot),
        }
    });
    InstanceStatus {
        name: instance.name.clone(),
        instance_id: instance.instance_id.clone(),
        uuid: instance.uuid.to_string(),
        running: hosted.running,
        nics: nics.collect(),
        nocloud_url: instance.nocloud_url(),
        limits: limits(hosted.meter.counts()),
    }
}

fn limits(met: &Counts) -> BTreeMap<String, u64> {
    let met = Limit::ALL.map(|limit| (limit.name().to_owned(), met.of(limit)));
    met.into_iter().filter(|(_, count)| *count > 0).collect()
}
