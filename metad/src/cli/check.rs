//! `metad check`: what this host lacks. Facts are gathered, then judged; nothing is changed.

mod facts;
mod judge;

use std::io::{self, Write};

use serde::Serialize;

use super::report::{Unwritten, printable};
use super::table::Table;
use crate::config::Config;
use crate::exit;
use crate::install::Engine;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    what: String,
    verdict: Verdict,
    detail: String,
    /// What to do; always there unless the verdict is `Ok`.
    remedy: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// metad runs, but perhaps not as meant.
    Warning,
    /// metad does not run without it.
    Missing,
}

/// Looks and prints; the exit code says whether something needed is missing.
pub(super) fn run(config: &Config, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let facts = super::block_on(facts::gather(config, Engine::Child))?;
    let findings = judge::judge(config, &facts);
    let ready = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Missing);
    if json {
        let report = serde_json::json!({ "ready": ready, "findings": findings });
        serde_json::to_writer_pretty(&mut *out, &report)
            .map_err(|error| Unwritten(error.into()))?;
        writeln!(out).map_err(Unwritten)?;
    } else {
        print(&findings, out).map_err(Unwritten)?;
    }
    Ok(if ready { exit::SUCCESS } else { exit::LACKING })
}

fn print(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(["CHECK", "VERDICT", "DETAIL"]);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Missing => "MISSING",
        };
        table.row([&finding.what, verdict, &finding.detail]);
    }
    table.write(out)?;
    let todo: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.remedy.is_some())
        .collect();
    if todo.is_empty() {
        return writeln!(out, "\nNothing is missing.");
    }
    writeln!(out, "\nWhat to do:")?;
    for finding in todo {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        writeln!(out, "  {}: {}", printable(&finding.what), printable(remedy))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
