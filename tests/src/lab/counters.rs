//! What the kernel programs have counted, as `metad status` says it.

use std::collections::BTreeMap;

use serde_json::Value;

/// What the kernel programs have counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    pub arp_answered: u64,
    pub neighbour_answered: u64,
    pub delivered: u64,
    pub returned: u64,
    pub recalled: u64,
    dropped: BTreeMap<String, u64>,
}

impl Counters {
    pub(super) fn of(status: &Value) -> Self {
        let counters = &status["counters"];
        let number = |name: &str| counters[name].as_u64().unwrap_or_default();
        let dropped = counters["dropped"].as_object().into_iter().flatten();
        Self {
            arp_answered: number("arp-answered"),
            neighbour_answered: number("neighbour-answered"),
            delivered: number("delivered"),
            returned: number("returned"),
            recalled: number("recalled"),
            dropped: dropped
                .map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default()))
                .collect(),
        }
    }

    /// Drops for one reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.dropped.get(reason).copied().unwrap_or_default()
    }

    /// Drops for any reason.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.values().sum()
    }
}
