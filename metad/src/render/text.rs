//! What the layouts hold that are one JSON or YAML document: texts alone.

use serde_json::Value;

use super::nocloud;
use crate::instance::{Instance, Packed};

/// Reads octets as text; JSON holds no others.
pub(super) fn utf8(octets: Option<&Packed>) -> Option<String> {
    String::from_utf8(octets?.bytes().into()).ok()
}

/// Every OpenSSH key, without names.
pub(super) fn openssh_keys(instance: &Instance) -> impl Iterator<Item = Value> {
    let keys = instance.public_keys.iter();
    keys.filter_map(|key| key.formats.get("openssh-key"))
        .map(|text| text.trim().into())
}

/// Writes JSON that is YAML, too.
pub(super) fn yaml(value: &Value) -> String {
    let json = format!("{value:#}");
    json.chars().map(nocloud::escape).collect()
}
