//! What an administrator says of an instance: every field may be missing. Sources read records, the inventory lays
//! the later over the earlier and fills the gaps.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use crate::instance::{ContentFile, Given, Packed, Placement, PublicKey, Shared, Site};

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
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub instance_id: Option<String>,
    pub hostname: Option<String>,
    pub user_data: Option<Packed>,
    pub options: Given,
    /// The rest, which reads as if it stood here.
    pub details: Shared<Details>,
}

/// What few records say; those that do not, take no room for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    pub instance_type: Option<String>,
    pub image_id: Option<String>,
    /// Laid over each other field by field.
    pub placement: Placement,
    pub public_hostname: Option<String>,
    pub public_ipv4: Option<Ipv4Addr>,
    pub public_keys: Option<Vec<PublicKey>>,
    pub role: Option<String>,
    pub vendor_data: Option<Packed>,
    pub network_config: Option<Packed>,
    pub files: Option<Vec<ContentFile>>,
    pub tags: Option<BTreeMap<String, String>>,
    pub meta_data: Option<serde_json::Map<String, serde_json::Value>>,
    pub install: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What nobody has said.
static NOTHING: LazyLock<Shared<Details>> = LazyLock::new(Shared::default);

impl Default for Record {
    /// Says nothing.
    fn default() -> Self {
        Self {
            instance_id: None,
            hostname: None,
            user_data: None,
            options: Given::default(),
            details: NOTHING.clone(),
        }
    }
}

impl Deref for Record {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.details
    }
}

impl DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.details
    }
}

impl Record {
    /// Lays `self` over `base`: what `self` says wins, whole field by whole field; `meta_data` and `install` join
    /// key by key.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        let details = if self.details.is_one_with(&NOTHING) {
            base.details
        } else if base.details.is_one_with(&NOTHING) {
            self.details
        } else {
            let over = self.details.into_inner();
            over.over(base.details.into_inner()).into()
        };
        Self {
            instance_id: self.instance_id.or(base.instance_id),
            hostname: self.hostname.or(base.hostname),
            user_data: self.user_data.or(base.user_data),
            options: self.options.over(base.options),
            details,
        }
    }

    /// Whether there is nothing in it but what every record has room for.
    pub fn is_plain(&self) -> bool {
        self.details.is_one_with(&NOTHING)
    }
}

impl Details {
    fn over(self, base: Self) -> Self {
        Self {
            instance_type: self.instance_type.or(base.instance_type),
            image_id: self.image_id.or(base.image_id),
            placement: self.placement.over(base.placement),
            public_hostname: self.public_hostname.or(base.public_hostname),
            public_ipv4: self.public_ipv4.or(base.public_ipv4),
            public_keys: self.public_keys.or(base.public_keys),
            role: self.role.or(base.role),
            vendor_data: self.vendor_data.or(base.vendor_data),
            network_config: self.network_config.or(base.network_config),
            files: self.files.or(base.files),
            tags: self.tags.or(base.tags),
            meta_data: joined(self.meta_data, base.meta_data),
            install: joined(self.install, base.install),
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
