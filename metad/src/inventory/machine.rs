//! A machine as it was last rendered, and the seats that follow from where its NICs are.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use uuid::Uuid;

use super::bindings::{Binding, Bindings, NicName};
use super::{Notice, Seat, Slot};
use crate::install::Templates;
use crate::instance::{Dialect, Instance};
use crate::limits::Meter;
use crate::render::Answers;
use crate::source::SourceIndex;

/// A machine as its sources describe it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) source: SourceIndex,
    pub(super) reading: Duration,
    pub(super) running: bool,
    pub(super) instance: Arc<Instance>,
    pub(super) answers: Vec<Arc<Answers>>,
    /// What could not be rendered.
    pub(super) problems: BTreeSet<String>,
    pub(super) notice: Arc<Notice>,
    pub(super) meter: Arc<Meter>,
    /// Slot and generation of each NIC, as they were last published.
    pub(super) places: Vec<Option<(Slot, u64)>>,
}

impl Machine {
    /// Whether a NIC has got or lost its place since this was last asked.
    pub(super) fn moved(&mut self, seats: &[Option<Arc<Seat>>]) -> bool {
        let place = |seat: &Arc<Seat>| (seat.slot, seat.generation);
        let places: Vec<_> = seats.iter().map(|seat| seat.as_ref().map(place)).collect();
        let moved = places != self.places;
        self.places = places;
        moved
    }

    pub(super) fn seats<'a>(
        &'a self,
        name: &'a str,
        bindings: &'a Bindings,
    ) -> impl Iterator<Item = Option<Arc<Seat>>> + 'a {
        self.instance
            .nics
            .iter()
            .zip(&self.answers)
            .enumerate()
            .map(move |(index, (nic, answers))| {
                let name = NicName {
                    machine: name.to_owned(),
                    mac: nic.mac,
                };
                let Binding {
                    slot,
                    generation,
                    ifindex,
                    interface,
                    ..
                } = bindings.get(&name)?;
                Some(Arc::new(Seat {
                    slot: *slot,
                    generation: *generation,
                    instance: Arc::clone(&self.instance),
                    nic: index,
                    mac: nic.mac,
                    interface: interface.clone(),
                    ifindex: *ifindex,
                    answers: Arc::clone(answers),
                    notice: Arc::clone(&self.notice),
                    meter: Arc::clone(&self.meter),
                }))
            })
    }
}

/// What every NIC of an instance is told, and what it should be and cannot.
pub(super) fn answers(
    instance: &Arc<Instance>,
    templates: &Templates,
) -> (Vec<Arc<Answers>>, BTreeSet<String>) {
    let made = SystemTime::now();
    let mut problems = BTreeSet::new();
    let of_nic = |nic| {
        let mut answers = Answers::of(Arc::clone(instance), nic, made);
        if instance.options.dialects.has(Dialect::Install) {
            let rendered = templates.render(instance, nic);
            answers.install(&rendered.files, rendered.failed);
            problems.extend(rendered.problems);
        }
        Arc::new(answers)
    };
    let answers = (0..instance.nics.len()).map(of_nic).collect();
    (answers, problems)
}

/// The running machines whose UUID another one has, and that one's name: what belongs to a UUID is one machine's alone, so
/// the first by name keeps it.
pub(super) fn doubles(machines: &BTreeMap<String, Machine>) -> BTreeMap<&str, &str> {
    let mut first: BTreeMap<Uuid, &str> = BTreeMap::new();
    let mut doubles = BTreeMap::new();
    for (name, machine) in machines.iter().filter(|(_, machine)| machine.running) {
        match first.entry(machine.instance.uuid) {
            Entry::Vacant(free) => {
                free.insert(name);
            }
            Entry::Occupied(taken) => {
                doubles.insert(name.as_str(), *taken.get());
            }
        }
    }
    doubles
}
