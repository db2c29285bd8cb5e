//! The text of a record file in, what it says out. Pure and total: YAML and JSON through one set of rules, unknown keys
//! refused, a place in every refusal, and no refusal quotes a text that might be user-data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use uuid::Uuid;

use super::schema::{NicFields, TopFields};
use crate::instance::Nic;
use crate::nearest::nearest;
use crate::record::Record;
use crate::record::field::did_you_mean;

/// How a record file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
}

/// What a record file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordFile {
    /// Without the user-data of `user_data_file`.
    pub record: Record,
    pub user_data_file: Option<PathBuf>,
    pub uuid: Option<Uuid>,
    /// `Some`: a machine of its own.
    pub nics: Option<Vec<Nic>>,
}

/// Why a record file cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("line {line}, column {column}: {reason}")]
    At {
        line: u64,
        column: u64,
        reason: String,
    },
    #[error("{0}")]
    Whole(String),
}

/// Events of YAML, aliases resolved, that one file may consist of.
const YAML_EVENTS_MAX: usize = 100_000;
const DEPTH_MAX: usize = 64;

/// Reads the text of one record file.
pub fn parse(text: &str, format: Format) -> Result<RecordFile, FormError> {
    let Closed(fields) = fields::<Closed<TopFields>>(text, format)?;
    Ok(fields.into_file())
}

/// Reads a text within the limits of a record file.
pub(super) fn fields<T: DeserializeOwned>(text: &str, format: Format) -> Result<T, FormError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(FormError::Whole("it is empty".to_owned()));
    }
    match format {
        Format::Yaml => serde_saphyr::from_str_with_options(text, yaml_options())
            .map_err(|error| yaml_error(&error)),
        Format::Json => serde_json::from_str(text).map_err(|error| json_error(&error)),
    }
}

fn yaml_options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    let mut budget = serde_saphyr::Budget::default();
    budget.max_events = YAML_EVENTS_MAX;
    budget.max_nodes = YAML_EVENTS_MAX;
    budget.max_depth = DEPTH_MAX;
    budget.max_documents = 1;
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = YAML_EVENTS_MAX;
    // A snippet would carry user-data into the log.
    options.with_snippet = false;
    options
}

fn yaml_error(error: &serde_saphyr::Error) -> FormError {
    let error = error.without_snippet();
    let reason = yaml_reason(error);
    match error.location() {
        Some(location) if location.line() > 0 => FormError::At {
            line: location.line(),
            column: location.column(),
            reason,
        },
        Some(_) | None => FormError::Whole(reason),
    }
}

/// The parser speaks of its own options and types in places; an administrator has neither.
fn yaml_reason(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    if let Error::Budget { breach, .. } = error {
        let second = matches!(breach, serde_saphyr::budget::BudgetBreach::Documents { .. });
        let reason = if second {
            "a second document starts here"
        } else {
            "this is more than a record may hold"
        };
        return reason.to_owned();
    }
    if let Error::AliasReplayLimitExceeded { .. } = error {
        return "aliases make this larger than a record may be".to_owned();
    }
    if let Error::DuplicateMappingKey { key, .. } = error {
        let short: String = key.iter().flat_map(|key| key.chars()).take(60).collect();
        return format!("the key `{short}` stands here twice");
    }
    if let Error::Unexpected {
        expected: "mapping start",
        ..
    } = error
    {
        return "a mapping belongs here".to_owned();
    }
    if let Error::Unexpected {
        expected: "sequence start",
        ..
    } = error
    {
        return "a list belongs here".to_owned();
    }
    if let Error::NullIntoString { .. } = error {
        return "a text belongs here".to_owned();
    }
    without_values(&serde_saphyr::MessageFormatter::format_message(
        &serde_saphyr::DefaultMessageFormatter,
        error,
    ))
}

fn json_error(error: &serde_json::Error) -> FormError {
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    FormError::At {
        line: error.line() as u64,
        column: error.column() as u64,
        reason: without_values(reason),
    }
}

/// serde quotes the text that it found where something else belongs; that text may be a secret.
fn without_values(reason: &str) -> String {
    let found = reason.split_once("string \"");
    match found.and_then(|(before, rest)| Some((before, rest.rsplit_once("\", expected")?.1))) {
        Some((before, after)) => format!("{before}text, expected{after}"),
        None => reason.chars().take(300).collect(),
    }
}

/// A mapping that may hold known keys only.
pub(super) trait Fields: Default {
    const KNOWN: &'static [&'static str];

    /// Takes the value of a key that is one of `KNOWN`.
    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error>;

    /// Looks at the whole when every key was read.
    fn finish(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Reads [`Fields`], refusing unknown and repeated keys.
pub(super) struct Closed<T>(pub(super) T);

impl<'de, T: Fields> Deserialize<'de> for Closed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<T>(PhantomData<T>);
        impl<'de, T: Fields> Visitor<'de> for Of<T> {
            type Value = Closed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a mapping with the keys `{}`", T::KNOWN.join("`, `"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Closed<T>, A::Error> {
                let mut fields = T::default();
                let mut seen = BTreeSet::new();
                while let Some(key) = map.next_key_seed(KnownKey(T::KNOWN))? {
                    if !seen.insert(key) {
                        return Err(A::Error::custom(format!(
                            "the key `{key}` stands here twice"
                        )));
                    }
                    fields.set(key, &mut map)?;
                }
                fields.finish().map_err(A::Error::custom)?;
                Ok(Closed(fields))
            }
        }
        deserializer.deserialize_map(Of(PhantomData))
    }
}

/// Reads a key, so that a refusal has the key's own place.
struct KnownKey(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        let key = String::deserialize(deserializer)?;
        let known = self.0.iter().find(|known| **known == key).copied();
        known.ok_or_else(|| {
            let short: String = key.chars().take(60).collect();
            let meant = nearest(&key, self.0.iter().copied());
            let hint = match meant {
                Some(_) => did_you_mean(meant),
                None => format!("; known are `{}`", self.0.join("`, `")),
            };
            D::Error::custom(format!("unknown key `{short}`{hint}"))
        })
    }
}

/// Reads a text and makes something of it; `None` where the file says null.
pub(super) fn read<'de, A, T, E>(
    map: &mut A,
    key: &str,
    make: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, A::Error>
where
    A: MapAccess<'de>,
    E: fmt::Display,
{
    read_named(map, key, "a text", |text: String| {
        make(&text).map_err(|error| format!("`{key}` {error}"))
    })
}

/// Reads a value as [`read_as`] does; one of another kind is refused by its key and the `form` that belongs there.
pub(super) fn read_named<'de, A, I, T>(
    map: &mut A,
    key: &str,
    form: &str,
    make: impl FnOnce(I) -> Result<T, String>,
) -> Result<Option<T>, A::Error>
where
    A: MapAccess<'de>,
    I: Deserialize<'de>,
{
    map.next_value_seed(Made {
        make,
        input: PhantomData,
        instead: Some((key, form)),
    })
}

/// Reads a value and makes something of it, so that a refusal has the value's place.
pub(super) fn read_as<'de, A, I, T>(
    map: &mut A,
    make: impl FnOnce(I) -> Result<T, String>,
) -> Result<Option<T>, A::Error>
where
    A: MapAccess<'de>,
    I: Deserialize<'de>,
{
    map.next_value_seed(Made {
        make,
        input: PhantomData,
        instead: None,
    })
}

struct Made<'a, F, I> {
    make: F,
    input: PhantomData<I>,
    /// The key, and what belongs there.
    instead: Option<(&'a str, &'a str)>,
}

impl<'de, F, I, T> DeserializeSeed<'de> for Made<'_, F, I>
where
    I: Deserialize<'de>,
    F: FnOnce(I) -> Result<T, String>,
{
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        let read = Option::<I>::deserialize(deserializer).map_err(|error| match self.instead {
            Some((key, form)) if is_of_another_kind(&error) => {
                D::Error::custom(format!("`{key}` takes {}", form.replace("KEY", key)))
            }
            Some(_) | None => error,
        })?;
        read.map(self.make).transpose().map_err(D::Error::custom)
    }
}

/// Whether a parser met another kind of value than the one asked for; both say so in words alone.
fn is_of_another_kind(error: &impl fmt::Display) -> bool {
    let text = error.to_string();
    let words = [
        "expected string scalar",
        "expected mapping start",
        "expected sequence start",
        "invalid type: ",
        "invalid i64",
        "invalid u32",
        "invalid bool",
    ];
    words.iter().any(|words| text.contains(words))
}

/// Names with texts, in the file's order, every name once.
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names to texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: BTreeMap<String, ()> = BTreeMap::new();
                let mut ordered = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if pairs.insert(name.clone(), ()).is_some() {
                        map.next_value::<IgnoredAny>()?;
                        let short: String = name.chars().take(60).collect();
                        return Err(A::Error::custom(format!(
                            "the key `{short}` stands here twice"
                        )));
                    }
                    ordered.push((name, map.next_value()?));
                }
                Ok(Pairs(ordered))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// Reads `10.0.0.5/24`, or a bare address as a network of one.
pub(super) fn cidr(text: &str) -> Option<crate::instance::Cidr> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.trim().parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix
            .trim()
            .parse()
            .ok()
            .filter(|prefix| *prefix <= longest)?,
        None => longest,
    };
    Some(crate::instance::Cidr { address, prefix })
}

/// The NICs of a machine of its own.
pub(super) fn nics(fields: Vec<Closed<NicFields>>) -> Result<Vec<Nic>, String> {
    // One, mostly: a list that grows has room for four.
    let mut nics: Vec<Nic> = Vec::with_capacity(fields.len());
    for Closed(fields) in fields {
        let nic = fields.into_nic()?;
        if nics.iter().any(|other| other.mac == nic.mac) {
            return Err(format!("`nics` holds the MAC address {} twice", nic.mac));
        }
        nics.push(nic);
    }
    if nics.is_empty() {
        return Err("`nics` is empty; leave it out to add to the machine of this name".to_owned());
    }
    Ok(nics)
}

#[cfg(test)]
mod tests;
