//! What an administrator says of an instance: every field may be missing. Sources read records, the inventory lays
//! the later over the earlier and fills the gaps.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::instance::{Endpoint, HttpTokens, PublicKey};

pub mod field;
pub mod payload;

/// The largest user-data that a record may hold, in octets. A larger one is refused where it is configured and never
/// truncated.
pub const USER_DATA_MAX: usize = 1024 * 1024;

/// A partial description of an instance; see [`crate::instance::Instance`] for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    pub instance_id: Option<String>,
    pub hostname: Option<String>,
    pub instance_type: Option<String>,
    pub availability_zone: Option<String>,
    pub region: Option<String>,
    pub public_keys: Option<Vec<PublicKey>>,
    pub user_data: Option<Bytes>,
    pub vendor_data: Option<Bytes>,
    pub network_config: Option<Bytes>,
    pub tags: Option<BTreeMap<String, String>>,
    pub meta_data: Option<serde_json::Map<String, serde_json::Value>>,
    pub http_tokens: Option<HttpTokens>,
    pub hop_limit: Option<u8>,
    pub endpoint: Option<Endpoint>,
}

impl Record {
    /// Lays `self` over `base`: what `self` says wins, whole field by whole field; `meta_data` joins key by key.
    pub fn over(self, base: Self) -> Self {
        Self {
            instance_id: self.instance_id.or(base.instance_id),
            hostname: self.hostname.or(base.hostname),
            instance_type: self.instance_type.or(base.instance_type),
            availability_zone: self.availability_zone.or(base.availability_zone),
            region: self.region.or(base.region),
            public_keys: self.public_keys.or(base.public_keys),
            user_data: self.user_data.or(base.user_data),
            vendor_data: self.vendor_data.or(base.vendor_data),
            network_config: self.network_config.or(base.network_config),
            tags: self.tags.or(base.tags),
            meta_data: match (self.meta_data, base.meta_data) {
                (Some(over), Some(mut under)) => {
                    under.extend(over);
                    Some(under)
                }
                (over, under) => over.or(under),
            },
            http_tokens: self.http_tokens.or(base.http_tokens),
            hop_limit: self.hop_limit.or(base.hop_limit),
            endpoint: self.endpoint.or(base.endpoint),
        }
    }
}
