//! A machine as it was last rendered, and the seats that follow from where its NICs are.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use uuid::Uuid;

use super::bindings::{Binding, Bindings, NicName};
use super::{Hosted, Notice, Seat};
use crate::install::Templates;
use crate::instance::{Dialect, Instance, Mac, Nic};
use crate::render::Answers;
use crate::source::SourceIndex;

/// A machine as its sources describe it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) source: SourceIndex,
    pub(super) reading: Duration,
    /// What could not be rendered.
    pub(super) problems: BTreeSet<String>,
    pub(super) notice: Arc<Notice>,
    /// As it was last published, or with another instance and the seats of the last one.
    pub(super) hosted: Arc<Hosted>,
    /// The seats do not fit the rest.
    pub(super) stale: bool,
}

impl Machine {
    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.hosted.instance
    }

    /// What is said of it from now on; its seats follow with the next [`Machine::seat`].
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Hosted)) {
        let Hosted {
            instance,
            running,
            seats,
            answers,
            meter,
        } = &*self.hosted;
        let mut hosted = Hosted {
            instance: Arc::clone(instance),
            running: *running,
            seats: seats.clone(),
            answers: answers.clone(),
            meter: Arc::clone(meter),
        };
        change(&mut hosted);
        self.hosted = Arc::new(hosted);
        self.stale = true;
    }

    /// Seats its NICs where they are bound now. Most of the time that is where they were: then nothing is made anew.
    /// `true`: one has got or lost its place.
    pub(super) fn seat(&mut self, name: &Arc<str>, bindings: &Bindings) -> bool {
        let nics = &self.hosted.instance.nics;
        let binding = |nic: &Nic| {
            bindings.get(&NicName {
                machine: Arc::clone(name),
                mac: nic.mac,
            })
        };
        let place = |seat: &Option<Arc<Seat>>| seat.as_ref().map(|it| (it.slot, it.generation));
        let bound = |nic| binding(nic).map(|it| (it.slot, it.generation));
        let before = self.hosted.seats.iter().map(place);
        let moved = !before.eq(nics.iter().map(bound));
        if moved || self.stale {
            let seats = nics.iter().enumerate();
            let seats = seats.map(|(index, nic)| {
                let answers = self.hosted.answers.get(index)?;
                Some(Arc::new(self.seat_of(
                    index,
                    nic.mac,
                    binding(nic)?,
                    answers,
                )))
            });
            let seats = seats.collect();
            self.change(|hosted| hosted.seats = seats);
            self.stale = false;
        }
        moved
    }

    fn seat_of(&self, index: usize, mac: Mac, binding: &Binding, answers: &Arc<Answers>) -> Seat {
        Seat {
            slot: binding.slot,
            generation: binding.generation,
            instance: Arc::clone(self.instance()),
            nic: index,
            mac,
            interface: Arc::clone(&binding.interface),
            ifindex: binding.ifindex,
            answers: Arc::clone(answers),
            notice: Arc::clone(&self.notice),
            meter: Arc::clone(&self.hosted.meter),
        }
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
pub(super) fn doubles(machines: &BTreeMap<Arc<str>, Machine>) -> BTreeMap<Arc<str>, Arc<str>> {
    // Only looked up, never listed.
    let mut first: HashMap<Uuid, &Arc<str>> = HashMap::with_capacity(machines.len());
    let mut doubles = BTreeMap::new();
    for (name, machine) in machines.iter().filter(|(_, it)| it.hosted.running) {
        match first.entry(machine.instance().uuid) {
            Entry::Vacant(free) => {
                free.insert(name);
            }
            Entry::Occupied(taken) => {
                doubles.insert(Arc::clone(name), Arc::clone(taken.get()));
            }
        }
    }
    doubles
}
