//! What `metad query` asks and is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::nearest::nearest;

/// A request as a guest would make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub instance: String,
    /// As on a request line: `/latest/meta-data/`.
    pub path: String,
    #[serde(default)]
    pub method: Method,
    /// Name and value, in the order they are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The MAC of the NIC to ask from; `None` is the first running one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<String>,
}

/// The methods that read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Get,
    Head,
}

/// The answer that the guest would get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    #[serde(
        rename = "body-base64",
        serialize_with = "to_base64",
        deserialize_with = "from_base64"
    )]
    pub body: Bytes,
}

/// A query that is about nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum QueryError {
    #[error("no instance is called `{instance}`\nhelp: {}", meant(nearest.as_deref()))]
    UnknownInstance {
        instance: String,
        nearest: Option<String>,
    },
    #[error("instance `{instance}` has no NIC with the MAC {mac}\nhelp: its NICs are {}", nics.join(", "))]
    UnknownNic {
        instance: String,
        mac: String,
        nics: Vec<String>,
    },
    #[error("instance `{instance}` has no NIC, so nothing is ever told to it")]
    NoNic { instance: String },
    #[error("the query is malformed: {what}")]
    Malformed { what: String },
}

impl QueryError {
    /// An instance that is none of `known`, with the one that was probably meant.
    pub fn unknown_instance<'a>(instance: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::UnknownInstance {
            instance: instance.to_owned(),
            nearest: nearest(instance, known).map(str::to_owned),
        }
    }
}

fn meant(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`metad status` lists the instances".to_owned(),
    }
}

fn to_base64<S: Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(body))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD
        .decode(text)
        .map(Bytes::from)
        .map_err(de::Error::custom)
}
