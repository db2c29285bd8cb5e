//! cheesy2's `DOMAIN.internal.json`: an object laid over EC2's `meta-data`, key by key. The text comes in, a record
//! goes out; what metad keeps a field for goes there, so that every dialect answers it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::Reading;
use crate::directory::record_file::{self, FormError, Format, RecordFile, read_as};
use crate::instance::PublicKey;
use crate::record::Record;
use crate::record::field::{self, FieldError};

const OPENSSH: &str = "openssh-key";
const KEYS: &str = "public-keys";

/// Reads the file called `host` for the libvirt domain `machine`.
pub(super) fn reading(text: &str, host: &str, machine: &str) -> Result<Reading, FormError> {
    let Fields {
        mut record,
        tree,
        remarks,
    } = record_file::fields(text, Format::Json)?;
    // The guest was called so, whether the file said it or not. A name that is none is left to metad's own rule.
    record.hostname = record.hostname.or_else(|| field::hostname(host).ok());
    record.meta_data = (!tree.is_empty()).then_some(tree);
    Ok(Reading {
        machine: machine.to_owned(),
        file: RecordFile {
            record,
            ..RecordFile::default()
        },
        takes_data: true,
        remarks,
    })
}

#[derive(Default)]
struct Fields {
    record: Record,
    tree: Map<String, Value>,
    remarks: Vec<String>,
}

impl Fields {
    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let record = &mut self.record;
        match key {
            "instance-id" => record.instance_id = text(map, key, field::word)?,
            "local-hostname" => record.hostname = text(map, key, field::hostname)?,
            "ami-id" => record.image_id = text(map, key, field::word)?,
            "instance-type" => record.instance_type = text(map, key, field::line)?,
            "placement" => {
                if let Some(mut value) = read_as(map, |value| free(key, value))? {
                    for name in field::PLACEMENT {
                        if let Some(word) = take(&mut value, name) {
                            field::place(&mut record.placement, name, word);
                        }
                    }
                    if value.as_object().is_none_or(|rest| !rest.is_empty()) {
                        self.tree.insert(key.to_owned(), value);
                    }
                }
            }
            KEYS => {
                if let Some((keys, remarks)) = read_as(map, public_keys)? {
                    record.public_keys = Some(keys);
                    self.remarks.extend(remarks);
                }
            }
            _ => {
                let value = read_as(map, |value| free(key, value))?;
                self.tree.insert(key.to_owned(), value.unwrap_or_default());
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                let mut seen = BTreeSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if seen.contains(&key) {
                        map.next_value::<IgnoredAny>()?;
                        let short: String = key.chars().take(60).collect();
                        return Err(A::Error::custom(format!(
                            "the key `{short}` stands here twice"
                        )));
                    }
                    fields.set(&key, &mut map)?;
                    seen.insert(key);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// Reads a text, or a number or truth value as text.
fn text<'de, A: MapAccess<'de>>(
    map: &mut A,
    key: &str,
    make: impl FnOnce(&str) -> Result<String, FieldError>,
) -> Result<Option<String>, A::Error> {
    read_as(map, |value: Value| {
        let text = scalar(&value).ok_or_else(|| format!("`{key}` is no text"))?;
        make(&text).map_err(|error| format!("`{key}` {error}"))
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Checks that guests can ask for what a key holds.
fn free(key: &str, value: Value) -> Result<Value, String> {
    let mut tree = Map::new();
    tree.insert(key.to_owned(), value);
    let short: String = key.chars().take(60).collect();
    field::tree(&tree).map_err(|error| format!("`{short}` {error}"))?;
    Ok(tree.remove(key).unwrap_or_default())
}

/// Takes a word out of an object; what is no such stays and is answered as it is.
fn take(value: &mut Value, key: &str) -> Option<String> {
    let object = value.as_object_mut()?;
    let word = object
        .get(key)?
        .as_str()
        .and_then(|text| field::word(text).ok())?;
    object.remove(key);
    Some(word)
}

/// The keys in their order, and what is wrong with those that are left out.
fn public_keys(value: Value) -> Result<(Vec<PublicKey>, Vec<String>), String> {
    let Value::Array(items) = value else {
        return Err(format!("`{KEYS}` is no list of keys"));
    };
    let (mut keys, mut remarks) = (Vec::<PublicKey>::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match public_key(index, item) {
            Ok(mut key) => {
                // cloud-init takes keys of one name for one key.
                if keys.iter().any(|other| other.name == key.name) {
                    key.name = index.to_string();
                }
                keys.push(key);
            }
            Err(reason) => {
                remarks.push(format!("key {index} of `{KEYS}` is left out: it {reason}"))
            }
        }
    }
    Ok((keys, remarks))
}

/// An object of formats, or the text of an OpenSSH key by itself.
fn public_key(index: usize, item: &Value) -> Result<PublicKey, String> {
    let mut name = index.to_string();
    let mut formats = BTreeMap::new();
    if let Some(text) = item.as_str() {
        let text = field::openssh_key(text).map_err(|error| error.to_string())?;
        formats.insert(OPENSSH.to_owned(), text);
    }
    for (format, value) in item.as_object().into_iter().flatten() {
        let text = value.as_str().ok_or("holds what is no text")?;
        if format == "name" {
            name = field::key_name(text).unwrap_or(name);
            continue;
        }
        let format =
            field::word(format).map_err(|error| format!("has a format whose name {error}"))?;
        let check = match format.as_str() {
            OPENSSH => field::openssh_key,
            _ => field::key_text,
        };
        let text = check(text).map_err(|error| error.to_string())?;
        formats.insert(format, text);
    }
    if formats.is_empty() {
        return Err(format!("has no `{OPENSSH}`"));
    }
    Ok(PublicKey { name, formats })
}
