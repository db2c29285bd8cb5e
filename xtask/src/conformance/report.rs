//! Verdicts, for people and for programs.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::row::{Dialect, Miss, Row, Severity, Verdict};
use super::rows::SECTIONS;
use super::subject::{Subject, Tokens};
use crate::shell::say;

/// What came of one rule in one dialect.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) row: &'static Row,
    pub(super) dialect: Dialect,
    pub(super) verdict: Verdict,
}

impl Outcome {
    pub(super) fn name(&self) -> String {
        self.row.name(self.dialect)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.verdict, Err(Miss::Failed { .. }))
    }

    fn breaks_a_client(&self) -> bool {
        self.has_failed() && self.row.severity == Severity::Must
    }
}

/// Says what was found out about the server.
pub(super) fn begin(url: &str, subject: &Subject) {
    let facts = &subject.facts;
    let dialects: Vec<&str> = facts.dialects.iter().map(|it| it.name()).collect();
    let tokens = match (&facts.token, facts.tokens) {
        (None, _) => "none to be had",
        (Some(_), Tokens::Optional) => "optional",
        (Some(_), Tokens::Required) => "required",
    };
    let user_data = match &facts.user_data {
        None => "none".to_owned(),
        Some(octets) => format!("{} octets", octets.len()),
    };
    say(&format!(
        "{url}: {}; tokens {tokens}; user-data {user_data}",
        dialects.join(", ")
    ));
}

/// One line for each rule, and what was wrong below it.
pub(super) fn show(heading: &'static str, outcome: &Outcome) {
    let first = SECTIONS.iter().find(|(it, _)| *it == heading);
    let opens = first.and_then(|(_, rows)| rows.first()).is_some_and(|row| {
        row.id == outcome.row.id && (row.once || row.dialects.first() == Some(&outcome.dialect))
    });
    if opens {
        say(&format!("\n{heading}"));
    }
    let name = outcome.name();
    match &outcome.verdict {
        Ok(()) => say(&format!("  pass  {name:<34} {}", outcome.row.rule)),
        Err(Miss::NotApplicable(why)) => say(&format!("  skip  {name:<34} {why}")),
        Err(Miss::Failed { expected, got }) => {
            say(&format!("  FAIL  {name:<34} {}", outcome.row.rule));
            say(&format!("          expected  {expected}"));
            say(&format!("          got       {got}"));
            say(&format!(
                "          {:<8}  {}",
                outcome.row.severity.name(),
                outcome.row.source
            ));
        }
    }
}

/// Prints the sum; the exit status is 1 where a client breaks.
pub(super) fn conclude(outcomes: &[Outcome]) -> ExitCode {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|it| it.has_failed()).collect();
    let broken = broken(outcomes);
    if !failed.is_empty() {
        say(&format!("\nfailed ({broken} of them break a client):"));
        for outcome in failed {
            let severity = outcome.row.severity.name();
            say(&format!("  {severity:<6}  {}", outcome.name()));
        }
    }
    let (passed, failed, skipped) = count(outcomes);
    say(&format!(
        "\n{passed} passed, {failed} failed, {skipped} skipped"
    ));
    if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many rules failed that a client breaks without.
pub(super) fn broken(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|it| it.breaks_a_client()).count()
}

fn count(outcomes: &[Outcome]) -> (usize, usize, usize) {
    let failed = outcomes.iter().filter(|it| it.has_failed()).count();
    let passed = outcomes.iter().filter(|it| it.verdict.is_ok()).count();
    (passed, failed, outcomes.len() - passed - failed)
}

/// Everything, for programs.
pub(super) fn json(url: &str, outcomes: &[Outcome]) -> Value {
    let (passed, failed, skipped) = count(outcomes);
    let rows: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let row = outcome.row;
            let mut value = json!({
                "id": outcome.name(),
                "also": row.also,
                "dialect": outcome.dialect.name(),
                "severity": row.severity.name(),
                "rule": row.rule,
                "source": row.source,
            });
            match &outcome.verdict {
                Ok(()) => value["verdict"] = json!("pass"),
                Err(Miss::Failed { expected, got }) => {
                    value["verdict"] = json!("fail");
                    value["expected"] = json!(expected);
                    value["got"] = json!(got);
                }
                Err(Miss::NotApplicable(why)) => {
                    value["verdict"] = json!("not applicable");
                    value["why"] = json!(why);
                }
            }
            value
        })
        .collect();
    json!({ "url": url, "passed": passed, "failed": failed, "skipped": skipped, "rows": rows })
}
