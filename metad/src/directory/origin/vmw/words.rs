//! Values that were written in more than one way: lists, and what stood for them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::directory::record_file::Pairs;
use crate::directory::schema;

/// A list of texts, or one text for a list of one.
pub(super) struct Words(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Words, E> {
                Ok(Words(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Words, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Words)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Tags with values, or a list of keys whose values are empty.
pub(super) struct Tags(Pairs);

impl Tags {
    pub(super) fn into_tags(self) -> Result<BTreeMap<String, String>, String> {
        schema::tags(self.0)
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping or a list of tags")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tags, A::Error> {
                Pairs::deserialize(MapAccessDeserializer::new(map)).map(Tags)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Tags, A::Error> {
                let keys = Vec::<String>::deserialize(SeqAccessDeserializer::new(seq))?;
                let pairs = keys.into_iter().map(|key| (key, String::new()));
                Ok(Tags(Pairs(pairs.collect())))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
