//! Runs the tests, floor by floor: everything is built as the user who asks, the privileged floors run as root inside
//! a sandbox. Prints what ran; a floor without a single test has failed.

mod floor;
mod matrix;
mod report;
mod tally;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use metad_tests::needs;
use serde_json::Value;

pub(crate) use self::floor::Floor;
use self::report::Report;
use self::tally::Tally;
use crate::shell::{self, say};
use crate::{images, setup};

/// What one floor came to.
struct Outcome {
    name: &'static str,
    floor: Floor,
    tally: Tally,
    time: Duration,
    /// The commands themselves succeeded.
    success: bool,
}

/// Runs one floor, or all of them in order, and prints the table; the last line is `N passed, N failed`.
pub(crate) fn run(only: Option<Floor>, filter: Option<&str>) -> Result<ExitCode> {
    if only == Some(Floor::Kernels) {
        return matrix::run(filter);
    }
    let floors: Vec<Floor> = only.map_or_else(|| Floor::ALL.to_vec(), |floor| vec![floor]);
    for floor in &floors {
        setup::ensure(floor.purpose())?;
    }
    if floors.contains(&Floor::Guest) && (shell::is_root() || shell::may_sudo()) {
        images::ensure()?;
    }
    build_daemon()?;
    let tests = build_tests()?;
    let reports = tempfile::tempdir().context("cannot make a directory for the report")?;
    let path = reports.path().join("report");
    let mut outcomes = Vec::new();
    for floor in floors {
        say(&format!("\n=== floor {}: {}", floor.name(), floor.about()));
        outcomes.push(run_floor(floor, filter, &tests, &path)?);
    }
    let report = Report::read(&path)?;
    Ok(conclude(&outcomes, &report, filter.is_some()))
}

/// The daemon that the floors start is the one that `cargo build` gives the user.
fn build_daemon() -> Result<()> {
    say("building metad and the tests");
    shell::run(shell::cargo().args(["build", "--package", "metad"]))
}

/// The one test binary, and the names of all its tests.
struct Tests {
    binary: PathBuf,
    names: Vec<String>,
}

fn build_tests() -> Result<Tests> {
    let mut cargo = shell::cargo();
    cargo.args([
        "test",
        "--package",
        "metad-tests",
        "--test",
        "it",
        "--no-run",
    ]);
    cargo.arg("--message-format=json-render-diagnostics");
    let line = shell::line(&cargo);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(output.status.success(), "`{line}` failed");
    let binary = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "it")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo named no test binary")?;
    let listed = Command::new(&binary)
        .args(["--list", "--format", "terse"])
        .output()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let names: Vec<String> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect();
    let stray: Vec<&String> = names
        .iter()
        .filter(|name| {
            let mut floors = Floor::ALL.iter().chain(&[Floor::Kernels]);
            !floors.any(|floor| floor.holds(name))
        })
        .collect();
    ensure!(
        stray.is_empty(),
        "no floor holds {stray:?}: name their module in floor.rs"
    );
    Ok(Tests { binary, names })
}

fn run_floor(floor: Floor, filter: Option<&str>, tests: &Tests, report: &Path) -> Result<Outcome> {
    let started = Instant::now();
    let mut outcome = Outcome {
        name: floor.name(),
        floor,
        tally: Tally::default(),
        time: Duration::ZERO,
        success: true,
    };
    let mut commands = Vec::new();
    if floor == Floor::Unit {
        let mut workspace = shell::cargo();
        workspace.args(["test"]);
        let mut laboratory = shell::cargo();
        laboratory.args(["test", "--package", "metad-tests", "--lib"]);
        let mut corpora = shell::cargo();
        corpora.args(["test", "--package", "metad-fuzz"]);
        for mut cargo in [workspace, laboratory, corpora] {
            cargo.args(filter);
            commands.push(cargo);
        }
    }
    let names: Vec<&String> = tests
        .names
        .iter()
        .filter(|name| floor.holds(name) && name.contains(filter.unwrap_or_default()))
        .collect();
    // Without a name libtest would run everything.
    if !names.is_empty() {
        let mut command = in_its_place(floor, &tests.binary)?;
        command.args(["--exact", "--test-threads", &floor.threads().to_string()]);
        command.args(names);
        commands.push(command);
    }
    for mut command in commands {
        command.env(needs::REPORT, report);
        // An error says where it comes from; sixty frames of libtest do not.
        command.env("RUST_LIB_BACKTRACE", "0");
        command.env("METAD_BIN", shell::target()?.join("debug/metad"));
        command.env("METAD_XTASK", std::env::current_exe()?);
        if required() {
            command.env(needs::MODE, "require");
        }
        outcome.success &= listen(&mut command, &mut outcome.tally)?;
    }
    outcome.time = started.elapsed();
    Ok(outcome)
}

/// The test binary as it is, or inside a sandbox made by root, or as it is so that it skips loudly.
fn in_its_place(floor: Floor, binary: &Path) -> Result<Command> {
    let plain = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(shell::workspace().join("tests"));
        command
    };
    let own = std::env::current_exe().context("cannot find this executable")?;
    Ok(if floor == Floor::Unit {
        plain(binary)
    } else if shell::is_root() {
        let mut command = plain(&own);
        command.arg("sandbox").arg(binary);
        command
    } else if shell::may_sudo() {
        let mut command = plain(Path::new("sudo"));
        let kept = [
            needs::REPORT,
            needs::MODE,
            "METAD_BIN",
            "METAD_XTASK",
            "PATH",
        ]
        .join(",");
        command.arg(format!("--preserve-env={kept}"));
        command.arg(&own).arg("sandbox").arg(binary);
        command
    } else {
        plain(binary)
    })
}

/// CI and root have no excuse for leaving a test out.
fn required() -> bool {
    shell::is_root() || std::env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// Shows the output as it comes, and counts.
fn listen(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let line = shell::line(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let Some(stdout) = child.stdout.take() else {
        bail!("`{line}` has no output");
    };
    for line in BufReader::new(stdout).lines() {
        let line =
            line.with_context(|| format!("cannot read the output of `{}`", shell::line(command)))?;
        tally.read(&line);
        say(&line);
    }
    Ok(child.wait()?.success())
}

/// Prints the table, the privileged tests, the notes and the sum.
fn conclude(outcomes: &[Outcome], report: &Report, filtered: bool) -> ExitCode {
    if !report.ran.is_empty() {
        say(&format!(
            "\nprivileged tests that ran ({}):",
            report.ran.len()
        ));
        for name in &report.ran {
            say(&format!("  {name}"));
        }
    }
    if !report.notes.is_empty() {
        say("\nwhat they counted and measured:");
        for (name, note) in &report.notes {
            say(&format!("  {name}: {note}"));
        }
    }
    for (name, why) in &report.skipped {
        say(&format!("SKIPPED {name}: {why}"));
    }
    say("\nfloor    passed  failed  skipped  time");
    let mut sum = Tally::default();
    let mut good = true;
    for outcome in outcomes {
        let mut tally = outcome.tally;
        tally.leave_out(report.skipped_in(outcome.floor));
        let empty = tally.passed + tally.failed + tally.skipped == 0;
        let verdict = match (outcome.success, empty) {
            (false, _) => "  FAILED",
            (true, true) if !filtered => "  FAILED: not a single test",
            (true, _) => "",
        };
        good &= verdict.is_empty();
        // A run that ended badly without a failed test (a crash, a sandbox that was refused) counts as one.
        if !verdict.is_empty() && tally.failed == 0 {
            tally.failed = 1;
        }
        say(&format!(
            "{:<8} {:>6}  {:>6}  {:>7}  {}{verdict}",
            outcome.name,
            tally.passed,
            tally.failed,
            tally.skipped,
            shell::duration(outcome.time),
        ));
        sum.add(tally);
    }
    say("");
    say(&sum.to_string());
    if good && sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
