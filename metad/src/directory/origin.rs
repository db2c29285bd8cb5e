//! Whose record a file is: metad's own, cheesy2's, or that of vmw-cloudinit-metadata's file driver. The text and the
//! file's name come in, what it says goes out. Pure and total, as [`super::record_file`] is.
//!
//! The content decides, and only where it cannot be one of metad's own records. Anything else is read as metad's own,
//! which refuses what it does not know with its place. What must never happen: a record of metad's own that is
//! misspelt is taken for somebody else's.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::record_file::{self, Fields as _, FormError, Format, RecordFile};
use super::schema::TopFields;
use crate::nearest::nearest;

mod cheesy2;
mod vmw;

/// cheesy2 called every guest `DOMAIN.internal`, and its files after the guest.
const INTERNAL: &str = ".internal";

/// What can be asked of EC2 below `meta-data/`, which is what cheesy2's files hold.
const META_DATA: [&str; 36] = [
    "ami-id",
    "ami-launch-index",
    "ami-manifest-path",
    "ancestor-ami-ids",
    "autoscaling",
    "block-device-mapping",
    "elastic-gpus",
    "elastic-inference",
    "events",
    "hibernation",
    "hostname",
    "iam",
    "identity-credentials",
    "instance-action",
    "instance-id",
    "instance-life-cycle",
    "instance-type",
    "ipv6",
    "kernel-id",
    "local-hostname",
    "local-ipv4",
    "mac",
    "metrics",
    "network",
    "placement",
    "product-codes",
    "profile",
    "public-hostname",
    "public-ipv4",
    "public-keys",
    "ramdisk-id",
    "reservation-id",
    "security-groups",
    "services",
    "spot",
    "tags",
];

/// A file as its directory shows it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The file's name without `.yaml`, `.yml` or `.json`.
    pub stem: &'a str,
    pub format: Format,
    /// `STEM.data` lies beside it.
    pub beside_data: bool,
}

/// What a file says, and of which machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub machine: String,
    pub file: RecordFile,
    /// `STEM.data` is the machine's user-data.
    pub takes_data: bool,
    /// What could not be used, while the rest is.
    pub remarks: Vec<String>,
}

impl Reading {
    fn own(file: RecordFile, named: Named<'_>) -> Self {
        let data = format!("{}.data", named.stem);
        let names_it = |path: &std::path::PathBuf| path.ends_with(&data);
        let ignored = data_counts(named.stem)
            && named.beside_data
            && !file.user_data_file.as_ref().is_some_and(names_it);
        let remark = || format!("`{data}` beside it is not read: name it with `user-data-file`");
        Self {
            machine: named.stem.to_owned(),
            file,
            takes_data: false,
            remarks: ignored.then(remark).into_iter().collect(),
        }
    }
}

/// Whether `STEM.data` is somebody's user-data, even where nothing else goes by `STEM`.
pub fn data_counts(stem: &str) -> bool {
    machine_of(stem).is_some()
}

/// The machine whose host name a stem is, for cheesy2.
pub(super) fn machine_of(stem: &str) -> Option<&str> {
    stem.strip_suffix(INTERNAL)
        .filter(|machine| !machine.is_empty())
}

/// Reads the text of a file.
pub fn read(text: &str, named: Named<'_>) -> Result<Reading, FormError> {
    match named.format {
        Format::Yaml if is_vmw(text) => vmw::reading(text, named),
        Format::Json => match machine_of(named.stem) {
            Some(machine) if is_cheesy2(text, named.beside_data) => {
                cheesy2::reading(text, named.stem, machine)
            }
            Some(_) | None => own(text, named),
        },
        Format::Yaml => own(text, named),
    }
}

fn own(text: &str, named: Named<'_>) -> Result<Reading, FormError> {
    record_file::parse(text, named.format).map(|file| Reading::own(file, named))
}

/// Both keys are needed there, and neither is one of metad's own.
fn is_vmw(text: &str) -> bool {
    let keys = || record_file::fields::<Keys>(text, Format::Yaml);
    text.contains("metadata")
        && keys().is_ok_and(|Keys(keys)| {
            ["metadata", "network"]
                .iter()
                .all(|key| keys.iter().any(|it| it == key))
        })
}

/// Of an object that could be either, keys that only one of both has decide; a key that looks like a slip of one of
/// metad's own does not.
fn is_cheesy2(text: &str, beside_data: bool) -> bool {
    let Ok(keys) = record_file::fields::<Map<String, Value>>(text, Format::Json) else {
        return false;
    };
    let known = |key: &str| TopFields::KNOWN.contains(&key);
    let meant = |key: &str| META_DATA.contains(&key);
    if keys.keys().any(|key| known(key) && !meant(key))
        || keys.get("public-keys").is_some_and(Value::is_object)
    {
        return false;
    }
    let is_free = |key: &String| {
        !known(key) && (meant(key) || nearest(key, TopFields::KNOWN.iter().copied()).is_none())
    };
    beside_data || keys.get("public-keys").is_some_and(Value::is_array) || keys.keys().any(is_free)
}

/// The keys of a mapping, whatever they hold.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key()? {
                    map.next_value::<IgnoredAny>()?;
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests;
