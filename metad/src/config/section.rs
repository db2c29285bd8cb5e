//! The tables of a configuration as every section reads them: known keys only, and a place for each mistake.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fault;
use crate::nearest::nearest;

/// A fault before its place has been counted out.
pub(super) struct Mistake {
    /// Octets from the beginning of the text.
    pub(super) at: usize,
    pub(super) problem: String,
    pub(super) help: Option<String>,
}

impl Mistake {
    pub(super) fn at(span: &Range<usize>, problem: impl Into<String>) -> Self {
        Self {
            at: span.start,
            problem: problem.into(),
            help: None,
        }
    }

    pub(super) fn kind(what: &str, wanted: &str, value: &Spanned<DeValue<'_>>) -> Self {
        Self::at(
            &value.span(),
            format!("{what} must be {wanted}, not {}", type_of(value.get_ref())),
        )
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn in_text(self, text: &str) -> Fault {
        let before = text.get(..self.at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Fault {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            problem: self.problem,
            help: self.help,
        }
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A table and what it is called in messages.
pub(super) struct Section<'t, 'text> {
    pub(super) what: &'static str,
    pub(super) table: &'t DeTable<'text>,
}

impl<'t, 'text> Section<'t, 'text> {
    pub(super) fn of(
        what: &'static str,
        value: &'t Spanned<DeValue<'text>>,
    ) -> Result<Self, Mistake> {
        match value.get_ref().as_table() {
            Some(table) => Ok(Self { what, table }),
            None => Err(Mistake::kind(what, "a table", value)),
        }
    }

    /// Refuses every key but `known`; the first in the file is the one reported.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Mistake> {
        let strangers = self
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = strangers.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let word = key.get_ref().as_ref();
        let mistake = Mistake::at(
            &key.span(),
            format!("unknown key `{word}` in {}", self.what),
        );
        if super::file::DATAPATH.contains(&word) {
            return Err(mistake.help(format!("`{word}` belongs under [datapath]")));
        }
        Err(match nearest(word, known.iter().copied()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake.help(format!(
                "known keys here are {}",
                listed(known.iter().copied())
            )),
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'text>>> {
        self.table.get(key)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Mistake> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(Mistake::kind(&format!("`{key}`"), "true or false", value)),
        }
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Mistake> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let DeValue::Integer(number) = value.get_ref() else {
            let mut mistake = Mistake::kind(&format!("`{key}`"), "a whole number", value);
            if matches!(value.get_ref(), DeValue::Float(_)) {
                mistake.problem.push_str(" with a fraction");
            }
            return Err(mistake);
        };
        let read = u32::from_str_radix(number.as_str(), number.radix());
        match read {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => {
                let (least, most) = range.into_inner();
                let problem = format!("`{key}` is {number}, and must be from {least} to {most}");
                Err(Mistake::at(&value.span(), problem))
            }
        }
    }

    /// A mistake in what several keys say together: at the first of them that is written.
    pub(super) fn mistake(&self, keys: &[&str], problem: String) -> Mistake {
        let written = keys.iter().find_map(|key| self.get(key));
        Mistake::at(&written.map_or(0..0, Spanned::span), problem)
    }

    /// A text and its place; an empty one is refused, since no key here has a use for it.
    pub(super) fn text(&self, key: &str) -> Result<Option<(&'t str, Range<usize>)>, Mistake> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_str() {
            Some("") => Err(Mistake::at(&value.span(), format!("`{key}` is empty"))),
            Some(text) => Ok(Some((text, value.span()))),
            None => Err(Mistake::kind(&format!("`{key}`"), "a text", value)),
        }
    }

    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Mistake> {
        let words = || listed(choices.iter().map(|(word, _)| *word));
        let read = self.text(key).map_err(|mistake| {
            let value = self.get(key).map(Spanned::get_ref);
            let switch = value.and_then(DeValue::as_bool);
            let meant = switch.map(|on| if on { "on" } else { "off" });
            match meant.filter(|meant| choices.iter().any(|(word, _)| word == meant)) {
                Some(meant) => mistake.help(format!("write `{key} = \"{meant}\"`")),
                None => mistake.help(format!("{key} is one of {}", words())),
            }
        });
        let Some((text, at)) = read? else {
            return Ok(None);
        };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let mistake = Mistake::at(&at, format!("`{text}` is no {key}"));
                Err(mistake.help(format!("{key} is one of {}", words())))
            }
        }
    }
}

pub(super) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
