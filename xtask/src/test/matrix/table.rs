//! The table of kernels: printed after each run, and in docs/kernels.md as a whole run wrote it.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use metad_tests::image::SuiteKernel;

use super::super::report::Report;
use super::super::tally::Tally;
use crate::shell::{self, say};

const FILE: &str = "docs/kernels.md";
const BEGIN: &str = "<!-- TABLE: begin -->\n";
const END: &str = "<!-- TABLE: end -->";
const HEAD: &str = "| Debian | kernel | attached by | tests | result |\n|---|---|---|---|---|\n";

/// Set: the file is written anew.
const UPDATE: &str = "METAD_UPDATE_SNAPSHOTS";

/// What a test notes says how programs were attached.
const ATTACHED: &str = "attached by ";

/// One kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    suite: &'static str,
    release: String,
    attached: String,
    ran: usize,
    good: bool,
}

impl Row {
    pub(super) fn new(kernel: &SuiteKernel, tally: &Tally, success: bool, report: &Report) -> Self {
        let attached = report
            .notes
            .iter()
            .find_map(|(_, note)| note.strip_prefix(ATTACHED));
        Self {
            suite: kernel.suite.name(),
            release: kernel.release.clone(),
            attached: attached.unwrap_or("?").to_owned(),
            ran: tally.passed + tally.failed,
            good: success && tally.failed == 0,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.good { "good" } else { "FAILED" };
        write!(
            f,
            "| {} | {} | {} | {} | {result} |",
            self.suite, self.release, self.attached, self.ran
        )
    }
}

/// Prints the table; writes it where that is asked for and every kernel ran every test.
///
/// # Errors
/// The file cannot be read or written, or has no place for it.
pub(super) fn show(rows: &[Row], whole: bool) -> Result<()> {
    let table = text(rows);
    say(&format!("\n{table}"));
    if !whole || std::env::var_os(UPDATE).is_none() {
        return Ok(());
    }
    let file = shell::workspace().join(FILE);
    let document = fs::read_to_string(&file).with_context(|| format!("cannot read {FILE}"))?;
    let document = replaced(&document, &table)
        .with_context(|| format!("{FILE} has no `{}`", BEGIN.trim_end()))?;
    fs::write(&file, document).with_context(|| format!("cannot write {FILE}"))
}

fn text(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| format!("{row}\n"));
    HEAD.to_owned() + &lines.collect::<String>()
}

fn replaced(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use metad_tests::image::Suite;

    use super::*;

    #[test]
    fn the_document_has_a_good_row_for_each_kernel() {
        let document = fs::read_to_string(shell::workspace().join(FILE)).unwrap();
        let (_, rest) = document.split_once(&format!("{BEGIN}{HEAD}")).unwrap();
        let (table, _) = rest.split_once(END).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), Suite::ALL.len(), "{table}");
        for (line, suite) in lines.iter().zip(Suite::ALL) {
            let (start, end) = (format!("| {} | ", suite.name()), " | good |");
            assert!(line.starts_with(&start) && line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn a_table_takes_the_place_of_the_last_one() {
        let row = Row {
            suite: "bookworm",
            release: "6.1.0-1-amd64".to_owned(),
            attached: "clsact".to_owned(),
            ran: 9,
            good: false,
        };
        let document = format!("# K\n{BEGIN}old\n{END}\nmore\n");
        let expected = format!(
            "# K\n{BEGIN}{HEAD}| bookworm | 6.1.0-1-amd64 | clsact | 9 | FAILED |\n{END}\nmore\n"
        );
        assert_eq!(replaced(&document, &text(&[row])), Some(expected));
        assert_eq!(replaced("# K\n", ""), None, "no place for it");
    }
}
