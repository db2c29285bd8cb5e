//! All instances now: the changes of every source, laid over each other, and the seat of every NIC.
//!
//! Changes and the interfaces of the host come in, a [`Snapshot`] for the requests and the table of NICs for the kernel
//! go out. Pure: nobody else writes here, and readers get a snapshot that never changes.

mod bindings;
mod claims;
mod complaints;
mod kept;
mod ledger;
mod machine;
mod merge;
mod notice;
mod roles;
mod slots;
mod vanished;
mod views;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use metad_common::abi::{NicKey, NicSlot};

use self::bindings::{Bindings, NicName};
use self::complaints::complaints;
use self::machine::{Machine, answers, doubles};
use self::roles::Roles;
use self::views::Views;
use crate::config::Identity;
use crate::credentials::News;
use crate::install::Templates;
use crate::instance::{Details, Dialect, Instance, Mac, Nic, Shared, Switch};
use crate::interfaces::Interfaces;
use crate::limits::Meter;
use crate::record::Defaults;
use crate::render::Answers;
use crate::settings::{Secret, Shelf};
use crate::source::{Change, SourceIndex};

pub use ledger::{Ledger, LedgerError};
pub use notice::{Notice, Waiting};

/// A small number that names a NIC in the kernel and in the rewritten source address. Never zero.
pub type Slot = u32;

/// Everything a request may need, immutable and swapped whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Who answers to which slot.
    pub seats: HashMap<Slot, Arc<Seat>>,
    /// By name; for the administrator.
    pub instances: BTreeMap<Arc<str>, Arc<Hosted>>,
    pub sources: Vec<SourceStatus>,
    /// What is wrong with what a source said: `(subject, problem)`.
    pub problems: Vec<(String, String)>,
}

impl Snapshot {
    /// Whether a NIC with this address sits on the interface, on a port of it, or on its bridge.
    pub fn has_seat(&self, mac: Mac, ifindex: u32, interfaces: &Interfaces) -> bool {
        let bridge = |index| interfaces.get(index)?.controller;
        let mut seats = self.seats.values().filter(|seat| seat.mac == mac);
        seats.any(|seat| {
            let place = seat.ifindex;
            place == ifindex || bridge(place) == Some(ifindex) || bridge(ifindex) == Some(place)
        })
    }
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
    /// What its guest has used.
    pub meter: Arc<Meter>,
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
    pub interface: Arc<str>,
    pub ifindex: u32,
    pub answers: Arc<Answers>,
    /// Rung when the instance changes or goes, and when one of its NICs gets or loses its place.
    pub notice: Arc<Notice>,
    /// What the instance's guest has used.
    pub meter: Arc<Meter>,
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

/// What follows from everything that is known.
#[derive(Debug)]
pub struct Resolution {
    pub snapshot: Snapshot,
    /// What the kernel's table of NICs must hold.
    pub nics: BTreeMap<NicKey, NicSlot>,
    /// Slots that an earlier daemon gave out, and no source has named the NICs of yet.
    pub undecided: BTreeSet<Slot>,
    /// Sources that should look again: an interface that they named came back after it had vanished.
    pub ask_again: BTreeSet<SourceIndex>,
    /// To be rung once the snapshot is published.
    pub notices: Vec<Arc<Notice>>,
}

/// The one writer's view of all instances.
#[derive(Debug)]
pub struct Inventory {
    identity: Identity,
    defaults: Defaults,
    /// What every instance shares that says nothing else.
    plain: Shared<Details>,
    templates: Arc<Templates>,
    roles: Roles,
    views: Views,
    machines: BTreeMap<Arc<str>, Machine>,
    bindings: Bindings,
    secret: Option<Secret>,
    kept: Shelf,
    /// What of the kept could not be read: `(file, problem)`.
    unread: Vec<(String, String)>,
    /// Of instances that changed since they were last handed out.
    notices: Vec<Arc<Notice>>,
}

impl Inventory {
    /// Starts empty; `sources` are their names as in the configuration.
    pub fn new(identity: Identity, defaults: Defaults, sources: Vec<String>) -> Self {
        Self {
            identity,
            plain: merge::plain(&defaults),
            defaults,
            templates: Arc::default(),
            roles: Roles::default(),
            views: Views::new(sources),
            machines: BTreeMap::new(),
            bindings: Bindings::default(),
            secret: None,
            kept: Shelf::new(),
            unread: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Knows the IAM roles of these names from now on.
    #[must_use]
    pub fn with_roles(mut self, names: impl Iterator<Item = String>) -> Self {
        self.roles = names.collect();
        self
    }

    /// Goes on with the slots that were given out until now, by an earlier daemon or by this one: who is known keeps its
    /// slot, and no other gets it. `now` is the clock of [`Inventory::resolve`].
    pub fn resume(&mut self, ledger: Ledger, now: Duration) {
        self.bindings.go_on(ledger, now);
    }

    /// The interface of this name is gone, or another is there in its place: whoever sat on it is seated again only once
    /// a source has named it, and on another slot. `now` is the clock of [`Inventory::resolve`].
    pub fn vanish(&mut self, interface: &str, now: Duration) {
        self.bindings.vanish(interface, now);
    }

    /// Any interface may have been replaced until now, unseen: nobody new is seated by what was read before. Who has a
    /// seat keeps it. `now` is the clock of [`Inventory::resolve`].
    pub fn doubt(&mut self, now: Duration) {
        self.bindings.doubt(now);
    }

    /// Every source was heard: nobody else will claim the slots that an earlier daemon gave out. `now` is the clock of
    /// [`Inventory::resolve`].
    pub fn decide(&mut self, now: Duration) {
        self.bindings.decide(now);
    }

    /// Takes in what is new of a role's credentials.
    pub fn hear(&mut self, news: News) {
        let role = news.role.clone();
        if !self.roles.hear(news) {
            return;
        }
        let machines = self.machines.iter();
        let whose = machines.filter(|(_, it)| it.instance().role.as_ref() == Some(&role));
        let names: Vec<Arc<str>> = whose.map(|(name, _)| Arc::clone(name)).collect();
        for name in names {
            self.refresh(&name);
        }
    }

    /// Takes in one change.
    pub fn apply(&mut self, change: Change) {
        for name in self.views.apply(change) {
            self.refresh(&name);
        }
    }

    /// Renders anew whatever comes from templates.
    pub fn use_templates(&mut self, templates: Arc<Templates>) {
        self.templates = templates;
        for machine in self.machines.values_mut() {
            if machine.instance().options.dialects.has(Dialect::Install) {
                let (answers, problems) = answers(machine.instance(), &self.templates);
                machine.change(|hosted| hosted.answers = answers);
                machine.problems = problems;
                self.notices.push(Arc::clone(&machine.notice));
            }
        }
    }

    /// Lays the present interfaces under what is known. `now` is the clock that readings are stamped by.
    pub fn resolve(&mut self, interfaces: &Interfaces, now: Duration) -> Resolution {
        let doubles = doubles(&self.machines);
        let claims = self.claims(interfaces, &doubles);
        let refused = self.bindings.update(&claims, now);
        let mut problems = self.problems(&doubles);
        problems.extend(complaints(&refused, &claims));
        let (mut seats, mut nics) = (HashMap::new(), BTreeMap::new());
        for (name, machine) in &mut self.machines {
            let rendering = machine.problems.iter().cloned();
            problems.extend(rendering.map(|problem| (name.to_string(), problem)));
            if machine.seat(name, &self.bindings) {
                self.notices.push(Arc::clone(&machine.notice));
            }
            let ipv6 = machine.instance().options.ipv6 == Switch::Enabled;
            for seat in machine.hosted.seats.iter().flatten() {
                let key = NicKey::new(seat.ifindex, seat.mac.0);
                nics.insert(key, NicSlot::new(seat.slot, ipv6));
                seats.insert(seat.slot, Arc::clone(seat));
            }
        }
        let machines = self.machines.iter();
        let instances = machines.map(|(name, it)| (Arc::clone(name), Arc::clone(&it.hosted)));
        let snapshot = Snapshot {
            seats,
            instances: instances.collect(),
            sources: self.views.statuses(),
            problems,
        };
        let machines = &self.machines;
        let source = |name: &NicName| machines.get(&name.machine).map(|machine| machine.source);
        let ask_again = refused.unconfirmed.iter().filter_map(source).collect();
        Resolution {
            snapshot,
            nics,
            undecided: self.bindings.undecided(),
            ask_again,
            notices: std::mem::take(&mut self.notices),
        }
    }

    /// Whether a source has named a NIC of this address: it has its place, or will have it once its interface is there.
    pub fn expects(&self, mac: Mac) -> bool {
        let mut running = self.machines.values().filter(|it| it.hosted.running);
        running.any(|it| it.instance().nics.iter().any(|nic| nic.mac == mac))
    }

    /// Takes as little room as it can. Maps that grow by one key after the other, in their order, are half empty.
    pub fn compact(&mut self) {
        self.machines = std::mem::take(&mut self.machines).into_iter().collect();
        self.bindings.compact();
        self.views.compact();
    }

    /// What the next daemon must know.
    pub fn ledger(&self) -> Ledger {
        self.bindings.ledger()
    }

    /// Another number whenever the ledger says something else than before.
    pub fn revision(&self) -> u64 {
        self.bindings.revision()
    }

    /// What is wrong with what was said, but for where NICs are.
    fn problems(&self, doubles: &BTreeMap<Arc<str>, Arc<str>>) -> Vec<(String, String)> {
        let mut problems = self.views.problems(|name| self.machines.contains_key(name));
        let machines = self.machines.iter();
        let instances = machines.map(|(name, machine)| (&**name, &**machine.instance()));
        problems.extend(self.roles.problems(instances));
        let doubles = doubles.iter().map(|(name, of)| {
            let problem = format!(
                "it is not answered: `{of}` has the same UUID, which tokens and settings go by"
            );
            (name.to_string(), problem)
        });
        problems.extend(doubles);
        let of_templates = self.templates.problems().iter();
        let install = "installers' answers";
        problems.extend(of_templates.map(|problem| (install.to_owned(), problem.clone())));
        problems.extend(self.unread.iter().cloned());
        problems
    }

    /// The machines of which a part could not be read since the start, and that are not answered therefore.
    pub fn never_read(&self) -> impl Iterator<Item = &str> {
        self.views.unread()
    }

    /// Makes a machine anew from what the sources say now. Renders only what has changed.
    fn refresh(&mut self, name: &str) {
        let Some((source, subject, additions)) = self.views.machine(name) else {
            let gone = self.machines.remove(name);
            self.notices.extend(gone.map(|machine| machine.notice));
            return;
        };
        let mut instance = merge::instance(&self.defaults, &self.plain, subject, &additions);
        instance.seed = self.secret.as_ref().and_then(|it| it.seed(instance.uuid));
        if let Some(kept) = self.kept.get(&instance.uuid) {
            merge::add_kept(&mut instance, kept);
        }
        instance.credentials = self.roles.credentials(instance.role.as_deref());
        let (running, reading) = (subject.running, subject.reading);
        let before = self.machines.get_mut(name);
        if let Some(machine) = before.filter(|machine| **machine.instance() == instance) {
            machine.source = source;
            machine.reading = reading;
            if machine.hosted.running != running {
                machine.change(|hosted| hosted.running = running);
            }
            return;
        }
        let instance = Arc::new(instance);
        let (answers, problems) = answers(&instance, &self.templates);
        // Who waits for this instance waits on.
        let (name, notice, seats, meter) = match self.machines.remove_entry(name) {
            Some((name, Machine { notice, hosted, .. })) => (
                name,
                notice,
                hosted.seats.clone(),
                Arc::clone(&hosted.meter),
            ),
            None => (name.into(), Arc::default(), Vec::new(), Arc::default()),
        };
        self.notices.push(Arc::clone(&notice));
        let hosted = Hosted {
            instance,
            running,
            seats,
            answers,
            meter,
        };
        let machine = Machine {
            source,
            reading,
            problems,
            notice,
            hosted: Arc::new(hosted),
            stale: true,
        };
        self.machines.insert(name, machine);
    }
}

#[cfg(test)]
mod tests;
