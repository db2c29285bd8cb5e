//! How often each NIC was refused a connection. The kernel programs' buckets come in, read for the administrator alone.

use std::collections::BTreeMap;

use aya::maps::{HashMap, MapData};
use metad_common::abi::Bucket;

use crate::inventory::Slot;

/// What this limit is called in `metad status`.
pub const CONNECTIONS: &str = "connections";
/// What happened to the guest.
pub const SENTENCE: &str =
    "A connection beyond the rate was dropped by the kernel program, before the daemon saw it.";

/// By slot; those that never were are not there. A bucket that the kernel has forgotten since counts no more.
pub(super) fn refused(map: &HashMap<MapData, u32, Bucket>) -> BTreeMap<Slot, u64> {
    // An entry may vanish while it is read; nothing depends on it.
    map.iter()
        .flatten()
        .filter(|(_, bucket)| bucket.refused > 0)
        .map(|(slot, bucket)| (slot, bucket.refused))
        .collect()
}
