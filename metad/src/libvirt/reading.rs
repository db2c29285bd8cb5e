//! One domain's XML in, one [`Event`] out, with what earlier readings of it found.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use virt::connect::Connect;

use super::domain_xml::{self, Domain};
use super::network_xml::{self, Network};
use crate::record::Record;
use crate::source::{Event, Subject};

/// Networks of one round of readings; `None`: libvirt does not describe it.
pub(crate) type Networks = BTreeMap<String, Option<Network>>;

/// What the readings so far have found.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    count: u64,
    known: BTreeMap<Uuid, Known>,
}

#[derive(Debug, Default)]
struct Known {
    name: String,
    /// The last metadata that could be read.
    good: Option<Record>,
}

impl Readings {
    /// Reads one domain from libvirt; the error is libvirt's own.
    ///
    /// Without flags, libvirt describes a running domain as it runs, and a stopped one as it would start.
    pub(crate) fn read(
        &mut self,
        connection: &Connect,
        domain: &virt::domain::Domain,
        uuid: Uuid,
        networks: &mut Networks,
    ) -> Result<Event, virt::error::Error> {
        self.count += 1;
        let reading = self.count;
        let known = self.known.entry(uuid).or_default();
        if let Ok(name) = domain.name() {
            known.name = name;
        }
        let document = domain.xml_desc(0)?;
        let mut domain = match domain_xml::parse(&document) {
            Ok(domain) => domain,
            Err(error) => return Ok(self.failed(uuid, error.to_string())),
        };
        for nic in &mut domain.nics {
            if let Some(name) = nic.network.clone() {
                let network = networks
                    .entry(name)
                    .or_insert_with_key(|name| describe(connection, name));
                if let Some(network) = network {
                    network.complete(nic);
                }
            }
        }
        Ok(self.found(uuid, domain, reading))
    }

    /// Turns what a domain says into what the inventory is told.
    fn found(&mut self, uuid: Uuid, domain: Domain, reading: u64) -> Event {
        let known = self.known.entry(uuid).or_default();
        known.name.clone_from(&domain.name);
        let (record, problem) = match (domain.metadata, &known.good) {
            (Ok(record), _) => {
                known.good = Some(record.clone());
                (record, None)
            }
            (Err(error), Some(good)) => (good.clone(), Some(error.to_string())),
            // A guest that would be told only defaults might take them for its configuration.
            (Err(error), None) => return self.failed(uuid, error.to_string()),
        };
        Event::Put(Box::new(Subject {
            key: uuid.to_string(),
            name: domain.name,
            uuid: Some(domain.uuid),
            epoch: domain.id.unwrap_or(0),
            running: domain.id.is_some(),
            nics: Some(domain.nics),
            disks: domain.disks,
            record,
            reading,
            problem,
        }))
    }

    /// Says that a domain cannot be used as it is now.
    pub(crate) fn failed(&self, uuid: Uuid, problem: String) -> Event {
        let key = uuid.to_string();
        let name = match self.known.get(&uuid) {
            Some(known) if !known.name.is_empty() => known.name.clone(),
            Some(_) | None => key.clone(),
        };
        Event::Failed { key, name, problem }
    }

    /// Forgets a domain.
    pub(crate) fn gone(&mut self, uuid: Uuid) -> Event {
        self.known.remove(&uuid);
        Event::Gone {
            key: uuid.to_string(),
        }
    }

    /// Forgets every domain but these.
    pub(crate) fn keep_only(&mut self, here: &BTreeSet<Uuid>) {
        self.known.retain(|uuid, _| here.contains(uuid));
    }
}

fn describe(connection: &Connect, name: &str) -> Option<Network> {
    let described = connection
        .lookup_network_by_name(name)
        .and_then(|network| network.xml_desc(0));
    let read = described
        .map_err(|error| error.message().to_owned())
        .and_then(|document| network_xml::parse(&document).map_err(|error| error.to_string()));
    match read {
        Ok(network) => Some(network),
        Err(error) => {
            tracing::debug!(
                network = name,
                error,
                "a libvirt network tells nothing of its NICs"
            );
            None
        }
    }
}
