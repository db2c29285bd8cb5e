//! What guests owe under the limit of an earlier daemon: the kernel programs' buckets outlive it, and know no limit.

use aya::maps::{HashMap, MapData};
use metad_common::abi::Bucket;
use metad_common::limit::Limit;

use crate::clock::since_boot;

/// Makes every debt one that `limit` could have led to: what was raised is raised at once. To be called when no program of
/// another limit runs any more.
pub(super) fn settle(buckets: &mut HashMap<MapData, u32, Bucket>, limit: Limit) {
    if limit.is_off() {
        return;
    }
    let now = u64::try_from(since_boot().as_nanos()).unwrap_or(u64::MAX);
    // An entry may vanish while it is read: it was a full one.
    let owing: Vec<(u32, Bucket)> = buckets
        .iter()
        .flatten()
        .filter_map(|(slot, bucket)| {
            let full_at = limit.settle(bucket.full_at, now)?;
            Some((slot, Bucket { full_at, ..bucket }))
        })
        .collect();
    let settled = owing.len();
    for (slot, bucket) in owing {
        // A token that is taken meanwhile is not counted, which errs for the guest.
        if let Err(error) = buckets.insert(slot, bucket, 0) {
            tracing::warn!(slot, %error, "a NIC goes on under the limit of connections of an earlier metad");
        }
    }
    if settled > 0 {
        tracing::info!(
            nics = settled,
            "what NICs owed under an earlier limit of connections was cut to this one's"
        );
    }
}
