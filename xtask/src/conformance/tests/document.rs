//! docs/conformance.md says what the suite does: its table of rules, and where each edge case and trap is tested.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::rows::SECTIONS;
use crate::shell::workspace;

fn file() -> PathBuf {
    workspace().join("docs/conformance.md")
}

/// What stands between two marks, and what before and after.
fn part<'a>(text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = text.split_once(&begin).expect("the mark where it begins");
    let (part, after) = rest.split_once(&end).expect("the mark where it ends");
    (before, part, after)
}

/// A section of the table for each of the suite's.
fn table() -> String {
    let mut text = String::new();
    for (heading, rows) in SECTIONS {
        text.push_str(&format!(
            "### {heading}\n\n| rule | | it says | who relies on it |\n|---|---|---|---|\n"
        ));
        for row in rows {
            let dialects: Vec<&str> = row.dialects.iter().map(|it| it.name()).collect();
            let dialects = if row.once || dialects.len() == 1 {
                String::new()
            } else {
                format!(" ({})", dialects.join(", "))
            };
            let also: Vec<String> = row.also.iter().map(|it| format!("`{it}`")).collect();
            let also = if also.is_empty() {
                String::new()
            } else {
                format!(", also {}", also.join(", "))
            };
            let severity = row.severity.name();
            text.push_str(&format!(
                "| `{}`{also} | {severity} | {}{dialects} | {} |\n",
                row.id, row.rule, row.source
            ));
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

#[test]
fn the_document_lists_every_rule() {
    let text = fs::read_to_string(file()).expect("the document");
    let (before, part, after) = part(&text, "RULES");
    let table = table();
    if part == table {
        return;
    }
    if std::env::var_os("METAD_UPDATE_SNAPSHOTS").is_some_and(|it| it == "1") {
        let text = format!("{before}<!-- RULES: begin -->\n{table}<!-- RULES: end -->{after}");
        fs::write(file(), text).expect("a document that may be written");
    } else {
        panic!(
            "docs/conformance.md has other rules: METAD_UPDATE_SNAPSHOTS=1 cargo test -p xtask conformance"
        );
    }
}

#[test]
fn every_edge_case_and_trap_has_a_test_that_exists() {
    let text = fs::read_to_string(file()).expect("the document");
    let (_, part, _) = part(&text, "TESTS");
    let mut sources = String::new();
    for directory in ["metad/src", "metad-common/src", "tests/it", "tests/src"] {
        gather(&workspace().join(directory), &mut sources);
    }
    let rows: Vec<_> = SECTIONS.iter().flat_map(|(_, rows)| rows.iter()).collect();
    let lines: Vec<&str> = part.lines().skip(2).collect();
    for line in &lines {
        let names = line.rsplit_once(" | ").map_or("", |it| it.1);
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {line}");
        for name in names {
            let found = match name.rsplit_once("::") {
                Some((_, test)) => sources.contains(&format!("fn {test}(")),
                None => rows
                    .iter()
                    .any(|row| row.id == name || row.also.contains(&name)),
            };
            assert!(found, "there is no {name}: {line}");
        }
    }
    for trap in 1..=18 {
        let mark = format!("| trap {trap}:");
        assert!(lines.iter().any(|line| line.starts_with(&mark)), "{mark}");
    }
    let cases = lines.iter().filter(|line| !line.starts_with("| trap "));
    assert_eq!(
        cases.count(),
        31,
        "the edge cases, with tokens and POST in two lines each"
    );
}

fn gather(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
