//! What libvirt says of one domain in, one [`Event`] out, with what earlier readings of it found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::domain_xml::Domain;
use super::owner::{Described, Listed};
use crate::record::Record;
use crate::source::{Event, Subject};

/// What the readings so far have found.
#[derive(Debug, Default)]
pub(super) struct Readings {
    known: BTreeMap<Uuid, Known>,
}

#[derive(Debug, Default)]
struct Known {
    name: String,
    /// The run that the last reading found; `None` while it is off.
    run: Option<u64>,
    /// The last metadata that could be read.
    good: Option<Record>,
}

impl Readings {
    /// Turns what libvirt says of a domain into what the inventory is told.
    pub(super) fn take(&mut self, uuid: Uuid, described: Described, reading: Duration) -> Event {
        let known = self.known.entry(uuid).or_default();
        if !described.name.is_empty() {
            known.name = described.name;
        }
        known.run = described.id;
        match described.domain {
            Ok(domain) => self.found(uuid, domain, reading),
            Err(error) => self.failed(uuid, error.to_string()),
        }
    }

    fn found(&mut self, uuid: Uuid, domain: Domain, reading: Duration) -> Event {
        let known = self.known.entry(uuid).or_default();
        known.name.clone_from(&domain.name);
        known.run = domain.id;
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
            nics: Some(domain.nics.into()),
            disks: domain.disks,
            record,
            reading,
            problem,
        }))
    }

    /// Says that a domain cannot be used as it is now.
    pub(super) fn failed(&self, uuid: Uuid, problem: String) -> Event {
        let key = uuid.to_string();
        let name = match self.known.get(&uuid) {
            Some(known) if !known.name.is_empty() => known.name.clone(),
            Some(_) | None => key.clone(),
        };
        Event::Failed { key, name, problem }
    }

    /// Forgets a domain.
    pub(super) fn gone(&mut self, uuid: Uuid) -> Event {
        self.known.remove(&uuid);
        Event::Gone {
            key: uuid.to_string(),
        }
    }

    /// Forgets every domain but these.
    pub(super) fn keep_only(&mut self, here: &BTreeSet<Uuid>) {
        self.known.retain(|uuid, _| here.contains(uuid));
    }

    /// Takes in which runs a list shows: a domain that cannot be read is not found again and again.
    pub(super) fn note(&mut self, listed: &[Listed]) {
        for it in listed {
            self.known.entry(it.uuid).or_default().run = it.id;
        }
    }

    /// The domains that a list shows otherwise than they were read last: come, gone, started or stopped since.
    pub(super) fn differing(&self, listed: &[Listed]) -> BTreeSet<Uuid> {
        let mut differing: BTreeSet<Uuid> = listed
            .iter()
            .filter(|it| self.known.get(&it.uuid).map(|known| known.run) != Some(it.id))
            .map(|it| it.uuid)
            .collect();
        let here: BTreeSet<Uuid> = listed.iter().map(|it| it.uuid).collect();
        differing.extend(self.known.keys().filter(|uuid| !here.contains(uuid)));
        differing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::domain_xml;

    fn readings(domains: &[(u128, Option<u64>)]) -> Readings {
        let mut readings = Readings::default();
        for (uuid, run) in domains {
            let uuid = Uuid::from_u128(*uuid);
            let run = run.map_or_else(String::new, |run| format!(" id='{run}'"));
            let document =
                format!("<domain{run}><name>of {uuid}</name><uuid>{uuid}</uuid></domain>");
            let described = Described {
                name: String::new(),
                id: None,
                domain: domain_xml::parse(&document),
            };
            readings.take(uuid, described, Duration::from_secs(1));
        }
        readings
    }

    #[test]
    fn a_list_shows_who_came_went_started_and_stopped() {
        let known = readings(&[(1, None), (2, Some(7)), (3, Some(8))]);
        let same = [(1, None), (2, Some(7)), (3, Some(8))];
        for (case, list, expected) in [
            ("nothing", &same[..], &[][..]),
            ("come", &[same[0], same[1], same[2], (4, None)], &[4]),
            ("gone", &same[1..], &[1]),
            ("started", &[(1, Some(9)), same[1], same[2]], &[1]),
            ("stopped", &[same[0], (2, None), same[2]], &[2]),
            ("started anew", &[same[0], (2, Some(10)), same[2]], &[2]),
        ] {
            let listed: Vec<Listed> = list
                .iter()
                .map(|(uuid, id)| Listed {
                    uuid: Uuid::from_u128(*uuid),
                    id: *id,
                })
                .collect();
            let expected = expected.iter().map(|uuid| Uuid::from_u128(*uuid)).collect();
            assert_eq!(known.differing(&listed), expected, "{case}");
        }
    }

    #[test]
    fn a_domain_that_cannot_be_read_is_no_news_in_the_next_list() {
        let mut readings = Readings::default();
        let uuid = Uuid::from_u128(5);
        let listed = [Listed { uuid, id: Some(3) }];
        assert_eq!(readings.differing(&listed), BTreeSet::from([uuid]));
        readings.note(&listed);
        readings.failed(uuid, "libvirt does not describe it".to_owned());
        assert!(readings.differing(&listed).is_empty());
    }
}
