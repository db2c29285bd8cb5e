//! The table of kernels: printed after each run, and in docs/kernels.md with a row for each as its last run wrote it.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use metad_tests::image::{Suite, SuiteKernel};

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

/// Prints the table; writes its rows where that is asked for and the kernels ran all of the usual tests.
///
/// # Errors
/// The file cannot be read or written, or has no place for it.
pub(super) fn show(rows: &[Row], usual: bool) -> Result<()> {
    let lines: Vec<String> = rows.iter().map(Row::to_string).collect();
    say(&format!("\n{HEAD}{}", lines.join("\n")));
    if !usual || std::env::var_os(UPDATE).is_none() {
        return Ok(());
    }
    let file = shell::workspace().join(FILE);
    let document = fs::read_to_string(&file).with_context(|| format!("cannot read {FILE}"))?;
    let document = replaced(&document, rows)
        .with_context(|| format!("{FILE} has no `{}`", BEGIN.trim_end()))?;
    fs::write(&file, document).with_context(|| format!("cannot write {FILE}"))
}

/// The document with these rows in place of those of the same kernels; the others stay.
fn replaced(document: &str, rows: &[Row]) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    let lines = Suite::ALL.into_iter().filter_map(|suite| {
        let new = rows.iter().find(|row| row.suite == suite.name());
        let start = format!("| {} | ", suite.name());
        let old = || table.lines().find(|line| line.starts_with(&start));
        new.map_or_else(|| old().map(str::to_owned), |row| Some(row.to_string()))
    });
    let lines: String = lines.map(|line| line + "\n").collect();
    Some(format!("{before}{BEGIN}{HEAD}{lines}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_good_rows_from_the_oldest_kernel_to_the_newest() {
        let document = fs::read_to_string(shell::workspace().join(FILE)).unwrap();
        let (_, rest) = document.split_once(&format!("{BEGIN}{HEAD}")).unwrap();
        let (table, _) = rest.split_once(END).unwrap();
        let suites: Vec<&str> = table
            .lines()
            .map(|line| {
                assert!(line.ends_with(" | good |"), "{line}");
                line.split(' ').nth(1).unwrap_or_default()
            })
            .collect();
        let known = Suite::ALL.map(Suite::name);
        assert!(suites.iter().all(|suite| known.contains(suite)), "{table}");
        assert_eq!(suites.first(), known.first(), "{table}");
        assert_eq!(suites.last(), known.last(), "{table}");
        for attached in ["tcx", "clsact"] {
            assert!(table.contains(&format!(" | {attached} | ")), "{table}");
        }
    }

    #[test]
    fn a_row_takes_the_place_of_the_last_one_of_its_kernel() {
        let row = Row {
            suite: "bookworm",
            release: "6.1.0-1-amd64".to_owned(),
            attached: "clsact".to_owned(),
            ran: 9,
            good: false,
        };
        let new = "| bookworm | 6.1.0-1-amd64 | clsact | 9 | FAILED |\n";
        let (older, newer) = (
            "| bullseye | 5.10 | clsact | 9 | good |\n",
            "| sid | 7.2 | tcx | 9 | good |\n",
        );
        let document = |row: &str| format!("# K\n{BEGIN}{HEAD}{older}{row}{newer}{END}\nmore\n");
        let rows = [row];
        for (case, old) in [
            ("anew", "| bookworm | 6.0 | ? | 9 | good |\n"),
            ("for the first time", ""),
        ] {
            assert_eq!(
                replaced(&document(old), &rows),
                Some(document(new)),
                "{case}"
            );
        }
        assert_eq!(replaced("# K\n", &rows), None, "no place for it");
    }
}
