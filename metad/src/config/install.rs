//! Installers' answers: `[install]`, and the variables of their templates below it.

use std::path::Path;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::{Mistake, Section};
use crate::install::Install;
use crate::record::field;

/// Reads `[install]`; a relative path in it is relative to `base`.
pub(super) fn install(table: &Section<'_, '_>, base: &Path) -> Result<Install, Mistake> {
    table.only(&["templates", "variables"])?;
    let usual = Install::default();
    Ok(Install {
        templates: match table.text("templates")? {
            Some((path, _)) => base.join(path),
            None => usual.templates,
        },
        variables: match table.get("variables") {
            Some(value) => variables(value)?,
            None => usual.variables,
        },
    })
}

fn variables(value: &Spanned<DeValue<'_>>) -> Result<Map<String, Value>, Mistake> {
    let section = Section::of("[install.variables]", value)?;
    let tree = object(section.table)?;
    field::tree(&tree)
        .map_err(|error| Mistake::at(&value.span(), format!("[install.variables] {error}")))?;
    Ok(tree)
}

fn object(table: &DeTable<'_>) -> Result<Map<String, Value>, Mistake> {
    let entries = table
        .iter()
        .map(|(key, value)| Ok((key.get_ref().clone().into_owned(), free(value)?)));
    entries.collect()
}

fn free(value: &Spanned<DeValue<'_>>) -> Result<Value, Mistake> {
    let wrong = || {
        Mistake::at(
            &value.span(),
            "this number is larger than any template needs",
        )
    };
    match value.get_ref() {
        DeValue::String(text) => Ok(Value::from(text.as_ref())),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            read.ok().map(Value::from).ok_or_else(wrong)
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse::<f64>();
            read.ok().map(Value::from).ok_or_else(wrong)
        }
        DeValue::Boolean(truth) => Ok(Value::from(*truth)),
        DeValue::Datetime(date) => Ok(Value::from(date.to_string())),
        DeValue::Array(items) => {
            let items: Result<Vec<Value>, Mistake> = items.iter().map(free).collect();
            items.map(Value::from)
        }
        DeValue::Table(table) => object(table).map(Value::from),
    }
}
