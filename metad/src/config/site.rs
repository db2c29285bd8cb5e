//! What holds for instances that say nothing themselves: `[site]`, where they stand and whose they are, and
//! `[defaults]`, how the service behaves towards them.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::section::{Mistake, Section};
use crate::instance::{Given, Placement, Site};
use crate::record::Defaults;
use crate::record::field::{self, FieldError};

/// Reads `[site]`.
pub(super) fn site(table: &Section<'_, '_>) -> Result<Defaults, Mistake> {
    table.only(&[
        "account-id",
        "partition",
        "domain",
        "project-id",
        "region",
        "availability-zone",
        "availability-zone-id",
    ])?;
    let word = |key| value(table, key, field::word);
    let usual = Site::default();
    let site = Site {
        account_id: value(table, "account-id", field::account_id)?.unwrap_or(usual.account_id),
        partition: word("partition")?.unwrap_or(usual.partition),
        domain: value(table, "domain", field::hostname)?.unwrap_or(usual.domain),
        project_id: word("project-id")?,
    };
    Ok(Defaults {
        site: Arc::new(site),
        placement: Placement {
            region: word("region")?,
            availability_zone: word("availability-zone")?,
            availability_zone_id: word("availability-zone-id")?,
            ..Placement::default()
        },
        options: Given::default(),
    })
}

/// Reads `[defaults]`.
pub(super) fn defaults(table: &Section<'_, '_>) -> Result<Given, Mistake> {
    table.only(&field::OPTIONS)?;
    let mut given = Given::default();
    for name in field::OPTIONS {
        let Some(value) = table.get(name) else {
            continue;
        };
        let text = word(name, value)?;
        field::option(&mut given, name, &text)
            .map_err(|error| Mistake::at(&value.span(), format!("`{name}` {error}")))?;
    }
    Ok(given)
}

/// An option's value as it would stand in XML.
fn word(name: &str, value: &Spanned<DeValue<'_>>) -> Result<String, Mistake> {
    match value.get_ref() {
        DeValue::Integer(number) if name == "hop-limit" => Ok(number.as_str().to_owned()),
        DeValue::String(text) if name != "dialects" && name != "hop-limit" => {
            Ok(text.clone().into_owned())
        }
        DeValue::Array(items) if name == "dialects" => {
            let words: Option<Vec<&str>> =
                items.iter().map(|item| item.get_ref().as_str()).collect();
            let wrong = || Mistake::kind("a dialect", "a text", value);
            Ok(words.ok_or_else(wrong)?.join(" "))
        }
        DeValue::Integer(_)
        | DeValue::String(_)
        | DeValue::Array(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => {
            let wanted = match name {
                "hop-limit" => "a number",
                "dialects" => "a list such as [\"ec2\", \"nocloud\"]",
                _ => "a text",
            };
            Err(Mistake::kind(&format!("`{name}`"), wanted, value))
        }
    }
}

fn value<T>(
    table: &Section<'_, '_>,
    key: &str,
    read: fn(&str) -> Result<T, FieldError>,
) -> Result<Option<T>, Mistake> {
    let Some((text, at)) = table.text(key)? else {
        return Ok(None);
    };
    read(text)
        .map(Some)
        .map_err(|error| Mistake::at(&at, format!("`{key}` {error}")))
}
