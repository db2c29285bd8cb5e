//! `metad set`, `unset`, `settings` and `password`: what an administrator has guests told while they run, and what
//! guests have left.

use std::io::{self, Read, Write};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::table::Table;
use super::{Place, block_on, report::Unwritten};
use crate::admin::Client;
use crate::config::Config;
use crate::exit;
use crate::settings::{Outcome, Shown, Wish, leaves};

/// Octets that are read from standard input; more than the daemon takes.
const INPUT_MAX: u64 = 2 * 1024 * 1024;

/// A value of `--json` that is none.
#[derive(Debug, thiserror::Error)]
#[error("the value is no JSON\nhelp: without --json, it is taken as text")]
pub(super) struct NoJson(#[source] serde_json::Error);

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    place: Place,
    /// Instance: a domain's name, or a record's
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Path below meta-data/, such as spot/termination-time
    #[arg(value_name = "PATH")]
    path: String,
    /// What the guest is told there; `-` reads it from standard input, without its last line break
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
    /// Take VALUE as JSON: an object becomes a directory, an array its lines, null hides what is there
    #[arg(long)]
    json: bool,
    /// Set it even if clients of this path do not expect such a value
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("which").required(true).args(["path", "all"])),
    override_usage = "metad unset [OPTIONS] <INSTANCE> <PATH|--all>"
)]
pub(super) struct Unset {
    #[command(flatten)]
    place: Place,
    /// Instance, also one that is gone: its name or its UUID
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Path below meta-data/; what is set below it goes too
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Take back everything that is set
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    #[command(flatten)]
    place: Place,
    /// Instance, also one that is gone [default: all]
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Password {
    #[command(flatten)]
    place: Place,
    /// Instance, also one that is gone: its name or its UUID
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Forget it, so that the guest may leave another one
    #[arg(long)]
    clear: bool,
}

impl Set {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let text = match self.value.as_str() {
            "-" => input(&mut io::stdin())?,
            _ => self.value,
        };
        let value = match self.json {
            true => serde_json::from_str(&text).map_err(NoJson)?,
            false => Value::String(text),
        };
        let wish = Wish::Set {
            instance: self.instance,
            path: self.path,
            value,
            force: self.force,
        };
        ask(&self.place.names()?, &wish)?;
        Ok(exit::SUCCESS)
    }
}

impl Unset {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let wish = Wish::Unset {
            instance: self.instance,
            path: self.path,
        };
        ask(&self.place.names()?, &wish)?;
        Ok(exit::SUCCESS)
    }
}

impl Settings {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<u8> {
        let wish = Wish::Show {
            instance: self.instance,
        };
        let Outcome::Kept(shown) = ask(&self.place.names()?, &wish)? else {
            bail!("the daemon answered something else than settings");
        };
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &shown)
                .map_err(|error| Unwritten(error.into()))?;
            writeln!(out).map_err(Unwritten)?;
        } else {
            print(&shown, out).map_err(Unwritten)?;
        }
        Ok(exit::SUCCESS)
    }
}

impl Password {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<u8> {
        let place = self.place.names()?;
        let instance = self.instance;
        if self.clear {
            ask(&place, &Wish::ClearPassword { instance })?;
            return Ok(exit::SUCCESS);
        }
        let wish = Wish::Password {
            instance: instance.clone(),
        };
        let Outcome::Password(password) = ask(&place, &wish)? else {
            bail!("the daemon answered something else than a password");
        };
        let Some(password) = password else {
            bail!("`{instance}` has left no password");
        };
        let octets = STANDARD
            .decode(password)
            .context("the daemon's answer cannot be read")?;
        let written = out.write_all(&octets).and_then(|()| out.flush());
        written.map_err(Unwritten)?;
        Ok(exit::SUCCESS)
    }
}

fn ask(config: &Config, wish: &Wish) -> anyhow::Result<Outcome> {
    Ok(block_on(
        Client::new(&config.admin_socket()).settings(wish),
    )??)
}

/// Everything from standard input, without the line break that an editor or `echo` leaves at the end.
fn input(from: &mut dyn Read) -> anyhow::Result<String> {
    let mut text = String::new();
    from.take(INPUT_MAX)
        .read_to_string(&mut text)
        .context("cannot read the value from standard input")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// One line for each value.
fn print(shown: &[Shown], out: &mut dyn Write) -> io::Result<()> {
    if shown
        .iter()
        .all(|it| it.settings.is_empty() && !it.password)
    {
        writeln!(out, "Nothing is set.")?;
        return out.flush();
    }
    let mut table = Table::new(["INSTANCE", "PATH", "VALUE"]);
    for shown in shown {
        let mut name = shown.name.clone();
        if shown.orphan {
            name = format!("{name} (gone: {})", shown.uuid);
        }
        for (path, value) in leaves(&shown.settings) {
            table.row([&name, &path, &text(value)]);
        }
        if shown.password {
            table.row([&name, "", "(its guest has left a password)"]);
        }
    }
    table.write(out)?;
    out.flush()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(name: &str, orphan: bool, password: bool, settings: &Value) -> Shown {
        Shown {
            name: name.to_owned(),
            uuid: uuid::Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555),
            orphan,
            password,
            settings: settings.as_object().cloned().unwrap(),
        }
    }

    #[test]
    fn input_loses_one_line_break_and_nothing_else() {
        for (given, expected) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("", ""),
            (" a \n", " a "),
        ] {
            let read = input(&mut given.as_bytes()).unwrap();
            assert_eq!(read, expected, "{given:?}");
        }
        assert!(input(&mut b"\xff".as_slice()).is_err(), "no text");
    }

    #[test]
    fn a_value_that_is_no_json_is_a_usage_error() {
        use clap::Parser as _;
        let words = [
            "metad", "set", "web1", "a", "{bad", "--json", "--name", "no-metad",
        ];
        let cli = super::super::Cli::try_parse_from(words).unwrap();
        let error = cli.command.run().unwrap_err();
        assert_eq!(super::super::report::code(&error), exit::USAGE);
        let told = super::super::report::text(&error);
        assert!(told.contains("help: without --json"), "{told}");
    }

    #[test]
    fn unset_without_a_path_mentions_all() {
        use clap::Parser as _;
        let words = ["metad", "unset", "web1"];
        let error = super::super::Cli::try_parse_from(words).unwrap_err();
        assert!(error.to_string().contains("--all"), "{error}");
    }

    #[test]
    fn settings_are_listed_as_written_down() {
        let told = |shown: &[Shown]| {
            let mut out = Vec::new();
            print(shown, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = told(&[
            shown("old", true, true, &json!({"a": {"b": null}})),
            shown(
                "web1",
                false,
                false,
                &json!({"spot": {"termination-time": "2026-01-31T12:00:00Z"}, "x": ["1", 2], "y": "a\nb\u{1b}"}),
            ),
        ]);
        super::super::tests::assert_snapshot("settings", &text);
        assert_eq!(
            told(&[shown("web1", false, false, &json!({}))]),
            "Nothing is set.\n"
        );
        assert_eq!(told(&[]), "Nothing is set.\n");
    }
}
