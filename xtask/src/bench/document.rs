//! What benches found as tables of Markdown, for docs/performance.md.

use metad_tests::bench::{Bench, Outcome};

/// One bench: its question, its rows, and its targets with whether each was reached.
pub(crate) fn document(bench: &Bench, outcome: &Outcome) -> String {
    let mut text = format!("### `{}`: {}\n\n", bench.name, bench.question);
    let headings = std::iter::once("").chain(outcome.columns.iter().copied());
    text.push_str(&line(headings.map(str::to_owned)));
    let rules = std::iter::once("---").chain(outcome.columns.iter().map(|_| "---:"));
    text.push_str(&line(rules.map(str::to_owned)));
    for row in &outcome.rows {
        let cells = row.cells.iter().map(|cell| cell.text());
        text.push_str(&line(std::iter::once(row.name.clone()).chain(cells)));
    }
    text.push('\n');
    for target in &outcome.targets {
        let verdict = if target.met { "reached" } else { "**missed**" };
        text.push_str(&format!(
            "* {}: {}, wanted {}: {verdict}\n",
            target.what,
            target.measured.text(),
            target.wanted
        ));
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use metad_tests::bench::{self, Cell, Kind, Row, Target};

    use super::*;

    #[test]
    fn rows_and_targets_are_markdown() {
        let outcome = Outcome {
            columns: vec!["rate"],
            rows: vec![Row {
                name: "a|b".to_owned(),
                cells: vec![Cell::Rate(12.0)],
            }],
            targets: vec![Target {
                what: "to nginx".to_owned(),
                wanted: "≥ 1 ×".to_owned(),
                measured: Cell::Ratio(0.5),
                met: false,
                kind: Kind::Fast,
            }],
            ..Outcome::default()
        };
        let text = document(&bench::requests::CONNECT, &outcome);
        let (head, rest) = text.split_once("\n\n").unwrap();
        assert!(head.starts_with("### `connect`: "), "{head}");
        assert_eq!(
            rest,
            "|  | rate |\n| --- | ---: |\n| a\\|b | 12/s |\n\n* to nginx: 0.50 ×, wanted ≥ 1 ×: **missed**\n"
        );
    }
}
