//! Who has which slot, as the next daemon must know it: connections that wait to be accepted carry the slot alone.

use std::collections::BTreeSet;
use std::time::Duration;

use metad_common::slot;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Slot;
use crate::instance::Mac;

/// Raised with each change that an older daemon would misread.
const VERSION: u32 = 1;
/// Generations that are given out within a host's life: as many as a daemon that did nothing else could in ages.
const GENERATION_MAX: u64 = 1 << 48;

/// The slots of a daemon that ends or is followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ledger {
    pub(super) version: u32,
    /// The first slot that was never given out.
    pub(super) next: Slot,
    /// The last generation that was given out.
    pub(super) generation: u64,
    /// Slots that rest, and since when: seconds since the host was started.
    pub(super) resting: Vec<(Slot, u64)>,
    pub(super) seats: Vec<Entry>,
}

/// A NIC's seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) slot: Slot,
    pub(super) generation: u64,
    pub(super) machine: String,
    #[serde(with = "mac")]
    pub(super) mac: Mac,
    pub(super) interface: String,
    pub(super) ifindex: u32,
    pub(super) uuid: Uuid,
    pub(super) epoch: u64,
    /// Nanoseconds since the host was started; 0 where an older daemon did not say.
    #[serde(default)]
    pub(super) granted: u64,
}

/// What is no ledger of this kind.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("it is no ledger of slots")]
    Malformed(#[source] serde_json::Error),
    #[error("it is of version {0}, and this metad reads version {VERSION}")]
    Version(u32),
    #[error("slot {0} is in it twice, or was never given out")]
    Contradiction(Slot),
    #[error("its {what} is {found}, and a metad never comes beyond {most}")]
    Beyond {
        what: &'static str,
        found: u64,
        most: u64,
    },
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: VERSION,
            next: 1,
            generation: 0,
            resting: Vec::new(),
            seats: Vec::new(),
        }
    }
}

impl Ledger {
    /// Reads what [`Ledger::text`] wrote.
    ///
    /// # Errors
    /// It is something else, of another version, or contradicts itself: then none of it can be relied on.
    pub fn read(text: &str) -> Result<Self, LedgerError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned = serde_json::from_str(text).map_err(LedgerError::Malformed)?;
        if versioned.version != VERSION {
            return Err(LedgerError::Version(versioned.version));
        }
        let ledger: Self = serde_json::from_str(text).map_err(LedgerError::Malformed)?;
        within(
            "first free slot",
            ledger.next.into(),
            u64::from(slot::MAX) + 1,
        )?;
        within("last generation", ledger.generation, GENERATION_MAX)?;
        for entry in &ledger.seats {
            within("seat's generation", entry.generation, ledger.generation)?;
        }
        let mut seen = BTreeSet::new();
        let resting = ledger.resting.iter().map(|(slot, _)| *slot);
        for slot in resting.chain(ledger.seats.iter().map(|entry| entry.slot)) {
            if slot == 0 || slot >= ledger.next || !seen.insert(slot) {
                return Err(LedgerError::Contradiction(slot));
            }
        }
        Ok(ledger)
    }

    /// As it is kept.
    pub fn text(&self) -> String {
        // Numbers and strings alone are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The slots that rest, in the order in which they began to. One that would begin later than `now` begins now, and so
    /// does a seat's time: whoever wrote it had another clock.
    pub(super) fn resting(&self, now: Duration) -> Vec<(Slot, Duration)> {
        // What was rounded up may lie ahead by less than a second.
        let latest = now.saturating_add(Duration::from_secs(1));
        let since = |since| Duration::from_secs(since).min(latest);
        let resting = self.resting.iter();
        let mut resting: Vec<_> = resting.map(|(slot, at)| (*slot, since(*at))).collect();
        resting.sort_by_key(|(_, since)| *since);
        resting
    }
}

fn within(what: &'static str, found: u64, most: u64) -> Result<(), LedgerError> {
    if found > most {
        return Err(LedgerError::Beyond { what, found, most });
    }
    Ok(())
}

/// MAC addresses as people write them.
mod mac {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::instance::Mac;

    pub(super) fn serialize<S: Serializer>(mac: &Mac, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(mac)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger {
            next: 9,
            generation: 12,
            resting: vec![(3, 100), (8, 250)],
            seats: vec![Entry {
                slot: 5,
                generation: 12,
                machine: "web1".to_owned(),
                mac: Mac([2, 0, 0, 0, 0, 1]),
                interface: "vnet0".to_owned(),
                ifindex: 7,
                uuid: Uuid::nil(),
                epoch: 4,
                granted: 5,
            }],
            ..Ledger::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for ledger in [ledger(), Ledger::default()] {
            assert_eq!(Ledger::read(&ledger.text()).unwrap(), ledger);
        }
    }

    #[test]
    fn who_began_to_rest_in_the_future_begins_now() {
        let now = Duration::from_secs(200);
        let text = ledger().text().replace("250", "18446744073709551615");
        let read = Ledger::read(&text).unwrap();
        let latest = Duration::from_secs(201);
        assert_eq!(
            read.resting(now),
            [(3, Duration::from_secs(100)), (8, latest)]
        );
    }

    #[test]
    fn what_cannot_be_relied_on_is_refused() {
        let doctored = |from: &str, to: &str| ledger().text().replacen(from, to, 1);
        for (case, text, expected) in [
            ("empty", String::new(), "it is no ledger of slots"),
            (
                "cut off",
                ledger().text().split_at(40).0.to_owned(),
                "it is no ledger of slots",
            ),
            (
                "a later version",
                doctored("\"version\":1", "\"version\":2"),
                "it is of version 2, and this metad reads version 1",
            ),
            (
                "a field more",
                doctored("\"next\"", "\"more\":1,\"next\""),
                "it is no ledger of slots",
            ),
            (
                "a slot that was never given out",
                doctored("\"next\":9", "\"next\":8"),
                "slot 8 is in it twice, or was never given out",
            ),
            (
                "a slot that rests and has an owner",
                doctored("[3,", "[5,"),
                "slot 5 is in it twice, or was never given out",
            ),
            (
                "more slots than there are",
                doctored("\"next\":9", "\"next\":4194304"),
                "its first free slot is 4194304, and a metad never comes beyond 4194303",
            ),
            (
                "a generation that leaves none for the next",
                doctored("\"generation\":12", "\"generation\":18446744073709551615"),
                "its last generation is 18446744073709551615, and a metad never comes beyond 281474976710656",
            ),
            (
                "a seat of a generation that was never given out",
                doctored("\"generation\":12", "\"generation\":11"),
                "its seat's generation is 12, and a metad never comes beyond 11",
            ),
            (
                "a number beyond all",
                doctored("\"next\":9", "\"next\":99999999999999999999"),
                "it is no ledger of slots",
            ),
            (
                "a negative number",
                doctored("[3,100]", "[3,-100]"),
                "it is no ledger of slots",
            ),
            (
                "no slot",
                doctored("[3,", "[0,"),
                "slot 0 is in it twice, or was never given out",
            ),
        ] {
            let error = Ledger::read(&text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{case}: {text}");
        }
    }
}
