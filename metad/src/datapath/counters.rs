//! Counters of every CPU into one figure each.

use std::collections::BTreeMap;

use aya::maps::{MapData, PerCpuArray};
use metad_common::reason::{Counted, Reason, Tally, counter_index};

use crate::admin::Counters;

pub(super) fn sum(map: &PerCpuArray<MapData, u64>) -> Counters {
    let count = |counted| {
        let values = map.get(&counter_index(counted), 0);
        values.map_or(0, |values| {
            values
                .iter()
                .fold(0_u64, |sum, value| sum.wrapping_add(*value))
        })
    };
    let tally = |tally| count(Counted::Tally(tally));
    let dropped: BTreeMap<String, u64> = Reason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), count(Counted::Dropped(*reason))))
        .collect();
    Counters {
        arp_answered: tally(Tally::ArpAnswered),
        neighbour_answered: tally(Tally::NeighbourAnswered),
        delivered: tally(Tally::Delivered),
        returned: tally(Tally::Returned),
        recalled: tally(Tally::Recalled),
        dropped,
    }
}
