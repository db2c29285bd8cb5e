//! The table in docs/clients.md: a client's rows are compared with what it was told, or replaced by it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const BEGIN: &str = "<!-- TABLE: begin -->\n";
const END: &str = "<!-- TABLE: end -->";
const HEAD: &str = "| client | version | asked | told |\n|---|---|---|---|\n";

/// Compares the rows of one client; the others' stay as they are.
pub(super) fn compare(client: &str, version: &str, told: &[(&str, &str)]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs/clients.md");
    let text = fs::read_to_string(&path).context("cannot read docs/clients.md")?;
    let (before, rest) = text
        .split_once(BEGIN)
        .context("no mark where the table begins")?;
    let (table, after) = rest
        .split_once(END)
        .context("no mark where the table ends")?;
    let mark = format!("| {client} |");
    let mut rows: Vec<String> = table
        .strip_prefix(HEAD)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    let have: Vec<&String> = rows.iter().filter(|row| row.starts_with(&mark)).collect();
    let want: Vec<String> = told
        .iter()
        .map(|(name, value)| format!("{mark} {version} | {} | `{}` |", cell(name), cell(value)))
        .collect();
    if have
        .iter()
        .map(|row| row.as_str())
        .eq(want.iter().map(String::as_str))
    {
        return Ok(());
    }
    if std::env::var_os("METAD_UPDATE_SNAPSHOTS").is_none_or(|it| it != "1") {
        bail!(
            "docs/clients.md says something else of {client}: METAD_UPDATE_SNAPSHOTS=1 cargo xtask test clients\n{}",
            want.join("\n")
        );
    }
    rows.retain(|row| !row.starts_with(&mark));
    rows.extend(want);
    // By client; within one, in the order of its questions.
    rows.sort_by_key(|row| row.split('|').nth(1).unwrap_or_default().to_lowercase());
    let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(&path, format!("{before}{BEGIN}{HEAD}{table}{END}{after}"))
        .context("cannot write docs/clients.md")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
