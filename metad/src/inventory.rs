//! All instances now: the changes of every source, laid over each other, and the seat of every NIC.
//!
//! Changes and the interfaces of the host come in, a [`Snapshot`] for the requests and the table of NICs for the kernel
//! go out. Pure: nobody else writes here, and readers get a snapshot that never changes.

mod bindings;
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

use self::bindings::{Bindings, Claim, NicName};
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
    pub interface: String,
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
    /// What the next daemon must know.
    pub ledger: Ledger,
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
    machines: BTreeMap<String, Machine>,
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
        let whose = machines.filter(|(_, machine)| machine.instance.role.as_ref() == Some(&role));
        let names: Vec<String> = whose.map(|(name, _)| name.clone()).collect();
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
            if machine.instance.options.dialects.has(Dialect::Install) {
                (machine.answers, machine.problems) = answers(&machine.instance, &self.templates);
                self.notices.push(Arc::clone(&machine.notice));
            }
        }
    }

    /// Lays the present interfaces under what is known. `now` is the clock that readings are stamped by.
    pub fn resolve(&mut self, interfaces: &Interfaces, now: Duration) -> Resolution {
        let claims = self.claims(interfaces);
        let refused = self.bindings.update(&claims, now);
        let mut snapshot = Snapshot {
            sources: self.views.statuses(),
            problems: self.views.problems(|name| self.machines.contains_key(name)),
            ..Snapshot::default()
        };
        let machines = self.machines.iter();
        let instances = machines.map(|(name, machine)| (name.as_str(), &*machine.instance));
        snapshot.problems.extend(self.roles.problems(instances));
        snapshot.problems.extend(complaints(&refused, &claims));
        let doubles = doubles(&self.machines).into_iter().map(|(name, of)| {
            let problem = format!(
                "it is not answered: `{of}` has the same UUID, which tokens and settings go by"
            );
            (name.to_owned(), problem)
        });
        snapshot.problems.extend(doubles);
        let of_templates = self.templates.problems().iter();
        let install = "installers' answers";
        snapshot
            .problems
            .extend(of_templates.map(|problem| (install.to_owned(), problem.clone())));
        snapshot.problems.extend(self.unread.iter().cloned());
        let mut nics = BTreeMap::new();
        for (name, machine) in &mut self.machines {
            let rendering = machine.problems.iter().cloned();
            snapshot
                .problems
                .extend(rendering.map(|problem| (name.clone(), problem)));
            let ipv6 = machine.instance.options.ipv6 == Switch::Enabled;
            let seats: Vec<_> = machine.seats(name, &self.bindings).collect();
            if machine.moved(&seats) {
                self.notices.push(Arc::clone(&machine.notice));
            }
            for seat in seats.iter().flatten() {
                let key = NicKey::new(seat.ifindex, seat.mac.0);
                nics.insert(key, NicSlot::new(seat.slot, ipv6));
                snapshot.seats.insert(seat.slot, Arc::clone(seat));
            }
            let hosted = Hosted {
                instance: Arc::clone(&machine.instance),
                running: machine.running,
                seats,
                answers: machine.answers.clone(),
                meter: Arc::clone(&machine.meter),
            };
            snapshot.instances.insert(name.clone(), Arc::new(hosted));
        }
        let machines = &self.machines;
        let source = |name: &NicName| machines.get(&name.machine).map(|machine| machine.source);
        let ask_again = refused.unconfirmed.iter().filter_map(source).collect();
        Resolution {
            snapshot,
            nics,
            undecided: self.bindings.undecided(),
            ledger: self.bindings.ledger(),
            ask_again,
            notices: std::mem::take(&mut self.notices),
        }
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
        match self.machines.get_mut(name) {
            Some(machine) if *machine.instance == instance => {
                machine.source = source;
                machine.running = running;
                machine.reading = reading;
            }
            before => {
                // Who waits for this instance waits on.
                let (notice, meter, places) = match before {
                    Some(machine) => (
                        Arc::clone(&machine.notice),
                        Arc::clone(&machine.meter),
                        machine.places.clone(),
                    ),
                    None => Default::default(),
                };
                self.notices.push(Arc::clone(&notice));
                let instance = Arc::new(instance);
                let (answers, problems) = answers(&instance, &self.templates);
                let machine = Machine {
                    source,
                    reading,
                    running,
                    instance,
                    answers,
                    problems,
                    notice,
                    meter,
                    places,
                };
                self.machines.insert(name.to_owned(), machine);
            }
        }
    }

    fn claims(&self, interfaces: &Interfaces) -> BTreeMap<NicName, Claim> {
        let mut claims = BTreeMap::new();
        let doubles = doubles(&self.machines);
        let answered = |name: &String| !doubles.contains_key(name.as_str());
        for (name, machine) in self
            .machines
            .iter()
            .filter(|(name, machine)| machine.running && answered(name))
        {
            for nic in machine.instance.nics.iter() {
                let Some(interface) = place(self.identity, nic, interfaces) else {
                    continue;
                };
                let claim = Claim {
                    ifindex: interfaces.named(&interface).map(|found| found.index),
                    interface,
                    reading: machine.reading,
                    owner: (machine.instance.uuid, machine.instance.epoch),
                };
                claims.insert(
                    NicName {
                        machine: name.clone(),
                        mac: nic.mac,
                    },
                    claim,
                );
            }
        }
        claims
    }
}

/// The interface whose index stands beside the MAC address in the kernel's table.
fn place(identity: Identity, nic: &Nic, interfaces: &Interfaces) -> Option<String> {
    let tap = nic.interface.as_deref();
    match identity {
        Identity::Port => tap.map(str::to_owned),
        Identity::Mac => {
            let of_tap = || interfaces.bridge_of(tap?).map(|bridge| bridge.name.clone());
            nic.bridge
                .clone()
                .or_else(of_tap)
                .or_else(|| tap.map(str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests;
