//! Benches: builds the daemon as it is shipped, measures inside a sandbox, prints tables of ratios.
//!
//! The benches themselves are the laboratory's (`metad_tests::bench`), where the tests run them short. Nothing here ever
//! measures in the machine's own namespace.

mod draw;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use metad_tests::bench::{self, Bench, Extent, Outcome};
use metad_tests::sandbox;
use serde_json::{Map, Value, json};

use crate::setup::{self, Purpose};
use crate::shell::{self, duration, say};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these; all without one
    #[arg(value_parser = named)]
    names: Vec<&'static Bench>,
    /// Also write what was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw it, as SVG files in this directory
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Seconds instead of minutes: shows whether all is right, and no number worth keeping
    #[arg(long)]
    short: bool,
    /// The daemon as the tests have it, not as it is shipped: builds faster and runs slower
    #[arg(long)]
    debug: bool,
    /// Set by this task for the part of it that runs in the sandbox
    #[arg(long, hide = true)]
    measure: bool,
}

fn named(name: &str) -> Result<&'static Bench, String> {
    let known = || {
        bench::ALL
            .iter()
            .map(|bench| bench.name)
            .collect::<Vec<_>>()
    };
    let found = bench::ALL.iter().find(|bench| bench.name == name);
    found.ok_or_else(|| format!("there are {}", known().join(", ")))
}

/// Measures. Fails where something is wrong; what is only slow is said.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.measure {
        return measure(options);
    }
    setup::ensure(Purpose::Net)?;
    let is_vm = |bench: &&Bench| bench.name == bench::vm::BENCH.name;
    if options.names.is_empty() || options.names.iter().any(is_vm) {
        // What real guests need.
        setup::ensure(Purpose::Demo)?;
    }
    let built = build(options)?;
    let mut inside = Command::new(built.join("xtask"));
    inside.args(["bench", "--measure"]);
    inside.args(options.names.iter().map(|bench| bench.name));
    inside.args(options.short.then_some("--short"));
    if let Some(file) = &options.json {
        inside.arg("--json").arg(std::path::absolute(file)?);
    }
    if let Some(directory) = &options.plot {
        inside.arg("--plot").arg(std::path::absolute(directory)?);
    }
    inside.env("METAD_BIN", built.join("metad"));
    inside.env("METAD_PREDECESSOR", built.join("predecessor"));
    // An error says where it comes from; a backtrace would bury that.
    inside.env("RUST_BACKTRACE", "0");
    let code = if shell::is_root() {
        sandbox::run(&inside)?
    } else {
        ensure!(
            shell::may_sudo(),
            "network namespaces need root\n  help: run `cargo xtask bench` as root, or where sudo works"
        );
        let mut sudo = Command::new("sudo");
        sudo.arg("--preserve-env=PATH,METAD_BIN,METAD_PREDECESSOR")
            .arg(std::env::current_exe()?)
            .arg("sandbox");
        sudo.arg(inside.get_program()).args(inside.get_args());
        sudo.envs(
            inside
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        sudo.status()
            .context("cannot start `sudo`")?
            .code()
            .unwrap_or(1)
    };
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds whoever answers and whoever asks, each on its own, so that the features of one do not change another; says where
/// they are.
fn build(options: &Options) -> Result<PathBuf> {
    let profile = if options.debug { "debug" } else { "release" };
    for package in [
        &["metad"][..],
        &["metad-tests", "--bin", "predecessor"],
        // The load is made by this program: built without care, it would take the processors from whoever answers.
        &["xtask"],
    ] {
        let mut cargo = shell::cargo();
        cargo.args(["build", "--package"]).args(package);
        cargo.args((!options.debug).then_some("--release"));
        say(&format!(
            "building {} ({profile})",
            package.last().unwrap_or(&"")
        ));
        shell::run(&mut cargo)?;
    }
    Ok(shell::target()?.join(profile))
}

/// The part that runs in the sandbox.
fn measure(options: &Options) -> Result<ExitCode> {
    sandbox::demand()?;
    let extent = if options.short {
        Extent::Short
    } else {
        Extent::Full
    };
    let all: Vec<&Bench> = bench::ALL.iter().collect();
    let chosen = if options.names.is_empty() {
        &all
    } else {
        &options.names
    };
    let mut measured = Map::new();
    let mut failed = Vec::new();
    for bench in chosen {
        say(&format!("\n=== {}: {}", bench.name, bench.question));
        let began = Instant::now();
        let outcome =
            (bench.run)(extent).with_context(|| format!("cannot measure {}", bench.name))?;
        say(&table(&outcome));
        say(&format!("measured in {}", duration(began.elapsed())));
        if !outcome.is_right() {
            failed.push(bench.name);
        }
        if let Some(directory) = &options.plot {
            let drawn = draw::draw(directory, bench.name, &outcome.plots)?;
            for name in drawn {
                say(&format!("drawn: {name}"));
            }
        }
        measured.insert(bench.name.to_owned(), outcome.json());
    }
    if let Some(file) = &options.json {
        write(file, &measured, extent)?;
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("something is wrong, not only slow: {}", failed.join(", "))
}

fn write(file: &Path, measured: &Map<String, Value>, extent: Extent) -> Result<()> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let whole = json!({
        "machine": { "kernel": kernel.trim(), "cores": cores },
        "short": extent == Extent::Short,
        "benches": measured,
    });
    let text = serde_json::to_string_pretty(&whole).context("cannot print the numbers")?;
    std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// Rows under their headings, then what was to be reached, then what belongs to it.
fn table(outcome: &Outcome) -> String {
    let mut lines = vec![
        std::iter::once(String::new())
            .chain(outcome.columns.iter().map(|column| (*column).to_owned()))
            .collect::<Vec<String>>(),
    ];
    lines.extend(outcome.rows.iter().map(|row| {
        let cells = row.cells.iter().map(|cell| cell.text());
        std::iter::once(row.name.clone()).chain(cells).collect()
    }));
    let mut text = aligned(&lines);
    let targets: Vec<Vec<String>> = outcome
        .targets
        .iter()
        .map(|target| {
            let verdict = if target.met { "reached" } else { "MISSED" };
            vec![
                target.what.clone(),
                target.wanted.clone(),
                target.measured.text(),
                verdict.to_owned(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&aligned(&targets));
    for note in &outcome.notes {
        text.push_str(&format!("* {note}\n"));
    }
    text
}

/// Columns as wide as their widest cell, the first flush left and the numbers flush right.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            if column == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use metad_tests::bench::{Cell, Row};

    use super::*;

    #[test]
    fn every_bench_has_a_name_of_its_own_and_asks_something() {
        for bench in bench::ALL {
            assert!(bench.question.ends_with('?'), "{}", bench.name);
            let same = bench::ALL.iter().filter(|other| other.name == bench.name);
            assert_eq!(same.count(), 1, "{}", bench.name);
            assert_eq!(named(bench.name).map(|found| found.name), Ok(bench.name));
        }
        assert!(named("best-guest").is_err_and(|error| error.contains("worst-guest")));
    }

    #[test]
    fn tables_are_aligned() {
        let row = |name: &str, count, ratio| Row {
            name: name.to_owned(),
            cells: vec![Cell::Count(count), Cell::Ratio(ratio)],
        };
        let outcome = Outcome {
            columns: vec!["n", "to quiet"],
            rows: vec![row("one", 5, 1.0), row("another", 12345, 0.5)],
            ..Outcome::default()
        };
        assert_eq!(
            table(&outcome),
            "             n  to quiet\none          5    1.00 ×\nanother  12345    0.50 ×\n\n"
        );
    }

    #[test]
    fn a_bench_outside_a_sandbox_is_refused() {
        let options = Options {
            names: Vec::new(),
            json: None,
            plot: None,
            short: true,
            debug: true,
            measure: true,
        };
        assert!(run(&options).is_err(), "this process is in no sandbox");
    }
}
