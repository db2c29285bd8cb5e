//! From the text of a configuration to a [`Config`]. The text is whatever somebody saved: every fault names its line.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Attach, Config, Datapath, Identity, Name, Pattern, Source, default_sources};
use crate::nearest::nearest;

/// What is wrong in a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}{}", help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default())]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub problem: String,
    pub help: Option<String>,
}

/// Reads the text of a configuration; relative paths in it are relative to `base`.
pub(super) fn read(text: &str, base: &Path) -> Result<Config, Fault> {
    let root = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Mistake {
            at: start,
            problem: error.message().replace('\n', ", "),
            help: None,
        }
        .in_text(text)
    })?;
    config(root.get_ref(), base).map_err(|mistake| mistake.in_text(text))
}

fn config(root: &DeTable<'_>, base: &Path) -> Result<Config, Mistake> {
    let table = Section {
        what: "the configuration",
        table: root,
    };
    table.only(&["name", "keep-alive", "datapath", "source"])?;
    let name = match table.text("name")? {
        Some((name, at)) => Name::new(name).map_err(|bad| Mistake::at(&at, bad.to_string()))?,
        None => Name::default(),
    };
    let config = Config {
        name,
        keep_alive: table.flag("keep-alive")?.unwrap_or(false),
        datapath: match table.get("datapath") {
            Some(value) => datapath(&Section::of("[datapath]", value)?)?,
            None => Datapath::default(),
        },
        sources: match table.get("source") {
            Some(value) => sources(value, base)?,
            None => default_sources(),
        },
    };
    refuse_own_veth(&config, &table)?;
    Ok(config)
}

/// The keys of [datapath]; most often written above it.
const DATAPATH: [&str; 4] = ["interfaces", "identity", "attach", "log-drops"];

fn datapath(table: &Section<'_, '_>) -> Result<Datapath, Mistake> {
    table.only(&DATAPATH)?;
    let default = Datapath::default();
    Ok(Datapath {
        interfaces: match table.get("interfaces") {
            Some(value) => interfaces(value)?,
            None => default.interfaces,
        },
        identity: table
            .choice(
                "identity",
                &[("port", Identity::Port), ("mac", Identity::Mac)],
            )?
            .unwrap_or(default.identity),
        attach: table
            .choice(
                "attach",
                &[
                    ("auto", Attach::Auto),
                    ("tcx", Attach::Tcx),
                    ("clsact", Attach::Clsact),
                ],
            )?
            .unwrap_or(default.attach),
        log_drops: table.flag("log-drops")?.unwrap_or(default.log_drops),
    })
}

fn interfaces(value: &Spanned<DeValue<'_>>) -> Result<Vec<Pattern>, Mistake> {
    let Some(items) = value.get_ref().as_array() else {
        return Err(Mistake::kind(
            "`interfaces`",
            "a list of patterns such as [\"virbr+\"]",
            value,
        ));
    };
    if items.is_empty() {
        let mistake = Mistake::at(
            &value.span(),
            "`interfaces` is empty, so no guest would be met",
        );
        return Err(mistake
            .help("leave the key out for [\"virbr+\"], the bridges of libvirt's own networks"));
    }
    items
        .iter()
        .map(|item| match item.get_ref().as_str() {
            Some(text) => {
                Pattern::new(text).map_err(|bad| Mistake::at(&item.span(), bad.to_string()))
            }
            None => Err(Mistake::kind("a pattern in `interfaces`", "a text", item)),
        })
        .collect()
}

fn sources(value: &Spanned<DeValue<'_>>, base: &Path) -> Result<Vec<Source>, Mistake> {
    let Some(items) = value.get_ref().as_array() else {
        return Err(Mistake::kind(
            "`source`",
            "written [[source]], once for each source",
            value,
        ));
    };
    let sources: Vec<Source> = items
        .iter()
        .map(|item| source(item, base))
        .collect::<Result<_, _>>()?;
    for (index, (item, source)) in items.iter().zip(&sources).enumerate() {
        if sources.iter().take(index).any(|earlier| earlier == source) {
            return Err(Mistake::at(
                &item.span(),
                format!("the source `{source}` is there twice"),
            ));
        }
    }
    Ok(sources)
}

fn source(value: &Spanned<DeValue<'_>>, base: &Path) -> Result<Source, Mistake> {
    #[derive(Clone, Copy)]
    enum Kind {
        Libvirt,
        Directory,
    }
    let table = Section::of("[[source]]", value)?;
    let kinds = [("libvirt", Kind::Libvirt), ("directory", Kind::Directory)];
    let Some(kind) = table.choice("kind", &kinds)? else {
        let mistake = Mistake::at(&value.span(), "[[source]] has no `kind`");
        return Err(mistake.help("kind is one of `libvirt`, `directory`"));
    };
    match kind {
        Kind::Libvirt => {
            table.only(&["kind", "uri"])?;
            let uri = table.text("uri")?.map_or("qemu:///system", |(uri, _)| uri);
            Ok(Source::Libvirt {
                uri: uri.to_owned(),
            })
        }
        Kind::Directory => {
            table.only(&["kind", "path"])?;
            match table.text("path")? {
                Some((path, _)) => Ok(Source::Directory {
                    path: base.join(path),
                }),
                None => Err(Mistake::at(
                    &value.span(),
                    "[[source]] of kind `directory` has no `path`",
                )),
            }
        }
    }
}

fn refuse_own_veth(config: &Config, root: &Section<'_, '_>) -> Result<(), Mistake> {
    let Some(pattern) = config.own_link() else {
        return Ok(());
    };
    let (host, inner) = (config.veth_host(), config.veth_inner());
    let place = root.get("datapath").or_else(|| root.get("name"));
    let problem =
        format!("interface pattern `{pattern}` takes in metad's own link ({host}, {inner})");
    Err(Mistake::at(&place.map_or(0..0, Spanned::span), problem)
        .help("narrow the pattern, or give this metad another `name`"))
}

/// A fault before its place has been counted out.
struct Mistake {
    /// Octets from the beginning of the text.
    at: usize,
    problem: String,
    help: Option<String>,
}

impl Mistake {
    fn at(span: &Range<usize>, problem: impl Into<String>) -> Self {
        Self {
            at: span.start,
            problem: problem.into(),
            help: None,
        }
    }

    fn kind(what: &str, wanted: &str, value: &Spanned<DeValue<'_>>) -> Self {
        Self::at(
            &value.span(),
            format!("{what} must be {wanted}, not {}", type_of(value.get_ref())),
        )
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    fn in_text(self, text: &str) -> Fault {
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
struct Section<'t, 'text> {
    what: &'static str,
    table: &'t DeTable<'text>,
}

impl<'t, 'text> Section<'t, 'text> {
    fn of(what: &'static str, value: &'t Spanned<DeValue<'text>>) -> Result<Self, Mistake> {
        match value.get_ref().as_table() {
            Some(table) => Ok(Self { what, table }),
            None => Err(Mistake::kind(what, "a table", value)),
        }
    }

    /// Refuses every key but `known`; the first in the file is the one reported.
    fn only(&self, known: &[&str]) -> Result<(), Mistake> {
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
        if DATAPATH.contains(&word) {
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

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'text>>> {
        self.table.get(key)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Mistake> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(Mistake::kind(&format!("`{key}`"), "true or false", value)),
        }
    }

    /// A text and its place; an empty one is refused, since no key here has a use for it.
    fn text(&self, key: &str) -> Result<Option<(&'t str, Range<usize>)>, Mistake> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_str() {
            Some("") => Err(Mistake::at(&value.span(), format!("`{key}` is empty"))),
            Some(text) => Ok(Some((text, value.span()))),
            None => Err(Mistake::kind(&format!("`{key}`"), "a text", value)),
        }
    }

    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, Mistake> {
        let Some((text, at)) = self.text(key)? else {
            return Ok(None);
        };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let mistake = Mistake::at(&at, format!("`{text}` is no {key}"));
                Err(mistake.help(format!(
                    "{key} is one of {}",
                    listed(choices.iter().map(|(word, _)| *word))
                )))
            }
        }
    }
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
