//! The checks that need no test: format, lints, documentation, licences, house rules. The same list on a laptop.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::setup::{self, Purpose};
use crate::shell::{self, duration, say};
use crate::tidy;

/// Crates that are built for the host; one by one, or cargo would unify the features of host and kernel.
const HOST: [&str; 5] = [
    "metad-common",
    "metad",
    "metad-tests",
    "metad-fuzz",
    "xtask",
];

/// A check's name, and what runs it.
type Check = (&'static str, fn() -> Result<()>);

/// Every check, in the order of quickness.
const CHECKS: [Check; 6] = [
    ("format", format),
    ("house rules", tidy::run),
    ("licences and sources", licences),
    ("lints", lints),
    ("lints of the kernel side", kernel_lints),
    ("documentation", documentation),
];

/// Runs every check, whatever the others found, and prints the table.
pub(crate) fn run() -> Result<ExitCode> {
    setup::ensure(Purpose::Ci)?;
    let mut lines = Vec::new();
    let mut good = true;
    for (name, check) in CHECKS {
        say(&format!("=== {name}"));
        let started = Instant::now();
        let verdict = match check() {
            Ok(()) => "good".to_owned(),
            Err(error) => {
                good = false;
                format!("FAILED: {error:#}")
            }
        };
        let time = duration(started.elapsed());
        lines.push(format!("{name:<26} {time:>12}  {verdict}"));
    }
    say("");
    for line in lines {
        say(&line);
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn format() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))
}

/// Advisories are left out: they change without a commit, and a build that passed yesterday passes today.
fn licences() -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["deny", "--log-level", "error", "check"]);
    shell::run(cargo.args(["bans", "licenses", "sources"]))
}

fn lints() -> Result<()> {
    let clippy = |package, targets: &[&str], more: &[&str]| {
        let mut cargo = shell::cargo();
        cargo.args(["clippy", "--package", package]).args(targets);
        cargo.args(["--", "-D", "warnings"]).args(more);
        cargo
    };
    each_host_crate(|package| clippy(package, &[], &[]))?;
    // In a test, a table is data: its rows are not lines of a function.
    each_host_crate(|package| {
        clippy(
            package,
            &["--all-targets"],
            &["-A", "clippy::too_many_lines"],
        )
    })
}

/// The kernel programs are linted as host code: their target has no standard library to lint against. Without
/// unwinding, as the target is.
fn kernel_lints() -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["clippy", "--package", "metad-ebpf", "--target-dir"]);
    cargo.arg(shell::target()?.join("bpf-lints"));
    cargo.args(["--", "-D", "warnings"]);
    shell::run(cargo.env("RUSTFLAGS", "-Cpanic=abort"))
}

fn documentation() -> Result<()> {
    each_host_crate(|package| {
        let mut cargo = shell::cargo();
        cargo.args([
            "doc",
            "--package",
            package,
            "--no-deps",
            "--document-private-items",
        ]);
        cargo.env("RUSTDOCFLAGS", "-D warnings");
        cargo
    })
}

fn each_host_crate(command: impl Fn(&'static str) -> Command) -> Result<()> {
    let failed: Vec<&str> = HOST
        .into_iter()
        .filter(|package| shell::run(&mut command(package)).is_err())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("in {}", failed.join(", "))
    }
}
