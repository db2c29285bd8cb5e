//! From the text of a configuration to a [`Config`]. The text is whatever somebody saved: every fault names its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::{Mistake, Section};
use super::{
    Attach, Config, Datapath, Identity, Limits, Name, Pattern, Source, default_sources, iam,
    install, issuer, limits, site,
};
use crate::record::Defaults;

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
    table.only(&[
        "name",
        "keep-alive",
        "state-directory",
        "datapath",
        "limits",
        "site",
        "defaults",
        "install",
        "identity",
        "iam",
        "source",
    ])?;
    let name = match table.text("name")? {
        Some((name, at)) => Name::new(name).map_err(|bad| Mistake::at(&at, bad.to_string()))?,
        None => Name::default(),
    };
    let config = Config {
        name,
        keep_alive: table.flag("keep-alive")?.unwrap_or(false),
        state_directory: table
            .text("state-directory")?
            .map(|(path, _)| base.join(path)),
        defaults: Defaults {
            options: match table.get("defaults") {
                Some(value) => site::defaults(&Section::of("[defaults]", value)?)?,
                None => Default::default(),
            },
            ..match table.get("site") {
                Some(value) => site::site(&Section::of("[site]", value)?)?,
                None => Defaults::default(),
            }
        },
        install: match table.get("install") {
            Some(value) => install::install(&Section::of("[install]", value)?, base)?,
            None => Default::default(),
        },
        datapath: match table.get("datapath") {
            Some(value) => datapath(&Section::of("[datapath]", value)?)?,
            None => Datapath::default(),
        },
        limits: match table.get("limits") {
            Some(value) => limits::limits(&Section::of("[limits]", value)?)?,
            None => Limits::default(),
        },
        issuer: match table.get("identity") {
            Some(value) => issuer::issuer(value)?,
            None => None,
        },
        roles: match table.get("iam") {
            Some(value) => iam::roles(value, base)?,
            None => Vec::new(),
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
pub(super) const DATAPATH: [&str; 5] = [
    "interfaces",
    "identity",
    "attach",
    "log-drops",
    "flood-guard",
];

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
        flood_guard: table
            .choice("flood-guard", &[("off", false), ("on", true)])?
            .unwrap_or(default.flood_guard),
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

#[cfg(test)]
mod tests;
