//! `[iam.NAME]`: the roles whose credentials guests may read, and where those come from.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::section::{Mistake, Section};

/// An IAM role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    pub origin: Origin,
}

/// Where a role's credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Read again whenever it changes.
    File(PathBuf),
    /// A program and its arguments, run again before what it printed expires.
    Command(Vec<String>),
}

/// EC2's limit, in octets.
const NAME_MAX: usize = 64;

/// Reads all roles; relative paths are relative to `base`.
pub(super) fn roles(value: &Spanned<DeValue<'_>>, base: &Path) -> Result<Vec<Role>, Mistake> {
    let table = Section::of("[iam]", value)?.table;
    let mut roles = Vec::new();
    for (name, value) in table {
        if !is_role(name.get_ref()) {
            let problem = format!("`{}` cannot be a role's name", name.get_ref());
            let help = "1 to 64 letters, digits and `_+,.@-`";
            return Err(Mistake::at(&name.span(), problem).help(help));
        }
        let origin = origin(&Section::of("[iam.NAME]", value)?, value, base)?;
        roles.push(Role {
            name: name.get_ref().to_string(),
            origin,
        });
    }
    Ok(roles)
}

fn origin(
    table: &Section<'_, '_>,
    value: &Spanned<DeValue<'_>>,
    base: &Path,
) -> Result<Origin, Mistake> {
    table.only(&["credentials-file", "credentials-command"])?;
    let command = table.get("credentials-command");
    match (table.text("credentials-file")?, command) {
        (Some((path, _)), None) => Ok(Origin::File(base.join(path))),
        (None, Some(value)) => self::command(value),
        (Some(_), Some(value)) => {
            let problem = "`credentials-file` and `credentials-command` exclude each other";
            Err(Mistake::at(&value.span(), problem))
        }
        (None, None) => {
            let problem = "a role needs `credentials-file` or `credentials-command`";
            Err(Mistake::at(&value.span(), problem))
        }
    }
}

/// No shell, and no search for the program: what runs as root is named in full.
fn command(value: &Spanned<DeValue<'_>>) -> Result<Origin, Mistake> {
    let key = "`credentials-command`";
    let wanted = "a list such as [\"/usr/local/bin/credentials\", \"web\"]";
    let wrong = || Mistake::kind(key, wanted, value);
    let items = value.get_ref().as_array().ok_or_else(wrong)?;
    let words: Option<Vec<String>> = items
        .iter()
        .map(|item| item.get_ref().as_str().map(str::to_owned))
        .collect();
    let words =
        words.ok_or_else(|| Mistake::at(&value.span(), format!("{key} must hold texts")))?;
    match words.first() {
        Some(program) if Path::new(program).is_absolute() => Ok(Origin::Command(words)),
        Some(_) | None => {
            let problem = format!("{key} must begin with the program's whole path");
            Err(Mistake::at(&value.span(), problem))
        }
    }
}

/// EC2's rule, but for `=`, which a listing of the role's name could not hold.
fn is_role(name: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+,.@-".contains(letter);
    !matches!(name, "" | "." | "..") && name.len() <= NAME_MAX && name.chars().all(allowed)
}
