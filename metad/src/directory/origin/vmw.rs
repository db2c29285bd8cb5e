//! The YAML files of vmw-cloudinit-metadata's file driver: `metadata`, `network` and `userdata` of the machine that the
//! file is called after. The text comes in, a record goes out. As strict as the driver was, but for what its own
//! manual spelt otherwise: dashes for underscores, a list of tags, one search domain without a list.

use base64::Engine as _;
use serde::de::MapAccess;

use super::{Named, Reading};
use crate::directory::record_file::{
    self, Closed, Fields, FormError, Format, RecordFile, read, read_as,
};
use crate::instance::PublicKey;
use crate::record::Record;
use crate::record::field;
use crate::record::payload::{Encoding, decode};

use network::NetworkFields;
use words::{Tags, Words};

mod network;
mod words;

/// What the driver gave to guests whose file had none.
const NO_USER_DATA: &str = "#cloud-config\n{}";

/// Reads the file of the machine that it is called after.
pub(super) fn reading(text: &str, named: Named<'_>) -> Result<Reading, FormError> {
    let Closed(fields) = record_file::fields::<Closed<TopFields>>(text, Format::Yaml)?;
    let TopFields {
        mut record,
        remarks,
        ..
    } = fields;
    if record.user_data.is_none() {
        record.user_data = Some(NO_USER_DATA.into());
    }
    Ok(Reading {
        machine: named.stem.to_owned(),
        file: RecordFile {
            record,
            ..RecordFile::default()
        },
        takes_data: false,
        remarks,
    })
}

#[derive(Default)]
struct TopFields {
    record: Record,
    remarks: Vec<String>,
    has_metadata: bool,
}

impl Fields for TopFields {
    const KNOWN: &'static [&'static str] = &["metadata", "network", "userdata"];

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "metadata" => {
                if let Some(Closed(fields)) = map.next_value::<Option<Closed<MetadataFields>>>()? {
                    self.has_metadata = true;
                    self.remarks = fields.remarks;
                    let before = std::mem::replace(&mut self.record, fields.record);
                    self.record.user_data.clone_from(&before.user_data);
                    self.record
                        .network_config
                        .clone_from(&before.network_config);
                }
            }
            "network" => {
                if let Some(Closed(network)) = map.next_value::<Option<Closed<NetworkFields>>>()? {
                    self.record.network_config = Some(network.into_config().into());
                }
            }
            _ => {
                let user_data = read(map, key, |text| decode(text.trim(), Encoding::Plain))?;
                self.record.user_data = user_data.map(Into::into);
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        if !self.has_metadata {
            return Err("`metadata` says nothing".to_owned());
        }
        if self.record.network_config.is_none() {
            return Err("`network` says nothing".to_owned());
        }
        Ok(())
    }
}

#[derive(Default)]
struct MetadataFields {
    record: Record,
    seen: Vec<&'static str>,
    remarks: Vec<String>,
}

impl Fields for MetadataFields {
    /// With dashes as in its manual, with underscores as in its code.
    const KNOWN: &'static [&'static str] = &[
        "ami-id",
        "ami_id",
        "instance-id",
        "instance_id",
        "region",
        "availability-zone",
        "availability_zone",
        "hostname",
        "tags",
        "public-keys",
        "public_keys",
    ];

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        self.seen.push(key);
        let record = &mut self.record;
        match key {
            "ami-id" | "ami_id" => record.image_id = read(map, key, field::word)?,
            "instance-id" | "instance_id" => record.instance_id = read(map, key, field::word)?,
            "region" => record.placement.region = read(map, key, field::word)?,
            "availability-zone" | "availability_zone" => {
                record.placement.availability_zone = read(map, key, field::word)?
            }
            "hostname" => record.hostname = read(map, key, field::hostname)?,
            "tags" => record.tags = read_as(map, Tags::into_tags)?,
            _ => {
                if let Some(Words(texts)) = map.next_value::<Option<Words>>()? {
                    record.public_keys = Some(public_keys(&texts, &mut self.remarks));
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        let spelt = |key: &str| {
            self.seen
                .iter()
                .filter(|seen| seen.replace('_', "-") == key)
                .count()
        };
        for key in ["ami-id", "instance-id", "availability-zone", "public-keys"] {
            if spelt(key) > 1 {
                return Err(format!(
                    "`{key}` and `{}` are the same key; keep one",
                    key.replace('-', "_")
                ));
            }
        }
        let record = &self.record;
        let lacking = [
            ("ami-id", record.image_id.is_none()),
            ("instance-id", record.instance_id.is_none()),
            ("region", record.placement.region.is_none()),
            (
                "availability-zone",
                record.placement.availability_zone.is_none(),
            ),
            ("hostname", record.hostname.is_none()),
        ];
        match lacking.into_iter().find(|(_, lacks)| *lacks) {
            Some((key, _)) => Err(format!("`metadata` lacks `{key}`")),
            None => Ok(()),
        }
    }
}

/// Keys are named by their places; one that is none is left out, and the rest of the file still counts.
fn public_keys(texts: &[String], remarks: &mut Vec<String>) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match public_key(text) {
            Ok(text) => keys.push(PublicKey {
                name: index.to_string(),
                formats: [("openssh-key".to_owned(), text)].into(),
            }),
            Err(reason) => remarks.push(format!(
                "key {index} of `public-keys` is left out: it {reason}"
            )),
        }
    }
    keys
}

/// Takes every type of key that says in its octets what it says in its text, with or without options before it.
fn public_key(text: &str) -> Result<String, String> {
    let text = field::key_text(text).map_err(|error| error.to_string())?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_key = |pair: &[&str]| {
        let [kind, octets] = pair else { return false };
        let octets = base64::engine::general_purpose::STANDARD
            .decode(octets)
            .unwrap_or_default();
        let Some((length, rest)) = octets.split_first_chunk::<4>() else {
            return false;
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        rest.get(..length)
            .is_some_and(|name| name == kind.as_bytes())
    };
    if text.contains('\n') || !words.windows(2).any(is_key) {
        return Err("is no OpenSSH public key on one line".to_owned());
    }
    Ok(text)
}
