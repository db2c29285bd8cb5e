//! The table in docs/security-attacks.md: an attack's row is compared with what the test counted, or replaced by it.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

const BEGIN: &str = "<!-- ATTACKS: begin -->\n";
const END: &str = "<!-- ATTACKS: end -->";
const HEAD: &str =
    "| attack | tries | answers leaked | stopped by | test |\n|---|---|---|---|---|\n";

/// What a test has tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack<'a> {
    pub(crate) name: &'a str,
    pub(crate) tries: u64,
    /// Tries by which anybody learned something of another guest's, or misled it.
    pub(crate) leaked: u64,
    pub(crate) stopped_by: &'a str,
}

impl Attack<'_> {
    /// Fails where something leaked, and where the table says something else than was counted.
    pub(crate) fn report(&self) -> Result<()> {
        ensure!(
            self.leaked == 0,
            "{}: {} of {} tries leaked",
            self.name,
            self.leaked,
            self.tries
        );
        ensure!(self.tries > 0, "{}: nothing was tried", self.name);
        metad_tests::needs::note(&format!("{}: {} tries, 0 leaks", self.name, self.tries));
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("unnamed");
        compare(&format!(
            "| {} | {} | {} | {} | `{test}` |",
            self.name, self.tries, self.leaked, self.stopped_by
        ))
    }
}

/// Compares one row; the others' stay as they are.
fn compare(want: &str) -> Result<()> {
    // Tests run beside each other, and each writes its rows.
    static TABLE: Mutex<()> = Mutex::new(());
    let _alone = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs/security-attacks.md");
    let text = fs::read_to_string(&path).context("cannot read docs/security-attacks.md")?;
    let (before, rest) = text
        .split_once(BEGIN)
        .context("no mark where the table begins")?;
    let (table, after) = rest
        .split_once(END)
        .context("no mark where the table ends")?;
    let mut rows: Vec<&str> = table
        .strip_prefix(HEAD)
        .unwrap_or_default()
        .lines()
        .collect();
    if rows.contains(&want) {
        return Ok(());
    }
    if std::env::var_os("METAD_UPDATE_SNAPSHOTS").is_none_or(|it| it != "1") {
        bail!(
            "docs/security-attacks.md says something else: METAD_UPDATE_SNAPSHOTS=1 cargo xtask test net\n{want}"
        );
    }
    let name = |row: &str| row.split('|').nth(1).map(str::to_owned);
    rows.retain(|row| name(row) != name(want));
    rows.push(want);
    rows.sort_unstable();
    let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(&path, format!("{before}{BEGIN}{HEAD}{table}{END}{after}"))
        .context("cannot write docs/security-attacks.md")
}
