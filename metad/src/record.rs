//! What an administrator says of an instance: every field may be missing. Sources read records, the inventory lays
//! the later over the earlier and fills the gaps.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;

use crate::instance::{ContentFile, Given, Placement, PublicKey, Site};

pub mod field;
pub mod payload;

/// The largest user-data that a record may hold, in octets. A larger one is refused where it is configured and never
/// truncated.
pub const USER_DATA_MAX: usize = 1024 * 1024;

/// What the site's configuration says for instances that say nothing themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    pub site: Arc<Site>,
    pub placement: Placement,
    pub options: Given,
}

/// A partial description of an instance; see [`crate::instance::Instance`] for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    pub instance_id: Option<String>,
    pub hostname: Option<String>,
    pub instance_type: Option<String>,
    pub image_id: Option<String>,
    /// Laid over each other field by field.
    pub placement: Placement,
    pub public_hostname: Option<String>,
    pub public_ipv4: Option<Ipv4Addr>,
    pub public_keys: Option<Vec<PublicKey>>,
    pub role: Option<String>,
    pub user_data: Option<Bytes>,
    pub vendor_data: Option<Bytes>,
    pub network_config: Option<Bytes>,
    pub files: Option<Vec<ContentFile>>,
    pub tags: Option<BTreeMap<String, String>>,
    pub meta_data: Option<serde_json::Map<String, serde_json::Value>>,
    pub install: Option<serde_json::Map<String, serde_json::Value>>,
    pub options: Given,
}

impl Record {
    /// Lays `self` over `base`: what `self` says wins, whole field by whole field; `meta_data` and `install` join
    /// key by key.
    pub fn over(self, base: Self) -> Self {
        Self {
            instance_id: self.instance_id.or(base.instance_id),
            hostname: self.hostname.or(base.hostname),
            instance_type: self.instance_type.or(base.instance_type),
            image_id: self.image_id.or(base.image_id),
            placement: self.placement.over(base.placement),
            public_hostname: self.public_hostname.or(base.public_hostname),
            public_ipv4: self.public_ipv4.or(base.public_ipv4),
            public_keys: self.public_keys.or(base.public_keys),
            role: self.role.or(base.role),
            user_data: self.user_data.or(base.user_data),
            vendor_data: self.vendor_data.or(base.vendor_data),
            network_config: self.network_config.or(base.network_config),
            files: self.files.or(base.files),
            tags: self.tags.or(base.tags),
            meta_data: joined(self.meta_data, base.meta_data),
            install: joined(self.install, base.install),
            options: self.options.over(base.options),
        }
    }
}

type Tree = serde_json::Map<String, serde_json::Value>;

fn joined(over: Option<Tree>, base: Option<Tree>) -> Option<Tree> {
    match (over, base) {
        (Some(over), Some(mut under)) => {
            under.extend(over);
            Some(under)
        }
        (over, under) => over.or(under),
    }
}
