//! How a change to somebody's XML is shown, and where that XML comes from: shared by the commands that prepare things.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use similar::TextDiff;

use super::{Place, report::Unwritten, report::printable};
use crate::config::Source;
use crate::exit;
use crate::prepare::Prepared;

/// Where the XML comes from and what becomes of it.
#[derive(Debug, Args)]
pub(super) struct Ways {
    #[command(flatten)]
    pub(super) place: Place,
    /// Make the change, in the persistent definition alone; what runs is left as it runs
    #[arg(long)]
    pub(super) apply: bool,
    /// libvirt to ask [default: the first one of the configuration]
    #[arg(long, value_name = "URI", conflicts_with = "xml")]
    pub(super) connect: Option<String>,
    /// Prepare this file without any libvirt; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "apply")]
    pub(super) xml: Option<PathBuf>,
    /// Print the whole XML as it should be instead of the difference, secrets such as passwords included
    #[arg(long, conflicts_with = "apply")]
    pub(super) print: bool,
}

impl Ways {
    /// The libvirt that is meant.
    pub(super) fn uri(&self) -> anyhow::Result<String> {
        if let Some(uri) = &self.connect {
            return Ok(uri.clone());
        }
        let config = self.place.config()?;
        let uri = config.sources.iter().find_map(|source| match source {
            Source::Libvirt { uri } => Some(uri.clone()),
            Source::Directory { .. } => None,
        });
        uri.context("the configuration names no libvirt\nhelp: name one with `--connect URI`, or a file with `--xml FILE`")
    }
}

impl Ways {
    /// The command that was given, with `--apply`. `words` are those behind `metad`, for a shell to read.
    pub(super) fn again(&self, words: &[&str], uri: &str) -> String {
        // A session's libvirt is the user's own, and root has another one.
        let sudo = if uri.ends_with("/session") {
            ""
        } else {
            "sudo "
        };
        let config = self
            .place
            .config
            .as_ref()
            .map(|file| file.to_string_lossy());
        let name = self.place.name.as_ref().map(ToString::to_string);
        let mut command = format!("{sudo}metad");
        for word in words {
            command.push_str(&format!(" {}", shell_word(word)));
        }
        for (option, value) in [
            ("--config", config.as_deref()),
            ("--name", name.as_deref()),
            ("--connect", self.connect.as_deref()),
        ] {
            if let Some(value) = value {
                command.push_str(&format!(" {option} {}", shell_word(value)));
            }
        }
        command + " --apply"
    }
}

/// A word as a shell reads it back.
pub(super) fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,@%+=".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// Reads a file or standard input.
pub(super) fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin()
            .read_to_string(&mut text)
            .context("cannot read XML from standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What is prepared, in the words of its command.
pub(super) struct Shown<'a> {
    /// What is changed: "domain `web1`".
    pub(super) what: &'a str,
    pub(super) before: &'a str,
    pub(super) prepared: &'a Prepared,
    /// Lines for beneath the list of changes, each with a word in front.
    pub(super) notes: Vec<(&'static str, String)>,
}

impl Shown<'_> {
    /// Prints the whole text, for `virsh define`. What the operator should know goes to standard error.
    pub(super) fn print(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        for warning in &self.prepared.warnings {
            // Nobody is left to be told where standard error is closed.
            let _ = writeln!(io::stderr(), "note: {}", printable(warning));
        }
        out.write_all(self.prepared.text.as_bytes())
            .map_err(Unwritten)?;
        Ok(exit::SUCCESS)
    }

    /// Prints the difference, what it means, and the last word.
    pub(super) fn diff(&self, last: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        self.write(last, out).map_err(Unwritten)?;
        Ok(())
    }

    fn write(&self, last: &str, out: &mut dyn Write) -> io::Result<()> {
        let Prepared {
            text,
            changes,
            warnings,
            ..
        } = self.prepared;
        if !changes.is_empty() {
            let (old, new) = (
                format!("{}, as it is", self.what),
                format!("{}, prepared", self.what),
            );
            let diff = TextDiff::from_lines(self.before, text.as_str());
            let diff = diff
                .unified_diff()
                .context_radius(3)
                .header(&old, &new)
                .to_string();
            writeln!(out, "{}", shown(&diff))?;
        }
        for change in changes {
            writeln!(out, "change: {}", printable(change))?;
        }
        for warning in warnings {
            writeln!(out, "note: {}", printable(warning))?;
        }
        for (word, note) in &self.notes {
            writeln!(out, "{word}: {}", printable(note))?;
        }
        writeln!(out, "{}", printable(last))
    }
}

/// Escapes what would move a terminal's cursor, but for the white space that XML is indented with.
fn shown(diff: &str) -> String {
    let lines: Vec<String> = diff
        .split('\n')
        .map(|line| {
            line.split('\t')
                .map(printable)
                .collect::<Vec<_>>()
                .join("\t")
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
